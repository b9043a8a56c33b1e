"""The memory estimate of `cadenza train --dry-run` beside the measured peak, on a processor.

python -m benchmarks.memory --out FILE [--only NAME …] [--keep]

Each configuration runs in a process of its own, forked from one that has imported everything: there the resident size
is read and its peak set back (/proc/self/clear_refs), then a model of random weights in a pretrained one's shape makes
a step (two where all weights are trained). Measured is the peak above what was there after the imports. All have an
estimate of at least 1 GB. With ``--only``, other rows that FILE has already are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cadenza.base.files import write_atomically
from cadenza.base.run import versions


@dataclass(frozen=True)
class Case:
    """What is run.

    Args:
        kind: llama, mistral, qwen2 or qwen3.
        sizes: vocabulary, width, mlp width, layers, heads, key-value heads.
        keys: of the recipe.
        n_documents: in each row; above 1 it is packed and has a mask.
    """

    kind: str
    sizes: tuple[int, ...]
    keys: dict[str, Any] = field(default_factory=dict)
    n_documents: int = 1


CASES = {
    "Llama, full, AdamW": Case(
        "llama", (32_000, 640, 1728, 6, 10, 10), {"method": "full", "batch_rows": 1, "context_tokens": 64}
    ),
    "Mistral, full, checkpointing, Adafactor": Case(
        "mistral",
        (64_000, 768, 2048, 6, 12, 4),
        {"method": "full", "optimiser": "adafactor", "gradient_checkpointing": True, "batch_rows": 1,
         "context_tokens": 64},
    ),
    "Llama, LoRA, 8 rows of 512": Case(
        "llama", (4_000, 256, 704, 12, 4, 4), {"method": "lora", "batch_rows": 8, "context_tokens": 512}
    ),
    "Qwen2, LoRA, checkpointing, 4,096 tokens packed": Case(
        "qwen2",
        (4_000, 384, 3456, 2, 6, 2),
        {"method": "lora", "gradient_checkpointing": True, "batch_rows": 2, "context_tokens": 4096},
        n_documents=4,
    ),
    "Mistral, QLoRA, packed, 8-bit AdamW": Case(
        "mistral",
        (4_000, 256, 1024, 10, 4, 2),
        {"method": "qlora", "optimiser": "adamw_8bit", "batch_rows": 4, "context_tokens": 1024},
        n_documents=3,
    ),
    "Qwen3, QLoRA, checkpointing, 4,096 tokens": Case(
        "qwen3",
        (4_000, 512, 4096, 2, 8, 4),
        {"method": "qlora", "gradient_checkpointing": True, "batch_rows": 2, "context_tokens": 4096},
    ),
    "Llama, full, bfloat16 by autocast": Case(
        "llama",
        (32_000, 640, 1728, 6, 10, 10),
        {"method": "full", "precision": "bfloat16", "batch_rows": 1, "context_tokens": 32},
    ),
    # Nothing was mended after these three were first measured.
    "Qwen2, full, checkpointing, AdamW, 8 rows of 512 packed": Case(
        "qwen2",
        (8_000, 512, 1536, 14, 8, 2),
        {"method": "full", "gradient_checkpointing": True, "batch_rows": 8, "context_tokens": 512},
        n_documents=2,
    ),
    "Llama, QLoRA, AdamW, 2 rows of 2,048": Case(
        "llama", (16_000, 384, 1024, 8, 6, 6), {"method": "qlora", "batch_rows": 2, "context_tokens": 2048}
    ),
    "Mistral, full, Adafactor, 16 rows of 256": Case(
        "mistral",
        (12_000, 384, 1280, 8, 6, 3),
        {"method": "full", "optimiser": "adafactor", "batch_rows": 16, "context_tokens": 256},
    ),
    # Nor after these three.
    "Qwen3, LoRA, bfloat16, 8 rows of 512 packed": Case(
        "qwen3",
        (8_000, 384, 1024, 14, 6, 3),
        {"method": "lora", "precision": "bfloat16", "batch_rows": 8, "context_tokens": 512},
        n_documents=3,
    ),
    "Qwen2, full, bfloat16, Adafactor, 8 rows of 256 packed": Case(
        "qwen2",
        (16_000, 512, 1536, 10, 8, 2),
        {"method": "full", "precision": "bfloat16", "optimiser": "adafactor", "batch_rows": 8, "context_tokens": 256},
        n_documents=2,
    ),
    "Llama, full, Adafactor, 4 rows of 512": Case(
        "llama",
        (16_000, 512, 1408, 8, 8, 8),
        {"method": "full", "optimiser": "adafactor", "batch_rows": 4, "context_tokens": 512},
    ),
    # This, in a smaller shape, was 0.82 of its peak before the temporaries of the 8-bit step were counted.
    # Nothing was mended after the others.
    "Mistral, full, checkpointing, 8-bit AdamW, 4 rows of 512": Case(
        "mistral",
        (40_000, 512, 1408, 10, 8, 4),
        {"method": "full", "optimiser": "adamw_8bit", "gradient_checkpointing": True, "batch_rows": 4,
         "context_tokens": 512},
    ),
    "Llama, full, 8-bit AdamW, 1 row of 64": Case(
        "llama",
        (32_000, 768, 2048, 6, 12, 12),
        {"method": "full", "optimiser": "adamw_8bit", "batch_rows": 1, "context_tokens": 64},
    ),
    "Llama, full, Muon, 1 row of 64": Case(
        "llama", (32_000, 768, 2048, 6, 12, 12), {"method": "full", "optimiser": "muon", "batch_rows": 1,
                                                  "context_tokens": 64}
    ),
}  # fmt: skip


def resident(name: str) -> int:
    """Bytes of a line of /proc/self/status: VmRSS (now) or VmHWM (its peak)."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {name} here: this needs Linux")


