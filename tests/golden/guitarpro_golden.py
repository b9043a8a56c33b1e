"""What alphaTab reads in the Guitar Pro fixtures, and how a Score is compared with it, effect by effect.

A golden lists notes per staff in ticks (960 to a quarter), strings counted from the lowest, tied notes one by one.
Here the notes of a tie are one, as in a Score: what any of them has, it has. A label is something a note, a bar or a
tick may have ("palm mute", "a repeat closes after 2"); :func:`compare` counts labels that both sides have, that only
the golden has (missing) and that only the Score has (extra).
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cadenza.score.model import Score, Technique, Track
from cadenza.score.time import bar_table

VERSIONS = {".gp3": 3, ".gp4": 4, ".gp5": 5, ".gpx": 6, ".gp": 7}
HARMONICS = {
    1: Technique.HARMONIC_NATURAL,
    2: Technique.HARMONIC_ARTIFICIAL,
    3: Technique.HARMONIC_PINCH,
    4: Technique.HARMONIC_TAPPED,
    5: Technique.HARMONIC_SEMI,
}
SLIDES_OUT = {
    1: Technique.SLIDE_SHIFT,
    2: Technique.SLIDE_LEGATO,
    3: Technique.SLIDE_OUT_UP,
    4: Technique.SLIDE_OUT_DOWN,
}
PICK_SLIDES = {5: 2, 6: 1}  # golden's value → direction of the mark
SLIDES_IN = {1: Technique.SLIDE_IN_BELOW, 2: Technique.SLIDE_IN_ABOVE}
FLAGS = {
    "dead": Technique.DEAD,
    "palmMute": Technique.PALM_MUTE,
    "letRing": Technique.LET_RING,
    "ghost": Technique.GHOST,
    "hammer": Technique.HAMMER,
    "vibrato": Technique.VIBRATO,
    "grace": Technique.GRACE,
}
NOTE_EFFECTS = (*FLAGS, "harmonic", "slideOut", "slideIn", "pickSlide", "bend")
SCORE_EFFECTS = ("tempo", "metre", "repeat", "ending")


@dataclass
class Heard:
    """A note: where, and what it has."""

    place: tuple[int, ...]  # onset, pitch or drum key, string from the highest (0 = none), fret (−1 = none)
    end: int
    labels: set[Hashable] = field(default_factory=set)
    bends: list[tuple[int, int, list[Any]]] = field(default_factory=list)  # start, end, points


def fixtures(shared: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """(name, file, golden) of every fixture."""
    root = shared / "guitarpro"
    for path in sorted(root.rglob("*.gp*")):
        name = str(path.relative_to(root)).replace("/", "__")
        golden = json.loads((shared / "guitarpro_golden" / f"{name}.json").read_text("utf-8"))
        yield name, path, golden


def version_of(path: Path) -> int:
    """3–8; 7 and 8 share a suffix and differ in the file's VERSION entry or document."""
    version = VERSIONS[path.suffix]
    if version == 7:
        with zipfile.ZipFile(path) as archive:
            text = ET.fromstring(archive.read("Content/score.gpif")).findtext("GPVersion") or "7"
        version = int(text.split(".")[0])
    return version


# ── the golden's notes ───────────────────────────────────────────────────────────────────────────────────


def drum_keys(path: Path, index: int) -> dict[int, int]:
    """alphaTab's number of a percussion articulation → General MIDI key, for one track of a .gp file.

    In these files the number is a place in the track's list of articulations, which says the key.
    """
    if path.suffix != ".gp":
        return {}
    with zipfile.ZipFile(path) as archive:
        root = ET.fromstring(archive.read("Content/score.gpif"))
    name = (root.findtext("MasterTrack/Tracks") or "").split()[index]
    (track,) = (t for t in root.findall("Tracks/Track") if t.get("id") == name)
    outputs = [a.findtext("OutputMidiNumber") for a in track.findall("InstrumentSet/Elements/*/Articulations/*")]
    return {place: int(key or -1) for place, key in enumerate(outputs)}


# Numbers of articulations that alphaTab maps to another key (Guitar Pro 3–6, where there is no list).
ARTICULATIONS = {91: 38, 92: 46, 93: 51, 95: 55, 96: 52, 97: 49, 98: 57, 99: 56, 100: 56, 102: 56, 103: 56, 127: 59}


