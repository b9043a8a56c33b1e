"""The reward of a transcription (``score``): two scores compared as music, in beats, as one number with its parts.

A metric, a leaderboard's column and a reward for learning are this one function. Both sides are parsed first; strings
are never compared. Parts, each 0 … 1:

- ``reward_notes``: F1 of notes by place (within a 12th of a quarter note, in beats) and pitch, octave included. Voices
  (tracks with notes) are matched one to one, so that the most notes agree (Hungarian method); notes of unmatched voices
  on either side count as wrong.
- ``reward_lengths``: the same, where the length must be right as well, within a 12th of a quarter or a fifth.
- ``reward_metre``: by time: the same metre 1, another with bars of the same length (3/4 and 6/8) 0.5.
- ``reward_tempo``: by time: 1 − |log2(answer / truth)| / 0.5, at least 0, in quarter notes a minute; of half or double
  the tempo half as much, and ``reward_tempo_octave`` tells the share of time in which that is what was counted.
- ``reward_key``: by time, MIREX's credit (same 1, a fifth apart 0.5, relative 0.3, parallel 0.2).
- ``reward_instruments``: over the matched voices, the same General MIDI program (drums: drums) 1, the same family 0.5;
  divided by the greater number of voices.

``reward`` is the weighted mean (:data:`WEIGHTS`) of the parts that the truth defines: where it has no key, none is
asked for. What the truth has and the answer does not say counts 0, also where a default would be right. An answer
without notes has 0 in everything.

Source: ours; it answers to the reward of the published experiment (:mod:`cadenza.metrics.abc_2024`), under which an
empty answer had 0.50 and a wrong octave 1.00.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import CadenzaError, ConfigError, did_you_mean
from cadenza.metrics.base import Column, Metric, defined, measuring
from cadenza.metrics.reward import Judgement
from cadenza.metrics.score_quality import key_credit, key_of
from cadenza.notation.abc import Abc
from cadenza.notation.base import Notation
from cadenza.score.matching import pair_by_time
from cadenza.score.model import Score, Track

STEPS = 480  # places a quarter in which times are compared
NEAR_STEPS = STEPS // 12
LENGTH_SHARE = 0.2
TEMPO_OCTAVES = 0.5  # from here on a tempo earns nothing
#: Part → its weight.
WEIGHTS: Mapping[str, float] = {
    "notes": 0.4, "lengths": 0.2, "metre": 0.1, "tempo": 0.1, "key": 0.1, "instruments": 0.1,
}  # fmt: skip
#: What a text of ABC says each part of the header with.
SAID_BY: Mapping[str, tuple[str, ...]] = {"instruments": ("MIDI program", "MIDI channel")}

Spans = Sequence[tuple[float, Any]]  # (onset in quarters, value), by onset


@dataclass(frozen=True)
class ScoreReward:
    """The function with its weights.

    Args:
        weights: part → weight, from 0; parts that are not named weigh nothing.

    Raises:
        ConfigError: a part that does not exist, or no weight above 0.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in WEIGHTS:
                hint = did_you_mean(name, WEIGHTS)
                raise ConfigError(f"a part of {', '.join(WEIGHTS)}", repr(name), where="reward", hint=hint)
            if not (weight >= 0 and math.isfinite(weight)):
                raise ConfigError("weights from 0", f"{name} {weight}", where="reward")
        if not any(self.weights.values()):
            raise ConfigError("a weight above 0", repr(dict(self.weights)), where="reward")

    def of_scores(self, ref: Score, est: Score, unsaid: Sequence[str] = ()) -> Judgement:
        """The verdict; ``unsaid``: parts that the answer left to a default."""
        values = parts(ref, est)
        values |= {name: 0.0 for name in unsaid if name in values}
        terms = {name: values[name] for name, weight in self.weights.items() if weight and name in values}
        total = sum(self.weights[name] * value for name, value in terms.items())
        weight = sum(self.weights[name] for name in terms)
        return Judgement(total / weight if weight else 0.0, terms, values)

    def __call__(self, answer: str, truth: str, notation: Notation | None = None) -> Judgement:
        """The verdict on a text; 0 where it cannot be read or holds no note.

        Args:
            notation: of both texts; ABC where None.

        Raises:
            NotationError: the truth cannot be read.
        """
        read = notation or Abc()
        ref = _truth(read, truth)  # type: ignore[arg-type]  # notations are frozen dataclasses
        try:
            est = read.decode(answer)
        except CadenzaError:
            return Judgement(0.0, {}, {})
        if not est.n_notes:
            return Judgement(0.0, {}, {})
        unsaid = [
            name for name, words in SAID_BY.items() if read.name == "abc" and not any(word in answer for word in words)
        ]
        return self.of_scores(ref, est, unsaid)


