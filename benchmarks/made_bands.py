"""Band music made by rule: what clean collections lack, for training a classifier of parts (never for judging it).

No collection with a clear licence holds bass guitars, and hardly any holds strummed, chugged or soloing guitars. Here a
progression of chords is drawn, and parts play it as textbooks say: basses on roots, fifths, octaves and walks; guitars
in shapes that lie under a hand; keys as pads, comping or two hands; a voice in steps with breaths; a kit. Everything is
in seconds and random where players differ (tunings, keys, tempo, density, articulation).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cadenza.corpus.voice_features import Part

Rows = list[tuple[float, float, int, int]]  # onset and duration in quarters, pitch, velocity

_PROGRESSIONS = (
    (0, 5, 7, 0), (0, 7, 9, 5), (9, 5, 0, 7), (0, 9, 5, 7), (2, 7, 0, 0), (0, 10, 5, 0), (0, 8, 10, 0), (0, 3, 10, 5),
    (0, 0, 5, 0), (7, 5, 0, 7), (0, 1, 0, 3), (0, 5, 10, 3), (0, 6, 5, 1), (4, 9, 2, 7), (0, 11, 9, 7), (0, 0, 0, 0),
)  # fmt: skip
_MINOR_ROOTS = {2, 4, 9, 11}
_TUNINGS = ((64, 59, 55, 50, 45, 40),) * 6 + (
    (64, 59, 55, 50, 45, 38), (63, 58, 54, 49, 44, 39), (62, 57, 53, 48, 43, 38), (62, 57, 53, 48, 43, 36),
    (60, 55, 51, 46, 41, 36), (64, 59, 55, 50, 45, 40, 35), (59, 54, 50, 45, 40, 35),
)  # fmt: skip
_BASSES = ((43, 38, 33, 28),) * 5 + ((43, 38, 33, 26), (42, 37, 32, 27), (43, 38, 33, 28, 23), (41, 36, 31, 24))
#: (root string from the lowest, frets above the root fret from the lowest string up; None: not struck).
_SHAPES = {
    "major": ((0, (0, 2, 2, 1, 0, 0)), (1, (None, 0, 2, 2, 2, 0)), (0, (0, 2, 0, 1, 0, 0)), (1, (None, 0, 2, 0, 2, 0)),
              (2, (None, None, 0, 2, 3, 2)), (1, (None, 3, 2, 0, 1, 0)), (0, (3, 2, 0, 0, 0, 3))),
    "minor": ((0, (0, 2, 2, 0, 0, 0)), (1, (None, 0, 2, 2, 1, 0)), (0, (0, 2, 0, 0, 0, 0)), (1, (None, 0, 2, 0, 1, 0)),
              (2, (None, None, 0, 2, 3, 1))),
    "power": ((0, (0, 2, 2)), (1, (None, 0, 2, 2)), (0, (0, 2)), (1, (None, 0, 2))),
}  # fmt: skip


def _pick(rng: np.random.Generator, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def _rhythm(rng: np.random.Generator, beats: float, kind: str = "") -> list[tuple[float, float]]:
    """(onset, length) within a bar of ``beats`` quarters."""
    kind = kind or str(rng.choice(["eighths", "quarters", "long", "mixed", "sixteenths", "gallop", "mixed", "offbeat"]))
    if kind == "long":
        return [(0.0, beats)] if rng.random() < 0.6 else [(0.0, beats / 2), (beats / 2, beats / 2)]
    if kind == "offbeat":
        return [(at + 0.5, 0.5) for at in np.arange(0, beats, 1.0)]
    if kind in ("eighths", "quarters", "sixteenths"):
        step = {"eighths": 0.5, "quarters": 1.0, "sixteenths": 0.25}[kind]
        return [(float(at), step) for at in np.arange(0, beats - 1e-9, step)]
    if kind == "gallop":
        return [
            (at + off, length)
            for at in np.arange(0, beats - 0.99, 1.0)
            for off, length in ((0, 0.5), (0.5, 0.25), (0.75, 0.25))
        ]
    out, at = [], 0.0
    while at < beats - 1e-9:
        length = min(float(rng.choice([0.25, 0.5, 0.5, 0.5, 0.75, 1.0, 1.0, 1.5, 2.0])), beats - at)
        if rng.random() > 0.15:
            out.append((at, length))
        at += length
    return out


def _bass(rng: np.random.Generator, roots: list[int], beats: float) -> Rows:
    tuning = _pick(rng, _BASSES)
    low = min(tuning)
    style = str(rng.choice(["root", "root", "fifth", "octave", "walk", "riff", "pedal", "ballad"]))
    pattern = _rhythm(rng, beats, {"walk": "quarters", "ballad": "long", "pedal": "eighths"}.get(style, ""))
    riff = rng.choice([0, 0, 0, 7, 12, 10, 5, 3], len(pattern) + 1)
    up = int(rng.random() < 0.2) * 12
    rows: Rows = []
    for bar, root in enumerate(roots):
        base = low + (root - low) % 12 + up
        nxt = low + (roots[(bar + 1) % len(roots)] - low) % 12 + up
        if rng.random() < 0.15:
            pattern = _rhythm(rng, beats, {"walk": "quarters"}.get(style, ""))
            riff = rng.choice([0, 0, 0, 7, 12, 10, 5, 3], len(pattern) + 1)
        for i, (at, length) in enumerate(pattern):
            offset = {"root": 0, "pedal": 0, "ballad": 0, "fifth": (0, 7)[i % 2], "octave": (0, 12)[i % 2]}.get(
                style, 0
            )
            if style == "riff":
                offset = int(riff[i])
            if style == "walk":
                offset = (
                    (0, 4, 7, 9, 12, 10, 7, 5)[i] if i < len(pattern) - 1 else nxt + int(rng.choice([-1, 1, 2])) - base
                )
            if style in ("root", "pedal") and rng.random() < 0.06:
                offset = int(rng.choice([7, 12, -2, 2, 3, 5]))
            rows.append((bar * beats + at, length, max(base + offset, low), int(rng.integers(85, 110))))
    return rows


def _voicing(rng: np.random.Generator, tuning: tuple[int, ...], root: int, quality: str) -> list[int]:
    strings = tuning[::-1]
    if len(strings) > 6 and rng.random() < 0.7 and quality != "power":
        strings = strings[1:]
    string, frets = _pick(rng, _SHAPES[quality])
    own = frets[string]
    fret = (root - strings[string] - own) % 12
    return [
        strings[i] + fret + f for i, f in enumerate(frets) if f is not None and strings[i] + fret + f >= min(strings)
    ]


def _guitar(rng: np.random.Generator, roots: list[int], minor: list[bool], beats: float) -> Rows:
    tuning = _pick(rng, _TUNINGS)
    style = str(
        rng.choice(["power", "power", "strum", "strum", "pick", "lead", "lead", "riff", "riff", "stabs", "chug"])
    )
    rows: Rows = []
    if style in ("lead", "riff"):
        return _guitar_line(rng, tuning, roots, minor, beats, style)
    shapes: dict[tuple[int, bool], list[int]] = {}
    pattern = _rhythm(
        rng,
        beats,
        {
            "pick": str(rng.choice(["eighths", "sixteenths"])),
            "chug": str(rng.choice(["eighths", "gallop", "sixteenths"])),
        }.get(style, ""),
    )
    order = rng.integers(0, 6, len(pattern))
    for bar, root in enumerate(roots):
        quality = "power" if style in ("power", "chug") else ("minor" if minor[bar] else "major")
        chord = shapes.setdefault((root, minor[bar]), _voicing(rng, tuning, root, quality))
        if style == "stabs":
            chord = chord[-4:]
        if rng.random() < 0.15:
            pattern = _rhythm(rng, beats, {"pick": "eighths"}.get(style, ""))
            order = rng.integers(0, 6, len(pattern))
        for i, (at, length) in enumerate(pattern):
            velocity = int(rng.integers(75, 112))
            struck = chord
            if style == "pick":
                struck = [chord[int(order[i]) % len(chord)]] if i else [chord[0]]
                if rng.random() < 0.12:
                    struck = sorted({struck[0], chord[-1], chord[0]})
                length = min(beats - at, float(rng.choice([length, length, 2 * length, beats])))
            elif style == "chug" and rng.random() < 0.7:
                struck = chord[:1] if rng.random() < 0.5 else [min(tuning)]
            elif style == "strum" and rng.random() < 0.3:
                struck = chord[-int(rng.integers(2, 5)) :] if rng.random() < 0.6 else chord[: int(rng.integers(2, 5))]
            spread = 0.02 * rng.random() * (1 if i % 2 == 0 else -1) if style == "strum" else 0.0
            rows += [(bar * beats + at + max(spread * k, 0), length, p, velocity) for k, p in enumerate(struck)]
    return rows


def _guitar_line(
    rng: np.random.Generator, tuning: tuple[int, ...], roots: list[int], minor: list[bool], beats: float, style: str
) -> Rows:
    low, high = (
        (min(tuning), min(tuning) + 22)
        if style == "riff"
        else (52 + int(rng.integers(-6, 6)), int(rng.integers(76, 88)))
    )
    scale = [0, 3, 5, 7, 10] if rng.random() < 0.6 else ([0, 2, 3, 5, 7, 8, 10] if minor[0] else [0, 2, 4, 5, 7, 9, 11])
    keys = [p for p in range(low, high + 1) if (p - roots[0]) % 12 in scale]
    place = len(keys) // (3 if style == "riff" else 2)
    rows: Rows = []
    loop: list[tuple[float, float, int]] = []
    for bar in range(len(roots)):
        if style == "lead" or not loop or rng.random() < 0.25:
            loop = []
            kind = str(rng.choice(["sixteenths", "eighths", "mixed", "mixed", "mixed"]))
            for at, length in _rhythm(rng, beats, kind):
                move = (
                    int(rng.choice([0, 1, -1, 1, -1, 2, -2, 3, -4]))
                    if style == "lead"
                    else int(rng.choice([0, 0, 1, -1, 2, -2, 4, -5]))
                )
                place = int(np.clip(place + move, 0, len(keys) - 1))
                if style == "riff" and rng.random() < 0.3:
                    loop.append((at, length, low))
                    continue
                loop.append((at, length, keys[place]))
                if rng.random() < 0.07:
                    loop.append((at, length, keys[max(place - int(rng.integers(1, 4)), 0)]))
            if style == "lead" and rng.random() < 0.2:
                loop = loop[: len(loop) // 2]
        rows += [(bar * beats + at, length, pitch, int(rng.integers(80, 112))) for at, length, pitch in loop]
    return rows


def _keys(rng: np.random.Generator, roots: list[int], minor: list[bool], beats: float) -> Rows:
    style = str(rng.choice(["pad", "comp", "hands", "hands", "arpeggio", "lead"]))
    pattern, left = _rhythm(rng, beats), _rhythm(rng, beats, str(rng.choice(["long", "quarters", "eighths"])))
    centre = int(rng.integers(55, 70))
    rows: Rows = []
    place = centre
    for bar, root in enumerate(roots):
        third = 3 if minor[bar] else 4
        tones = [root, root + third, root + 7, *([root + 10 + int(rng.integers(2))] if rng.random() < 0.3 else [])]
        chord = sorted(centre - 6 + (t - centre + 6) % 12 for t in tones)
        start = bar * beats
        if style == "pad":
            rows += [(start, beats, p, 75) for p in chord]
        if style in ("comp", "hands"):
            rows += [(start + at, length, p, int(rng.integers(60, 100))) for at, length in pattern for p in chord]
        if style in ("hands", "arpeggio", "lead"):
            base = 31 + (root - 31) % 12
            for i, (at, length) in enumerate(left):
                low = [base, base + 12] if rng.random() < 0.5 else [base + (0, 7, 12)[i % 3]]
                rows += [(start + at, length, p, int(rng.integers(60, 100))) for p in low]
        if style == "arpeggio":
            run = [*chord, *[p + 12 for p in chord]]
            rows += [(start + i * 0.5, 0.5, run[i % len(run)], 80) for i in range(int(beats * 2))]
        if style == "lead":
            for at, length in _rhythm(rng, beats, "mixed"):
                place = int(np.clip(place + rng.choice([-5, -2, -1, 0, 1, 2, 4, 7]), centre, centre + 24))
                rows.append((start + at, length, place, int(rng.integers(60, 105))))
    return rows


def _voice(rng: np.random.Generator, roots: list[int], minor: list[bool], beats: float) -> Rows:
    low = int(rng.choice([48, 52, 55, 57, 60]))
    scale = [0, 2, 3, 5, 7, 8, 10] if minor[0] else [0, 2, 4, 5, 7, 9, 11]
    keys = [p for p in range(low, low + 18) if (p - roots[0]) % 12 in scale]
    place, rows = len(keys) // 2, []
    for bar in range(len(roots)):
        if rng.random() < 0.12:
            continue
        for at, length in _rhythm(rng, beats, "mixed"):
            if at > beats * 0.75 and rng.random() < 0.5:
                continue
            place = int(np.clip(place + rng.choice([0, 0, 0, 1, -1, 1, -1, 2, -2, 4]), 0, len(keys) - 1))
            rows.append((bar * beats + at, max(length, 0.5) if rng.random() < 0.2 else length, keys[place], 95))
    return rows


def _kit(rng: np.random.Generator, n_bars: int, beats: float) -> Rows:
    hat = int(rng.choice([42, 42, 51, 46, 53, 44]))
    step = float(rng.choice([0.25, 0.5, 0.5, 1.0]))
    kick = [at for at in np.arange(0, beats, 0.5) if at == 0 or rng.random() < 0.3]
    if rng.random() < 0.15:
        kick = list(np.arange(0, beats, 0.25))
    snare = list(np.arange(1, beats, 2.0)) if rng.random() < 0.8 else [beats / 2]
    low, rim = int(rng.choice([36, 36, 36, 35])), int(rng.choice([38, 38, 38, 40, 37]))
    rows: Rows = []
    for bar in range(n_bars):
        t = bar * beats
        rows += [(t + at, 0.25, low, int(rng.integers(90, 120))) for at in kick]
        if bar % 4 == 3 and rng.random() < 0.6:
            toms = sorted(rng.choice([50, 48, 47, 45, 43, 41, 38], int(beats * 2)).tolist(), reverse=True)
            rows += [(t + i * 0.5, 0.25, int(p), 100) for i, p in enumerate(toms)]
            continue
        rows += [(t + at, 0.25, rim, int(rng.integers(90, 120))) for at in snare]
        if rng.random() < 0.95:
            rows += [(t + float(at), 0.25, hat, int(rng.integers(60, 100))) for at in np.arange(0, beats, step)]
        if bar % 4 == 0 and rng.random() < 0.6:
            rows.append((t, 0.5, int(rng.choice([49, 57, 55, 52])), 110))
    return rows


def _part(rows: Rows, seconds_per_quarter: float) -> Part:
    table = np.array(sorted(set(rows)), np.float64).reshape(-1, 4)
    table = table[(table[:, 2] >= 0) & (table[:, 2] <= 127)]
    return Part(
        table[:, 0] * seconds_per_quarter,
        np.maximum(table[:, 1] * seconds_per_quarter * 0.97, 1e-3),
        table[:, 2].astype(np.int64),
        table[:, 3].astype(np.int64),
    )


def band(rng: np.random.Generator) -> list[tuple[Part, str]]:
    """One piece of 8–32 bars: its parts and their families."""
    beats = float(rng.choice([4, 4, 4, 4, 3, 3.5, 5]))
    tonic = int(rng.integers(12))
    progression = _pick(rng, _PROGRESSIONS)
    n_bars = int(rng.integers(8, 33))
    roots = [tonic + progression[bar % 4] for bar in range(n_bars)]
    minor = [progression[bar % 4] in _MINOR_ROOTS or bool(rng.random() < 0.1) for bar in range(n_bars)]
    if rng.random() < 0.3:
        minor = [True] * n_bars
    found: list[tuple[Rows, str]] = []
    if rng.random() < 0.9:
        found.append((_bass(rng, roots, beats), "bass"))
    found += [(_guitar(rng, roots, minor, beats), "guitar") for _ in range(int(rng.integers(0, 4)))]
    if rng.random() < 0.6:
        found.append((_kit(rng, n_bars, beats), "drums"))
    if rng.random() < 0.35:
        found.append((_keys(rng, roots, minor, beats), "keys"))
    if rng.random() < 0.35:
        found.append((_voice(rng, roots, minor, beats), "voice_wind"))
    seconds = 60 / float(rng.uniform(70, 200))
    return [(_part(rows, seconds), family) for rows, family in found if rows]
