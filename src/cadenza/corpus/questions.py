"""Questions about a passage with answers that follow from its score: tempo, metre, key, instruments, voices, bars.

They are side data for a model that listens, and an examination of what it hears: they are asked and graded as
questions, never scored as ABC. Answers are short and of one form, so that grading is exact; tempo counts within 4 %, as
in the evaluation of tempo estimation (Gouyon et al. 2006), keys exactly or as the relative one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cadenza.score.instruments import program_name
from cadenza.score.model import Key, Score
from cadenza.score.time import bar_table

TEMPO_TOLERANCE = 0.04
#: Kind → how it is asked.
ASKED: Mapping[str, str] = {
    "tempo": "What is the tempo in quarter notes a minute?",
    "metre": "What is the metre?",
    "key": "What is the key?",
    "instruments": "Which instruments play?",
    "voices": "How many voices are there?",
    "bars": "How many bars are there?",
}
_MAJOR = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#")
_MINOR = ("Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#", "A#")
_KEY = re.compile(r"([A-G][b#]?) (major|minor)")


def key_name(key: Key) -> str:
    """Such as "F# minor"."""
    return (
        f"{(_MINOR if key.mode == 'minor' else _MAJOR)[key.fifths + 7]} {'minor' if key.mode == 'minor' else 'major'}"
    )


def answers_of(score: Score) -> dict[str, str]:
    """Kind → the answer, of those that the score knows."""
    found: dict[str, str] = {}
    if score.tempos:
        found["tempo"] = str(round(score.tempos[0].quarters_per_minute))
    if score.metres:
        found["metre"] = f"{score.metres[0].numerator}/{score.metres[0].denominator}"
    if score.keys:
        found["key"] = key_name(score.keys[0])
    tracks = [track for track in score.tracks if len(track)]
    names = sorted({"Drums" if track.is_drums else program_name(track.program) for track in tracks})
    found["instruments"] = ", ".join(names)
    found["voices"], found["bars"] = str(len(tracks)), str(len(bar_table(score)))
    return found


def questions_of(score: Score) -> tuple[tuple[str, str], ...]:
    """(question, answer) pairs."""
    return tuple((ASKED[kind], answer) for kind, answer in answers_of(score).items())


def kind_of(question: str) -> str:
    """What a question asks for; "" where it is none of ours."""
    return next((kind for kind, asked in ASKED.items() if asked == question), "")


def credit(question: str, answer: str, truth: str) -> float:
    """How right an answer is, 0 … 1: instruments by F1, a relative key 0.5, all else right or wrong."""
    kind, answer = kind_of(question), answer.strip().rstrip(".")
    if kind == "instruments":
        said, true = ({part.strip().lower() for part in text.split(",") if part.strip()} for text in (answer, truth))
        return 2 * len(said & true) / (len(said) + len(true)) if said or true else 1.0
    if kind == "tempo":
        number = re.fullmatch(r"\d{1,4}", answer)
        return float(number is not None and abs(int(answer) - int(truth)) <= TEMPO_TOLERANCE * int(truth))
    if kind == "key" and answer != truth:
        return 0.5 if _signature(answer) is not None and _signature(answer) == _signature(truth) else 0.0
    return float(answer == truth)


def _signature(name: str) -> int | None:
    """Fifths of a key's signature."""
    match = _KEY.fullmatch(name)
    if not match:
        return None
    names = _MINOR if match[2] == "minor" else _MAJOR
    return names.index(match[1]) - 7 if match[1] in names else None
