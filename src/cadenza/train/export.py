"""A run's result → a model folder to use: merged adapters, the torch-free engine's graph, a card.

``merge`` makes plain safetensors of base and adapter. A 4-bit base is dequantised first: the adapter was trained on
those weights, not on the ones before quantisation. ``export`` writes the engine's graph and compares its answers with
the weights'. ``card`` writes the model card from what the run recorded.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.errors import ConfigError, MissingExtraError, ModelError
from cadenza.base.files import write_atomically
from cadenza.infer.model import LOOPS_FILE, ORIGINALITY_FILE

KEPT = ("notation.json", "run.json", "README.md", LOOPS_FILE, ORIGINALITY_FILE)
WEIGHTS = "model.safetensors"
CODEC = ("vocabulary.json", "fields.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def model_folder(path: Path | str) -> Path:
    """The model of a run (``RUN/model``, ``RUN/merged``), or the folder itself.

    Raises:
        ModelError: there is none.
    """
    path = Path(path)
    for found in (path, path / "model", path / "merged"):
        if (found / "config.json").is_file():
            return found
    hint = "Merge it first: cadenza model merge." if (path / "adapter").is_dir() else "Let the training end first."
    raise ModelError("a model folder or a finished run", "no config.json there", where=str(path), hint=hint)


def adapter_folder(path: Path | str) -> Path:
    """The adapter of a run, or the folder itself.

    Raises:
        ModelError: there is none.
    """
    path = Path(path)
    for found in (path, path / "adapter"):
        if (found / "adapter_config.json").is_file():
            return found
    raise ModelError("an adapter, or a run that trained one", "no adapter_config.json there", where=str(path))


def merge(run: Path | str, out: Path, base: str = "") -> Path:
    """Base and adapter as one model of plain safetensors in ``out``.

    Args:
        run: a run or its adapter.
        out: folder of the merged model.
        base: another place of the base than the one that the run names.

    Raises:
        ModelError: no adapter is there, or no base.
    """
    from peft import PeftModel

    from cadenza.base.config import build_config
    from cadenza.train import bases
    from cadenza.train.recipe import TrainConfig

    source = adapter_folder(run)
    record = json.loads((source / "run.json").read_text("utf-8"))
    config = build_config(TrainConfig, record["config"] | ({"base": base} if base else {}), str(source / "run.json"))
    model = bases.pretrained(config)
    if config.method == "qlora":
        model = model.dequantize()
    n_new = int(json.loads((source / "base.json").read_text("utf-8"))["n_new"])
    if n_new:
        fields = json.loads((source / "fields.json").read_text("utf-8"))
        n_rows = int(fields["first_field"]) + len(fields["fields"])
        model.resize_token_embeddings(n_rows, mean_resizing=False)
    merged = PeftModel.from_pretrained(model, str(source)).merge_and_unload()
    merged = merged.float() if config.precision == "float32" else merged
    # What quantised is not in the merged weights; and a model that samples needs its cache.
    for name in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(merged.config, name):
            delattr(merged.config, name)
    merged.config.use_cache = True
    temporary = out.with_name(out.name + ".saving")
    shutil.rmtree(temporary, ignore_errors=True)
    merged.save_pretrained(temporary)
    for name in (*KEPT, *CODEC):
        if (source / name).is_file():
            shutil.copyfile(source / name, temporary / name)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(temporary, out)
    return out


def blend(run: Path | str, out: Path, keep: float, base: str = "") -> Path:
    """A model whose every weight lies between those of a tuned model and of its base.

    A model that was tuned from another often lies in the same valley, so that a point between them keeps most of what
    either does well (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).

    Args:
        run: a run in full from a base, or its model's folder.
        keep: share of the base, 0 … 1.
        base: another place of the base than the one that the run names.

    Raises:
        ConfigError: a share beyond 0 … 1.
        ModelError: no model is there, it was trained from random weights, or the two have other shapes.
    """
    from safetensors.numpy import load_file, save_file

    from cadenza.base.config import build_config
    from cadenza.train.recipe import TrainConfig

    if not 0 <= keep <= 1:
        raise ConfigError("a share from 0 to 1", repr(keep))
    source = model_folder(run)
    record = json.loads((source / "run.json").read_text("utf-8"))
    config = build_config(TrainConfig, record["config"] | ({"base": base} if base else {}), str(source / "run.json"))
    if config.is_scratch:
        raise ModelError("a model that was trained from another", "one from random weights", where=str(source))
    for folder in (source, Path(config.source)):
        if not (folder / WEIGHTS).is_file():
            raise ModelError(f"a model folder with one {WEIGHTS}", "none there", where=str(folder))
    mine, theirs = (load_file(folder / WEIGHTS) for folder in (source, Path(config.source)))
    if {name: weights.shape for name, weights in mine.items()} != {n: weights.shape for n, weights in theirs.items()}:
        raise ModelError("two models of one shape", "others", where=f"{source}, {config.source}")
    _copy_files(source, out, without=(WEIGHTS,))
    mixed = {
        name: (keep * theirs[name].astype(np.float32) + (1 - keep) * weights.astype(np.float32)).astype(weights.dtype)
        for name, weights in mine.items()
    }
    save_file(mixed, out / WEIGHTS, metadata={"format": "pt"})
    return out


def _copy_files(source: Path, out: Path, without: tuple[str, ...] = ()) -> None:
    """The files of a model's folder; graphs of other weights are none of ``out``'s."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name not in without and path.suffix != ".onnx":
            shutil.copyfile(path, out / path.name)


