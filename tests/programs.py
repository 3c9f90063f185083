"""A folder of compiled programs in place of that of all tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from jaxdl import compile_cache


@contextmanager
def programs_in(folder: Path | None) -> Iterator[None]:
    """Every program comes from this folder, or is compiled; None: JAX's own setting, no folder."""
    before = compile_cache.settings()
    jax.clear_caches()
    compilation_cache.reset_cache()
    jax.config.update(compile_cache.FOLDER, None if folder is None else str(folder))
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
