"""Reports: the same however they come about; leaderboards that say what they do not compare; listening pages."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from cadenza import formats
from cadenza.app.evaluation import folder, leaderboard, listen, notes_csv, page, pairs, picture
from cadenza.app.evaluation.generation import GenerationConfig, run
from cadenza.base.errors import ConfigError, FormatError
from cadenza.metrics import statistics
from cadenza.score.model import BarMark, Note, Score, Track
from tests.browser import opened
from tests.rooms.infer.seeds import band, guitar
from tests.rooms.infer.tiny import write_composer

METRICS = ["pitch", "repetition", "originality"]


def quietly(stage: str, done: int, total: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of music and an untrained model."""
    root = tmp_path_factory.mktemp("evaluation")
    (root / "music").mkdir()
    rng = random.Random(5)
    for name, score in (("a", guitar(rng, bars=9)), ("b", band(rng, bars=9)), ("c", guitar(rng, metre=(3, 4), bars=9))):
        formats.write(score, root / "music" / f"{name}.mid")
    write_composer(root / "composer", context_tokens=512)
    return root


def config_of(place, **more):
    return GenerationConfig(
        model=str(place / "composer"), corpus=str(place / "music"), n_seeds=3, n_given=3, n_bars=2, text_bars=4,
        decodings=["greedy", "T=1"], metrics=METRICS, resamples=200,
        frechet="shipped", **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(place):
    """A finished run."""
    out = place / "run"
    run(config_of(place), out, n_workers=1, limit_seconds=300, say=quietly)
    return out


# ── generation ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_report_says_all_that_was_asked(finished):
    report = folder.read_json(finished / folder.REPORT)
    assert list(report["systems"]) == ["human", "copy", "random", "greedy", "T=1"]  # no training split, no n-grams
    assert report["n_seeds"] == 3
    for name, found in report["systems"].items():
        assert found["notes"] > 0, name
        assert found["columns"]["pitch_range"]["n"] == 3
        bounds = found["columns"]["pitch_range"]
        assert bounds["low"] <= bounds["value"] <= bounds["high"]
    assert report["systems"]["copy"]["columns"]["copied_bars_seed"]["value"] == 1.0
    bits = report["likelihood"]["systems"]["model"]["bits_per_note"]
    assert bits["low"] <= bits["value"] <= bits["high"]
    assert report["likelihood"]["stride_tokens"] == 256
    pairs_of_systems = {(one["a"], one["b"]) for one in report["paired"]}
    assert ("greedy", "human") in pairs_of_systems
    assert ("greedy", "T=1") in pairs_of_systems
    assert all(one["p_holm"] >= one["p"] for one in report["paired"])
    assert all(found["frechet_music_distance"] >= 0 for found in report["sets"].values())
    assert any("two halves of the human" in note for note in report["notes"])


def test_a_page_holds_all_it_shows(finished):
    text = (finished / folder.PAGE).read_text("utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert text.count("data:audio/wav;base64,") == 3  # one best or worst for each of three seeds
    for name in ("greedy", "pitch range", "copied bars seed", "bits a note"):
        assert name in text


def test_a_run_that_was_stopped_ends_with_the_same_report(place, finished):
    """Some seeds composed but not measured, some not at all, a half-written file: as a kill leaves it."""
    out = place / "stopped"
    shutil.copytree(finished, out)
    for name in (folder.REPORT, folder.PAGE, folder.ROWS, "likelihood.json"):
        (out / name).unlink()
    folder.row_path(out, 0).unlink()
    for path in (out / "pieces").glob("00001*"):
        path.unlink()
    (out / "pieces" / ".00001.json.abcdefgh.part").write_text("{")
    run(config_of(place), out, n_workers=2, limit_seconds=300, say=quietly)
    for name in (folder.REPORT, folder.PAGE, folder.ROWS):
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name
    assert not list(out.rglob("*.part"))


@pytest.mark.slow
def test_a_run_that_is_killed_ends_with_the_same_report(place, finished):
    out = place / "killed"
    command = [sys.executable, "-m", "cadenza", "evaluate", "generation", "-o", str(out), "--workers", "1",
               "--config", str(finished / folder.CONFIG)]  # fmt: skip
    for done in (0, 1):
        process = subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        ended = time.monotonic() + 300
        while len(folder.rows(out)) <= done and process.poll() is None and time.monotonic() < ended:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, capture_output=True)
    for name in (folder.REPORT, folder.PAGE, folder.ROWS):
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name


def test_another_configuration_is_refused_with_the_difference(place, finished):
    with pytest.raises(ConfigError, match=r"n_seeds: was 3, now 4"):
        run(
            GenerationConfig(**{**config_of(place).__dict__, "n_seeds": 4}), finished,
            n_workers=1, limit_seconds=9, say=quietly,
        )  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"decodings": ["greedi"]}, {"baselines": ["dice"]}, {"metrics": ["pich"]}, {"n_bars": 0}, {"corpus": ""},
        {"decodings": ["greedy", "greedy"]}, {"common": [{"name": "simplified-midi", "bars": 3}]},
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said_at_once(wrong):
    with pytest.raises(ConfigError):
        GenerationConfig(**({"corpus": "x"} | wrong)).notations()


