"""What a musician may care for in a file, as small scores: one :class:`Feature` each, the rows of docs/formats.md.

A feature has one or two scores that have it (as a tab, as a staff without strings: a format may hold one way only) and
a function that looks for it. What a format does to the feature is then no opinion: the scores go through the format,
and the function looks again (:mod:`cadenza.app.matrix`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cadenza.score.model import (
    CONTROL_DTYPE,
    HARMONICS,
    NO_FRET,
    NO_SPELLING,
    STANDARD_TUNINGS,
    BarMark,
    Bend,
    Key,
    Marker,
    Metre,
    Note,
    Score,
    Technique,
    Tempo,
    Track,
)
from cadenza.score.time import bar_table, key_at, metre_at, tempo_at
from cadenza.score.written import BEAT_DTYPE, JUMPS, MARK_KINDS, TARGETS, Mark

QUARTER = 960
GUITAR = STANDARD_TUNINGS["guitar"]
STRING = 2  # on which the tab of the examples is played
GROUPS = ("notes", "playing techniques", "tracks", "time and form", "written beats", "written marks")


@dataclass(frozen=True)
class Feature:
    """One row.

    Args:
        name: unique; what the page says.
        group: one of :data:`GROUPS`.
        scores: each has the feature; a format keeps it where it keeps it in one of them.
        value: what is to be seen of the feature in a score.
        keeps: whether the value before and the value after say that it was kept.
        gone: whether the value after says that nothing is left of it.
    """

    name: str
    group: str
    scores: tuple[Score, ...]
    value: Callable[[Score], Any]
    keeps: Callable[[Any, Any], bool] = lambda before, after: before == after
    gone: Callable[[Any], bool] = lambda after: not after


# ── scores ───────────────────────────────────────────────────────────────────────────────────────────────


def _beats(count: int, length: int = QUARTER, value: int = 4, **fields: int) -> np.ndarray:
    rows = np.zeros(count, BEAT_DTYPE)
    rows["onset_ticks"], rows["duration_ticks"] = np.arange(count) * length, length
    rows["value"], rows["enters"], rows["times"] = value, fields.get("enters", 1), fields.get("times", 1)
    rows["dots"] = fields.get("dots", 0)
    return rows


def tab_note(onset_quarters: float, quarters: float = 1, fret: int = 5, string: int = STRING, **fields: Any) -> Note:
    """A fretted note; a natural harmonic at the 12th fret sounds an octave above its string."""
    technique = fields.get("techniques", Technique.NONE)
    fret = 12 if technique & HARMONICS else fret
    pitch = GUITAR[string - 1] + fret + (12 if technique & HARMONICS and technique != Technique.HARMONIC_NATURAL else 0)
    fields = {"velocity": 79, "string": string, "fret": fret, **fields}
    return Note(round(onset_quarters * QUARTER), round(quarters * QUARTER), pitch, **fields)


def tab(notes: Iterable[Note] = (), beats: bool = True, **fields: Any) -> Score:
    """Two bars of quarters on a guitar; ``fields`` are the track's."""
    listed = list(notes) or [tab_note(i) for i in range(8)]
    given = {"name": "Solo", "program": 27, "tuning": GUITAR, "beats": _beats(8) if beats else _beats(0), **fields}
    return Score((Track.of(listed, **given),), QUARTER, (Tempo(0, 120.0),), (Metre(0, 4, 4),), length_ticks=8 * QUARTER)


def staff(notes: Iterable[Note] = (), beats: bool = True, **fields: Any) -> Score:
    """The same without strings, on a piano."""
    score = tab(notes, beats)
    track = score.tracks[0]
    rows = track.notes.copy()
    rows["string"], rows["fret"] = 0, NO_FRET
    plain = replace(track, notes=rows, tuning=(), name="Piano", program=0, **fields)
    return score.with_tracks([plain])


def both(notes: Iterable[Note] = (), beats: bool = True) -> tuple[Score, ...]:
    """As a tab and as a staff."""
    listed = list(notes)
    return tab(listed, beats), staff(listed, beats)


def with_fields(**fields: Any) -> tuple[Score, ...]:
    """Both, with fields of the score."""
    return replace(tab(), **fields), replace(staff(), **fields)


# ── what is to be seen ───────────────────────────────────────────────────────────────────────────────────


def _quarters(score: Score, ticks: int) -> float:
    return round(ticks / score.ticks_per_quarter, 6)


