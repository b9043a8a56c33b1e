"""The corpus pipeline: the same bits however it is run, stopped or resumed; faults are rows; what is built is sound."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow (extra [corpus]) is not installed")

from cadenza import formats
from cadenza.base.errors import ConfigError, FormatError
from cadenza.corpus import pipeline, shards
from cadenza.corpus.engines import Processes
from cadenza.corpus.open import BuiltCorpus, texts_of
from cadenza.corpus.pipeline import CorpusConfig, build
from cadenza.score.edit import transpose
from cadenza.score.model import STANDARD_TUNINGS, Metre, Note, Score, Tempo, Track

TASKS = {"continue": 1.0, "infill": 1.0, "accompany": 1.0}
CONFIG = CorpusConfig(
    notation={"name": "simplified-midi", "bars": True},
    tasks=TASKS,
    length={"bars": 8, "context": 0.25},
    augment={"copies": 1, "modulate": 0.5, "velocity": 0.5, "dropout": 0.2},
    weights=[{"fact": "notes_per_second", "start": 0.0, "stop": 10.0, "high": 2.0}],
    chunk_files=4,
)


def song(seed: int, n_bars: int = 16) -> Score:
    rng = np.random.default_rng(seed)
    lead = [Note(480 * i, 480, int(60 + rng.integers(-7, 12)), int(rng.integers(60, 100))) for i in range(4 * n_bars)]
    bass = [Note(960 * i, 960, int(36 + rng.integers(-5, 7))) for i in range(2 * n_bars)]
    return Score(
        (Track.of(lead, name="Lead", program=30, tuning=STANDARD_TUNINGS["guitar"]), Track.of(bass, program=33)),
        tempos=(Tempo(0, 120.0),), metres=(Metre(0, 4, 4),), length_ticks=1920 * n_bars,
    )  # fmt: skip


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    (folder / "sub").mkdir()
    for seed in range(14):
        formats.write(song(seed), folder / ("sub" if seed % 2 else "") / f"song-{seed}.mid")
    formats.write(transpose(3)(song(0)), folder / "other key.mid")
    formats.write(song(1), folder / "again.mid")
    (folder / "broken.mid").write_bytes(b"MThd nonsense")
    (folder / "broken.gp5").write_bytes(b"nonsense")
    (folder / "notes.txt").write_text("not music")
    return folder


def digest(folder: Path) -> dict[str, str]:
    files = [*sorted((folder / "data").glob("*.parquet")), folder / "manifest.json", folder / "rejected.csv"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def built(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    build([music], out, CONFIG)
    return out


def test_every_row_is_sound(built: Path):
    corpus = BuiltCorpus.open(built)
    assert corpus.check() == []
    rows = list(corpus.rows())
    assert {row["task"] for row in rows} == set(TASKS)
    assert {row["copy"] for row in rows} == {0, 1}
    assert all(1.0 <= row["weight"] <= 2.0 for row in rows)
    notation = corpus.notation
    for row in rows[:40]:
        assert all(notation.decode(text).n_notes for text in texts_of(row))
        assert json.loads(row["edits"]) or row["copy"] == 0


def test_prompt_and_completion_are_one_text(built: Path, music: Path):
    corpus = BuiltCorpus.open(built)
    row = next(r for r in corpus.rows() if r["task"] == "continue" and r["copy"] == 0 and r["first_bar"] == 0)
    name = row["path"].split("/", 1)[1]
    whole = corpus.notation.decode(row["prompt"] + row["completion"])
    assert [n.pitch for n in whole.tracks[0]] == [n.pitch for n in formats.read(music / name).tracks[0]][:32]
    assert corpus.notation.decode(row["prompt"]).n_notes >= 8


def test_faults_and_duplicates_are_rows(built: Path):
    rows = list(csv.DictReader((built / "rejected.csv").open(encoding="utf-8")))
    by_name = {Path(row["path"]).name: row for row in rows}
    assert set(by_name) == {"broken.mid", "broken.gp5", "song-1.mid"}
    assert by_name["broken.mid"]["error"] == "FormatError"
    assert "expected" in by_name["broken.gp5"]["reason"]
    assert by_name["song-1.mid"]["error"] == "Duplicate"
    assert "again.mid" in by_name["song-1.mid"]["reason"]


def test_a_transposed_copy_lies_in_the_same_split(built: Path):
    rows = [r for r in BuiltCorpus.open(built).rows() if Path(r["path"]).name in ("song-0.mid", "other key.mid")]
    assert len({row["path"] for row in rows}) == 2
    assert len({(row["group"], row["split"]) for row in rows}) == 1


def test_only_training_pieces_are_augmented(built: Path):
    assert {row["copy"] for row in BuiltCorpus.open(built).rows() if row["split"] != "train"} <= {0}


def test_workers_change_nothing(music: Path, built: Path, tmp_path: Path):
    build([music], tmp_path, CONFIG, Processes(2))
    assert digest(tmp_path) == digest(built)


def test_a_finished_corpus_is_left_alone(music: Path, built: Path, monkeypatch: pytest.MonkeyPatch):
    before = digest(built)
    monkeypatch.setattr(pipeline, "ingest", None)
    monkeypatch.setattr(pipeline, "write", None)
    build([music], built, CONFIG)
    assert digest(built) == before


def test_another_configuration_is_refused_and_says_what_differs(music: Path, built: Path):
    with pytest.raises(ConfigError, match=r"seed: 0 there, 1 now"):
        build([music], built, CorpusConfig(**{**CONFIG.__dict__, "seed": 1}))


@pytest.mark.parametrize("failing", [0, 1, 4, 9, 14])
def test_a_full_disk_loses_nothing_finished(failing: int, music: Path, built: Path, tmp_path: Path, monkeypatch):
    real, left = os.fsync, [failing]

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr("cadenza.base.files.os.fsync", full)
    with pytest.raises(FormatError, match="No space left"):
        build([music], tmp_path, CONFIG)
    monkeypatch.undo()
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
    build([music], tmp_path, CONFIG)
    assert digest(tmp_path) == digest(built)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_bits(music: Path, built: Path, tmp_path: Path):
    script = tmp_path / "run.py"
    script.write_text(
        "import json, sys\nfrom pathlib import Path\nfrom cadenza.corpus.pipeline import CorpusConfig, build\n"
        "if __name__ == '__main__':\n"
        "    build([Path(sys.argv[1])], Path(sys.argv[2]), CorpusConfig(**json.loads(sys.argv[3])))\n"
    )
    out = tmp_path / "out"
    command = [sys.executable, str(script), str(music), str(out), json.dumps(CONFIG.__dict__)]
    rng = np.random.default_rng(3)
    for _ in range(4):
        process = subprocess.Popen(command)
        time.sleep(float(rng.uniform(0.3, 3.0)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True)
    assert digest(out) == digest(built)


def test_a_damaged_shard_is_found(music: Path, tmp_path: Path):
    build([music], tmp_path, CONFIG)
    shard = sorted((tmp_path / "data").glob("*.parquet"))[0]
    rows = shards.load(shard)
    rows[0]["completion"] = "p999:v1:d1:t0"
    shards.save(shard, rows)
    assert "expected the hash" in BuiltCorpus.open(tmp_path).check()[0]
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    manifest["shards"][f"data/{shard.name}"] = hashlib.sha256(shard.read_bytes()).hexdigest()
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert "expected" in BuiltCorpus.open(tmp_path).check()[0]


def test_selection_and_weights(music: Path, tmp_path: Path):
    chosen = CorpusConfig(select={"folder": {"matches": "/sub/"}}, chunk_files=4)
    manifest = build([music], tmp_path, chosen)
    assert all("/sub/" in row["path"] for row in BuiltCorpus.open(tmp_path).rows())
    assert manifest["rejected"]["NotSelected"] == 9


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tasks": {"compose": 1.0}}, "tasks out of"),
        ({"tasks": {}}, "tasks out of"),
        ({"notation": {"name": "simplified-mid"}}, "simplified-midi"),
        ({"notation": {"name": "simplified-midi", "bar": True}}, "bars"),
        ({"length": {"bars": 0}}, "above 0"),
        ({"style": "verbose"}, "instruct"),
        ({"select": {"bends": {"min": 1}}}, "fact"),
        ({"weights": [{"fact": "tempo", "start": 1.0, "stop": 0.0}]}, "stop > start"),
        ({"augment": {"copy": 3}}, "copies"),
        ({"chunk_files": 0}, "one file a chunk"),
    ],
)
def test_a_wrong_recipe_is_named_before_any_work(fields, message):
    with pytest.raises(Exception, match=message):
        CorpusConfig(**fields)


def test_the_published_instruction_stands_before_the_music(music: Path, tmp_path: Path):
    build([music / "sub"], tmp_path, CorpusConfig(style="instruct", tasks=TASKS, length={"bars": 8}, chunk_files=9))
    corpus = BuiltCorpus.open(tmp_path)
    assert corpus.check() == []
    row = next(r for r in corpus.rows() if r["task"] == "continue")
    assert row["prompt"].startswith("You are a guitarist and composer.\nEach note is a word")
    assert "Your task is to complete the generation of:\nq" in row["prompt"]
    assert "complete the generation" in corpus.manifest["prompts"]["tasks"]["continue"]


def test_nothing_to_read_is_said(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="folders with music"):
        build([tmp_path / "empty"], tmp_path / "out", CONFIG)
    with pytest.raises(FormatError, match="a folder"):
        build([tmp_path / "absent"], tmp_path / "out2", CONFIG)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out2").exists()  # nothing is left that a right try would stumble over


def heard(path: Path) -> Score:
    """Stands for the ear that `app` would give: a recording's notes, or an error."""
    if path.read_bytes() == b"noise":
        raise FormatError("a recording of music", "noise", where=str(path))
    return song(int(path.stem))


