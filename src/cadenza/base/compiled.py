"""Loops that are compiled where numba is installed (extra [corpus]), for work on thousands of files.

What is compiled is kept beside its module or, where that may not be written, in the user's cache folder, so that only
the first run on a machine compiles; several processes at once do no harm. Loading it takes a tenth of a second or two:
for one file plain Python is faster. So a compiled loop is the twin of a plain one, which serves where numba is missing
and is the oracle that the twin is tested against.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any


def compiled(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """``function`` compiled on its first call; None without numba. It must hold only what numba knows."""
    try:
        import numba
    except ImportError:
        return None
    made: Callable[..., Any] = numba.njit(cache=True, nogil=True)(function)
    return made


def lazily(function: Callable[..., Any]) -> Callable[[], Callable[..., Any] | None]:
    """A function that gives :func:`compiled` (``function``): numba is imported when it is first called, not before."""
    return lru_cache(maxsize=1)(lambda: compiled(function))
