"""glibc's memory for training on a processor: kept for speed, or given back so that no more is used than is needed.

By default glibc maps each large tensor anew and pays for its page faults, until it has learned a threshold; from then
on its heap keeps what was freed, in pieces: twice what is alive and more (``benchmarks/memory.py``, with ``--keep``).

Elsewhere than on glibc all of this does nothing.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
#: Estimated bytes of a run from which on memory is given back rather than kept.
LARGE = 1_000_000_000


def suit(estimated_bytes: int) -> None:
    """Keep memory where a run is small, give it back where it is large."""
    if estimated_bytes < LARGE:
        keep_memory_mapped()
    else:
        give_memory_back()


def keep_memory_mapped() -> None:
    """Ask glibc to keep freed memory: page faults took a good part of a small model's step in a trial."""
    _set((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, (1 << 31) - 1))


def give_memory_back() -> None:
    """Ask glibc to map each tensor of 64 KiB or more by itself: the peak is what is alive, no more."""
    _set((M_MMAP_THRESHOLD, 1 << 16), (M_TRIM_THRESHOLD, 1 << 20))


def _set(*options: tuple[int, int]) -> None:
    try:
        libc = ctypes.CDLL("libc.so.6")
        for name, value in options:
            libc.mallopt(name, value)
    except (OSError, AttributeError):
        return
