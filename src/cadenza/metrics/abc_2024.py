"""The reward of the published experiment (``abc-2024``), with its faults, so that results can be compared.

Two texts of ABC are compared as strings: loss = 0.5 · pitch + 0.15 · metre + 0.15 · tempo + 0.2 · instrument, each in
0 … 1; the reward is 1 − loss.

- pitch: normalised Levenshtein distance of the notes of each answered voice to the nearest voice of the truth, the mean
  over answered voices; 1 where nothing is answered. A note is its letter: **case, so octave, commas and apostrophes are
  not heeded, every accidental makes the same note, and lengths do not count**; several voices may have the same nearest
  one, and **a voice of the truth that nobody answers costs nothing**.
- metre: numerator, denominator and their ratio with weights 0.3, 0.3, 0.4 and thresholds h of 1, 2 and 0.25: 0.5 · d/h
  up to h, then 0.5 + 0.5 · (1 − exp(−(d − h)/h)), at most 1.
- tempo: 0.25 · d/10 up to 10 a minute, then 0.5 + 0.5 · (1 − exp(−(d − 10)/50)), at most 1: **it jumps at 10**. The
  number is the first one that stands in the field: **Q:1/4=120 is tempo 1**.
- instrument: of each answered program to the nearest of the truth: the same 0, of one General MIDI family 0.5, else by
  the likeness of their names.

**A field that either side does not have costs nothing.** So an empty answer has 0.50, and a wrong octave 1.00; a test
pins that. Never a default: :mod:`cadenza.metrics.score_reward` is ours.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction

from cadenza.metrics.reward import Judgement
from cadenza.score.instruments import program_name

WEIGHTS = {"pitch": 0.5, "metre": 0.15, "tempo": 0.15, "instrument": 0.2}
_FIELD = re.compile(r"(?m)^([MQKLXTCV]):[ \t]*(.*)$")
_VOICE, _VOICE_FIELD = re.compile(r"\[V:\s*([^\]\s]+)[^\]]*\]"), re.compile(r"V:\s*(\S+)")
_NOTE = re.compile(r"([\^_=]+)?([A-Ga-g])")
_QUOTED = re.compile(r'"[^"]*"|![^!]*!|\[[A-Za-z]:[^\]]*\]')
_PROGRAM = re.compile(r"%%MIDI program (\d+)")


def levenshtein(a: str, b: str) -> int:
    """Edits from one to the other."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def voices(text: str) -> list[str]:
    """The letters of each voice's notes, an accidental being the letter ``#``; voices without notes are left out."""
    found: dict[str, str] = defaultdict(str)
    current = "1"
    for line in text.splitlines():
        named = _VOICE_FIELD.match(line)
        if named:
            current = named[1]
        if line.startswith("%") or _FIELD.match(line):
            continue
        before, *parts = _VOICE.split(line)
        for voice, part in zip([current, *parts[::2]], [before, *parts[1::2]], strict=True):
            current = voice
            notes = _NOTE.findall(_QUOTED.sub(" ", part))
            found[voice] += "".join("#" if accidental else letter.upper() for accidental, letter in notes)
    return [notes for notes in found.values() if notes]


def pitch_loss(answer: str, truth: str) -> float:
    """See the module's prose."""
    theirs, ours = voices(answer), voices(truth)
    if not theirs or not ours:
        return 1.0 if theirs or ours else 0.0
    nearest = [min(levenshtein(a, b) / max(len(a), len(b)) for b in ours) for a in theirs]
    return sum(nearest) / len(nearest)


def _stepped(distance: float, threshold: float) -> float:
    if distance <= threshold:
        return 0.5 * distance / threshold
    return min(1.0, 0.5 + 0.5 * (1 - math.exp(-(distance - threshold) / threshold)))


def _first(text: str, letter: str) -> str:
    return next((said.strip() for name, said in _FIELD.findall(text) if name == letter), "")


def metre_loss(answer: str, truth: str) -> float:
    """See the module's prose."""
    said = [
        re.match(r"(\d+)/(\d+)", {"C": "4/4", "C|": "2/2"}.get(m, m)) for m in (_first(answer, "M"), _first(truth, "M"))
    ]
    if not said[0] or not said[1]:
        return 0.0
    (a, b), (c, d) = ((int(m[1]), max(1, int(m[2]))) for m in said if m)
    ratio = float(abs(Fraction(a, b) - Fraction(c, d)))
    return 0.3 * _stepped(abs(a - c), 1) + 0.3 * _stepped(abs(b - d), 2) + 0.4 * _stepped(ratio, 0.25)


def tempo_loss(answer: str, truth: str) -> float:
    """See the module's prose."""
    said = [re.search(r"\d+", _first(text, "Q")) for text in (answer, truth)]
    if not said[0] or not said[1]:
        return 0.0
    distance = abs(int(said[0][0]) - int(said[1][0]))
    if distance <= 10:
        return 0.25 * distance / 10
    return min(1.0, 0.5 + 0.5 * (1 - math.exp(-(distance - 10) / 50)))


def instrument_loss(answer: str, truth: str) -> float:
    """See the module's prose."""
    theirs, ours = ([min(127, int(number)) for number in _PROGRAM.findall(text)] for text in (answer, truth))
    if not theirs or not ours:
        return 0.0
    return sum(min(_apart(a, b) for b in ours) for a in theirs) / len(theirs)


def _apart(a: int, b: int) -> float:
    if a == b:
        return 0.0
    if a // 8 == b // 8:
        return 0.5
    return 1 - difflib.SequenceMatcher(None, program_name(a), program_name(b)).ratio()


@dataclass(frozen=True)
class Abc2024:
    """The function, called as :class:`~cadenza.metrics.score_reward.ScoreReward` is."""

    def __call__(self, answer: str, truth: str) -> Judgement:
        """1 − loss of a text of ABC beside the true one, with each part's 1 − loss."""
        losses = {
            "pitch": pitch_loss(answer, truth), "metre": metre_loss(answer, truth),
            "tempo": tempo_loss(answer, truth), "instrument": instrument_loss(answer, truth),
        }  # fmt: skip
        total = 1 - sum(WEIGHTS[name] * loss for name, loss in losses.items())
        return Judgement(total, {name: 1 - loss for name, loss in losses.items()}, losses)


REWARD = Abc2024()