def column(*names: str) -> Callable[[Score], Any]:
    """Those columns of all notes, times in quarters; without those names only onset and pitch are looked at."""

    def value(score: Score) -> Any:
        out = []
        for track in score.tracks:
            for note in track:
                row = []
                for name in names:
                    held = getattr(note, name)
                    row.append(_quarters(score, held) if name.endswith("_ticks") else held)
                out.append(tuple(row))
        return tuple(out)

    return value


def _played_with(technique: Technique) -> Callable[[Score], Any]:
    def value(score: Score) -> Any:
        return tuple(
            _quarters(score, note.onset_ticks) for t in score.tracks for note in t if note.techniques & technique
        )

    return value


def _curves(score: Score) -> Any:
    """Each bent note's curve in cents at 25 places; () for a score without bends."""
    out = []
    for track in score.tracks:
        for row, note in enumerate(track):
            points = track.bends_of(row)
            if points and any(point.cents for point in points):
                x, y = zip(*((p.offset_ticks / max(note.duration_ticks, 1), p.cents) for p in points), strict=True)
                out.append(tuple(np.interp(np.linspace(0, 1, 25), x, y)))
    return tuple(out)


def _near_curves(before: Any, after: Any) -> bool:
    return len(before) == len(after) and all(
        np.abs(np.subtract(a, b)).max() <= 1.01 for a, b in zip(before, after, strict=True)
    )


def _track_field(name: str) -> Callable[[Score], Any]:
    return lambda score: tuple(getattr(track, name) for track in score.tracks)


def _held(at: Callable[[Score, int], Any], of: Callable[[Any], Any]) -> Callable[[Score], Any]:
    """What a map says at each of eight quarters."""
    return lambda score: tuple(
        of(entry) if (entry := at(score, q * score.ticks_per_quarter)) else None for q in range(8)
    )


def _bar_marks(of: Callable[[BarMark], Any]) -> Callable[[Score], Any]:
    return lambda score: tuple((_quarters(score, m.onset_ticks), of(m)) for m in score.bars if of(m))


def _bar_lines(score: Score) -> Any:
    return tuple(_quarters(score, int(tick)) for tick in bar_table(score).starts_ticks)


def _beat_values(score: Score) -> Any:
    names = ("value", "dots", "enters", "times")
    return tuple(
        (_quarters(score, int(row["onset_ticks"])), *(int(row[name]) for name in names))
        for track in score.tracks for row in track.beats
    )  # fmt: skip


def _controls(score: Score) -> Any:
    return tuple(
        (_quarters(score, int(row["onset_ticks"])), int(row["controller"]), int(row["value"]))
        for track in score.tracks for row in track.controls
    )  # fmt: skip


def _marks_of(kind: str) -> Callable[[Score], Any]:
    return lambda score: tuple(
        (_quarters(score, m.onset_ticks), m.values, m.text) for t in score.tracks for m in t.marks if m.kind == kind
    )


def _all_there(before: Any, after: Any) -> bool:
    return set(before) <= set(after)


def _flat(after: Any) -> bool:
    """Whether all notes have the same, so that the feature says nothing any more."""
    return len(set(after)) <= 1


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────

TECHNIQUE_NAMES = {
    Technique.HAMMER: "hammer-on, pull-off",
    Technique.SLIDE_SHIFT: "shift slide",
    Technique.SLIDE_LEGATO: "legato slide",
    Technique.SLIDE_IN_BELOW: "slide in from below",
    Technique.SLIDE_IN_ABOVE: "slide in from above",
    Technique.SLIDE_OUT_DOWN: "slide out downwards",
    Technique.SLIDE_OUT_UP: "slide out upwards",
    Technique.DEAD: "dead note",
    Technique.GHOST: "ghost note",
    Technique.GRACE: "grace note",
}


def _technique(technique: Technique) -> Feature:
    def how(i: int) -> Technique:
        return technique if i in (2, 5) else Technique.NONE

    notes = [tab_note(i, fret=5 + i % 3, techniques=how(i)) for i in range(8)]
    if technique == Technique.GRACE:  # a 32nd before the note that it leads to
        notes = [tab_note(0), tab_note(1, 0.875), tab_note(1.875, 0.125, 3, techniques=Technique.GRACE), tab_note(2)]
        notes += [tab_note(i) for i in range(3, 8)]
    name = TECHNIQUE_NAMES.get(technique, (technique.name or "").lower().replace("_", " "))
    name = " ".join([*name.split()[1:], "harmonic"]) if technique & HARMONICS else name
    return Feature(name, "playing techniques", both(notes), _played_with(technique))