@lru_cache(maxsize=512)
def _truth(notation: Notation, text: str) -> Score:
    return notation.decode(text)


def parts(ref: Score, est: Score) -> dict[str, float]:
    """Part → 0 … 1, of those that the truth defines, and ``tempo_octave``."""
    truth, answer = _voices(ref), _voices(est)
    if not truth:
        return {}
    end = max(ref.length_ticks / ref.ticks_per_quarter, 1e-9)
    metres = [_spans(score, score.metres, lambda m: (m.numerator, m.denominator)) for score in (ref, est)]
    tempos = [_spans(score, score.tempos, lambda t: t.quarters_per_minute) for score in (ref, est)]
    keys = [_spans(score, score.keys, key_of) for score in (ref, est)]
    wanted: dict[str, tuple[list[Spans], Callable[[Any, Any], float]]] = {
        "metre": (metres, _metre_credit), "tempo": (tempos, tempo_credit), "tempo_octave": (tempos, _is_octave),
        "key": (keys, key_credit),
    }  # fmt: skip
    found = {name: _over_time(a, b, credit, end) if answer else 0.0 for name, ((a, b), credit) in wanted.items() if a}
    if not answer:
        return {"notes": 0.0, "lengths": 0.0, "instruments": 0.0, **found}
    return matched(truth, answer) | found


# ── notes ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Voice:
    """A track's notes by onset: (onset, pitch, duration) in steps, and what plays them (drums: 128)."""

    rows: list[tuple[int, int, int]]
    program: int

    def __len__(self) -> int:
        return len(self.rows)


def _voices(score: Score) -> list[_Voice]:
    return [_voice(score, track) for track in score.tracks if len(track)]


def _voice(score: Score, track: Track) -> _Voice:
    columns = [
        np.rint(track.notes[name] * (STEPS / score.ticks_per_quarter)).astype(np.int64).tolist()
        for name in ("onset_ticks", "duration_ticks")
    ]
    rows = zip(columns[0], track.notes["pitch"].tolist(), columns[1], strict=True)
    return _Voice(sorted(rows), 128 if track.is_drums else track.program)


def _agreeing(a: _Voice, b: _Voice) -> tuple[int, int]:
    """How many notes agree in place and pitch, and how many of these pairs in length too."""
    times = [row[0] for row in a.rows], [row[0] for row in b.rows]
    pitches = [row[1] for row in a.rows], [row[1] for row in b.rows]
    keys = pitches[0].__getitem__, pitches[1].__getitem__
    pairs = pair_by_time(range(len(a)), range(len(b)), *keys, *times, NEAR_STEPS)
    lengths = [(a.rows[i][2], b.rows[j][2]) for i, j in pairs]
    return len(pairs), sum(abs(x - y) <= max(NEAR_STEPS, LENGTH_SHARE * x) for x, y in lengths)


def _same_instrument(a: int, b: int) -> float:
    if a == b:
        return 1.0
    return 0.5 if a < 128 and b < 128 and a // 8 == b // 8 else 0.0