def golden_notes(track: dict[str, Any], keys: dict[int, int]) -> list[Heard]:
    """The notes of a golden track, ties joined."""
    out: list[Heard] = []
    for staff in track["staves"]:
        n_strings = len(staff["tuning"])
        held: dict[tuple[int, int], Heard] = {}
        for note in staff["notes"]:
            if track["percussion"]:
                number = note["percussion"]
                place = (note["start"], keys.get(number, ARTICULATIONS.get(number, number)), 0, -1)
                lane = (note["voice"], 1000 + number)
            else:
                string = n_strings + 1 - note["string"]
                place = (note["start"], note["pitch"], string, note["fret"])
                lane = (note["voice"], string)
            heard = held.get(lane) if note["tieDestination"] else None
            if heard is None:
                heard = held[lane] = Heard(place, 0)
                out.append(heard)
                if note["harmonic"]:
                    heard.labels.add(("harmonic", HARMONICS[note["harmonic"]]))
            heard.end = note["start"] + note["duration"]
            heard.labels |= {(name, True) for name in FLAGS if note[name]}
            if note["slideOut"] in SLIDES_OUT:
                heard.labels.add(("slideOut", SLIDES_OUT[note["slideOut"]]))
            if note["slideOut"] in PICK_SLIDES:
                heard.labels.add(("pickSlide", PICK_SLIDES[note["slideOut"]]))
            if note["slideIn"]:
                heard.labels.add(("slideIn", SLIDES_IN[note["slideIn"]]))
            if note["bend"]:
                heard.bends.append((note["start"], 0, [tuple(point) for point in note["bend"]]))
    return out


# ── a Score's notes ──────────────────────────────────────────────────────────────────────────────────────


def our_notes(track: Track) -> list[Heard]:
    """The notes of a track, as labels."""
    slid = {(m.onset_ticks, m.voice, m.string): m.values[0] for m in track.marks if m.kind == "pick_slide"}
    out = []
    for note in track:
        heard = Heard((note.onset_ticks, note.pitch, note.string, note.fret), note.offset_ticks)
        heard.labels = {(name, True) for name, flag in FLAGS.items() if flag & note.techniques}
        for name, table in (("harmonic", HARMONICS), ("slideOut", SLIDES_OUT), ("slideIn", SLIDES_IN)):
            heard.labels |= {(name, flag) for flag in table.values() if flag & note.techniques}
        direction = slid.get((note.onset_ticks, note.voice, note.string))
        if direction is not None:
            heard.labels.add(("pickSlide", direction))
        if note.bends:
            points = [(b.offset_ticks, b.cents / 50) for b in note.bends]
            heard.bends.append((note.onset_ticks, note.offset_ticks, points))
        out.append(heard)
    return out


# ── bends ────────────────────────────────────────────────────────────────────────────────────────────────