# ── leaderboard ──────────────────────────────────────────────────────────────────────────────────────────


def test_rows_of_a_run_stand_on_a_board(finished, tmp_path):
    added = leaderboard.add(tmp_path / "board", [finished])
    assert len(added) == 5
    assert {done for _, done in leaderboard.add(tmp_path / "board", [finished])} == {"replaced"}
    rows = leaderboard.load(tmp_path / "board")
    (group,) = leaderboard.groups(rows)
    assert [row["system"] for row in group] == ["human", "copy", "random", "composer", "composer"]
    assert "bits_per_note" in group[-1]["figures"]
    assert group[-1]["config"]["corpus"] == "music"  # a row travels: it names no machine's folders
    assert str(finished.parent) not in json.dumps(rows)
    text = leaderboard.html(rows)
    assert "Published figures of others" in text
    assert "MAESTRO" in text


def test_rows_of_other_settings_are_not_compared_and_it_says_why(finished, tmp_path):
    rows = folder.read_json(finished / folder.ROWS)
    for changed, said in (({"split": "validation"}, "split: test and validation"), ({"n_bars": 16}, "bars written")):
        other = json.loads(json.dumps(rows[-1]))
        other["settings"] |= changed
        folder.write_json(tmp_path / "other.json", [other])
        board = tmp_path / f"board-{said[:4]}"
        leaderboard.add(board, [finished, tmp_path / "other.json"])
        found = leaderboard.groups(leaderboard.load(board))
        assert [len(group) for group in found] == [5, 1]
        assert said in "; ".join(leaderboard.why_not(found[0][0], found[1][0]))
        assert said in leaderboard.html(leaderboard.load(board))
    other = json.loads(json.dumps(rows[-1]))
    other["settings"] |= {"stride_tokens": 3}
    other["model_sha256"] = "another"
    assert leaderboard.why_not(rows[-1], other) == []
    assert leaderboard.comparable_bits([rows[-1], other]) == ["composer, T=1: stride: 256 and 3"]


def test_what_is_no_row_is_refused(tmp_path):
    folder.write_json(tmp_path / "x.json", {"score": 7})
    with pytest.raises(FormatError, match="leaderboard row"):
        leaderboard.add(tmp_path / "board", [tmp_path / "x.json"])
    with pytest.raises(ConfigError):
        leaderboard.load(tmp_path / "nothing")


# ── pairs ────────────────────────────────────────────────────────────────────────────────────────────────