def matched(ref: Sequence[_Voice], est: Sequence[_Voice]) -> dict[str, float]:
    """``notes``, ``lengths`` and ``instruments`` under the best matching of voices."""
    hits: NDArray[np.int64] = np.array([[_agreeing(a, b) for b in est] for a in ref], np.int64)  # (R, E, 2)
    credit = np.array([[_same_instrument(a.program, b.program) for b in est] for a in ref])
    # Notes first, then their lengths; among equals, instruments.
    most = 1 + sum(map(len, ref))
    worth = hits[..., 0] * float(most) * 4 + hits[..., 1] * 4 + credit / len(ref)
    rows, columns = measuring("scipy.optimize").linear_sum_assignment(worth, maximize=True)
    n_notes = sum(map(len, ref)) + sum(map(len, est))
    agreed = hits[rows, columns].sum(0)
    return {
        "notes": 2 * float(agreed[0]) / n_notes,
        "lengths": 2 * float(agreed[1]) / n_notes,
        "instruments": float(credit[rows, columns].sum()) / max(len(ref), len(est)),
    }


# ── what holds for a time ────────────────────────────────────────────────────────────────────────────────


def _spans(score: Score, marks: Sequence[Any], value: Callable[[Any], Any]) -> Spans:
    return [(mark.onset_ticks / score.ticks_per_quarter, value(mark)) for mark in marks]


def _over_time(ref: Spans, est: Spans, credit: Callable[[Any, Any], float], end: float) -> float:
    """Mean credit over the truth's time; 0 where the answer says nothing (yet)."""
    edges = sorted({0.0, end, *(at for at, _ in (*ref, *est) if 0 < at < end)})
    total = 0.0
    for low, high in pairwise(edges):
        a = next((value for at, value in reversed(ref) if at <= low), ref[0][1])
        b = next((value for at, value in reversed(est) if at <= low), None)
        if b is not None:
            total += (high - low) * credit(a, b)
    return total / end


def _metre_credit(ref: tuple[int, int], est: tuple[int, int]) -> float:
    if ref == est:
        return 1.0
    return 0.5 if ref[0] * est[1] == est[0] * ref[1] else 0.0


def _near(ref: float, est: float) -> float:
    return max(0.0, 1 - abs(math.log2(est / ref)) / TEMPO_OCTAVES)


def tempo_credit(ref: float, est: float) -> float:
    """Credit for a tempo: its nearness, or half of that of its half or double."""
    return max(_near(ref, est), 0.5 * _near(ref, 2 * est), 0.5 * _near(ref, est / 2))


def _is_octave(ref: float, est: float) -> float:
    return float(tempo_credit(ref, est) > _near(ref, est))


# ── as a metric ──────────────────────────────────────────────────────────────────────────────────────────


def compute(*, ref: Score, est: Score) -> dict[str, float]:
    """The reward and its parts as columns."""
    verdict = REWARD.of_scores(ref, est)
    if not verdict.values:
        return {}
    return defined({"reward": verdict.total} | {f"reward_{name}": value for name, value in verdict.values.items()})


REWARD = ScoreReward()
METRIC = Metric(
    name="score-reward",
    summary="A transcription as one number in beats: notes, lengths, metre, tempo, key, instruments.",
    source="ours",
    needs="ref+est",
    compute=compute,
    columns=(
        Column("reward", 0, 1, "higher", "share", "Weighted mean of the parts that the truth defines."),
        Column("reward_notes", 0, 1, "higher", "share", "F1 of notes by voice, place in beats and pitch."),
        Column("reward_lengths", 0, 1, "higher", "share", "The same with lengths."),
        Column("reward_metre", 0, 1, "higher", "share", "Credit for the metre, by time."),
        Column("reward_tempo", 0, 1, "higher", "share", "Credit for the tempo, by time."),
        Column("reward_tempo_octave", 0, 1, "lower", "share", "Time at which half or double the tempo was counted."),
        Column("reward_key", 0, 1, "higher", "share", "Credit for the key, by time."),
        Column("reward_instruments", 0, 1, "higher", "share", "Credit for the voices' instruments."),
    ),
)