#: Kind of mark → (where it stands, values, text, technique of its note). Kinds that are not here are tried at a beat.
MARK_EXAMPLES: dict[str, tuple[str, tuple[int, ...], str, Technique]] = {
    "transposition": ("track", (-2,), "", Technique.NONE),
    "staves": ("track", (2,), "", Technique.NONE),
    "stroke": ("beat", (2, 16), "", Technique.NONE),
    "arpeggio": ("beat", (1,), "", Technique.NONE),
    "pick_stroke": ("beat", (1,), "", Technique.NONE),
    "tremolo_bar": ("beat", (0, -4, 0, 0, 0, 30, -4, 0, 60, 0, 0), "", Technique.NONE),
    "wide_vibrato": ("beat", (), "", Technique.NONE),
    "fade": ("beat", (1,), "", Technique.NONE),
    "rasgueado": ("beat", (), "", Technique.NONE),
    "ottava": ("beat", (1,), "", Technique.NONE),
    "slap_effect": ("beat", (2,), "", Technique.NONE),
    "tempo": ("beat", (120,), "", Technique.NONE),
    "crescendo": ("beat", (1,), "", Technique.NONE),
    "text": ("beat", (), "dolce", Technique.NONE),
    "lyric": ("beat", (1,), "la", Technique.NONE),
    "chord": ("beat", (), "Em7", Technique.NONE),
    "dynamic": ("beat", (), "mf", Technique.NONE),
    "fermata": ("beat", (), "", Technique.NONE),
    "pedal": ("beat", (1,), "", Technique.NONE),
    "legato": ("beat", (), "", Technique.NONE),
    "wah": ("beat", (1,), "", Technique.NONE),
    "golpe": ("beat", (1,), "", Technique.NONE),
    "barre": ("beat", (5, 0), "", Technique.NONE),
    "bend": ("note", (0, 4, 0, 0, 0, 60, 4, 0), "", Technique.NONE),
    "trill": ("note", (2, 16), "", Technique.TRILL),
    "tremolo_picking": ("note", (16,), "", Technique.TREMOLO_PICKING),
    "harmonic": ("note", (1200,), "", Technique.HARMONIC_ARTIFICIAL),
    "fingering": ("note", (2, -2), "", Technique.NONE),
    "ornament": ("note", (), "mordent", Technique.NONE),
    "articulation": ("note", (), "tenuto", Technique.NONE),
    "vibrato": ("note", (), "", Technique.VIBRATO),
    "strong_vibrato": ("note", (), "", Technique.VIBRATO),
    "left_hand_tap": ("note", (), "", Technique.NONE),
    "pick_slide": ("note", (1,), "", Technique.NONE),
    "dangling": ("note", (int(Technique.HAMMER),), "", Technique.NONE),
    "slur": ("note", (1, 1), "", Technique.NONE),
}
#: Kind → values of a second mark, two beats later, without which the first says nothing.
MARK_ENDS = {"slur": (1, 0), "crescendo": (0,)}
#: Kind of mark → its row's name, where the kind alone would not say what it adds to the rows above.
MARK_NAMES = {
    "transposition": "transposing instrument",
    "tremolo_bar": "whammy bar",
    "text": "text at a beat",
    "tempo": "tempo said again",
    "lyric": "lyrics",
    "chord": "chord names",
    "dynamic": "dynamics as written",
    "pedal": "pedal marks",
    "bend": "bend as drawn",
    "trill": "trill: interval and speed",
    "tremolo_picking": "tremolo picking: speed",
    "harmonic": "harmonic: touched place",
    "vibrato": "vibrato of finger beside that of the bar",
    "articulation": "other articulations (tenuto)",
    "ornament": "ornaments (mordent, turn)",
    "staves": "number of staves",
    "dangling": "hammer-on or slide to nothing",
}
#: Kinds that only say how a source wrote what other rows show already (ties, grace notes, drums), or that mean
#: something together with others only.
MARKS_LEFT_OUT = ("tied", "tie", "grace", "dead_slap", "staff", "source", "overfull", "row")


def _marked(score: Score, marks: tuple[Mark, ...]) -> Score:
    return score.map_tracks(lambda track: replace(track, marks=marks))


