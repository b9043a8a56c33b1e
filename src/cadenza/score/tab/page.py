"""The nouns of tablature: what a page can hold, and notes on their way there.

A note is an :class:`Item`. It becomes one :class:`Link` for every :class:`Beat` in which it sounds: the first begins,
the others are tied. What is written at a note stands at one of its links.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from cadenza.score.model import BEND_DTYPE, NO_FRET, NO_SPELLING, NO_STRING, NOTE_DTYPE, Technique, Track
from cadenza.score.rhythm import Length
from cadenza.score.written import BEAT_DTYPE, Mark

SLAPS = (Technique.TAP, Technique.SLAP, Technique.POP)
ANY_SLAP = Technique.TAP | Technique.SLAP | Technique.POP
#: Of a beat whose note value is not known; it is no written beat.
UNWRITTEN = Length(0)
TUPLETS = frozenset({(1, 1), (3, 2), (5, 4), (6, 4), (7, 4), (9, 8), (10, 8), (11, 8), (12, 8), (13, 8)})


@dataclass(frozen=True)
class Page:
    """What beats can hold.

    Args:
        voices: of a track; notes of higher ones join the last.
        drum_strings: drum notes at a time, in each voice.
        tuplets: (enters, times) of written beats; others are worked out anew.
        shortest: the shortest written note value.
    """

    voices: int = 2
    drum_strings: int = 7
    tuplets: frozenset[tuple[int, int]] = TUPLETS
    shortest: int = 64


@dataclass(slots=True, eq=False)
class Item:
    """A note on its way to the page. ``fret`` is the key of a drum note."""

    onset: int
    end: int
    pitch: int
    string: int
    fret: int
    velocity: int
    techniques: Technique
    voice: int
    bends: tuple[tuple[int, int], ...]  # (offset_ticks, cents)
    grace: Item | None = None
    on_beat: bool = False  # its grace note
    links: list[Link] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Link:
    """One written note: an item in one of its beats.

    ``bits`` are the techniques that are written here; ``marks`` the values of what is written here, by kind: ``bend``
    (type, height, then position, height, vibrato of each point), ``grace``, ``trill`` … as in
    :data:`~cadenza.score.written.MARK_KINDS`. ``bends`` are the bends that marks at
    its place say, of which the note's own is to be found; an empty one where it may have none.
    """

    item: Item
    beat: Beat
    bits: Technique = Technique.NONE
    marks: dict[str, tuple[int, ...]] = field(default_factory=dict)
    bends: tuple[tuple[int, ...], ...] = ()

    @property
    def is_first(self) -> bool:
        return self.item.links[0] is self


@dataclass(slots=True, eq=False)
class Beat:
    """A duration at its place, and the notes that sound in it. ``marks``: kind → (values, text)."""

    start: int
    end: int
    length: Length
    links: list[Link] = field(default_factory=list)
    marks: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    tempo: int = 0  # quarter notes a minute, where a tempo is written at this beat

    @property
    def begun(self) -> list[Item]:
        """The notes that begin on the beat."""
        return [link.item for link in self.links if link.is_first]

    @property
    def tied(self) -> list[Item]:
        """The notes that are tied into it."""
        return [link.item for link in self.links if not link.is_first]


@dataclass(slots=True)
class Arranged:
    """A track as beats: ``beats[bar, voice]`` (absent where nothing is written), and its notes."""

    track: Track
    items: list[Item]
    beats: dict[tuple[int, int], list[Beat]]
    moved: dict[int, int]  # extra ticks → where they went

    def rows(self) -> Iterator[tuple[int, Beat]]:
        """(voice, beat), in bar order."""
        for bar, voice in sorted(self.beats):
            for beat in self.beats[bar, voice]:
                yield voice, beat

    def to_track(self) -> Track:
        """The track that a reader finds in these beats."""
        items = self.items + [item.grace for item in self.items if item.grace is not None]
        notes = np.zeros(len(items), NOTE_DTYPE)
        bends: list[tuple[int, int, int]] = []
        drums = self.track.is_drums
        for row, item in enumerate(items):
            string, fret = (NO_STRING, NO_FRET) if drums else (item.string, item.fret)
            notes[row] = (
                item.onset, item.end - item.onset, item.pitch, item.velocity, string, fret,
                int(item.techniques), item.voice, NO_SPELLING,
            )  # fmt: skip
            bends += [(row, offset, cents) for offset, cents in item.bends]
        beats, marks = [], []
        for voice, beat in self.rows():
            length = beat.length
            if length.value:
                beats.append(
                    (beat.start, beat.end - beat.start, voice, length.value, length.dotted, length.enters, length.times)
                )
            marks += marks_of(beat, voice, drums)
        return self.track.with_notes(
            notes, np.array(bends, BEND_DTYPE), beats=np.array(beats, BEAT_DTYPE), marks=tuple(marks)
        )


def marks_of(beat: Beat, voice: int, drums: bool) -> list[Mark]:
    """What is written at a beat and its notes, as marks."""
    out = [Mark(beat.start, kind, voice, 0, -1, values, text) for kind, (values, text) in beat.marks.items()]
    for link in beat.links:
        string, pitch = (NO_STRING, link.item.fret) if drums else (link.item.string, -1)
        out += note_marks(beat.start, voice, string, pitch, link.marks)
    return out


def note_marks(onset: int, voice: int, string: int, pitch: int, values: Mapping[str, tuple[int, ...]]) -> list[Mark]:
    """Marks at one note."""
    return [Mark(onset, kind, voice, string, pitch, said) for kind, said in values.items()]
