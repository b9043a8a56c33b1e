"""Two processes, copied (DDP) or sharded (FSDP2), learn what one learns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("accelerate", reason="training needs the extra [train]")

from safetensors.numpy import load_file

SETTINGS = {
    "base": "scratch:tiny", "context_tokens": 256, "accumulate": 1, "steps": 6, "evaluate_every": 3,
    "evaluation_rows": 5,  # odd: two processes cannot share them evenly
    "checkpoint_every": 3, "report_to": "[]", "n_threads": 1, "log_every": 1, "learning_rate": 0.003,
    "optimiser": "adamw", "precision": "float32",
}  # fmt: skip


def train(corpus: Path, out: Path, n_processes: int, **keys: object) -> dict[str, list[float]]:
    """Losses and held-out bits of a run."""
    words = ["-m", "cadenza", "train", "scratch-small", "-o", str(out), "--set", f"corpus={corpus}"]
    for name, value in {**SETTINGS, "batch_rows": 4 // n_processes, **keys}.items():
        words += ["--set", f"{name}={value}"]
    if n_processes > 1:
        words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_processes), *words]
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return {name: [row[name] for row in rows if name in row] for name in ("loss", "eval_bits_per_note")}


@pytest.mark.slow
def test_two_processes_learn_what_one_does(built_corpus, tmp_path):
    one = train(built_corpus, tmp_path / "one", 1)
    copied = train(built_corpus, tmp_path / "copied", 2)
    sharded = train(built_corpus, tmp_path / "sharded", 2, fsdp="true")
    assert len(one["loss"]) == 6
    for other in (copied, sharded):
        assert np.allclose(other["loss"], one["loss"], atol=1e-4)
        assert np.allclose(other["eval_bits_per_note"], one["eval_bits_per_note"], atol=1e-3)
    weights = load_file(tmp_path / "one" / "model" / "model.safetensors")
    for name in ("copied", "sharded"):
        found = load_file(tmp_path / name / "model" / "model.safetensors")
        assert found.keys() == weights.keys()
        assert all(np.allclose(found[k], weights[k], atol=1e-4) for k in weights)
    # A sharded run that lost its last checkpoint goes on from the one before, to the same weights.
    before = load_file(tmp_path / "sharded" / "model" / "model.safetensors")
    for name in ("checkpoint-6", "model"):
        shutil.rmtree(tmp_path / "sharded" / name)
    train(built_corpus, tmp_path / "sharded", 2, fsdp="true")
    after = load_file(tmp_path / "sharded" / "model" / "model.safetensors")
    assert all(np.array_equal(after[k], before[k]) for k in before)


@pytest.mark.slow
def test_sharding_one_process_is_refused(built_corpus, tmp_path):
    """Under plain python the model would silently not be sharded."""
    with pytest.raises(AssertionError, match="expected a model sharded by FSDP, found one process"):
        train(built_corpus, tmp_path, 1, fsdp="true")
