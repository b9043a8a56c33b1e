"""The two bend codes.

**published**: 46 codes over the pitch wheel's ±2 semitones, 23 = no bend; fine near the centre (64 of 16,384 wheel
units, 1.6 cents), coarse outside (512 units, 12.5 cents). A code's value is the lowest whole cent of its bin, so that
coding is idempotent. Bends beyond ±2 semitones are cut to it, as the wheel does.

**semitone**: cents against the note, on a grid of ``step`` cents; no limit but the field's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WHEEL_CENTRE = 8192
WHEEL_RANGE_CENTS = 200
NO_BEND_CODE = 23
MAX_BEND_CODE = 45


def wheel_to_code(wheel: int) -> int:
    """14-bit wheel value → published code 0–45."""
    if wheel < 7680:
        return wheel // 512
    if wheel < 8704:
        return 15 + (wheel - 7680) // 64
    return 31 + (wheel - 8704) // 512


def code_to_wheel(code: int) -> int:
    """Published code → the lowest wheel value that it stands for."""
    if code < 15:
        return 512 * code
    if code < 31:
        return 7680 + 64 * (code - 15)
    return 8704 + 512 * (code - 31)


def cents_to_code(cents: float) -> int:
    """Cents against the note → published code, cut to ±2 semitones."""
    wheel = WHEEL_CENTRE + cents / WHEEL_RANGE_CENTS * WHEEL_CENTRE
    return wheel_to_code(int(min(max(wheel, 0), 2 * WHEEL_CENTRE - 1)))


def code_to_cents(code: int) -> int:
    """Published code → the lowest whole number of cents that it stands for."""
    return -((WHEEL_CENTRE - code_to_wheel(code)) * WHEEL_RANGE_CENTS // WHEEL_CENTRE)


def on_step(cents: NDArray[np.integer], step: int) -> NDArray[np.int64]:
    """Cents on the nearest multiple of ``step``."""
    return np.rint(np.asarray(cents) / step).astype(np.int64) * step


def code_changes(offsets: NDArray[np.integer], cents: NDArray[np.integer], end_ticks: int) -> list[tuple[int, int]]:
    """(tick after onset, code) wherever the published code of a curve changes before ``end_ticks``; from tick 0 on.

    Within one linear piece the code is monotone, so that each change is found by bisection.
    """
    x, y = np.asarray(offsets, np.float64), np.asarray(cents, np.float64)

    def code(tick: int) -> int:
        return cents_to_code(float(np.interp(tick, x, y)))

    changes = [(0, code(0))]
    stops = [int(o) for o in offsets if 0 < o < end_ticks]
    if end_ticks > 0:
        stops.append(end_ticks - 1)
    here = 0
    for stop in stops:
        while here < stop and code(stop) != changes[-1][1]:
            low, high = here, stop  # code(low) is the last code, code(high) is not
            while high - low > 1:
                middle = (low + high) // 2
                if code(middle) == changes[-1][1]:
                    low = middle
                else:
                    high = middle
            changes.append((high, code(high)))
            here = high
        here = max(here, stop)
    return changes
