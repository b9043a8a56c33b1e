"""Folders: what is planned, what becomes of each file, and that nothing stops the rest."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cadenza import formats
from cadenza.app import batch
from cadenza.app.cli.main import main
from cadenza.app.workers import each
from cadenza.base.errors import ConfigError, NotationError
from cadenza.score.model import STANDARD_TUNINGS, BarMark, Note, Score, Track
from tests.rooms.app.jobs import job

ROOT = Path(__file__).parents[3]
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


def tab(n: int = 4) -> Score:
    bars = (BarMark(0, True, 2),)
    notes = [Note(i * 960, 960, 40 + i, 95, (), 6, i) for i in range(n)]
    return Score((Track.of(notes, name="a", program=29, tuning=TUNING),), 960, bars=bars)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good files, one of them below, a broken one, one that is none of ours, hidden ones."""
    root = tmp_path / "tabs"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / ".hidden").mkdir()
    for name in ("a.gp5", "sub/deep/b.gp5", ".hidden/c.gp5", "._a.gp5"):
        formats.write(tab(), root / name)
    (root / "broken.gp5").write_bytes(b"\x18FICHIER GUITAR PRO v5.00 and no more")
    (root / "readme.txt").write_text("no music")
    return root


def rows(path: Path) -> dict[str, dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return {row["source"]: row for row in csv.DictReader(file)}


def test_a_folder_keeps_its_structure_and_each_file_is_a_row(cli, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, said, err = cli("convert", folder, out, "--to", "mid", "--jobs", 2)
    assert (status, err) == (1, "")
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == [
        "a.mid", "results.csv", "sub/deep/b.mid",
    ]  # fmt: skip
    found = rows(out / "results.csv")
    assert list(found) == ["a.gp5", "broken.gp5", "sub/deep/b.gp5"]
    good, bad = found["sub/deep/b.gp5"], found["broken.gp5"]
    assert (good["target"], good["status"], good["notes_in"], good["notes_out"]) == (
        "sub/deep/b.mid", "converted", "4", "4",
    )  # fmt: skip
    assert "drops strings and frets of notes (4 notes)" in good["losses"].split(batch.BETWEEN)
    assert float(good["seconds"]) > 0
    assert bad["status"] == "failed"
    assert bad["expected"]
    assert bad["actual"]
    assert "broken.gp5" in bad["where"]
    assert "2 converted, 1 failed" in said
    assert "2 files: this conversion drops strings and frets of notes" in said
    assert "(broken.gp5)" in said
    assert formats.read(out / "sub/deep/b.mid").n_notes == 4


def test_strict_refuses_and_writes_nothing(cli, folder: Path, tmp_path: Path) -> None:
    (folder / "broken.gp5").unlink()
    out = tmp_path / "out"
    status, said, _ = cli("convert", folder, out, "--to", "mid", "--strict", "--jobs", 1)
    assert status == 1
    assert "2 refused" in said
    assert [path.name for path in out.rglob("*")] == ["results.csv"]
    assert {row["status"] for row in rows(out / "results.csv").values()} == {"refused"}
    status, said, _ = cli("convert", folder, tmp_path / "tabs2", "--to", "gp5", "--strict", "--jobs", 1)
    assert (status, said.splitlines()[0]) == (0, "2 converted")


def test_unfold(cli, folder: Path, tmp_path: Path) -> None:
    cli("convert", folder, tmp_path / "out", "--to", "mid", "--unfold", "--jobs", 1)
    row = rows(tmp_path / "out" / "results.csv")["a.gp5"]
    assert int(row["notes_in"]) == int(row["notes_out"]) == 8
    assert "bar marks" not in row["losses"]


def test_what_is_done_is_skipped_until_its_source_changes(cli, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli("convert", folder, out, "--to", "mid", "--jobs", 1)
    before = (out / "a.mid").stat().st_mtime_ns
    later = time.time() + 5
    os.utime(folder / "sub/deep/b.gp5", (later, later))
    status, said, _ = cli("convert", folder, out, "--to", "mid", "--jobs", 1)
    assert status == 1  # the broken file is tried again
    assert "1 converted, 1 failed, 1 skipped (newer than their source" in said
    found = rows(out / "results.csv")
    assert (found["a.gp5"]["status"], found["a.gp5"]["notes_out"]) == ("skipped", "4")
    assert found["a.gp5"]["losses"] == found["sub/deep/b.gp5"]["losses"]
    assert (out / "a.mid").stat().st_mtime_ns == before
    said = cli("convert", folder, out, "--to", "mid", "--jobs", 1, "--overwrite")[1]
    assert "2 converted, 1 failed" in said
    assert (out / "a.mid").stat().st_mtime_ns > before


def test_two_files_of_one_name_both_survive(cli, folder: Path, tmp_path: Path) -> None:
    formats.write(tab(2), folder / "a.mid")
    status, _, _ = cli("convert", folder, tmp_path / "out", "--to", "smidi", "--jobs", 1, "--from", "mid,gp5")
    assert status == 1
    names = [path.name for path in (tmp_path / "out").glob("a*")]
    assert sorted(names) == ["a.gp5.smidi", "a.mid.smidi"]


@pytest.mark.parametrize(
    ("sources", "targets"),
    [
        (["a.gp3", "a.gp5", "b.gp5"], ["a.gp3.mid", "a.gp5.mid", "b.mid"]),
        (["a.gp3", "a.gp5", "a.gp3.gp4"], ["a.gp3.mid-2.mid", "a.gp5.mid", "a.gp3.mid"]),
        (["A.gp3", "a.gp3"], ["A.gp3.mid", "a.gp3-2.mid"]),
        (["x/a.gp3", "y/a.gp5"], ["x/a.mid", "y/a.mid"]),
    ],
)
def test_target_names(sources, targets) -> None:
    found = [str(name) for name in batch._target_names([Path(name) for name in sources], "mid")]
    targets = [name.replace("a.gp3.mid-2.mid", "a.gp3-2.mid") for name in targets]
    assert found == targets
    assert len({name.lower() for name in found}) == len(found)


def test_a_source_is_never_written_over(folder: Path) -> None:
    with pytest.raises(ConfigError, match="Name another"):
        batch.plan(folder, folder, "gp5")
    # What lies in the folder of results is none of the sources.
    formats.write(tab(), folder / "sub" / "made.gp5")
    assert [job.source_name for job in batch.plan(folder, folder / "sub", "mid")] == ["a.gp5", "broken.gp5"]
    # The folder of results around that of the sources: sub/deep/b.gp5 would become deep/b.gp5 of the sources.
    (folder / "sub" / "sub" / "deep").mkdir(parents=True)
    shutil.copy(folder / "a.gp5", folder / "sub" / "sub" / "deep" / "b.gp5")
    jobs = {job.source_name: job.target_name for job in batch.plan(folder / "sub", folder, "gp5")}
    assert jobs["sub/deep/b.gp5"] == ""
    assert jobs["deep/b.gp5"] == "deep/b.gp5"
    refused = [row for rows in batch.convert(batch.plan(folder / "sub", folder, "gp5"), 1, 60) for row in rows
               if row.status == "refused"]  # fmt: skip
    assert [row.source for row in refused] == ["sub/deep/b.gp5"]


@pytest.fixture
def book(tmp_path: Path, monkeypatch):
    """A format whose files hold many tunes: what is in ``tunes``."""
    tunes: list[tuple[int, object]] = [(n, tab(n)) for n in (7, 2, 30)]

    def read(path: Path, number: int) -> Score:
        found = dict(tunes)[number]
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[return-value]

    def read_all(path: Path) -> list[tuple[int, Score]]:
        return [(number, read(path, number)) for number, _ in tunes]

    module = formats.FORMATS.load("smidi")
    monkeypatch.setattr(module, "read_all", read_all, raising=False)
    monkeypatch.setattr(module, "numbers", lambda path: [number for number, _ in tunes], raising=False)
    monkeypatch.setattr(module, "read", read)
    (tmp_path / "book.smidi").write_text("")
    return batch.Job(tmp_path / "book.smidi", tmp_path / "out" / "book.mid", "book.smidi", "book.mid"), tunes


def test_a_book_becomes_a_folder(book, tmp_path: Path) -> None:
    one, tunes = book
    made = batch.convert_one(one)
    assert [(row.source, row.target, row.status, row.notes_out) for row in made] == [
        (f"book.smidi#{n}", f"book.smidi/{n:02}.mid", "converted", n) for n in (7, 2, 30)
    ]
    assert formats.read(tmp_path / "out" / "book.smidi" / "02.mid").n_notes == 2
    assert {row.status for row in batch.convert_one(one)} == {"skipped"}
    tunes[:] = tunes[:1]
    assert [row.target for row in batch.convert_one(one)] == ["book.mid"]


def test_a_broken_tune_costs_itself_only(book) -> None:
    one, tunes = book
    tunes[1] = (2, NotationError("a note", "a hat", where="line 3"))
    made = batch.convert_one(one)
    assert [row.status for row in made] == ["converted", "failed", "converted"]
    assert made[1].where.endswith("book.smidi#2, line 3")


@dataclass
class Mended:
    """What a lenient reader reports."""

    text: str
    repair: str

    def __str__(self) -> str:
        return f"line 3: {self.text} ({self.repair})"


def test_repairs_are_asked_for_and_told(book, monkeypatch) -> None:
    one, tunes = book
    tunes[1] = (2, NotationError("a note", "a hat"))
    problems = [Mended("a hat", "left out"), Mended("a short bar", "")]
    module = formats.FORMATS.load("smidi")
    monkeypatch.setattr(module, "repair", lambda path, number: (tab(number or 1), problems), raising=False)
    assert [row.status for row in batch.convert_one(one)] == ["converted", "failed", "converted"]
    made = batch.convert_one(replace(one, repair=True, resume=False))
    assert [row.status for row in made] == ["converted"] * 3
    assert made[1].losses.startswith("reading mends line 3: a hat (left out) | drops")
    assert batch.reading.read(one.source, repair=True)[1] == ["mends line 3: a hat (left out)"]


def test_what_reading_leaves_out_is_a_loss(tmp_path: Path, monkeypatch) -> None:
    module = formats.FORMATS.load("mid")
    monkeypatch.setattr(module, "read_with_report", lambda path: (tab(), ("3 lyrics",)), raising=False)
    (row,) = batch.convert_one(batch.Job(tmp_path / "a.mid", tmp_path / "a.gp5", "a.mid", "a.gp5"))
    assert (row.status, row.losses) == ("converted", "reading leaves out 3 lyrics")
    (row,) = batch.convert_one(batch.Job(tmp_path / "a.mid", tmp_path / "b.gp5", "a.mid", "b.gp5", strict=True))
    assert row.status == "refused"
    assert not (tmp_path / "b.gp5").exists()


def test_two_tunes_of_one_number_both_survive(book) -> None:
    one, tunes = book
    tunes[:] = [(1, tab(1)), (1, tab(1))]
    assert [row.target for row in batch.convert_one(one)] == ["book.smidi/1.mid", "book.smidi/2.mid"]


def test_a_fault_of_ours_is_a_row(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(batch.reading, "read", lambda path, repair: [][1])
    (row,) = batch.convert_one(batch.Job(tmp_path / "a.mid", tmp_path / "a.gp5", "a.mid", "a.gp5"))
    assert row.status == "failed"
    assert "IndexError" in row.actual


def test_pictures_and_sound_have_no_notes_to_count(cli, folder: Path, tmp_path: Path) -> None:
    cli("convert", folder, tmp_path / "out", "--to", "png", "--jobs", 1)
    row = rows(tmp_path / "out" / "results.csv")["a.gp5"]
    assert (row["status"], row["notes_in"], row["notes_out"], row["losses"]) == ("converted", "4", "", "")


def test_other_files_are_not_taken_for_results(cli, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    status, _, err = cli("convert", folder, tmp_path / "out", "--to", "mid", "--results", tmp_path / "mine.csv")
    assert status == 2
    assert "--results" in err
    assert (tmp_path / "mine.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("{tabs}", "{tmp}/out"), "--to"),
        (("{tabs}", "{tmp}/out", "--to", "gp3"), ".gp5"),
        (("{tabs}", "{tmp}/out", "--to", "mid", "--from", "wav"), ".mid"),
        (("{tabs}/a.gp5", "{tmp}/out.mid", "--to", "mid"), "folder"),
        (("{tabs}/a.gp5", "{tmp}/out.mid", "--jobs", "2"), "folder"),
    ],
)
def test_wrong_words_are_status_2(arguments, said, cli, folder: Path, tmp_path: Path) -> None:
    status, _, err = cli("convert", *(word.format(tabs=folder, tmp=tmp_path) for word in arguments))
    assert status == 2
    assert said in err


def test_an_empty_folder(cli, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    status, said, _ = cli("convert", tmp_path / "none", tmp_path / "out", "--to", "mid")
    assert (status, said.splitlines()[0]) == (0, "no file that cadenza reads there")


def test_names_that_csv_and_unicode_find_hard(cli, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    name = 'a, "b"\nc é'
    formats.write(tab(), tmp_path / "in" / f"{name}.gp5")
    raw = os.fsencode(tmp_path / "in") + b"/\xff.gp5"
    Path(os.fsdecode(raw)).write_bytes((tmp_path / "in" / f"{name}.gp5").read_bytes())
    assert cli("convert", tmp_path / "in", tmp_path / "out", "--to", "mid", "--jobs", 1)[0] == 0
    found = rows(tmp_path / "out" / "results.csv")
    assert found[f"{name}.gp5"]["target"] == f"{name}.mid"
    assert {row["status"] for row in found.values()} == {"converted"}


# ── workers ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_that_hangs_or_dies_costs_itself_only() -> None:
    jobs = ["a", "hang", "b", "die", "c", "leave", "d"]
    ended = {one.index: one for one in each(job, jobs, 2, limit_seconds=5)}
    assert sorted(ended) == list(range(7))
    assert {jobs[index]: one.result for index, one in ended.items() if not one.lost} == {x: x.upper() for x in "abcd"}
    assert ended[1].lost == "none after 5 s"
    assert ended[3].lost == "a dead process (killed by signal 9)"
    assert ended[5].lost == "a dead process (exit status 3)"


def test_no_jobs() -> None:
    assert list(each(job, [], 2, 1)) == []


def test_stopping_early_ends_the_workers() -> None:
    going = each(job, ["a", "hang"], 2, 600)
    next(going)
    start = time.monotonic()
    going.close()
    assert time.monotonic() - start < 10


def test_an_interrupt_leaves_what_is_finished(tmp_path: Path) -> None:
    for number in range(150):
        target = tmp_path / "in" / f"{number:03}.gp5"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "examples" / "riff.gp5", target)
    out, command = tmp_path / "out", [sys.executable, "-m", "cadenza.app.cli.main", "convert"]
    command += [str(tmp_path / "in"), str(out), "--to", "mid", "--jobs", "1"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    ) as run:
        deadline = time.monotonic() + 60
        while len(list(out.glob("*.mid"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the workers too
        said, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert "interrupted; what was finished is kept" in err
    assert "converted" in said
    found = rows(out / "results.csv")
    assert 2 <= len(found) < 150
    assert {row["status"] for row in found.values()} == {"converted"}
    assert all((out / row["target"]).stat().st_size for row in found.values())
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0
    assert "skipped" in again.stdout
    assert len(rows(out / "results.csv")) == 150
    assert all(row["notes_out"] == "388" for row in list(rows(out / "results.csv").values())[: len(found)])
