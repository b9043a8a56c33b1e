"""Engraving: what is on the page is what is in the Score, in files that open, from a process that cannot hang."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cadenza import formats
from cadenza.base.errors import FormatError, LimitError, MissingExtraError, RangeError
from cadenza.formats import picture, sheet
from cadenza.formats.sheet import process
from cadenza.formats.sheet.bends import bend_segments, height_name
from cadenza.formats.sheet.drawing import GENERATED, tag
from cadenza.formats.sheet.played import as_written, is_played
from cadenza.formats.sheet.prepare import prepare
from cadenza.formats.sheet.process import ProcessLimits, run
from cadenza.score.model import STANDARD_TUNINGS, Bend, Note, Score, Technique, Tempo, Track
from cadenza.score.written import Mark
from tests.strategies import examples, scores

ROOT = Path(__file__).parents[3]
TUNING = STANDARD_TUNINGS["guitar"]
T = Technique
Q = 480
PYTHON = sys.executable


def tab_note(start: float, length: float, string: int, fret: int, how: Technique = T.NONE, bends=(), voice=0) -> Note:
    pitch = TUNING[string - 1] + fret
    return Note(int(start * Q), int(length * Q), pitch, 95, tuple(bends), string, fret, how, voice)


def guitar(notes: list[Note], **fields: object) -> Score:
    return Score((Track.of(notes, name="Lead", program=29, tuning=TUNING),), Q, (Tempo(0, 100.0),), **fields)


def page(score: Score, view: str = "tab", **options: object) -> ElementTree.Element:
    (only,) = sheet.engrave(score, view=view, **options)
    return ElementTree.fromstring(only.svg)


def words(root: ElementTree.Element, kind: str) -> Counter[str]:
    return Counter(e.text or "" for e in root.iter(tag("text")) if e.get("class") == kind)


def heads(root: ElementTree.Element) -> int:
    notes = [g for g in root.iter(tag("g")) if g.get("class") == "note"]
    return sum(any(g.get("class") == "notehead" for g in note.iter(tag("g"))) for note in notes)


# ── what is drawn ────────────────────────────────────────────────────────────────────────────────────────


def test_a_score_has_its_noteheads_title_composer_and_parts():
    right = Track.of([Note(i * Q, Q, 60 + i % 12) for i in range(16)], name="Right hand")
    left = Track.of([Note(i * 4 * Q, 4 * Q, 48) for i in range(4)], name="Left hand")
    root = page(Score((right, left), Q, title="A & B <c>", composer="Ann O'Nym"), "score")
    assert heads(root) == 20
    said = {e.text for e in root.iter(tag("text"))}
    assert {"A & B <c>", "Ann O'Nym", "Right hand", "Left hand"} <= said


def test_a_tie_over_the_bar_line_is_a_second_head():
    assert heads(page(Score((Track.of([Note(3 * Q, 2 * Q, 60)]),), Q), "score")) == 2


def test_a_tablature_has_its_numbers_on_their_strings():
    notes = [tab_note(i, 1, 1 + i % 6, i % 13) for i in range(16)]
    root = page(guitar(notes))
    assert words(root, "fret") == Counter(str(note.fret) for note in notes)
    staff = next(g for g in root.iter(tag("g")) if g.get("class") == "staff")
    lines = sorted({float(e.get("d").split()[1]) for e in staff if e.tag == tag("path")})
    assert len(lines) == 6
    drawn = [e for e in root.iter(tag("text")) if e.get("class") == "fret"]
    size = float(drawn[0].get("font-size"))
    strings = [int(np.argmin([abs(float(e.get("y")) - 0.34 * size - y) for y in lines])) + 1 for e in drawn]
    assert Counter(zip(strings, (e.text for e in drawn), strict=True)) == Counter(
        (note.string, str(note.fret)) for note in notes
    )


@pytest.mark.parametrize("n_strings", [4, 5, 7, 8])
def test_a_staff_has_a_line_a_string(n_strings):
    tuning = tuple(64 - 5 * i for i in range(n_strings))
    track = Track.of([Note(0, 4 * Q, tuning[-1], string=n_strings, fret=0)], tuning=tuning, program=33)
    staff = next(g for g in page(Score((track,), Q)).iter(tag("g")) if g.get("class") == "staff")
    assert len({e.get("d").split()[1] for e in staff if e.tag == tag("path")}) == n_strings


def test_both_views_show_every_note_twice():
    notes = [tab_note(i / 2, 0.5, 2, i % 7) for i in range(8)]
    root = page(guitar(notes), "both")
    assert heads(root) == 8
    assert sum(words(root, "fret").values()) == 8


def test_what_hands_do_is_drawn():
    notes = [
        tab_note(0, 1, 1, 5, T.DEAD),
        tab_note(1, 1, 1, 5, T.GHOST),
        tab_note(2, 1, 2, 12, T.HARMONIC_NATURAL),
        tab_note(3, 1, 3, 7, bends=[Bend(0, 0), Bend(240, 200), Bend(480, 0)]),
        tab_note(4, 1, 1, 5, T.HAMMER),
        tab_note(5, 1, 1, 8, T.HAMMER),
        tab_note(6, 1, 1, 5, T.SLIDE_SHIFT),
        tab_note(7, 1, 1, 9, T.VIBRATO),
        tab_note(8, 0.5, 6, 0, T.PALM_MUTE),
        tab_note(8.5, 0.5, 6, 0, T.PALM_MUTE),
        tab_note(9, 1, 6, 0, T.LET_RING),
        tab_note(10, 1, 2, 3, T.TAP),
        tab_note(11, 1, 2, 3, bends=[Bend(0, 300)]),
    ]
    root = page(guitar(notes))
    assert words(root, "fret") >= Counter({"x": 1, "(5)": 1, "<12>": 1})
    assert words(root, "bend") == Counter({"full": 1, "1½": 1})
    assert words(root, "legato") == Counter({"H": 1, "P": 1})
    assert words(root, "span") == Counter({"P.M.": 1, "let ring": 1})
    assert words(root, "letter") == Counter({"T": 1})
    assert sum(e.get("class") == "beam" for e in root.iter(tag("polygon"))) == 1
    assert sum(e.get("class") == "arrow" for e in root.iter(tag("polygon"))) >= 3


def test_signs_of_a_beat_are_drawn():
    chord = [tab_note(0, 1, string, 2) for string in (2, 3, 4)]
    marks = (
        Mark(0, "stroke", values=(2, 8)),
        Mark(Q, "pick_stroke", values=(1,)),
        Mark(2 * Q, "tremolo_bar", values=(0, -4, 0, 0, 0, 30, -4, 0, 60, 0, 0)),
        Mark(0, "lyric", values=(1,), text="la"),
    )
    track = Track.of([*chord, *(tab_note(i, 1, 3, 5) for i in (1, 2, 3))], name="G", tuning=TUNING, marks=marks)
    plain = Track.of(list(track), name="G", tuning=TUNING)
    for view in ("tab", "both"):
        root, bare = page(Score((track,), Q), view), page(Score((plain,), Q), view)
        assert words(root, "whammy") == Counter({"-full": 1})
        assert sum(e.get("class") == "arrow" for e in root.iter(tag("polygon"))) == 1
        ours = next(g for g in root.iter(tag("g")) if g.get("class") == "tablature")
        without = next(g for g in bare.iter(tag("g")) if g.get("class") == "tablature")
        # The arrow's shaft, the pick stroke and the whammy's curve.
        assert len(list(ours.iter(tag("path")))) == len(list(without.iter(tag("path")))) + 3
        assert sum(e.text == "la" for e in root.iter(tag("text"))) == (view == "both")  # once, not under both staves


@pytest.mark.parametrize(
    ("points", "segments"),
    [
        ([(0, 0), (240, 200)], [(0, 200), (200, 200)]),
        ([(0, 0), (240, 200), (480, 0)], [(0, 200), (200, 0)]),
        ([(0, 200)], [(200, 200)]),
        ([(0, 0), (100, 10), (300, -8)], []),
        ([(0, 0), (480, -100)], [(0, -100)]),
    ],
)
def test_bends_are_told_by_their_turns(points, segments):
    note = Note(0, 480, 60, bends=tuple(Bend(*point) for point in points))
    assert bend_segments(note) == segments


def test_heights_of_bends_have_their_names():
    assert [height_name(cents) for cents in (50, 100, 150, 200, 300, 400, 250)] == [
        "¼", "½", "¾", "full", "1½", "2", "1¼",
    ]  # fmt: skip


def test_rests_beams_and_voices_of_a_tablature():
    notes = [tab_note(i / 4, 0.25, 3, i) for i in range(8)] + [tab_note(2, 2, 6, 0, voice=1)]
    root = page(guitar(notes))
    # Two beats of sixteenths: one beam at each of two levels in each.
    assert sum(e.get("class") == "beam" for e in root.iter(tag("polygon"))) == 4
    assert words(root, "fret")["0"] == 2


def test_the_continuation_is_in_colour():
    notes = [tab_note(i, 1, 1, 3) for i in range(8)]
    for view in ("tab", "score", "both"):
        plain = sheet.engrave(guitar(notes), view=view)[0].svg
        assert GENERATED not in plain
        root = page(guitar(notes), view, colour_from_ticks=4 * Q)
        coloured = [
            g for g in root.iter(tag("g"))
            if g.get("class") == "note" and any(h.get("fill") == GENERATED for h in _chain(root, g))
        ]  # fmt: skip
        assert len(coloured) == (8 if view == "both" else 4)


def _chain(root: ElementTree.Element, element: ElementTree.Element) -> list[ElementTree.Element]:
    parents = {child: parent for parent in root.iter() for child in parent}
    out = [element]
    while out[-1] in parents:
        out.append(parents[out[-1]])
    return out


def test_every_drawn_note_is_known():
    score = formats.read(ROOT / "examples" / "riff.gp5")
    drawn, _ = prepare(score, "both")
    assert all(place.row >= 0 for place in drawn.places.values())
    struck = Counter((p.part, p.row) for p in drawn.places.values() if not p.is_tied)
    assert set(struck.values()) == {1}
    assert len(struck) == drawn.score.n_notes


@settings(max_examples=examples(12), deadline=None, suppress_health_check=list(HealthCheck))
@given(score=scores(max_tracks=2, max_notes=10), view=st.sampled_from(sheet.VIEWS))
def test_any_score_can_be_prepared(score, view):
    drawn, _ = prepare(score, view)
    assert all(place.row >= 0 for place in drawn.places.values())


def test_words_are_plain_for_every_renderer():
    root = page(guitar([tab_note(0, 4, 1, 3)], title="Étude"))
    assert not list(root.iter(tag("tspan")))
    assert not any("\ue000" <= c <= "\uf8ff" for e in root.iter(tag("text")) for c in e.text or "")


def test_a_midi_guitar_gets_a_fingering_when_tablature_is_asked_for():
    track = Track.of([Note(i * Q, Q, 50 + i) for i in range(8)], program=27)
    root = page(Score((track,), Q), "tab")
    assert sum(words(root, "fret").values()) == 8
    assert heads(page(Score((track,), Q), "both")) == 8


def test_empty_pieces_and_empty_tracks_have_a_sheet():
    for score in (Score((Track(),)), Score((Track(tuning=TUNING),)), Score((Track(is_drums=True), Track()))):
        for view in sheet.VIEWS:
            assert len(sheet.engrave(score, view=view)) == 1


def test_a_guitar_that_rests_throughout_has_its_strings():
    for view, is_tab in (("tab", (True,)), ("score", (False,)), ("both", (False,))):
        assert prepare(guitar([]), view)[0].is_tab == is_tab
    assert b"<sign>TAB</sign>" in formats.musicxml.encode(guitar([]), view="tab").encode()


def test_a_piece_without_tracks_has_an_empty_staff():
    root = page(Score(title="Nothing yet"))
    assert "Nothing yet" in {e.text for e in root.iter(tag("text"))}
    assert heads(root) == 0


# ── played music ─────────────────────────────────────────────────────────────────────────────────────────


def test_played_music_is_put_on_a_grid_and_written_music_is_left_alone():
    rng = np.random.default_rng(1)
    late = [int(x) for x in rng.integers(-22, 22, 32)]
    played = Score((Track.of([Note(max(0, i * 240 + late[i]), 200, 60 + i % 5) for i in range(32)]),), Q)
    assert is_played(played)
    (track,) = as_written(played).tracks
    ticks = as_written(played).ticks_per_quarter
    assert (track.notes["onset_ticks"] * 2 % ticks == 0).all()
    assert (track.notes["duration_ticks"] * 2 == ticks).all()
    fives = Score((Track.of([Note(i * 96, 96, 60) for i in range(20)]),), Q)
    assert not is_played(fives)
    assert as_written(fives) == fives


def test_small_rests_of_detached_playing_are_not_written():
    score = Score((Track.of([Note(0, 360, 60), Note(Q, 240, 62), Note(2 * Q, Q, 64)]),), Q)
    assert as_written(score).tracks[0].notes["duration_ticks"].tolist() == [480, 240, 480]


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────


def long_piece() -> Score:
    return guitar([tab_note(i / 2, 0.5, 1 + i % 6, i % 5) for i in range(900)], title="Long")


def test_a_pdf_holds_all_pages(tmp_path):
    n_pages = len(sheet.engrave(long_piece()))
    assert n_pages > 1
    assert sheet.write(long_piece(), tmp_path / "long.pdf") == [tmp_path / "long.pdf"]
    data = (tmp_path / "long.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page[^s]", data)) == n_pages


def test_a_title_is_a_text_and_nothing_more(tmp_path):
    score = guitar([tab_note(0, 4, 1, 3)], title='#panic("x") $a$ \x00\ud800 <i>&', composer='"\\ #import "y"')
    sheet.write(score, tmp_path / "title.pdf")
    assert (tmp_path / "title.pdf").read_bytes().startswith(b"%PDF-")
    root = page(score)
    assert '"\\ #import "y"' in {e.text for e in root.iter(tag("text"))}


def test_further_pages_of_svg_and_png_are_numbered(tmp_path):
    written = sheet.write(long_piece(), tmp_path / "long.svg")
    assert [path.name for path in written[:2]] == ["long.svg", "long-2.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written)
    for path in written:
        ElementTree.parse(path)
    written = picture.write(long_piece(), tmp_path / "long.png", view="tab", width=700)
    assert len(written) > 1
    for path in written:
        with Image.open(path) as image:
            assert abs(image.width - 700) <= 1
            assert abs(image.height / image.width - 297 / 210) < 0.01


def test_a_short_piece_is_cropped_and_has_ink(tmp_path):
    picture.write(guitar([tab_note(0, 4, 1, 3)]), tmp_path / "short.png", view="both", width=800)
    with Image.open(tmp_path / "short.png") as image:
        assert image.height < image.width
        grey = np.asarray(image.convert("L"))
    assert (grey < 60).mean() > 0.001
    assert (grey == 255).mean() > 0.8
    assert (grey[0] == 255).all()


def test_colour_reaches_the_pixels(tmp_path):
    score = guitar([tab_note(i, 1, 1, 3) for i in range(8)])
    picture.write(score, tmp_path / "c.png", view="both", width=900, colour_from_ticks=4 * Q)
    with Image.open(tmp_path / "c.png") as image:
        rgb = np.asarray(image.convert("RGB")).astype(int)
    want = [int(GENERATED[i : i + 2], 16) for i in (1, 3, 5)]
    orange = abs(rgb - want).sum(axis=2) < 40
    assert orange.sum() > 60
    dark = np.flatnonzero((rgb.sum(axis=2) < 200).any(axis=0))
    middle = (dark.min() + dark.max()) / 2
    assert np.flatnonzero(orange.any(axis=0)).min() > middle


def test_png_is_a_piano_roll_unless_a_view_is_asked_for(tmp_path):
    score = guitar([tab_note(0, 4, 1, 3)])
    formats.write(score, tmp_path / "roll.png")
    picture.write(score, tmp_path / "same.png", view="roll")
    assert (tmp_path / "roll.png").read_bytes() == (tmp_path / "same.png").read_bytes()
    with pytest.raises(RangeError, match="view"):
        picture.write(score, tmp_path / "no.png", view="staff")
    with pytest.raises(RangeError, match="view"):
        sheet.write(score, tmp_path / "no.svg", view="roll")


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_hanging_engraver_is_killed(tmp_path):
    mark = tmp_path / "alive"
    code = f"import time, pathlib; time.sleep(4); pathlib.Path({str(mark)!r}).touch()"
    begun = time.perf_counter()
    with pytest.raises(LimitError, match="within 1 s"):
        run({"verb": "engrave"}, ProcessLimits(seconds=1), [PYTHON, "-c", code])
    assert time.perf_counter() - begun < 3.5
    time.sleep(3.5)
    assert not mark.exists()


@pytest.mark.skipif(importlib.util.find_spec("resource") is None, reason="no such limits on this system")
def test_the_worker_bounds_its_own_time_and_memory():
    bound = "from cadenza.formats.sheet._worker import bound; bound({}, {});"
    busy = [PYTHON, "-c", bound.format(4 << 30, 1) + "\nwhile True: pass"]
    with pytest.raises(LimitError, match="within 30 s"):
        run({"verb": "engrave"}, ProcessLimits(seconds=30), busy)
    greedy = [PYTHON, "-c", bound.format(1 << 29, 20) + "bytearray(1 << 30)"]
    with pytest.raises(LimitError, match="MB"):
        run({"verb": "engrave"}, ProcessLimits(seconds=30), greedy)


def test_a_crashing_engraver_is_a_typed_error():
    with pytest.raises(FormatError, match="engrave"):
        run({"verb": "engrave"}, ProcessLimits(seconds=20), [PYTHON, "-c", "import os; os.abort()"])
    with pytest.raises(FormatError, match="ruined"):
        run({"verb": "engrave"}, ProcessLimits(seconds=20), [PYTHON, "-c", "raise SystemExit('ruined')"])
    with pytest.raises(FormatError):
        run({"verb": "engrave", "musicxml": "<no", "options": {}, "max_pages": 1, "crop": False}, ProcessLimits())


def test_too_many_pages_is_a_typed_error():
    with pytest.raises(LimitError, match="pages"):
        sheet.engrave(long_piece(), limits=ProcessLimits(pages=1))


@pytest.mark.parametrize(("absent", "suffix"), [("verovio", ".svg"), ("verovio", ".pdf"), ("typst", ".pdf")])
def test_an_absent_engraver_is_said_with_the_cure(absent, suffix, monkeypatch, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: None if name == absent else found(name))
    with pytest.raises(MissingExtraError, match=rf"no {absent}.*pip install 'cadenza\[sheet\]'"):
        sheet.write(guitar([]), tmp_path / f"x{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_importing_the_format_loads_nothing_native():
    code = "import cadenza.formats.sheet, sys; print(sorted({'verovio', 'typst', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ── music of others ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.shared
def test_every_note_of_real_files_is_drawn(shared_data):
    from cadenza.score.edit import select_bars
    from cadenza.score.time import bar_table

    lieder = sorted((shared_data / "openscore_lieder").glob("**/*.mxl"))[::400]
    mutopia = sorted((shared_data / "mutopia").glob("*.mid"))[::400]
    tabs = sorted((shared_data / "guitarpro").glob("**/*.gp5"))[::8]
    assert len(lieder) > 2
    assert len(tabs) > 5
    for path in (*lieder, *mutopia, *tabs):
        score = formats.read(path)
        score = select_bars(0, min(12, len(bar_table(score)))).apply(score)
        drawn, _ = prepare(score, "both")
        pages = [ElementTree.fromstring(one.svg) for one in sheet.engrave(score)]
        shown = {g.get("id") for root in pages for g in root.iter(tag("g")) if g.get("class") == "note"}
        assert set(drawn.places) <= shown, path.name