def test_pairs_by_name_over_formats(tmp_path):
    score = guitar(random.Random(1), bars=3)
    for side in ("ref", "est"):
        (tmp_path / side / "deep").mkdir(parents=True)
    formats.write(score, tmp_path / "ref" / "one.mid")
    formats.write(score, tmp_path / "est" / "one.musicxml")
    formats.write(score, tmp_path / "ref" / "deep" / "two.mid")
    (tmp_path / "ref" / "three.csv").write_text("onset,duration,pitch\n0,0.5,60\n0.5,0.5,62\n")
    (tmp_path / "est" / "three.csv").write_text("0.01,261.63,0.5\n0.51,440.0,0.5\n")
    (tmp_path / "est" / "unasked.mid").write_bytes(b"")
    config = pairs.PairsConfig(str(tmp_path / "ref"), str(tmp_path / "est"), metrics=["transcription"], resamples=100)
    report = pairs.run(config, tmp_path / "out", n_workers=1, limit_seconds=300, say=quietly)
    by = {one["name"]: one["columns"] for one in report["pairs"]}
    assert by["one"]["onset_f1"] == 1.0
    assert by["three"]["onset_f1"] == 0.5
    assert by["deep/two"]["onset_f1"] == 0.0
    assert report["problems"] == {"deep/two": "no answer"}
    assert report["figures"]["onset_f1"]["value"] == pytest.approx(0.5)
    (row,) = folder.read_json(tmp_path / "out" / folder.ROWS)
    assert leaderboard.checked(row, "")["settings"]["kind"] == "transcription"
    assert "data:audio/wav" in (tmp_path / "out" / folder.PAGE).read_text("utf-8")
    before = (tmp_path / "out" / folder.REPORT).read_bytes()
    folder.row_path(tmp_path / "out", 1).unlink()
    (tmp_path / "out" / folder.REPORT).unlink()
    pairs.run(config, tmp_path / "out", n_workers=1, limit_seconds=300, say=quietly)
    assert (tmp_path / "out" / folder.REPORT).read_bytes() == before


def test_recordings_are_heard_and_judged(tmp_path):
    """The shipped ear on a few piano notes of the built-in synthesizer, beside silence."""
    import wave

    score = Score((Track.of([Note(480 * i, 480, pitch) for i, pitch in enumerate((60, 64, 67, 72, 67, 64))]),))
    (tmp_path / "ref").mkdir()
    (tmp_path / "est").mkdir()
    for name in ("tune", "silent"):
        formats.write(score, tmp_path / "ref" / f"{name}.mid")
    formats.write(score, tmp_path / "est" / "tune.wav")
    with wave.open(str(tmp_path / "est" / "silent.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(64_000))
    config = pairs.PairsConfig(
        str(tmp_path / "ref"), str(tmp_path / "est"), model="shipped", metrics=["transcription"], resamples=50
    )
    report = pairs.run(config, tmp_path / "out", n_workers=1, limit_seconds=300, say=quietly)
    by = {one["name"]: one["columns"] for one in report["pairs"]}
    assert by["tune"]["onset_f1"] > 0.6
    assert by["silent"]["onset_f1"] == 0.0
    assert list(report["problems"]) == ["silent"]
    assert report["system"] == "ear shipped"


@pytest.mark.parametrize(
    ("repeats", "played_again", "played_once"), [("auto", 1.0, 1.0), ("written", 2 / 3, 1.0), ("played", 1.0, 2 / 3)]
)
def test_a_reference_with_repeats_is_compared_with_what_was_played(tmp_path, repeats, played_again, played_once):
    """A reference that says a repeat, an answer that plays it and one that does not (neither says so)."""
    notes = [Note(480 * i, 480, 60 + i) for i in range(8)]
    written = Score((Track.of(notes),), bars=(BarMark(0, repeat_open=True), BarMark(1920, repeat_close=2)))
    twice = [Note(n.onset_ticks + shift, n.duration_ticks, n.pitch) for shift in (0, 3840) for n in notes]
    for side in ("ref", "est"):
        (tmp_path / side).mkdir()
    for name, played in (("again", twice), ("once", notes)):
        formats.write(written, tmp_path / "ref" / f"{name}.musicxml")
        formats.write(Score((Track.of(played),)), tmp_path / "est" / f"{name}.mid")
    config = pairs.PairsConfig(
        str(tmp_path / "ref"), str(tmp_path / "est"), metrics=["transcription"], repeats=repeats, resamples=50
    )
    report = pairs.run(config, tmp_path / "out", n_workers=1, limit_seconds=300, say=quietly)
    by = {one["name"]: one["columns"] for one in report["pairs"]}
    assert by["again"]["onset_f1"] == pytest.approx(played_again)
    assert by["once"]["onset_f1"] == pytest.approx(played_once)
    assert report["repeats_played"] == [
        name for name in ("again", "once") if repeats == "played" or (repeats == "auto" and name == "again")
    ]
    assert ("Repeats written out" in (tmp_path / "out" / folder.PAGE).read_text("utf-8")) == (repeats != "written")


def test_an_answer_with_repeats_of_its_own_is_compared_as_written():
    notes = [Note(480 * i, 480, 60 + i) for i in range(8)]
    written = Score((Track.of(notes),), bars=(BarMark(0, repeat_open=True), BarMark(1920, repeat_close=2)))
    assert pairs.as_answered(written, written) == (written, False)
    empty = Score(())
    assert pairs.as_answered(written, empty)[1] is False


def test_missing_answers_can_be_an_error(tmp_path):
    for side in ("ref", "est"):
        (tmp_path / side).mkdir()
        formats.write(guitar(random.Random(1), bars=1), tmp_path / side / "a.mid")
    formats.write(guitar(random.Random(1), bars=1), tmp_path / "ref" / "b.mid")
    assert [pair.est is None for pair in pairs.pairs_of(tmp_path / "ref", tmp_path / "est")] == [False, True]
    with pytest.raises(ConfigError, match="none for b"):
        pairs.pairs_of(tmp_path / "ref", tmp_path / "est", "error")
    (tmp_path / "est" / "a.mid").rename(tmp_path / "est" / "c.mid")
    with pytest.raises(ConfigError, match="same name"):
        pairs.pairs_of(tmp_path / "ref", tmp_path / "est")
    shutil.copy(tmp_path / "ref" / "a.mid", tmp_path / "ref" / "a.midi")
    with pytest.raises(ConfigError, match="one file of each name"):
        pairs.pairs_of(tmp_path / "ref", tmp_path / "est")


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("0.5,440.0,0.25\n", [(1000, 500, 69)]),
        ("onset_seconds,offset_seconds,pitch\n0.5,0.75,68.6\n", [(1000, 500, 69)]),
        ("\ufeffduration,hz,start\n\n0.25,261.6,1\n", [(2000, 500, 60)]),
        ("", []),
    ],
)
def test_lists_of_notes(text, notes, tmp_path):
    (tmp_path / "n.csv").write_text(text, "utf-8")
    track = notes_csv.read(tmp_path / "n.csv").tracks[0]
    assert [(int(n["onset_ticks"]), int(n["duration_ticks"]), int(n["pitch"])) for n in track.notes] == notes


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,2\n", "0,0,1\n", "0,440,-1\n", "0,440\n", "onset,offset,pitch\n0,1,200\n", "0,440,nan\n", "0,x,1\n"],
)
def test_lists_that_are_none(text, tmp_path):
    (tmp_path / "n.csv").write_text(text)
    with pytest.raises(FormatError, match=r"n\.csv"):
        notes_csv.read(tmp_path / "n.csv")


