"""Changing the sample rate of a stream: a windowed sinc for each phase of the ratio, block after block.

The ratio is exact (441 to 160 from 44.1 to 16 kHz), output sample n lies at input position n · old / new, and what is
above the lower of the two half rates is cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import gcd

import numpy as np
from numpy.typing import NDArray

_ZERO_CROSSINGS = 16  # of the sinc on either side
_ROLLOFF = 0.94  # of the lower half rate
_BETA = 9.0  # of the Kaiser window: side lobes at −90 dB

Floats = NDArray[np.float32]


def resampled(blocks: Iterable[Floats], old_rate: int, new_rate: int) -> Iterator[Floats]:
    """The mono blocks, shape (n,), at another rate; their lengths change, their sequence is one stream.

    A stream of n samples becomes one of ⌈n · new / old⌉.
    """
    if old_rate == new_rate:
        yield from (np.asarray(block, np.float32) for block in blocks)
        return
    common = gcd(old_rate, new_rate)
    up, down = new_rate // common, old_rate // common
    kernels, half = _kernels(up, down)
    # Input is kept from ``first`` on; silence stands before its start and after its end.
    kept, first, total, produced = np.zeros(half, np.float32), -half, 0, 0
    ended = False
    source = iter(blocks)
    while not ended:
        block = next(source, None)
        if block is None:
            ended = True
            block = np.zeros(half + down, np.float32)
        else:
            total += len(block)
        kept = np.concatenate([kept, np.asarray(block, np.float32)])
        # Sample n needs input n·down // up − half + 1 … + half.
        last = first + len(kept) - 1 - half
        stop = -(-total * up // down) if ended else max(produced, last * up // down)
        if stop <= produced:
            continue
        yield _outputs(kept, first, produced, stop, kernels, half, up, down)
        produced = stop
        drop = produced * down // up - half + 1 - first
        if drop > 0:
            kept, first = kept[drop:].copy(), first + drop


def _kernels(up: int, down: int) -> tuple[Floats, int]:
    """(up, taps) kernels, one a phase, and half the number of taps."""
    cutoff = _ROLLOFF * min(1.0, up / down)
    half = int(np.ceil(_ZERO_CROSSINGS / cutoff))
    offset = np.arange(-half + 1, half + 1)[None] - (np.arange(up) / up)[:, None]
    window = np.i0(_BETA * np.sqrt(np.clip(1 - (offset / half) ** 2, 0, None))) / np.i0(_BETA)
    kernel = cutoff * np.sinc(cutoff * offset) * window
    return (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32), half


def _outputs(kept: Floats, first: int, start: int, stop: int, kernels: Floats, half: int, up: int, down: int) -> Floats:
    out = np.empty(stop - start, np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(kept, kernels.shape[1])
    for begin in range(start, min(start + up, stop)):
        n = np.arange(begin, stop, up)
        centre = n[0] * down // up
        rows = windows[centre - half + 1 - first :: down][: len(n)]
        out[n - start] = rows @ kernels[n[0] * down % up]
    return out