def imports() -> None:
    """All that a run loads."""
    import bitsandbytes  # noqa: F401
    import peft  # noqa: F401
    import torch
    import transformers  # noqa: F401

    from benchmarks import random_models  # noqa: F401

    torch.set_num_threads(1)  # no thread is started before the fork


def forked(name: str, keep: bool) -> dict[str, Any]:
    """:func:`one` in a child.

    Raises:
        RuntimeError: it died.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(write, "w") as file:
            file.write(json.dumps(one(name, keep)))
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        answer = file.read()
    os.waitpid(child, 0)
    if not answer:
        raise RuntimeError(f"{name}: its process died")
    found: dict[str, Any] = json.loads(answer)
    return found


def one(name: str, keep: bool = False) -> dict[str, Any]:
    """Estimate and measure a case, in this process."""
    import torch
    import transformers

    from benchmarks import random_models
    from cadenza.train import allocator, memory
    from cadenza.train.recipe import TrainConfig

    case = CASES[name]
    torch.set_num_threads(1)
    config = TrainConfig(base=case.kind, **case.keys)
    # As `cadenza train` does for runs of this size; --keep measures what the heap would hold otherwise.
    allocator.keep_memory_mapped() if keep else allocator.give_memory_back()
    # Imports that transformers puts off until a class is first used, and the libraries' own first steps.
    small = (64, 64, 64, 1, 2, 2)
    model = random_models.build(case.kind, small, config, "cpu")
    batch = random_models.documents(1, 16, case.n_documents, 64, "cpu")
    random_models.step(model, random_models.optimiser_of(model, config), batch, config, "cpu")
    del model, batch
    Path("/proc/self/clear_refs").write_text("5")
    before, begun = resident("VmRSS"), time.process_time()
    model = random_models.build(case.kind, case.sizes, config, "cpu")
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    optimiser = random_models.optimiser_of(model, config)
    batch = random_models.documents(config.batch_rows, config.context_tokens, case.n_documents, case.sizes[0], "cpu")
    for _ in range(2 if config.method == "full" else 1):  # optimiser states are there from the second step on
        random_models.step(model, optimiser, batch, config, "cpu")
    measured = resident("VmHWM") - before
    estimated = memory.estimate(
        memory.Shape.of(model.config),
        config,
        trained,
        config.context_tokens,
        frozen_bytes=memory.frozen_bytes(model),
        attention="masked" if case.n_documents > 1 else "fused",
    )
    return {
        "case": asdict(case),
        "trained": trained,
        "estimate": estimated.as_dict(),
        "estimated_bytes": estimated.total,
        "measured_bytes": measured,
        "estimate_over_measured": round(estimated.total / measured, 4),
        "cpu_seconds": round(time.process_time() - begun, 1),
        "transformers": transformers.__version__,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="+", default=list(CASES))
    parser.add_argument("--keep", action="store_true", help="let glibc keep what was freed")
    options = parser.parse_args()
    imports()
    for name in options.only:
        row = forked(name, options.keep)
        print(
            f"{name}: {row['estimated_bytes'] / 1e9:.2f} GB estimated, {row['measured_bytes'] / 1e9:.2f} measured, "
            f"{row['estimate_over_measured']:.3f} ({row['cpu_seconds']} s)",
            flush=True,
        )
        if options.out:
            keep(options.out, name, row, options.keep)


def keep(out: Path, name: str, row: dict[str, Any], by_glibc: bool) -> None:
    """Put a row into the file of results."""
    rows = json.loads(out.read_text("utf-8"))["rows"] if out.is_file() else {}
    rows = {key: value for key, value in (rows | {name: row}).items() if key in CASES}
    off = max(abs(one["estimate_over_measured"] - 1) for one in rows.values())
    result = {"kept_by_glibc": by_glibc, "rows": rows, "largest_difference": round(off, 4), "versions": versions()}
    write_atomically(out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