def export(run: Path | str, out: Path, precision: str = "int8") -> dict[str, float]:
    """A model folder that composes without torch: weights, vocabulary, notation and the engine's graph.

    Returns:
        How far the graph's log-probabilities are from the weights' (``mean_difference``, ``largest_difference``, nats)
        on texts of its own vocabulary, and the share of equal best tokens.

    Raises:
        ModelError: the architecture is none that the engine knows, or the graph disagrees with the weights.
        MissingExtraError: onnx is not installed.
    """
    try:
        from cadenza.model import graph
    except ImportError:
        raise MissingExtraError("onnx, which writes graphs", "not installed", hint="cadenza[train]") from None
    if precision not in ("int8", "float32"):
        raise ConfigError("precision int8 or float32", repr(precision))
    source = model_folder(run)
    if out.resolve() != source.resolve():
        _copy_files(source, out)
    graph.export(out, precision)  # type: ignore[arg-type]
    found = parity(out, precision)
    most = 1e-3 if precision == "float32" else 0.25
    if found["mean_difference"] > most:
        raise ModelError(f"a graph within {most} nats of the weights", repr(found), where=str(out))
    return found


def parity(folder: Path, precision: str, n_tokens: int = 64) -> dict[str, float]:
    """Log-probabilities of the graph beside those of the float32 weights (NumPy), on random tokens."""
    from cadenza.model.decoder import open_decoder

    config = json.loads((folder / "config.json").read_text("utf-8"))
    ids = np.random.default_rng(0).integers(0, int(config["vocab_size"]), n_tokens)
    answers = []
    for kind, engine in ((precision, "onnx"), ("float32", "numpy")):
        decoder = open_decoder(folder, max_length=n_tokens + 1, precision=kind, engine=engine)  # type: ignore[arg-type]
        answers.append(decoder.score(ids))
    difference = np.abs(answers[0] - answers[1])
    return {"mean_difference": float(difference.mean()), "largest_difference": float(difference.max())}


CARD = """---
library_name: cadenza
license: {licence}
tags: [music, {notation}]
---
# {title}

{what}

| | |
|---|---|
| base | {base} |
| method | {method} |
| parameters | {n_parameters:,} ({n_trainable:,} trained) |
| notation | {notation} |
| steps | {n_steps:,} |
| corpus | fingerprint `{corpus}` |
| seed | {seed} |

## Training

```
{command}
```

The resolved recipe stands in `run.json`, with the versions of all that shaped it.

## Scores

{scores}

## Data and licences

{data}
"""


def card(run: Path | str, corpus: Path | str | None = None) -> str:
    """The model card of a run, from its record, its log and its corpus.

    Raises:
        ModelError: there is no record of a run.
    """
    run = Path(run)
    path = next((p for p in (run / "run.json", run / "model" / "run.json") if p.is_file()), None)
    if path is None:
        raise ModelError("a run", "no run.json there", where=str(run))
    record = json.loads(path.read_text("utf-8"))
    config = record["config"]
    scores = [json.loads(line) for line in _lines(run / "log.jsonl")]
    held_out = [row for row in scores if "eval_bits_per_note" in row]
    said = "No held-out pieces were measured."
    if held_out:
        last = held_out[-1]
        said = f"Held-out bits per note: {last['eval_bits_per_note']:.3f} (loss {last['eval_loss']:.4f} nats a token) "
        said += f"after {last['step']:,} steps."
    changed = _changed(config)
    command = "cadenza train RECIPE.yaml " + " ".join(f"--set {name}={value}" for name, value in changed.items())
    notation = "?"
    for folder in (run / "model", run / "adapter", run):
        if (folder / "notation.json").is_file():
            notation = json.loads((folder / "notation.json").read_text("utf-8"))["name"]
            break
    return CARD.format(
        licence="other",
        title=f"cadenza · {run.name}",
        what="A language model of music, trained by `cadenza train`.",
        base=config["base"],
        method=config["method"],
        n_parameters=record["n_parameters"],
        n_trainable=record["n_trainable"],
        notation=notation,
        n_steps=record["n_steps"],
        corpus=record["corpus_fingerprint"][:16],
        seed=record["seed"],
        command=command,
        scores=said,
        data=_data(corpus if corpus is not None else config["corpus"]),
    )


def _changed(config: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import asdict

    from cadenza.train.recipe import TrainConfig

    plain = json.loads(json.dumps(asdict(TrainConfig())))
    return {
        name: json.dumps(value).replace('"', "")
        for name, value in config.items()
        if value != plain.get(name) and name not in ("corpus", "lora", "loss", "rope", "scratch")
    }


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.is_file() else []


def _data(corpus: Path | str) -> str:
    """Sources, licences and attributions of a corpus; what cannot be found is said."""
    path = Path(corpus) / "README.md"
    if not path.is_file():
        return "The corpus is not at hand: see its own card."
    text = path.read_text("utf-8")
    return text.partition("\n---\n")[2].strip() if text.startswith("---") else text


def push(folder: Path | str, name: str, private: bool = True) -> str:
    """Upload a model folder to a hub under ``name``; returns its address. Only ever on demand.

    Raises:
        ModelError: no model is there, or the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    source = model_folder(folder) if not (Path(folder) / "adapter").is_dir() else adapter_folder(folder)
    try:
        api = HfApi()
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(folder_path=str(source), repo_id=name)
    except (OSError, HfHubHTTPError, ValueError) as error:
        said = str(error).partition("\n")[0][:300]
        raise ModelError("a hub that takes the model", said, where=name, hint="Log in first: hf auth login.") from None
    return str(address)


def write_card(run: Path | str, corpus: Path | str | None = None) -> Path:
    """Write the card beside the model; returns its path."""
    text = card(run, corpus)
    run = Path(run)
    folder = next((f for f in (run / "model", run / "merged", run / "adapter") if f.is_dir()), run)
    write_atomically(folder / "README.md", text.encode())
    return folder / "README.md"
