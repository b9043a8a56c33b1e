"""A finished run → a model folder to ship: safetensors, the engine's 8-bit graph, vocabulary, notation, card.

python -m cadenza.train.release RUN OUT
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from cadenza.base.errors import ModelError
from cadenza.model.graph import export

FILES = ("config.json", "model.safetensors", "vocabulary.json", "notation.json")


def release(run: Path, out: Path) -> None:
    """Copy the run's model to ``out``, export its graph, and keep the run's record beside it.

    Raises:
        ModelError: the run has no finished model.
    """
    source = run / "model"
    if not (source / "model.safetensors").is_file():
        raise ModelError("a finished run", "no model in it", where=str(run), hint="Let the training end first.")
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(source / name, out / name)
    record = json.loads((run / "run.json").read_text())
    record["config"] |= {"corpus": "", "out": ""}  # a machine's paths say nothing elsewhere
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    export(out, "int8")


if __name__ == "__main__":
    release(Path(sys.argv[1]), Path(sys.argv[2]))
