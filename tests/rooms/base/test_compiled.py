"""Loops that numba compiles: when, where the result is kept, and what happens where it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cadenza.base.compiled import Loop, compiled

ROOT = Path(__file__).parents[3]


def _sum(n: int) -> int:
    total = 0
    for i in range(n):
        total += i
    return total


def test_the_plain_twin_does_the_first_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cadenza.base.compiled.compiled", lambda function: function)
    loop = Loop(_sum, plain_work=100)
    assert [loop.after(work) for work in (60, 60, 1, 60)] == [None, None, _sum, _sum]
    loop = Loop(_sum, plain_work=100)
    assert loop.now is _sum
    assert loop.after(1) is _sum


def test_without_numba_there_is_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    assert compiled(_sum) is None
    loop = Loop(_sum, plain_work=0)
    assert loop.after(1) is None
    assert loop.now is None


def test_no_folder_for_the_cache_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the package, the user's cache and the home folder are all read-only."""
    caching = pytest.importorskip("numba.core.caching", reason="numba is of the extra [corpus]")

    def refuse(*_: object) -> None:
        raise OSError("read-only")

    monkeypatch.setattr(caching._CacheLocator, "ensure_cache_path", refuse)
    made = compiled(_sum)
    assert made is not None
    assert made(10) == 45


def test_processes_at_once_share_a_cache(tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="numba is of the extra [corpus]")
    code = (
        "from tests.rooms.base.test_compiled import _sum, compiled\n"
        "made = compiled(_sum)\n"
        "print(made(10), sum(made.stats.cache_hits.values()))\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "NUMBA_CACHE_DIR": str(tmp_path)}

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)

    for running in [start() for _ in range(3)]:
        assert running.communicate(timeout=120)[0].startswith("45 ")
    assert start().communicate(timeout=120)[0].split() == ["45", "1"]
