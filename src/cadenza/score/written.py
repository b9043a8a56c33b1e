"""The written layer: how a track is notated, beyond what sounds.

Notes say what sounds. Where a source also says how that is written, a track may carry

* **beats** (:data:`BEAT_DTYPE`): the written note values of each voice, rests included. A note that outlasts its
  beat is tied into the next one of its voice.
* **marks** (:class:`Mark`): what stands at a beat or at a note of it and has no column of its own: strokes, whammy
  curves, the interval of a trill, a chord's name, a syllable.

Both are optional and hold no authority over the notes: beats that do not fit the notes of their bar, and marks that
find neither beat nor note, say nothing. So an edit may change notes without asking, and whoever writes a file checks
(:func:`beats_between`) and works the rhythm out anew where it must.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import RangeError

BEAT_DTYPE = np.dtype(
    [
        ("onset_ticks", "i8"),
        ("duration_ticks", "i8"),
        ("voice", "i1"),
        ("value", "i2"),  # 1 = whole, 2 = half … 256
        ("dots", "i1"),
        ("enters", "i2"),  # a tuplet of ``enters`` notes
        ("times", "i2"),  # in the time of ``times``; 1 in 1 = none
    ]
)
NO_BEATS: NDArray[np.void] = np.zeros(0, BEAT_DTYPE)
NO_BEATS.setflags(write=False)

#: Kinds of marks, and what their ``values`` or ``text`` are. Positions of curves run from 0 to 60 over the beat,
#: heights count quarter-tones (4 = a whole tone), both as Guitar Pro has them.
MARK_KINDS: Mapping[str, str] = {
    # of a track (onset 0)
    "transposition": "semitones from the written to the sounding pitch (transposing instruments, ottava clefs)",
    "staves": "how many staves, where it is not what the instrument's notes ask for (voices 0–3 on the first …)",
    "source": "the format of the file that the track comes from, where it is known for reading it differently",
    # of a beat (string 0, pitch −1)
    "stroke": "direction (1 up, 2 down), note value of its speed (4 … 128), 0 where unsaid",
    "arpeggio": "direction (0 unsaid, 1 up, 2 down)",
    "pick_stroke": "direction (1 up, 2 down)",
    "tremolo_bar": "type (0 unsaid), height, then position, height, vibrato for each point",
    "wide_vibrato": "none: vibrato with the tremolo bar",
    "fade": "1 in, 2 out, 3 swell",
    "rasgueado": "text: its pattern where the source names one",
    "ottava": "octaves written away from the sounding pitch (1 = 8va, −1 = 8vb, 2, −2)",
    "slap_effect": "1 tap, 2 slap, 3 pop, where no note of the beat can carry it",
    "tempo": "quarter notes a minute, where the source repeats the tempo that holds, or says it in another place than "
    "the first voice of the first track",
    "crescendo": "1 louder, −1 softer, 0 where it ends",
    "text": "text at the beat",
    "lyric": "a syllable; values: number of the verse",
    "chord": "a chord's name",
    "dynamic": "text (ppp … fff), where the source writes it",
    "fermata": "none",
    "pedal": "1 down, 0 up",
    "legato": "none: a slur leads to the next beat",
    "wah": "1 open, 0 closed",
    "golpe": "1 finger, 2 thumb",
    "barre": "fret, half (1) or full (0)",
    "dead_slap": "none: the strings are slapped, no note sounds",
    "overfull": "none: the beat belongs to the last bar, which holds more than its metre",
    # of a note (string, or pitch where the instrument has no strings)
    "bend": "type (0 unsaid), height, then position, height, vibrato for each point",
    "grace": "note value of its length, on the beat (1) or before it (0), transition (0 none, 1 slide, 2 bend, "
    "3 hammer), dead (1) or not; stands at the note that follows",
    "trill": "semitones to the other note, note value of its speed",
    "tremolo_picking": "note value of its speed (8, 16, 32)",
    "harmonic": "touched place in hundredths of a fret above the stopped one (from the nut for the octave of a tapped "
    "one), 0 where unsaid; then, where the source names the touched note instead, semitones (0–11) and octaves above "
    "the stopped one",
    "tied": "Technique bits that are written at this link of a chain of tied notes, its first note too, where they are "
    "not the usual (slides out and hammers at the end, let ring, vibrato and palm mute throughout, others at the "
    "start)",
    "dangling": "Technique bits (hammer, slide to the next note) that the source writes though no note follows",
    "fingering": "left hand (−2 unsaid, −1 open, 0 thumb … 4), right hand",
    "row": "place from above of a drum note among those that begin with it, where they do not stand by falling strings",
    "ornament": "text: the name (mordent, turn …) as MusicXML says it",
    "slur": "number (slurs that overlap have different ones), 1 where it begins or 0 where it ends",
    "staff": "number of the staff (from 1) on which the note stands, where it is not its voice's own",
    "tie": "none: the source ties the note though it begins here",
    "strong_vibrato": "none: the vibrato of the finger is wide",
    "left_hand_tap": "none",
    "pick_slide": "direction (1 up, 2 down)",
    "articulation": "text: the name (tenuto …) as MusicXML says it",
}

#: Places to which a performance jumps, and the jumps; as Guitar Pro names them.
TARGETS = ("coda", "double-coda", "segno", "segno-segno", "fine")
JUMPS = (
    "da-capo",
    "da-capo-al-coda",
    "da-capo-al-double-coda",
    "da-capo-al-fine",
    "da-segno",
    "da-segno-al-coda",
    "da-segno-al-double-coda",
    "da-segno-al-fine",
    "da-segno-segno",
    "da-segno-segno-al-coda",
    "da-segno-segno-al-double-coda",
    "da-segno-segno-al-fine",
    "da-coda",
    "da-double-coda",
)
DIRECTIONS = TARGETS + JUMPS


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """Something written at a beat or a note.

    Args:
        onset_ticks: where the beat begins.
        kind: one of :data:`MARK_KINDS`.
        voice: the voice of the beat.
        string: the string of the note, 1 = highest; 0 where the mark is the beat's or the note has no string.
        pitch: the pitch of the note where it has no string; −1 where the mark is the beat's or the note has one.
        values, text: as :data:`MARK_KINDS` says.

    Raises:
        RangeError: an unknown kind or a place out of range.
    """

    onset_ticks: int
    kind: str
    voice: int = 0
    string: int = 0
    pitch: int = -1
    values: tuple[int, ...] = ()
    text: str = ""

    def __post_init__(self) -> None:
        if self.kind not in MARK_KINDS:
            raise RangeError("a kind of mark out of score.written.MARK_KINDS", repr(self.kind))
        in_range = self.onset_ticks >= 0 and 0 <= self.voice <= 127 and 0 <= self.string <= 127
        if not in_range or not -1 <= self.pitch <= 127:
            raise RangeError("a mark at a tick ≥ 0, voice and string of 0–127, pitch of −1–127", repr(self))


_MARK_ORDER = attrgetter("onset_ticks", "kind", "voice", "string", "pitch", "values", "text")


def sorted_marks(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    """Marks in their order, each once. (The order is that of Mark itself; keys compare ten times as fast.)"""
    listed = tuple(marks)
    if all(one < other for one, other in pairwise(map(_MARK_ORDER, listed))):  # as most edits leave them
        return listed
    return tuple(sorted(set(listed), key=_MARK_ORDER))


def sealed_beats(beats: Any) -> NDArray[np.void]:
    """``beats`` checked, sorted by voice and onset, read-only; of several at one place the last.

    Raises:
        RangeError: a value lies outside its range.
    """
    rows = np.asarray(beats, BEAT_DTYPE)
    if not len(rows):
        return NO_BEATS
    value = rows["value"]
    wrong = (rows["onset_ticks"] < 0) | (rows["duration_ticks"] < 1) | (rows["voice"] < 0)
    wrong |= (value < 1) | (value > 256) | (value & (value - 1) != 0) | (rows["dots"] < 0) | (rows["dots"] > 4)
    wrong |= (rows["enters"] < 1) | (rows["times"] < 1)
    if wrong.any():
        raise RangeError("beats of a note value 1–256 at a tick ≥ 0", str(rows[np.argmax(wrong)]))
    rows = rows[np.lexsort([rows["onset_ticks"], rows["voice"]])]
    same = (np.diff(rows["voice"]) == 0) & (np.diff(rows["onset_ticks"]) == 0)
    rows = rows[np.append(~same, True)].copy()
    rows.setflags(write=False)
    return rows


def beats_between(beats: NDArray[np.void], voice: int, start_ticks: int, stop_ticks: int) -> NDArray[np.void] | None:
    """The beats of a voice that fill ``start_ticks`` … ``stop_ticks`` without a gap; None where they do not."""
    low, high = np.searchsorted(beats["voice"], [voice, voice + 1])
    of_voice = beats[low:high]
    first, last = np.searchsorted(of_voice["onset_ticks"], [start_ticks, stop_ticks])
    inside = of_voice[first:last]
    if not len(inside) or inside["onset_ticks"][0] != start_ticks:
        return None
    ends = inside["onset_ticks"] + inside["duration_ticks"]
    if ends[-1] != stop_ticks or (ends[:-1] != inside["onset_ticks"][1:]).any():
        return None
    return inside