def _mark(kind: str) -> Feature:
    where, values, text, technique = MARK_EXAMPLES.get(kind, ("beat", (1,), "a", Technique.NONE))
    at = 0 if where == "track" else 2 * QUARTER
    bent = (Bend(0, 0), Bend(QUARTER, 200)) if kind == "bend" else ()
    notes = [tab_note(i) for i in range(8)]
    notes[2] = tab_note(2, techniques=technique, bends=bent)
    if kind == "slap_effect":  # which stands where no note can carry it
        notes.pop(2)
    elif kind == "dangling":  # where no note follows
        notes = notes[:3]
    pitch, on_note = tab_note(2).pitch, where == "note"
    scores = []
    for count in (1, 2) if kind in MARK_ENDS else (1,):
        said = [(at, values), (at + 2 * QUARTER, MARK_ENDS.get(kind, ()))][:count]
        on_string = tuple(Mark(tick, kind, 0, STRING if on_note else 0, -1, held, text) for tick, held in said)
        on_pitch = tuple(Mark(tick, kind, 0, 0, pitch if on_note else -1, held, text) for tick, held in said)
        scores += [_marked(tab(notes), on_string), _marked(staff(notes), on_pitch)]
    name = MARK_NAMES.get(kind, kind.replace("_", " "))
    return Feature(name, "written marks", tuple(scores), _marks_of(kind), _all_there)


def _note_rows() -> list[Feature]:
    performed = [tab_note(0, 0.97), tab_note(1.013, 0.71), tab_note(1.9, 1.2, 7), tab_note(4.0042, 0.5)]
    chord = [tab_note(0, 2, 5, string) for string in (1, 2, 3)]
    overlap = [tab_note(0, 4, 5, 2), tab_note(1, 1, 0, 1), tab_note(2, 3, 2, 3)]
    loud = [tab_note(i, velocity=v) for i, v in enumerate((15, 47, 63, 79, 95, 111, 127, 31))]
    fine = [tab_note(i, velocity=v) for i, v in enumerate((20, 50, 64, 81, 90, 100, 121, 3))]
    sharps = [tab_note(i, fret=7, spelling=6 if i % 2 else -6) for i in range(8)]
    voices = [*(tab_note(i, voice=0) for i in range(8)), *(tab_note(2 * i, 2, 3, 5, voice=1) for i in range(4))]
    third = [*voices, *(tab_note(2 * i, 2, 3, 6, voice=2) for i in range(4))]
    far = [tab_note(i, 1, 14, 4) for i in range(8)]
    whole, pre = ((0, 0), (960, 200)), ((0, 200), (480, 200), (960, 0))
    curves = [[tab_note(i, bends=tuple(Bend(*p) for p in curve) if i == 3 else ()) for i in range(8)]
              for curve in (whole, pre, ((0, 0), (111, 37), (500, 63), (960, 18)))]  # fmt: skip
    place = column("onset_ticks", "duration_ticks", "pitch")
    return [
        Feature("notes: onset, duration, pitch", "notes", both(), place),
        Feature("chords", "notes", both(chord), place),
        Feature("notes that overlap", "notes", both(overlap, False), place),
        Feature("performed times (off any grid)", "notes", both(performed, False), place, gone=lambda after: False),
        Feature("velocity in eight steps", "notes", both(loud), column("velocity"), gone=_flat),
        Feature("velocity, exactly", "notes", both(fine), column("velocity"), gone=_flat),
        Feature("spelling (F sharp, G flat)", "notes", both(sharps), column("spelling"),
                gone=lambda after: {row[0] for row in after} == {NO_SPELLING} or _flat(after)),
        Feature("two voices", "notes", both(voices, False), column("pitch", "onset_ticks", "voice"),
                gone=lambda after: _flat([row[2] for row in after])),
        Feature("three voices", "notes", both(third, False), column("pitch", "onset_ticks", "voice"),
                gone=lambda after: _flat([row[2] for row in after])),
        Feature("string and fret", "notes", (tab(far),), column("string", "fret"),
                gone=lambda after: {row[1] for row in after} <= {NO_FRET}),
        Feature("bend up", "notes", both(curves[0]), _curves, _near_curves),
        Feature("pre-bend and release", "notes", both(curves[1]), _curves, _near_curves),
        Feature("bends to the cent, at any time", "notes", both(curves[2]), _curves, _near_curves),
    ]  # fmt: skip


