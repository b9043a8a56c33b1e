"""The measured table of damages: what it must show, and that its page is current."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import damage
from cadenza.metrics.base import columns

ROOT = Path(__file__).parents[3]
RESULT = json.loads((ROOT / "benchmarks" / "results" / "damage.json").read_text("utf-8"))


def test_enough_works():
    assert RESULT["works"] >= 100


@pytest.mark.parametrize("name", [name for name in damage.DAMAGES if name != damage.CONTROL])
def test_every_damage_is_seen_by_two_metrics_of_one_piece(name):
    owner = {column: metric.name for column, (metric, _) in columns().items()}
    seen = {owner[column] for column, cell in RESULT["alone"][name].items() if damage.is_detected(cell)}
    assert len(seen) >= 2, seen


def test_page_is_current():
    assert (ROOT / "docs" / "damage.md").read_text("utf-8") == damage.page(RESULT)
