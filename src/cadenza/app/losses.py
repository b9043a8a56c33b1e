"""What writing a score to a file would lose, from the format's own declaration.

A format declares its losses as Edits in order; each that musically changes this score (:func:`cadenza.score.compare`)
is a loss, said in the Edit's own sentence and followed by how many notes, tracks and marks it touches. An Edit that
only says the same thing in another way (an exact re-timing, a tempo within a microsecond a quarter) is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cadenza import formats
from cadenza.score.compare import ASPECTS, Comparison, Difference, compare
from cadenza.score.model import Score
from cadenza.score.written import NO_BEATS

#: Aspect → (one, many) of what is counted; the aspects of notes are counted by notes instead.
_COUNTED = {
    "tempo": ("tempo", "tempos"),
    "metre": ("metre", "metres"),
    "key": ("key", "keys"),
    "repeats": ("repeat mark", "repeat marks"),
    "endings": ("ending", "endings"),
    "directions": ("direction", "directions"),
    "markers": ("marker", "markers"),
    "tracks": ("track", "tracks"),
    "name": ("name", "names"),
    "program": ("program", "programs"),
    "tuning": ("tuning", "tunings"),
    "capo": ("capo", "capos"),
    "controls": ("controller value", "controller values"),
    "beats": ("note value", "note values"),
}
#: Kind of mark → (one, many); any other is counted by its name.
_MARKS = {"text": ("text", "texts"), "lyric": ("syllable", "syllables"), "chord": ("chord name", "chord names")}


@dataclass(frozen=True)
class Loss:
    """One loss: the Edit's sentence ("drops pitch spelling") and what it changes in this score ("412 notes")."""

    says: str
    counted: str = ""

    def __str__(self) -> str:
        return f"{self.says} ({self.counted})" if self.counted else self.says


def losses_of(score: Score, target: Path) -> list[Loss]:
    """The losses of writing ``score`` to ``target``, in order; empty where nothing is lost.

    A rendering (sound, picture) declares none: it is no form of the score.

    Raises:
        FormatError: the format cannot be written, or cannot hold this score.
    """
    return projected(score, target)[0]


def projected(score: Score, target: Path) -> tuple[list[Loss], Score]:
    """The losses of writing ``score`` to ``target``, and what the file will hold.

    Raises:
        FormatError: the format cannot be written, or cannot hold this score.
    """
    out = []
    for edit in getattr(formats.module_for(target, "write"), "PROJECTION", ()):
        after = edit.apply(score)
        if after is not score and after != score:
            found = compare(score, _without_additions(score, after))
            if found:
                out.append(Loss(edit.says, counted(found)))
        score = after
    return out, score


def _without_additions(before: Score, after: Score) -> Score:
    """``after`` without the note values and marks that ``before`` did not have: saying more loses nothing."""
    if len(before.tracks) != len(after.tracks):
        return after
    tracks = []
    for old, new in zip(before.tracks, after.tracks, strict=True):
        beats = new.beats if len(old.beats) else NO_BEATS
        marks = tuple(mark for mark in new.marks if mark in set(old.marks)) if new.marks else ()
        tracks.append(replace(new, beats=beats, marks=marks))
    return replace(after, tracks=tuple(tracks))


def counted(found: Comparison) -> str:
    """How much is different, in words: notes added, dropped and changed, then what else, then how long."""
    dropped = [one for one in found.differences if one.aspect in ("notes", "tracks") and one.b is None]
    added = [one for one in found.differences if one.aspect in ("notes", "tracks") and one.a is None]
    changed = {
        (one.tracks, one.at_ticks, one.subject)
        for one in found.differences
        if ASPECTS[one.aspect] == "notes" and one.aspect != "notes"
    }
    parts = []
    for ones, done in ((dropped, "dropped"), (added, "added")):
        n_notes = sum(1 if one.aspect == "notes" else (one.a or one.b)[1] for one in ones)
        n_tracks = sum(one.aspect == "tracks" for one in ones)
        parts += [f"{_said(n_tracks, 'track', 'tracks')} {done}"] * bool(n_tracks)
        parts += [f"{_said(n_notes, 'note', 'notes')} {done}"] * bool(n_notes)
    if changed:
        parts.append(_said(len(changed), "note", "notes") + (" changed" if parts else ""))
    for aspect, words in _COUNTED.items():
        ones = [one for one in found.differences if one.aspect == aspect]
        if ones and aspect != "tracks":
            parts.append(_said(len(ones), *words))
    parts += _marks([one for one in found.differences if one.aspect == "marks"])
    for one in found.differences:
        if one.aspect == "bars" and one.a != one.b:
            parts.append(f"{one.a:,} bars become {one.b:,}")
        if one.aspect == "length" and not changed and not dropped:
            parts.append(f"{one.a:g} quarters become {one.b:g}")
    return ", ".join(parts)


def _marks(ones: Sequence[Difference]) -> list[str]:
    kinds = [one.subject[0] or one.subject[1] for one in ones]
    out = []
    for kind in sorted(set(kinds)):
        name = kind.replace("_", " ")
        out.append(_said(kinds.count(kind), *_MARKS.get(kind, (f"{name} mark", f"{name} marks"))))
    return out


def _said(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"
