"""The option of every command that compiles: whether programs are kept for the next start."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Compiling:
    """Compiled programs."""

    compile_cache: bool = True
    """Compiled programs are kept for the next start, in JAX_COMPILATION_CACHE_DIR or in
    ~/.cache/jaxdl (XDG_CACHE_HOME)."""


def started(options: Any) -> Any:
    """A command's options, after its compiled programs are looked after as they say."""
    from jaxdl.devices import cache  # imports jax, which --help does without

    cache.start(options.compiling.compile_cache)
    return options
