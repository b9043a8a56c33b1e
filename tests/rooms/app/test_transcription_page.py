"""The page of a transcription: whole, offline, and lined up."""

from __future__ import annotations

import base64
import io
import json
import re
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from cadenza.app import transcription_page
from cadenza.app.cli.main import app
from cadenza.formats import wav
from cadenza.infer import transcribers
from cadenza.infer.notator import notated
from cadenza.infer.transcribe import transcribe
from cadenza.model.ear import Ear
from cadenza.score.model import Note, Score, Tempo, Track
from tests.browser import opened

soundfile = pytest.importorskip("soundfile")


@pytest.fixture(scope="module")
def piece() -> Score:
    """Four bars of 4/4 at 100 quarters a minute for piano and guitar."""
    melody = [Note(480 * n, 440, pitch, 90) for n, pitch in enumerate((64, 67, 72, 71, 69, 65, 64, 62) * 2)]
    bass = [Note(1920 * n, 1900, pitch, 80) for n, pitch in enumerate((48, 53, 50, 43))]
    return Score((Track.of(melody + bass, name="<b>Piano</b>"),), tempos=(Tempo(0, 100.0),))


@pytest.fixture(scope="module")
def recording(tmp_path_factory, piece):
    path = tmp_path_factory.mktemp("page") / "a & b.wav"
    wav.write(piece, path, soundfont="built-in", sample_rate=22_050)
    return path


@pytest.fixture(scope="module")
def heard(recording):
    found = transcribe(recording, Ear(threads=1), drums=False)
    return found, notated(found.score, tempo=100, metre="4/4")


def facts_of(text: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', text)[1])


def test_the_page_is_whole_and_asks_for_nothing(recording, heard):
    text = transcription_page.html(recording, *heard)
    assert "a &amp; b.wav" in text
    assert not re.search(r'(?:src|href)="(?!data:|#)', text.split("<template")[0])
    assert "http" not in re.sub(r'xmlns(?::\w+)?="[^"]*"|http://www.w3.org/2000/svg', "", text)
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(re.search(r"audio/flac;base64,([^\"]+)", text)[1])))
    assert rate == 16_000
    found = heard[0]
    assert len(sound) == pytest.approx(16_000 * found.duration_seconds, abs=2)
    assert text.count("confidence 0.") + text.count("confidence 1.") == len(found.heard)


def test_bars_lie_where_they_are_played(recording, heard):
    bars = facts_of(transcription_page.html(recording, *heard))["bars"]
    assert bars[:4] == pytest.approx([2.4 * n for n in range(4)], abs=0.06)


def test_an_upbeat_and_silence_before_it_are_kept_apart(tmp_path, piece):
    """Bars are told in the recording's own seconds, whatever was cut from the page."""
    found = notated(piece, tempo=100, metre="4/4")
    later = Score(
        tuple(track.with_notes(np.array(track.notes)) for track in piece.tracks), piece.ticks_per_quarter, piece.tempos
    )
    notes = later.tracks[0].notes.copy()
    notes["onset_ticks"] += 480 * 5 + 120
    moved = notated(later.with_tracks([later.tracks[0].with_notes(notes)]), tempo=100, metre="4/4")
    shift = moved.seconds_at(np.zeros(1))[0] - found.seconds_at(np.zeros(1))[0]
    assert shift == pytest.approx(0.6 * 5.25, abs=0.05)


def test_without_the_engraver_it_says_so_and_shows_the_text(recording, heard, monkeypatch):
    monkeypatch.setitem(sys.modules, "verovio", None)
    text = transcription_page.html(recording, *heard)
    assert "cadenza[sheet]" in text
    assert "<pre>" in text
    assert "K:" in text


def test_the_player_the_lanes_and_the_sheet_move_together(tmp_path, recording, heard):
    pytest.importorskip("verovio")
    path = tmp_path / "page.html"
    path.write_text(transcription_page.html(recording, *heard), "utf-8")
    with opened(path, tmp_path) as browser:
        n_bars, n_measures = browser.run("return [data.bars.length, measures.length]")
        assert n_bars == n_measures >= 4
        assert browser.run("return player.error") is None
        assert browser.run("return player.duration") == pytest.approx(heard[0].duration_seconds, abs=0.01)
        browser.run("go(5.0)")
        assert browser.run("return document.body.dataset.bar") == "3"
        assert browser.run("return parseFloat(cursor.style.left)") == pytest.approx(250, abs=1)
        assert browser.run("return shade.parentNode === measures[2]")
        browser.run("measures[1].dispatchEvent(new MouseEvent('click', {bubbles: true}))")
        assert browser.run("return player.currentTime") == pytest.approx(2.4, abs=0.06)
        assert browser.run("return inner.getBoundingClientRect().width") == pytest.approx(
            50 * heard[0].duration_seconds, abs=2
        )
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
        assert not browser.logged()


def test_long_recordings_are_cut_and_say_so(recording, heard, monkeypatch):
    monkeypatch.setattr(transcription_page, "MAX_SECONDS", 3.0)
    text = transcription_page.html(recording, *heard)
    assert "Shown are the first" in text
    assert facts_of(text)["seconds"] == 3.0
    assert text.count("confidence ") - text.count("mean confidence") < len(heard[0].heard)


def test_the_command_writes_it_with_another_transcriber_too(tmp_path, recording):
    page = tmp_path / "out" / "page.html"
    done = CliRunner().invoke(app, ["transcribe", str(recording), "--report", str(page), "--with", "naive"])
    assert done.exit_code == 0, done.output
    assert "by naive" in done.output
    assert "heard by naive" in page.read_text("utf-8")
    for wrong in (["--report", str(tmp_path / "page.pdf")], [], ["-o", "x.mid", "--with", "nobody"],
                  ["-o", "x.mid", "--with", "naive", "--threshold", "0.4"]):  # fmt: skip
        assert CliRunner().invoke(app, ["transcribe", str(recording), *wrong]).exit_code != 0


def test_transcribers_take_part_by_name(recording, piece):
    found = transcribers.transcribe_with("naive", recording, instruments=["plucked"])
    assert [track.name for track in found.score.tracks] == ["Guitar"]
    assert len(found.tracks) == len(found.heard) > piece.n_notes / 2
    assert "ear" in transcribers.names()
