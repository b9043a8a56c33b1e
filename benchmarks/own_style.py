"""A style of one's own: what tuning the shipped composer on a folder of songs gains there, and forgets elsewhere.

    python -m benchmarks.own_style --corpus MY_CORPUS --run MY_RUN --general CORPUS --work DIR --out FILE.json

MY_CORPUS and MY_RUN are those of docs/your-own-style.md: a corpus of the recipe ``composer`` and a run of the
recipe ``own-style``. CORPUS is the one that the shipped composer was trained on (recipe ``composer``).

**Gain.** Rows of the style's test works (whole groups of works that share music, never trained on), at most eight of a
group and task; every model pays for the same tokens, those of the bars that are to be written (headers are given), so
bits per note are on the same fields. They are split by what a token says: pitch, rhythm (durations and steps), and the
rest (bar lines, instruments, velocities). Beside the two models stands the best interpolated n-gram of the style's own
training documents, alone and mixed with copying (order and weights chosen on its validation works). That the style was
not in the shipped composer's training set is looked up in its index: the share of the test works' notes in runs of
eight or more that stand there, and the passages with a longer run than held-out music usually has.

**Forgetting.** The same for at most ``--n-general`` rows of CORPUS's test works, one of a group and task; neither model
was trained on them. ``cadenza model blend`` goes part of the way back: each ``--keep`` is a row on both sides; none is
chosen here.

Intervals are 95 % paired bootstraps over groups of works.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.composer_held_out import MOST_TOKENS, Document, gain, n_gram_bits
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.open import BuiltCorpus
from cadenza.infer.likelihood import Row
from cadenza.infer.model import ORIGINALITY_FILE, shipped_folder
from cadenza.metrics.originality import OriginalityIndex, copied
from cadenza.model.vocabulary import Vocabulary

TASKS = ("continue", "infill")
PER_WORK = 8
NGRAM_TOKENS = 8_000_000
CLASSES = ("pitch", "rhythm", "rest")


def class_of(field: str) -> int:
    """What a token says, as an index into :data:`CLASSES`."""
    if field.startswith("p"):
        return 0
    return 1 if field.startswith((":d", ":t", "t")) else 2


def classes(codec: Vocabulary) -> NDArray[np.int64]:
    """The class of each token id, shape (V,)."""
    return np.array([class_of(codec.detokenize([token])) for token in range(len(codec))])


def documents_of(corpus: Path, split: str, per_work: int = PER_WORK, n: int | None = None) -> list[Document]:
    """Continuations and gaps of a split, headers given: at most so many of a group of works and a task, drawn."""
    built = BuiltCorpus.open(corpus)
    codec, start = Vocabulary.of(built.notation.vocabulary()), built.notation.unit_start
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for one in built.rows(split):
        if one["task"] in TASKS:
            found[one["group"], one["task"]].append(one)
    keys = sorted(found)
    rng = np.random.default_rng(0)
    out: list[Document] = []
    for at in rng.permutation(len(keys)).tolist():
        group, task = keys[at]
        for number in rng.permutation(len(found[keys[at]]))[:per_work].tolist():
            told = found[keys[at]][number]
            prompt, completion = told["prompt"], told["completion"]
            if task == "infill":
                header, _, completion = completion.partition("\n")
                prompt += header + "\n"
            made = Document.of(codec, start, task, group, told["source"], prompt, completion, told["n_notes"])
            if len(made.ids) <= MOST_TOKENS:
                out.append(made)
    return out[:n]


def bits_of(folder: Path, documents: Sequence[Document], kind_of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bits of each document's bars by class, shape (m, 3)."""
    import torch
    from transformers import AutoModelForCausalLM

    from cadenza.train.likelihood import log2_of

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    log2_p = log2_of(model, [Row(document.ids, document.n_given) for document in documents], packed_tokens=2048)
    paid = [document.ids[document.n_given :] for document in documents]
    owner = np.repeat(np.arange(len(documents)), [len(ids) for ids in paid])
    out = np.zeros((len(documents), len(CLASSES)))
    np.add.at(out, (owner, kind_of[np.concatenate(paid)]), -log2_p)
    return out