def corners(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A bend of three or four points as alphaTab redraws it: without the middle of a plain rise, fall or hold."""
    if len(points) not in (3, 4) or (len(points) == 4 and points[1][1] != points[2][1]):
        return points
    (_, origin), (_, middle), (_, last) = points[0], points[1], points[-1]
    if (last > origin and middle > last) or (last == origin and middle > origin):
        return [points[0], points[1], points[1], points[2]] if len(points) == 3 else points
    return [points[0], points[-1]]


def bends_agree(golden: Heard, ours: Heard) -> bool:
    """Whether the point lists are equal: a golden has one for each tied note that is bent, a Score one for the whole.

    alphaTab cuts heights to quarter-tones and redraws plain bends with their corners only, so ours are cut and redrawn
    by the same rules first; ticks may differ by the rounding of one.
    """
    if not golden.bends or not ours.bends:
        return not golden.bends and not ours.bends
    onset = ours.place[0]
    ((_, _, points),) = ours.bends
    stops = [start for start, _, _ in golden.bends[1:]] + [golden.end]
    for number, ((start, _, want), stop) in enumerate(zip(golden.bends, stops, strict=True)):
        low = max(start, onset)
        their = _apart([(low + at * (stop - low) / 60, value) for at, value in want])
        # The point at which the next bend begins is this one's too where this one reaches it.
        reaches = their[-1][0] >= stop and stop - 1 - onset not in {at for at, _ in points}
        last = stop + 1 if number == len(stops) - 1 or reaches else stop
        inside = [(float(onset + at), int(value)) for at, value in points if low <= onset + at < last]
        mine = _apart(corners(inside))
        if len(mine) != len(their):
            return False
        if any(abs(a - b) > 1 or v != w for (a, v), (b, w) in zip(mine, their, strict=True)):
            return False
    return True


def _apart(points: list[Any]) -> list[tuple[float, float]]:
    """Points without those that the next one replaces at once."""
    pairs = [tuple(point) for point in points]
    return [p for p, following in zip(pairs, [*pairs[1:], None], strict=True) if p != following]


# ── the comparison ───────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Tally:
    """Labels by effect: on both sides, in the golden only, in the Score only."""

    both: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    extra: Counter[str] = field(default_factory=Counter)

    def count(self, effect: str, golden: set[Any], ours: set[Any]) -> None:
        """Count the labels of one effect at one place."""
        self.both[effect] += len(golden & ours)
        self.missing[effect] += len(golden - ours)
        self.extra[effect] += len(ours - golden)

    def __iadd__(self, other: Tally) -> Tally:
        self.both += other.both
        self.missing += other.missing
        self.extra += other.extra
        return self


def compare(path: Path, golden: dict[str, Any], score: Score) -> Tally:
    """Count what golden and Score agree on, by effect.

    ``note`` counts notes by onset, pitch, string and fret; a note that has its equal within a grace note's time is
    compared further, so that a note moved by a grace note counts once.
    """
    out = Tally()
    for index, (track, theirs) in enumerate(zip(score.tracks, golden["tracks"], strict=True)):
        want, got = golden_notes(theirs, drum_keys(path, index)), our_notes(track)
        for heard, ours in _pairs(want, got, out):
            out.count("end", {heard.end}, {ours.end})
            for effect in NOTE_EFFECTS[:-1]:
                out.count(effect, *({n for n in side.labels if n[0] == effect} for side in (heard, ours)))
            if heard.bends or ours.bends:
                same = bends_agree(heard, ours)
                out.both["bend"] += same
                out.missing["bend"] += bool(heard.bends) and not same
                out.extra["bend"] += bool(ours.bends) and not same
    _bars(golden, score, out)
    return out


def _pairs(want: list[Heard], got: list[Heard], out: Tally) -> Iterator[tuple[Heard, Heard]]:
    free: dict[tuple[int, ...], list[Heard]] = defaultdict(list)
    for ours in got:
        free[ours.place].append(ours)
    late = []
    for heard in want:
        if free[heard.place]:
            out.both["note"] += 1
            yield heard, free[heard.place].pop(0)
        else:
            late.append(heard)
    rest = [ours for places in free.values() for ours in places]
    out.missing["note"] += len(late)
    out.extra["note"] += len(rest)
    for heard in late:
        near = [o for o in rest if o.place[2:] == heard.place[2:] and abs(o.place[0] - heard.place[0]) <= 120]
        if near:
            rest.remove(near[0])
            yield heard, near[0]


def _bars(golden: dict[str, Any], score: Score, out: Tally) -> None:
    table = bar_table(score)
    starts = table.starts_ticks.tolist()
    changes, said = set(), None
    for bar in golden["bars"]:
        length = 3840 * bar["numerator"] // bar["denominator"]
        for position, tempo in sorted(dict(bar["tempo"]).items()):
            if tempo != said:
                changes.add((bar["start"] + round(position * length), tempo))
            said = tempo
        row = starts.index(bar["start"]) if bar["start"] in starts else None
        metre, mark = (table.metres[row], table.marks[row]) if row is not None else (None, None)
        ours = {(metre.numerator, metre.denominator)} if metre else set()
        out.count("metre", {(bar["numerator"], bar["denominator"])}, ours)
        theirs = {"open"} if bar["repeatStart"] else set()
        theirs |= {bar["repeatCount"]} if bar["repeatCount"] else set()
        ours = set() if mark is None else ({"open"} if mark.repeat_open else set()) | ({mark.repeat_close} - {0})
        out.count("repeat", theirs, ours)
        endings = {n + 1 for n in range(8) if bar["alternateEndings"] >> n & 1}
        out.count("ending", endings, set(mark.endings) if mark else set())
    out.count("tempo", changes, {(t.onset_ticks, t.quarters_per_minute) for t in score.tempos})
