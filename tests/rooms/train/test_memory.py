"""The estimate of a run's memory beside peaks that were measured; ``benchmarks/memory.py`` measures on a processor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("transformers", reason="training needs the extra [train]")

from benchmarks import gpu_memory, memory  # noqa: E402
from cadenza.train import head  # noqa: E402

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def test_the_estimate_of_7b_shapes_is_near_what_an_accelerator_measured():
    measured = json.loads((RESULTS / "gpu_memory.json").read_text("utf-8"))
    again = gpu_memory.estimated_again(measured)
    ratios = [row["estimate_over_measured"] for row in again["rows"] if "measured_bytes" in row]
    assert len(ratios) == 12
    assert all(0.85 < ratio < 1.15 for ratio in ratios)
    assert again == measured  # the table is what the code says


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's /proc")
def test_the_estimate_is_near_the_peak_on_a_processor(tmp_path: Path):
    memory.imports()
    row = memory.forked("Llama, full, AdamW", keep=False)
    assert 0.85 < row["estimate_over_measured"] < 1.15


def test_the_heads_gradient_is_let_go_with_the_backward_pass():
    linear = torch.nn.Linear(8, 11, bias=False)
    hidden = torch.randn(2, 5, 8, requires_grad=True)
    labels = torch.randint(0, 11, (2, 5))
    with head.summed_loss(linear, labels):
        loss = linear(hidden)
    loss.backward()
    assert linear.weight.grad is not None
    assert loss.grad_fn.found is None  # nothing of the head's size hangs on the loss
    with pytest.raises(RuntimeError, match="taken already"):
        loss.backward()
