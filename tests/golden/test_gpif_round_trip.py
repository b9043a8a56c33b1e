"""Every .gpx and .gp fixture: read, written as .gp, read again. What differs is named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from cadenza import formats
from cadenza.formats.gpif import PROJECTION, read, write
from cadenza.score.edit import project
from cadenza.score.model import Score, Technique, Track

OVERFULL_END = "the last bar holds more than its metre; the written file has one bar more for the rest"
OVERFULL = "a bar holds more than its metre: its beats are worked out anew, a note that meets another goes to voice 2"
OVERFULL_REST = "a bar holds more than its metre, only rests in what is too much: its beats are worked out anew"
OVERFULL_LINE = OVERFULL_END + "; notes of one string that overlap are cut"
TWO_POINTS = "a dive of two points: the file's element has four, so the middle of the line is written too"
TIED_GRACE = "a bent grace note is tied to its main note, which is bent on: one curve of four points is left"
LONE_GRACE = "a grace note in a bar without another note is an ordinary note"
LOW_KEYS = "keyboard notes below the lowest 'string' are played on another, and cut what rings there"

# file → (fields of the score, fields of its tracks) that differ, and why
DIFFERING = {
    "guitarpro6/effects.gpx": ((), ("beats", "marks", "notes"), OVERFULL + "; " + TWO_POINTS),
    "guitarpro6/fingering.gpx": (("length_ticks",), (), OVERFULL_END),
    "guitarpro6/hammer.gpx": (("length_ticks",), (), OVERFULL_END),
    "guitarpro6/notes.gpx": (("length_ticks",), (), OVERFULL_END),
    "guitarpro6/tremolo.gpx": ((), ("marks",), TWO_POINTS),
    "guitarpro7/bends-advanced.gp": ((), ("bends", "marks"), TIED_GRACE),
    "guitarpro7/effects.gp": ((), ("beats", "marks", "notes"), OVERFULL),
    "guitarpro7/fermata.gp": ((), ("beats", "notes"), LONE_GRACE),
    "guitarpro7/fingering.gp": (("length_ticks",), (), OVERFULL_END),
    "guitarpro7/hammer.gp": (("length_ticks",), (), OVERFULL_END),
    "guitarpro7/notes.gp": (("length_ticks",), (), OVERFULL_END),
    "visual-tests/multivoice-rhythm.gp": ((), ("beats",), OVERFULL_REST),
    "visual-tests/notes-rests-beams.gp": ((), ("beats",), OVERFULL_REST),
    "visual-tests/numbered.gp": ((), ("beats", "notes"), LOW_KEYS),
    "visual-tests/slash.gp": ((), ("beats",), OVERFULL_REST),
    "visual-tests/string-numbers.gp": (("length_ticks",), ("beats",), OVERFULL_END),
    "visual-tests/tuplets.gp": (("length_ticks",), ("beats", "notes"), OVERFULL_LINE),
}
SCORE_FIELDS = ("tempos", "metres", "keys", "bars", "markers", "title", "composer", "length_ticks")
TRACK_FIELDS = ("name", "program", "is_drums", "tuning", "capo_fret", "marks")
ARRAYS = ("notes", "bends", "controls", "beats")


def differences(one: Score, other: Score) -> tuple[tuple[str, ...], tuple[str, ...]]:
    of_score = tuple(name for name in SCORE_FIELDS if getattr(one, name) != getattr(other, name))

    def of_track(a: Track, b: Track) -> set[str]:
        out = {name for name in TRACK_FIELDS if getattr(a, name) != getattr(b, name)}
        return out | {name for name in ARRAYS if getattr(a, name).tobytes() != getattr(b, name).tobytes()}

    return of_score, tuple(
        sorted(set().union(*(of_track(a, b) for a, b in zip(one.tracks, other.tracks, strict=True))))
    )


def test_fixtures_come_back(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "guitarpro/alphatab"
    written = tmp_path / "written.gp"
    differing = {}
    seen: Counter[Technique] = Counter()
    kinds: Counter[str] = Counter()
    paths = sorted(path for path in root.rglob("*.gp*") if path.suffix in (".gpx", ".gp"))
    assert len(paths) == 182
    for path in paths:
        score = read(path)
        write(score, written)
        again = read(written)
        name = str(path.relative_to(root))
        assert again == project(score, PROJECTION), name
        if again != score:
            differing[name] = differences(again, score)
        for track in again.tracks:
            seen.update(t for n in track for t in Technique if t & n.techniques)
            kinds.update(mark.kind for mark in track.marks)
    assert differing == {name: row[:2] for name, row in DIFFERING.items()}
    # Every technique is somewhere in the fixtures and survives, and so are these marks.
    assert set(seen) == set(Technique) - {Technique.NONE}
    expected = {
        "transposition", "stroke", "arpeggio", "pick_stroke", "tremolo_bar", "wide_vibrato", "fade", "rasgueado",
        "ottava", "text", "lyric", "chord", "fermata", "bend", "grace", "trill", "tremolo_picking", "harmonic", "tied",
        "fingering", "ornament", "dangling", "legato", "wah", "barre", "strong_vibrato", "left_hand_tap", "pick_slide",
    }  # fmt: skip
    assert expected <= set(kinds)


def test_older_files_keep_their_notes_as_gp(shared_data: Path, tmp_path: Path) -> None:
    """Guitar Pro 3–5 → .gp: the same law, and the same notes."""
    root = shared_data / "guitarpro"
    written = tmp_path / "written.gp"
    same = 0
    paths = sorted(root.rglob("*.gp[345]"))
    for path in paths:
        score = formats.read(path)
        write(score, written)
        again = read(written)
        assert again == project(score, PROJECTION), path.name
        same += all(
            a.notes["pitch"].tolist() == b.notes["pitch"].tolist()
            and a.notes["onset_ticks"].tolist() == b.notes["onset_ticks"].tolist()
            and a.notes["string"].tolist() == b.notes["string"].tolist()
            for a, b in zip(score.tracks, again.tracks, strict=True)
        )
    assert len(paths) == 120
    assert same == 120
