"""``cadenza diff``: what it says, its exit statuses, its JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cadenza import formats
from cadenza.app.cli.main import main
from cadenza.score.model import STANDARD_TUNINGS, BarMark, Bend, Note, Score, Technique, Tempo, Track

TUNING = STANDARD_TUNINGS["guitar"]


@pytest.fixture
def cli(monkeypatch, capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cadenza", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


def tab(**note: object) -> Score:
    notes = [Note(i * 960, 960, 45 + i, 95, (), 5, i, Technique.PALM_MUTE) for i in range(8)]
    notes[5] = replace(notes[5], **note)
    return Score((Track.of(notes, name="Lead", program=29, tuning=TUNING),), 960, (Tempo(0, 100.0),), title="A")


@pytest.fixture
def two(tmp_path: Path):
    def write(a: Score, b: Score, suffixes: tuple[str, str] = ("gp5", "gp5")) -> list[Path]:
        paths = [tmp_path / f"{name}.{suffix}" for name, suffix in zip("ab", suffixes, strict=True)]
        for path, score in zip(paths, (a, b), strict=True):
            formats.write(score, path)
        return paths

    return write


def test_equal_files(cli, two) -> None:
    status, out, err = cli("diff", *two(tab(), tab()))
    assert (status, out, err) == (0, "no musical difference: 8 notes in both\n", "")


def test_a_change_has_its_place_and_values(cli, two) -> None:
    status, out, _ = cli("diff", *two(tab(), replace(tab(velocity=47, bends=(Bend(0, 0), Bend(960, 200))), title="B")))
    assert status == 1
    lines = out.splitlines()
    assert lines[2] == "header: title"
    assert lines[3] == "track 1 'Lead': changed: velocity 1, bends 1"
    assert "  title 'A' → 'B'" in lines
    assert (
        "  bar 2 beat 2  track 1 'Lead' D3: velocity 95 → 47, bends none → 0:0 1:200 (at most 200 cents apart)" in lines
    )


def test_a_note_of_one_file_only(cli, two) -> None:
    fewer = tab()
    fewer = fewer.with_tracks([fewer.tracks[0].keep(fewer.tracks[0].notes["pitch"] != 50)])
    _, out, _ = cli("diff", *two(tab(), fewer))
    assert "1 note only in A" in out
    assert "  bar 2 beat 2  track 1 'Lead' D3, 1 quarters: only in A" in out
    _, out, _ = cli("diff", *two(fewer, tab()))
    assert "D3, 1 quarters: only in B" in out


def test_formats_and_resolutions_differ_freely(cli, two) -> None:
    paths = two(tab(), tab(), ("gp5", "mid"))
    status, out, _ = cli("diff", *paths)
    assert status == 1
    assert "techniques 8 (−8 palm mute)" in out
    status, _, _ = cli("diff", *paths, "--ignore", "string,fret,techniques,tuning")
    assert status == 0
    assert cli("diff", *paths, "--only", "header")[0] == 0


def test_a_shift_of_all_notes_is_one_thing(cli, two) -> None:
    higher = tab()
    notes = [replace(note, pitch=note.pitch + 2, fret=note.fret + 2) for note in higher.tracks[0]]
    higher = higher.with_tracks([Track.of(notes, name="Lead", program=29, tuning=TUNING)])
    _, out, _ = cli("diff", *two(tab(), higher), "--limit", 0)
    assert "pitch 8 (all +2), fret 8" in out
    assert "beat" not in out


def test_limit(cli, two) -> None:
    _, out, _ = cli("diff", *two(tab(), tab(), ("gp5", "mid")), "--limit", 3)
    assert sum(line.startswith("  ") for line in out.splitlines()) == 4
    assert "more (--limit 9 lists all)" in out


def test_json(cli, two) -> None:
    status, out, _ = cli("diff", *two(tab(), tab(velocity=47)), "--json")
    said = json.loads(out)
    assert status == 1
    assert (said["equal"], said["notes"], said["notes_in_both"], said["counts"]) == (False, [8, 8], 8, {"velocity": 1})
    (one,) = said["differences"]
    assert (one["aspect"], one["a"], one["b"], one["track"]) == ("velocity", 95, 47, [0, 0])
    assert one["at"] == [{"bar": 2, "beat": 2.0, "quarters": 5.0}] * 2
    assert json.loads(cli("diff", *two(tab(), tab()), "--json")[1])["equal"]


def test_unfold_compares_as_it_sounds(cli, two) -> None:
    short = tab().tracks[0]
    short = short.keep(short.notes["onset_ticks"] < 4 * 960)
    again = np.concatenate([short.notes, short.notes])
    again["onset_ticks"][4:] += 4 * 960
    folded = replace(tab(), tracks=(short,), bars=(BarMark(0, True, 2),), length_ticks=4 * 960)
    paths = two(folded, replace(tab(), tracks=(short.with_notes(again),)))
    assert cli("diff", *paths)[0] == 1
    assert cli("diff", *paths, "--unfold") == (0, "no musical difference: 8 notes in both\n", "")


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (("--only", "velocty"), "velocity"),
        (("--tolerance", "soon"), "--tolerance"),
        (("--tolerance", "-1"), "--tolerance"),
    ],
)
def test_an_error_is_status_2(extra, said, cli, two, tmp_path) -> None:
    status, out, err = cli("diff", *two(tab(), tab()), *extra)
    assert (status, out) == (2, "")
    assert said in err
    assert cli("diff", tmp_path / "a.gp5", tmp_path / "missing.mid")[0] == 2