def test_recordings_enter_through_a_function(tmp_path: Path) -> None:
    folder = tmp_path / "takes"
    folder.mkdir()
    for seed in (3, 4):
        (folder / f"{seed}.wav").write_bytes(b"sound")
    (folder / "5.flac").write_bytes(b"noise")
    with pytest.raises(FormatError):
        build([folder], tmp_path / "deaf", CorpusConfig())
    found = build([folder], tmp_path / "hearing", CorpusConfig(), listen=heard)
    assert sum(split["pieces"] for split in found["splits"].values()) == 2
    assert found["rejected"] == {"FormatError": 1}


def test_a_task_has_a_length_of_its_own_and_the_composer_its_view(music: Path, tmp_path: Path):
    options = {"resolution": "grid:24", "header": "first", "bars": True, "compact": True, "durations": "table"}
    config = CorpusConfig(
        notation={"name": "simplified-midi", "velocity": "bins:8", "bend_step_cents": 25, **options},
        view="composer",
        tasks={"continue": {"length": {"bars": 12, "words": 100}}, "infill": {"share": 1.0, "length": {"bars": 6}}},
        length={"bars": 16, "min_bars": 2},
    )
    build([music], tmp_path / "corpus", config)
    corpus = BuiltCorpus.open(tmp_path / "corpus")
    assert corpus.check() == []
    rows = list(corpus.rows())
    assert max(row["n_bars"] for row in rows if row["task"] == "infill") == 6
    told = [row for row in rows if row["task"] == "continue"]
    assert all(len((row["prompt"] + row["completion"]).split()) <= 100 for row in told)
    assert max(row["n_bars"] for row in told) > 5  # as many as the words allow
    starts = {(row["path"], row["first_bar"]) for row in told}
    assert len(starts) == len(told)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"view": "mine"}, "view"),
        ({"tasks": {"continue": 1.5}}, "share"),
        ({"tasks": {"continue": {"bars": 3}}}, "bars"),
    ],
)
def test_views_and_shares_that_are_none(changed: dict, said: str):
    with pytest.raises(ConfigError, match=said):
        CorpusConfig(**changed)
