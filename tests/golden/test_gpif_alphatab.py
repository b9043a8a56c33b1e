"""alphaTab, an independent reader, opens the .gp files that we write and finds what we find in them.

Needs node and alphaTab (``npm install @coderline/alphatab``, version 1.8.4 when this was last run): the environment
variable CADENZA_ALPHATAB names its ``dist/alphaTab.core.mjs``. Without them the test is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cadenza.formats import gpif, read
from tests import fuzz_seeds
from tests.golden.guitarpro_golden import Tally, compare

DUMP = Path(__file__).with_name("alphatab_reads.mjs")
FILES_AT_ONCE = 50


@pytest.fixture
def alphatab() -> str:
    module = os.environ.get("CADENZA_ALPHATAB")
    if not module:
        pytest.skip("CADENZA_ALPHATAB does not name alphaTab's module")
    if shutil.which("node") is None:
        pytest.skip("no node to run alphaTab")
    assert Path(module).is_file(), module
    return module


def read_by_alphatab(module: str, paths: list[Path]) -> list[dict]:
    out = []
    for low in range(0, len(paths), FILES_AT_ONCE):
        command = ["node", str(DUMP), module, *map(str, paths[low : low + FILES_AT_ONCE])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-2_000:]
        out += [json.loads(line) for line in done.stdout.splitlines()]
    assert len(out) == len(paths)
    return out


def tally(module: str, paths: list[Path]) -> tuple[Tally, dict[str, list[str]]]:
    total, differing = Tally(), {}
    for path, found in zip(paths, read_by_alphatab(module, paths), strict=True):
        score = read(path)
        assert [t.name for t in score.tracks] == [t["name"] for t in found["tracks"]], path.name
        assert (score.title, score.composer) == (found["title"], found["artist"]), path.name
        for ours, theirs in zip(score.tracks, found["tracks"], strict=True):
            assert ours.is_drums == theirs["percussion"], path.name
            if not ours.is_drums:
                assert ours.program == theirs["program"], path.name
                assert list(ours.tuning) == theirs["staves"][0]["tuning"], path.name
        one = compare(path, found, score)
        wrong = sorted(effect for effect in {*one.missing, *one.extra} if one.missing[effect] or one.extra[effect])
        if wrong:
            differing[path.stem] = wrong
        total += one
    return total, differing


def test_generated_files(alphatab: str, tmp_path: Path) -> None:
    paths = []
    for name, score in (("band", fuzz_seeds.band()), ("small", fuzz_seeds.band(1, 12)), ("plain", fuzz_seeds.plain())):
        paths.append(tmp_path / f"{name}.gp")
        gpif.write(score, paths[-1])
    total, _ = tally(alphatab, paths)
    wrong = {effect: total.missing[effect] + total.extra[effect] for effect in (*total.missing, *total.extra)}
    # A slide of the second voice over a bar in which that voice is silent, where alphaTab's search for its goal ends.
    assert {effect: count for effect, count in wrong.items() if count} == {"slideOut": 1}
    assert all(total.both[effect] for effect in ("note", "end", "tempo", "metre"))


# file → effects in which the two readers differ, for the reasons that test_guitarpro_effects gives
DIFFERING = {
    "alphatab__visual-tests__tuplets_gp": ["end", "note"],
    "pyguitarpro__Duration_gp3": ["end"],
}


def test_fixtures_written_as_gp(alphatab: str, shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "guitarpro"
    paths = []
    for path in sorted(root.rglob("*.gp*")):
        paths.append(tmp_path / (str(path.relative_to(root)).replace("/", "__").replace(".", "_") + ".gp"))
        gpif.write(read(path), paths[-1])
    assert len(paths) == 302
    _, differing = tally(alphatab, paths)
    assert differing == DIFFERING
