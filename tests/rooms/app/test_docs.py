"""The generated pages are what the code says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_pages_are_fresh():
    run = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_figures_of_ones_own_style_are_the_measured_ones():
    own_style = pytest.importorskip("benchmarks.own_style", reason="needs the extra [corpus]")
    result = json.loads((ROOT / "benchmarks" / "results" / "own_style.json").read_text("utf-8"))
    page = (ROOT / "docs" / "your-own-style.md").read_text("utf-8")
    lines = page.splitlines()
    for side in ("style_all", "general_all"):
        rows = own_style.markdown(result, side)
        assert set(rows) <= set(lines)
    flat = " ".join(lines)
    style = result["style_all"]
    assert f"{style['notes']:,} notes in the bars of {style['works']} test works, {style['documents']} passages" in flat
    assert f"{result['general_all']['documents']} passages of {result['general_all']['works']} held-out works" in flat
    known = result["style"]["known_to_the_shipped_composer"]
    assert f"has {known['longest_run']:.0f} notes" in flat
    assert f"up to {known['usual_run']} in 95" in flat
    assert known["passages_beyond_the_usual_run"] == 0
    said = result["style"]["splits"]["train"]
    assert f"train: {said['examples']:,} examples, {said['notes']:,} notes" in flat


def test_the_page_of_bends_is_that_of_its_results():
    bends = pytest.importorskip("benchmarks.bends", reason="needs the extra [corpus]")
    result = json.loads((ROOT / "benchmarks" / "results" / "bends.json").read_text("utf-8"))
    assert (ROOT / "docs" / "bends.md").read_text("utf-8") == bends.page(result)
