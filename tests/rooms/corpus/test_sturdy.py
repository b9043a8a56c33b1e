"""The short form of ``python -m tests.sturdiness``: a build survives kills, full disks and company; the bits stay."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="pyarrow (extra [corpus]) is not installed")
pytest.importorskip("resource", reason="this system has no limits on processes")

from cadenza.base.errors import ConfigError, FormatError
from cadenza.base.files import locked
from cadenza.corpus.engines import OnRay
from cadenza.corpus.pipeline import build
from tests import sturdiness


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    sturdiness.make_music(folder, 6)
    return folder


@pytest.fixture(scope="module")
def built(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    build([music], out, sturdiness.CONFIG)
    return out


@pytest.fixture(scope="module")
def right(built: Path) -> dict[str, str]:
    return sturdiness.digest(built)


@pytest.mark.slow
def test_killed_alone_or_with_its_workers_it_goes_on_to_the_same_bits(music: Path, right, tmp_path: Path):
    rng = random.Random(1)
    assert sturdiness.killed_build(music, tmp_path / "out", 2, 2, 6.0, rng, right) == []


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(music: Path, tmp_path: Path):
    process = sturdiness.start(music, tmp_path / "out", 2)
    try:
        while len(sturdiness.members(process.pid)) < 3 and process.poll() is None:
            pass
        assert process.poll() is None, "it ended before its workers were seen"
        process.kill()
        assert sturdiness.all_ended(process.pid)
    finally:
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_files_that_find_no_room_are_a_clear_error_and_finished_ones_stay(
    workers: int, music: Path, built: Path, right, tmp_path: Path
):
    out = tmp_path / "out"
    largest = max(path.stat().st_size for path in built.rglob("*.npz"))
    process = sturdiness.start(music, out, workers, max_file_bytes=largest - 1)
    said = process.communicate()[1]
    assert (process.returncode, "expected a writable place with room" in said) == (3, True), said
    before = sturdiness.finished(out)
    build([music], out, sturdiness.CONFIG)
    assert sturdiness.digest(out) == right
    after = sturdiness.finished(out)
    assert {name: after[name] for name in before} == before


def test_a_folder_in_which_another_build_works_is_refused(music: Path, tmp_path: Path):
    (tmp_path / "work").mkdir()
    code = (
        "import sys\nfrom cadenza.base.files import locked\n"
        "with locked(sys.argv[1], ''):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "work" / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(FormatError, match="Another build works in this folder"):
        build([music], tmp_path, sturdiness.CONFIG)
    holder.kill()
    holder.communicate()
    with locked(tmp_path / "work" / "lock", ""):
        pass


def test_what_killed_writers_left_is_cleared(music: Path, right, tmp_path: Path):
    (tmp_path / "data").mkdir()
    left = tmp_path / "data" / ".train-00000.parquet.ab12_xyz.part"
    own = tmp_path / "data" / ".keep"
    left.write_bytes(b"half")
    own.write_bytes(b"")
    build([music], tmp_path, sturdiness.CONFIG)
    assert (left.exists(), own.exists()) == (False, True)


def test_changed_sources_give_what_a_build_from_nothing_gives(music: Path, tmp_path: Path):
    assert sturdiness.changed_sources(music, tmp_path) == []


def test_a_lost_shard_is_written_again(music: Path, right, tmp_path: Path):
    build([music], tmp_path, sturdiness.CONFIG)
    next((tmp_path / "data").glob("*.parquet")).unlink()
    build([music], tmp_path, sturdiness.CONFIG)
    assert sturdiness.digest(tmp_path) == right


@pytest.mark.parametrize("kind", [FormatError, ConfigError])
def test_errors_cross_between_processes_whole(kind):
    error = kind("a disk with room", "none", where="x.parquet", hint="Make room.")
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.hint, back.where) == (kind, str(error), "Make room.", "x.parquet")


@pytest.mark.slow
def test_ray_with_two_workers_gives_the_same_bits(music: Path, right, tmp_path: Path):
    ray = pytest.importorskip("ray", reason="ray (extra [cluster]) is not installed")
    try:
        assert sturdiness.on_engine(music, tmp_path, OnRay(workers=2), right) == []
    finally:
        ray.shutdown()


def test_the_hub_library_reads_a_corpus_under_its_own_names(built: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="datasets (extra [test]) is not installed")
    found = datasets.load_dataset("parquet", data_dir=str(built / "data"), cache_dir=str(tmp_path))
    from cadenza.corpus import shards

    for split in found:
        ours = [row for path in sorted((built / "data").glob(f"{split}-*.parquet")) for row in shards.load(path)]
        assert found[split].num_rows == len(ours) > 0
        assert {"prompt", "completion"} <= set(found[split].column_names)
        assert [row["prompt"] + row["completion"] for row in found[split]] == [
            row["prompt"] + row["completion"] for row in ours
        ]
    held = {path.name.rpartition("-")[0] for path in (built / "data").glob("*.parquet")}
    assert set(found) == held