def _track_rows() -> list[Feature]:
    two = tab().with_tracks([tab().tracks[0], replace(staff().tracks[0], program=40, name="Fiddle")])
    kit = Track.of([Note(i * QUARTER, QUARTER, key, 79) for i, key in enumerate((36, 38, 42, 46, 49, 51, 41, 36))],
                   name="Drums", is_drums=True, beats=_beats(8))  # fmt: skip
    open_d = (62, 57, 54, 50, 45, 38)
    low = tuple(pitch - 2 for pitch in GUITAR)
    seven, eight = (*GUITAR, 35), (*GUITAR, 35, 30)
    capo = [replace(tab_note(i), pitch=tab_note(i).pitch + 3) for i in range(8)]
    controls = np.array([(0, 7, 90), (QUARTER, 10, 20), (2 * QUARTER, 64, 127), (3 * QUARTER, 64, 0)], CONTROL_DTYPE)

    def tuned(tuning: tuple[int, ...]) -> Score:
        notes = [replace(tab_note(i), pitch=tuning[STRING - 1] + 5) for i in range(8)]
        return tab(notes, tuning=tuning)

    return [
        Feature("several tracks", "tracks", (two,), lambda s: tuple(len(t) for t in s.tracks),
                gone=lambda after: len(after) < 2),
        Feature("track names", "tracks", with_fields(), _track_field("name"), gone=lambda after: not any(after)),
        Feature("instrument (General MIDI program)", "tracks", (two, tab()), _track_field("program"),
                gone=lambda after: not any(after)),
        Feature("drums", "tracks", (tab().with_tracks([kit]),),
                lambda s: tuple((t.is_drums, tuple(t.notes["pitch"].tolist())) for t in s.tracks),
                gone=lambda after: not any(row[0] for row in after)),
        Feature("tuning", "tracks", (tuned(low), tuned(open_d)), _track_field("tuning"),
                gone=lambda after: not any(after)),
        Feature("seven strings", "tracks", (tuned(seven),), _track_field("tuning"), gone=lambda after: not any(after)),
        Feature("eight strings", "tracks", (tuned(eight),), _track_field("tuning"), gone=lambda after: not any(after)),
        Feature("capo", "tracks", (tab(capo, capo_fret=3),), _track_field("capo_fret"),
                gone=lambda after: not any(after)),
        Feature("controllers (volume, pan, pedal)", "tracks", (tab(controls=controls), staff(controls=controls)),
                _controls),
    ]  # fmt: skip


def _form_rows() -> list[Feature]:
    q = QUARTER
    group = "time and form"
    tempo = _held(tempo_at, lambda entry: round(entry.quarters_per_minute, 3))
    metre = _held(metre_at, lambda entry: (entry.numerator, entry.denominator))
    twice, thrice = ((BarMark(0, True), BarMark(4 * q, False, times)) for times in (2, 3))
    ending = (BarMark(0, True), BarMark(2 * q, False, 2, (1,)), BarMark(4 * q, False, 0, (2,)))
    half = (Metre(0, 2, 4),)
    repeats = _bar_marks(lambda m: (m.repeat_open, m.repeat_close))
    places = tuple(BarMark(i * 2 * q, directions=(t,)) for i, t in enumerate(t for t in TARGETS[:4]))
    jump = (BarMark(0, directions=("segno",)), BarMark(4 * q, directions=(JUMPS[4],)))
    return [
        Feature("tempo", group, with_fields(tempos=(Tempo(0, 97.0),)), tempo, gone=_flat_at(120.0)),
        Feature("tempo changes", group, with_fields(tempos=(Tempo(0, 97.0), Tempo(4 * q, 140.0))), tempo, gone=_flat),
        Feature("tempo changes within a bar", group, with_fields(tempos=(Tempo(0, 97.0), Tempo(2 * q, 140.0))), tempo,
                gone=_flat),
        Feature("fractional tempo", group, with_fields(tempos=(Tempo(0, 97.6),)), tempo, gone=_flat_at(120.0)),
        Feature("metre changes", group, with_fields(metres=(Metre(0, 3, 4), Metre(3 * q, 5, 8))), metre, gone=_flat),
        Feature("upbeat (short first bar)", group, with_fields(bars=(BarMark(q),)), _bar_lines,
                gone=lambda after: q / QUARTER not in after),
        Feature("key signatures", group, with_fields(keys=(Key(0, 2), Key(4 * q, -3))),
                _held(key_at, lambda entry: entry.fifths), gone=_flat),
        Feature("minor keys", group, with_fields(keys=(Key(0, 1, "minor"),)), _held(key_at, lambda entry: entry.mode),
                gone=lambda after: "minor" not in after),
        Feature("repeats", group, with_fields(bars=twice), repeats, gone=_no_repeats),
        Feature("repeats of more than two passes", group, with_fields(bars=thrice), repeats, gone=_no_repeats),
        Feature("alternate endings", group, with_fields(bars=ending, metres=half), _bar_marks(lambda m: m.endings)),
        Feature("segno, coda, fine", group, with_fields(bars=places, metres=half), _bar_marks(lambda m: m.directions)),
        Feature("da capo, dal segno", group, with_fields(bars=jump), _bar_marks(lambda m: m.directions)),
        Feature("section names, markers", group, with_fields(markers=(Marker(0, "Intro"), Marker(4 * q, "Verse"))),
                lambda s: tuple((_quarters(s, m.onset_ticks), m.text) for m in s.markers)),
        Feature("title", group, with_fields(title="Étude"), lambda s: s.title),
        Feature("composer", group, with_fields(composer="A. Nobody"), lambda s: s.composer),
        Feature("texts of any script", group, with_fields(title="Сюита 旋律"), lambda s: s.title,
                lambda before, after: before == after, lambda after: not after),
        Feature("length with rests at the end", group, with_fields(length_ticks=12 * q),
                lambda s: _quarters(s, s.length_ticks), gone=lambda after: after <= 8),
    ]  # fmt: skip


