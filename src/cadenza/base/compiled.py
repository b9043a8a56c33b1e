"""Loops that are compiled where numba is installed (extra [corpus]), for work on thousands of files.

What is compiled is kept beside its module or, where that may not be written, in the user's cache folder, so that only
the first run on a machine compiles; where neither may be written each process does. Several at once do no harm: an
entry of the cache is put in place whole. Compiling takes seconds, loading nearly half of one, in which plain Python
reads hundreds of files (``benchmarks/compiled_midi.py``). So a compiled loop is the twin of a plain one, which does a
process's first work, serves where numba is missing, and is the oracle that the twin is tested against.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any


def compiled(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """``function`` compiled on its first call; None without numba. It must hold only what numba knows."""
    try:
        import numba
    except ImportError:
        return None
    made: Callable[..., Any]
    try:
        made = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # there is no folder for the cache that may be written
        made = numba.njit(nogil=True)(function)
    return made


class Loop:
    """A loop that is compiled once a process has given its plain twin enough work; numba is imported then, not before.

    Args:
        function: what :func:`compiled` takes.
        plain_work: how much the plain twin does first, in the unit that the callers of :meth:`after` count in; about
            as much as takes it the time that loading costs.
    """

    def __init__(self, function: Callable[..., Any], plain_work: int) -> None:
        self._function, self._plain_work = function, plain_work

    @cached_property
    def now(self) -> Callable[..., Any] | None:
        """The compiled loop at once, for those who know that there is much to do; None without numba."""
        self._plain_work = 0
        return compiled(self._function)

    def after(self, work: int) -> Callable[..., Any] | None:
        """The compiled loop, or None while the plain one should do this much, and without numba."""
        if self._plain_work > 0:
            self._plain_work -= work
            return None
        return self.now