def row(documents: Sequence[Document], bits: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Bits per note of each system, and the gain of each over "shipped"."""
    notes = sum(document.n_notes for document in documents)
    groups = [document.group for document in documents]
    out: dict[str, Any] = {"documents": len(documents), "works": len(set(groups)), "notes": notes, "bits_per_note": {}}
    for name, found in bits.items():
        total = found if found.ndim == 1 else found.sum(1)
        said: dict[str, Any] = {"all": float(total.sum() / notes)}
        if found.ndim == 2:
            said |= {kind: float(value) for kind, value in zip(CLASSES, found.sum(0) / notes, strict=True)}
        if name != "shipped":
            said["gain_over_shipped"] = gain(bits["shipped"].sum(1), total, groups)
        out["bits_per_note"][name] = said
    return out


def known(corpus: Path) -> dict[str, Any]:
    """How much of the test works stands in the shipped composer's training set."""
    index = OriginalityIndex.load(shipped_folder() / ORIGINALITY_FILE)
    built = BuiltCorpus.open(corpus)
    runs, shares, notes = [], [], []
    for one in built.rows("test"):
        if one["task"] == "continue":
            found = copied(built.notation.decode(one["prompt"] + one["completion"]), index)
            if "run" in found:
                runs.append(found["run"])
                shares.append(found["notes"])
                notes.append(one["n_notes"])
    return {
        "passages": len(runs),
        "share_of_notes_in_known_runs": float(np.average(shares, weights=notes)),
        "longest_run": max(runs),
        "passages_beyond_the_usual_run": sum(run > index.about["human_run"] for run in runs),
        "usual_run": index.about["human_run"],
    }


def kept(work: Path, name: str, side: str, make: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
    """What was made before under these names, or is made now."""
    path = work / f"{name.replace(' ', '-')}-{side}.npy"
    if not path.is_file():
        begun = time.process_time()
        found = io.BytesIO()
        np.save(found, make())
        write_atomically(path, found.getvalue())
        print(f"{name}, {side}: {time.process_time() - begun:.0f} CPU seconds", flush=True)
    made: NDArray[np.float64] = np.load(path)
    return made


def measure(
    corpus: Path, run: Path, work: Path, general: Path | None, keeps: Sequence[float], n_general: int, only: str = ""
) -> dict[str, Any]:
    """All that is written to the file; with ``only`` "MODEL, SIDE" no more than these bits, into ``work``."""
    from cadenza.train.export import blend, model_folder

    style, validation = documents_of(corpus, "test"), documents_of(corpus, "validation")
    sides = {"style": style}
    if general is not None:
        sides["general"] = documents_of(general, "test", 1, n_general)
    kind_of = classes(Vocabulary.of(BuiltCorpus.open(corpus).notation.vocabulary()))
    folders = {"shipped": shipped_folder(), "tuned": model_folder(run)}
    work.mkdir(parents=True, exist_ok=True)
    for keep in keeps:
        folders[f"keep {keep:g}"] = work / f"blend-{keep:g}"
        if not folders[f"keep {keep:g}"].is_dir():
            blend(run, folders[f"keep {keep:g}"], keep)
    bits: dict[str, dict[str, NDArray[np.float64]]] = {side: {} for side in sides}
    for name, folder in folders.items():
        for side, documents in sides.items():
            if only in ("", f"{name}, {side}"):
                bits[side][name] = kept(work, name, side, partial(bits_of, folder, documents, kind_of))
    if only:
        return {}
    grams, about = n_gram_bits(corpus, validation, style, NGRAM_TOKENS)
    record = json.loads((model_folder(run) / "run.json").read_text("utf-8"))
    manifest = json.loads((corpus / "manifest.json").read_text("utf-8"))
    result: dict[str, Any] = {
        "command": "python -m benchmarks.own_style",
        "style": {
            "pieces": sum(source["pieces"] for source in manifest["sources"]),
            "rejected": manifest["rejected"],
            "splits": manifest["splits"],
            "known_to_the_shipped_composer": known(corpus),
        },
        "recipe": {name: record["config"][name] for name in ("optimiser", "learning_rate", "steps", "batch_rows")},
        "n_gram": about,
        "by_task": {
            kind: row(
                [d for d in style if d.kind == kind],
                {
                    name: found[np.array([d.kind == kind for d in style])]
                    for name, found in (bits["style"] | grams).items()
                },
            )
            for kind in sorted({d.kind for d in style})
        },
        "style_all": row(style, bits["style"] | grams),
        "versions": versions(),
    }
    if general is not None:
        result["general_all"] = row(sides["general"], bits["general"])
    return result


def table(result: dict[str, Any]) -> str:
    """What was measured, in lines to read."""
    lines = []
    for side in ("style_all", "general_all"):
        if side not in result:
            continue
        one = result[side]
        lines += ["", f"{side}: {one['works']} works, {one['documents']} documents, {one['notes']:,} notes"]
        for name, said in one["bits_per_note"].items():
            change = said.get("gain_over_shipped")
            told = f"{-change['gain']:+.1%} ({-change['high']:+.1%} … {-change['low']:+.1%})" if change else ""
            parts = "  ".join(f"{kind} {said[kind]:.2f}" for kind in CLASSES if kind in said)
            lines.append(f"  {name:16} {said['all']:6.2f}  {told:32} {parts}")
    return "\n".join(lines)


LABELS = {"shipped": "shipped composer", "tuned": "tuned", "n-gram": "n-gram of the same songs"}
LABELS |= {"keep 0.5": "blend of both, half and half", "n-gram + copying": "that n-gram with copying"}


def markdown(result: dict[str, Any], side: str) -> list[str]:
    """The rows of the table in docs/your-own-style.md."""
    lines = []
    for name, said in result[side]["bits_per_note"].items():
        change = said.get("gain_over_shipped")
        told = f"{-change['gain']:+.1%} ({-change['high']:+.1%} … {-change['low']:+.1%})" if change else ""
        parts = " | ".join(f"{said[kind]:.2f}" if kind in said else "" for kind in CLASSES)
        lines.append(f"| {LABELS.get(name, name)} | {said['all']:.2f} | {told.replace('-', '−')} | {parts} |")
    return lines


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="of the style")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--general", type=Path, help="the corpus that the shipped composer was trained on")
    parser.add_argument("--keep", type=float, action="append", default=[], help="share of the base in a blend")
    parser.add_argument("--n-general", type=int, default=120)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is done; started again it goes on")
    parser.add_argument("--only", default="", help='"tuned, style": these bits alone; several at a time')
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    result = measure(chosen.corpus, chosen.run, chosen.work, chosen.general, chosen.keep, chosen.n_general, chosen.only)
    if chosen.only:
        return
    write_atomically(chosen.out, (json.dumps(result, indent=1) + "\n").encode())
    print(table(result))


if __name__ == "__main__":
    main()