# ── pictures, sound, numbers ─────────────────────────────────────────────────────────────────────────────


def test_sound_is_a_wav_of_the_right_length():
    import base64
    import io
    import wave

    score = Score((Track.of([Note(0, 480, 60), Note(480, 480, 64)]),), length_ticks=960)
    head, _, body = picture.sound(score).partition(",")
    assert head == "data:audio/wav;base64"
    with wave.open(io.BytesIO(base64.b64decode(body))) as file:
        assert file.getparams()[:3] == (1, 2, picture.SAMPLE_RATE)
        assert 1.0 <= file.getnframes() / picture.SAMPLE_RATE < 8.0
    long = Score((Track.of([Note(480 * i, 480, 60) for i in range(200)]),))
    with wave.open(io.BytesIO(base64.b64decode(picture.sound(long, 2.0).partition(",")[2]))) as file:
        assert file.getnframes() <= 2.0 * picture.SAMPLE_RATE


def test_a_roll_shows_every_note():
    score = band(random.Random(2), bars=2)
    drawn = picture.roll(score, 1920, "a & b")
    assert drawn.count("<rect") == score.n_notes
    assert "a &amp; b" in drawn


@pytest.mark.parametrize(
    ("value", "said"), [(0.0, "0"), (None, "–"), (0.12345, "0.123"), (1234.5, "1,234"), (0.00001, "1.0e-05")]
)
def test_numbers(value, said):
    assert page.number(value) == said


