"""What children of tests run: functions that a fresh interpreter can import."""

from __future__ import annotations

import time
from pathlib import Path

from cadenza.train import run
from cadenza.train.recipe import TrainConfig

STEP_SECONDS = 0.4


def train_slowly(config: TrainConfig, out: Path) -> None:
    """A run that takes its time at each step, so that it can be killed before it ends, however fast the machine."""
    run.train(config, out, live=lambda step, n_steps, said: time.sleep(STEP_SECONDS))
