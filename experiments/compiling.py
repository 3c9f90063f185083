"""The option of every command that compiles: whether programs are kept for the next start."""

import dataclasses
from typing import Any

from jaxdl import compile_cache


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Compiling:
    """Compiled programs."""

    compile_cache: bool = True
    """Compiled programs are kept for the next start, in ~/.cache/jaxdl (XDG_CACHE_HOME) or in
    JAX_COMPILATION_CACHE_DIR."""


def started(options: Any) -> Any:
    """A command's options, after its compiled programs are looked after as they say."""
    compile_cache.start(options.compiling.compile_cache)
    return options