# ── listening ────────────────────────────────────────────────────────────────────────────────────────────


def _results(path, answers, task="human"):
    rows = [
        {"page": "p", "trial": i, "task": task, "seed": "s, 1", "system": "greedy", "a": a, "x": x, "answer": answer,
         "right": right, "seconds": 1.0}
        for i, (a, x, answer, right) in enumerate(answers, 1)
    ]  # fmt: skip
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, listen.COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def test_results_are_judged_by_the_exact_test(tmp_path):
    answers = [("human", "given", "a", 1)] * 6 + [("greedy", "given", "b", 1)] * 3 + [("human", "given", "b", 0)]
    _results(tmp_path / "r.csv", answers)
    (found,) = listen.judged(tmp_path / "r.csv")["tests"]
    assert (found["n"], found["right"]) == (10, 9)
    assert found["p"] == pytest.approx(22 / 1024)
    text = (tmp_path / "r.csv").read_text()
    (tmp_path / "two.csv").write_text(text + text)  # two listeners' files, one after the other
    assert listen.judged(tmp_path / "two.csv")["tests"][0]["n"] == 20
    _results(tmp_path / "forged.csv", [("human", "given", "b", 1)])
    with pytest.raises(FormatError, match="as its answer says"):
        listen.judged(tmp_path / "forged.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FormatError, match="columns"):
        listen.judged(tmp_path / "other.csv")


def test_a_listening_page_asks_what_it_can(finished):
    with pytest.raises(ConfigError, match="Did you mean 'greedy'"):
        listen.build(finished, "greedi")
    with pytest.raises(ConfigError, match="task"):
        listen.build(finished, task="abcx")
    text = listen.build(finished, n=2, seed=3)
    assert text == listen.build(finished, n=2, seed=3)
    assert text.count("data:audio/wav") == 6
    assert "https://" not in text


@pytest.mark.slow
@pytest.mark.parametrize("task", listen.TASKS)
def test_a_listening_page_is_played_through(finished, tmp_path, task):
    """By keys alone, in headless Chromium, offline; the CSV that it offers is judged as the page itself judges."""
    (tmp_path / "page.html").write_text(listen.build(finished, n=3, task=task, seed=1), "utf-8")
    with opened(tmp_path / "page.html", tmp_path) as browser:
        assert browser.run("return document.body.dataset.trial") == "1"
        browser.press("left")  # nothing heard yet: no answer counts
        assert browser.run("return document.body.dataset.trial") == "1"
        for number in range(3):
            browser.press("x", "a")
            assert browser.run("return playing !== null && !playing.paused && !playing.error")
            browser.press("b", "space")
            assert browser.run("return playing === null")
            browser.press("left" if number % 2 else "right")
        assert browser.run("return document.body.dataset.trial") == "end"
        told = browser.run("return document.getElementById('verdict').dataset.right")
        p = float(browser.run("return document.getElementById('verdict').dataset.p"))
        address = browser.run("return document.getElementById('download').href")
        assert browser.logged() == []
        browser.press("d")
        ended = time.monotonic() + 20
        while not (files := list(tmp_path.glob("listening-*.csv"))) and time.monotonic() < ended:
            time.sleep(0.1)
    assert files, "nothing was downloaded"
    import urllib.parse

    assert files[0].read_text("utf-8") == urllib.parse.unquote(address.partition(",")[2])
    (found,) = listen.judged(files[0])["tests"]
    assert (found["task"], found["system"], found["n"]) == (task, "greedy", 3)
    assert found["right"] == int(told)
    assert p == pytest.approx(found["p"]) == pytest.approx(statistics.binomial_test(int(told), 3))


@pytest.mark.slow
def test_report_and_board_open_in_a_browser(finished, tmp_path):
    leaderboard.add(tmp_path / "board", [finished])
    (tmp_path / "board.html").write_text(leaderboard.html(leaderboard.load(tmp_path / "board")), "utf-8")
    for path, least in ((finished / folder.PAGE, 3), (tmp_path / "board.html", 1)):
        with opened(path, tmp_path) as browser:
            assert browser.logged() == []
            assert browser.run("return document.querySelectorAll('svg').length") > 10
            assert browser.run("return document.querySelectorAll('table').length") >= least
            assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
