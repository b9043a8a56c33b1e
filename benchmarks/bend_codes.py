"""How far both bend codes stray from a real bend.

    python benchmarks/bend_codes.py

A whole-tone bend as guitarists play it (a raised cosine from 0 to 200 cents in a quarter second, held, released),
sampled every 10 ms; each sample coded and decoded. For the semitone code the curve is first thinned as the notation
does.
"""

from __future__ import annotations

import numpy as np

from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.bends import cents_to_code, code_to_cents
from cadenza.score.edit import project
from cadenza.score.model import Bend, Note, Score, Track


def real_bend() -> np.ndarray:
    """Cents every 10 ms, shape (100,)."""
    rise = 100 * (1 - np.cos(np.linspace(0, np.pi, 25)))
    return np.rint(np.concatenate([rise, np.full(40, 200.0), rise[::-1], np.zeros(10)]))


def worst_errors() -> dict[str, float]:
    """Code → largest error in cents over the bend, at its samples."""
    cents = real_bend()
    ticks = np.arange(len(cents)) * 10  # 1 ms a tick
    points = tuple(Bend(int(t), int(c)) for t, c in zip(ticks, cents, strict=True))
    score = Score((Track.of([Note(0, 1000, 60, bends=points)]),), 500)
    found = {"published (46 levels)": float(max(abs(code_to_cents(cents_to_code(c)) - c) for c in cents))}
    for step in (1, 5, 10, 25):
        notation = SimplifiedMidi(bend_step_cents=step)
        bent = project(score, notation.projection).tracks[0].bends
        curve = np.interp(ticks, bent["offset_ticks"], bent["cents"])
        found[f"semitone, {step} cents, {len(bent)} points"] = float(np.abs(curve - cents).max())
    return found


if __name__ == "__main__":
    for name, error in worst_errors().items():
        print(f"{name:36} worst error {error:5.1f} cents")