def _no_repeats(after: Any) -> bool:
    return not any(any(row[1]) for row in after)


def _flat_at(value: float) -> Callable[[Any], bool]:
    return lambda after: set(after) == {value}


def _beat_rows() -> list[Feature]:
    def spelled(beats: np.ndarray, quarters: float, count: int) -> tuple[Score, ...]:
        notes = [tab_note(i * quarters, quarters) for i in range(count)]
        made = both(notes)
        return tuple(score.map_tracks(lambda track: replace(track, beats=beats)) for score in made)

    threes, fives = _beats(24, 320, 8, enters=3, times=2), _beats(10, 768, 4, enters=5, times=4)
    tied = _beats(16, QUARTER // 2, 8)  # each note written as two tied eighths, where one quarter would do
    rests = _beats(8)
    uneven = np.zeros(8, BEAT_DTYPE)  # dotted quarter, eighth
    uneven["onset_ticks"] = [place * QUARTER // 2 for place in (0, 3, 4, 7, 8, 11, 12, 15)]
    uneven["duration_ticks"], uneven["value"], uneven["dots"] = [1440, 480] * 4, [4, 8] * 4, [1, 0] * 4
    uneven["enters"] = uneven["times"] = 1
    swung = both([tab_note(int(row["onset_ticks"]) / QUARTER, int(row["duration_ticks"]) / QUARTER) for row in uneven])
    dotted = tuple(score.map_tracks(lambda track: replace(track, beats=uneven)) for score in swung)
    rested = tuple(
        s.map_tracks(lambda track: track.keep(track.notes["onset_ticks"] % (2 * QUARTER) == 0)) for s in both()
    )
    group = "written beats"
    return [
        Feature("plain note values", group, both(), _beat_values, _all_there),
        Feature("dotted values", group, dotted, _beat_values, _all_there),
        Feature("triplets", group, spelled(threes, 1 / 3, 24), _beat_values, _all_there),
        Feature("quintuplets", group, spelled(fives, 0.8, 10), _beat_values, _all_there),
        Feature("ties where one value would do", group, spelled(tied, 1, 8), _beat_values, _all_there),
        Feature("rests", group, tuple(s.map_tracks(lambda t: replace(t, beats=rests)) for s in rested), _beat_values,
                _all_there),
    ]  # fmt: skip


def features() -> tuple[Feature, ...]:
    """All rows, group by group."""
    kinds = [kind for kind in MARK_KINDS if kind not in MARKS_LEFT_OUT]
    return (
        *_note_rows(),
        *(_technique(technique) for technique in Technique if technique),
        *_track_rows(),
        *_form_rows(),
        *_beat_rows(),
        *map(_mark, kinds),
    )
