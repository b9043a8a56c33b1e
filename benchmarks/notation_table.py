"""The notation table: which way of telling music a small model learns best, at equal parameters and equal compute.

    cadenza corpus build DATA … -o CORPUS
    python -m benchmarks.notation_table --corpus CORPUS --out RUNS

Every cell (:mod:`benchmarks.notation_cells`) is a decoder of the same number of parameters, trained from random
weights on the same number of tokens of the same excerpts (:mod:`benchmarks.notation_music`), with the same recipe,
which was taken from ``recipes/train/scratch-small.yaml`` and tuned for none of them. It is then judged:

- **bits per note**: −log2 p of whole texts of held-out works, header and end included, over their notes. All cells
  tell the very same notes, so every figure is the length of a code for the same music. Where velocities are told, the
  tokens that say them are counted apart: what is compared is the rest, given the velocities so far.
- **valid**: the first quarter of a held-out text's tokens is continued, without a grammar, at temperature 1 and top-p
  0.95, to the end token or the context's end; the notation's automaton, for which bars must add up, and its strict
  reader take the whole or not. Beside it the share of bars that the automaton refuses.
- **repetition, key, groove** of the same continuations under the grammar, beside the human excerpts that were begun.

Works are the units of all intervals. A cell that stands is not run again, one that was interrupted goes on from its
last checkpoint; several processes may share a folder. ``--report`` writes the result and the page from what stands.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import notation_texts as texts
from benchmarks.notation_cells import BOS, EOS, FIRST_FIELD, PAD, Cell, Codec, Tokens, cells, text_of
from benchmarks.notation_music import write_json
from benchmarks.notation_texts import MOST_TOKENS
from cadenza.base.config import load_config
from cadenza.base.errors import CadenzaError, ConfigError, FormatError, ModelError
from cadenza.base.files import locked
from cadenza.metrics import pitch, repetition, rhythm, syntax
from cadenza.notation.base import Notation
from cadenza.notation.grammar import END, Field, State
from cadenza.score.model import Score
from cadenza.train.recipe import Scratch, TrainConfig

N_TOKENS = 400_000  # that every cell is trained on, where --tokens does not say another number
N_PARAMETERS = 720_000
BATCH_ROWS = 4
N_SAMPLES, TOP_P = 64, 0.95
FEW_KINDS = 2
TAKEN = "Another process is at this cell."
RECIPE = Path(__file__).parents[1] / "src/cadenza/recipes/train/scratch-small.yaml"
FIGURES = ("rep_1_bars", "rep_r_bars", "loop_bars", "scale_consistency", "pitch_class_entropy", "groove_consistency")

# ── one cell ─────────────────────────────────────────────────────────────────────────────────────────────


def shape_of(n_vocabulary: int) -> Scratch:
    """Three layers of full attention, with a feed-forward width that makes the parameters equal to a tenth of a
    percent whatever the vocabulary."""
    width, layers, heads, head = 128, 3, 2, 64
    fixed = n_vocabulary * width + layers * (2 * width * heads * head + 2 * width * head + 2 * width) + width
    return Scratch(
        width=width, n_layers=layers, n_heads=heads, n_kv_heads=1, head_width=head, layer_pattern="f",
        mlp_width=round((N_PARAMETERS - fixed) / (3 * width * layers)),
    )  # fmt: skip


def recipe(cell: Cell, shape: Scratch, n_tokens: int) -> TrainConfig:
    """The recipe of a cell: that of small models, with what is fixed here."""
    config = load_config(TrainConfig, [str(RECIPE)])
    return replace(
        config, base="scratch:notation", scratch=shape, context_tokens=MOST_TOKENS, batch_rows=BATCH_ROWS, accumulate=1,
        steps=n_tokens // (BATCH_ROWS * MOST_TOKENS), evaluate_every=0, report_to=[], log_every=25,
        checkpoint_minutes=2.0, keep_checkpoints=1, seed=cell.seed,
    )  # fmt: skip


def trained(
    cell: Cell, ids: Sequence[NDArray[np.int64]], n_vocabulary: int, n_tokens: int, out: Path
) -> tuple[Any, dict[str, Any]]:
    """(the cell's model, what its training was), from the last checkpoint where there is one."""
    import torch
    from transformers import AutoModelForCausalLM

    from cadenza.train import loop, run
    from cadenza.train.bases import ROUND_VOCABULARY, scratch_model
    from cadenza.train.rows import Documents, RowSet, pack

    about = out / "training.json"
    if about.is_file():
        return AutoModelForCausalLM.from_pretrained(out / "model", dtype=torch.float32), json.loads(about.read_bytes())
    size = -(-n_vocabulary // ROUND_VOCABULARY) * ROUND_VOCABULARY
    config = run.settled(recipe(cell, shape_of(size), n_tokens))
    n = len(ids)
    ones = np.ones(n, np.float32)
    documents = Documents(
        np.concatenate(ids).astype(np.int32), np.cumsum([0, *map(len, ids)]), np.ones(n, np.int32),
        np.zeros(0, np.int64), np.full(n, -1, np.int32), ones, ones, np.zeros(n, np.int32), ("whole",),
    )  # fmt: skip
    rows = pack(documents.lengths, np.arange(n), MOST_TOKENS)
    torch.set_num_threads(1)
    model = scratch_model(config.shape(), size, MOST_TOKENS, cell.seed)
    out.mkdir(parents=True, exist_ok=True)
    loop.clear_parts(out)
    found = loop.checkpoints(out)
    trainer = loop.MusicTrainer(config, model, RowSet(documents, rows), None, out, config.steps or 0, PAD)
    before = time.process_time()
    trainer.train(resume_from_checkpoint=str(found[-1]) if found else None)
    seconds = time.process_time() - before
    model.save_pretrained(out / "model")
    said = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": n_vocabulary,
        "asked_tokens": n_tokens,
        "steps": config.steps,
        "tokens": (config.steps or 0) * BATCH_ROWS * MOST_TOKENS,
        "passes": round((config.steps or 0) * BATCH_ROWS / len(rows), 3),
        "filled": round(float(documents.lengths.sum()) / (len(rows) * MOST_TOKENS), 4),
        "cpu_seconds": None if found else round(seconds, 1),  # of a resumed cell only the last part is known
        "recipe": asdict(config),
    }
    write_json(about, said)
    # As saved, in float32: the trainer's own model computes in its precision.
    return AutoModelForCausalLM.from_pretrained(out / "model", dtype=torch.float32), said


def bits_of(model: Any, cell: Cell, codec: Codec, held: Sequence[Tokens]) -> list[list[float]]:
    """(bits of the common fields, bits of velocities, tokens) of each held-out text."""
    from cadenza.infer.likelihood import Row
    from cadenza.train.likelihood import log2_of

    ids = codec.ids(held)
    log2 = log2_of(model, [Row(row, 1) for row in ids], batch=16)
    at, out = 0, []
    loud = np.array([cell.is_velocity(field) for field in codec.fields], bool)
    for row in ids:
        mine = -log2[at : at + len(row) - 1]
        at += len(row) - 1
        field = row[1:] - (len(codec) - len(codec.fields))
        is_loud = np.where(field >= 0, loud[np.maximum(field, 0)], False)
        out.append([float(mine[~is_loud].sum()), float(mine[is_loud].sum()), len(row) - 1])
    return out


def continued(
    model: Any, codec: Codec, given: Sequence[NDArray[np.int64]], seed: int, guides: Sequence[Guide] | None = None
) -> list[NDArray[np.int64]]:
    """Each row of ids continued to the end token or :data:`MOST_TOKENS` tokens; freely, or as ``guides`` let it."""
    import torch

    from cadenza.infer.sample import Sampling, sample

    settings = Sampling(temperature=1.0, top_p=TOP_P)
    every = np.array([token for token in range(len(codec)) if token not in (PAD, BOS)])
    dice = [np.random.default_rng([seed, number]) for number in range(len(given))]
    rows = [row.tolist() for row in given]
    past, n = None, len(given)
    model.eval()
    with torch.inference_mode():
        for at in range(MOST_TOKENS - 1):
            column = torch.tensor([[row[at] if at < len(row) else EOS] for row in rows])
            told = model(input_ids=column, past_key_values=past, use_cache=True)
            past = told.past_key_values
            logits = told.logits[:, -1].float().numpy()
            for number in range(n):
                if len(rows[number]) != at + 1 or rows[number][-1] in (EOS, PAD):
                    continue
                may = every
                token = sample(logits[number], may, settings, dice[number])
                while guides is not None and token != PAD and not guides[number].takes(token):
                    may = may[may != token]  # where the vocabulary has nothing that may come, the row ends without end
                    token = sample(logits[number], may, settings, dice[number]) if len(may) else PAD
                rows[number].append(token)
            if all(row[-1] in (EOS, PAD) for row in rows):
                break
    return [np.array(row, np.int64) for row in rows]


class Guide:
    """The notation's automaton beside one continuation: tells which tokens may come.

    Args:
        state: before the first field.
        of: the fields of each token of the vocabulary that is no special one and no byte.
        given: the ids that stand.
    """

    def __init__(self, state: State, of: Sequence[Sequence[Field]], given: Sequence[int]) -> None:
        self.state, self.of = state, of
        for token in given:
            if not self.takes(token):
                raise ModelError("a text that follows the grammar", f"token {token}")

    def takes(self, token: int) -> bool:
        """Whether a token may come and something of the vocabulary after it; if so, the automaton has read it."""
        if token == EOS:
            return any(span.kind == END for span in self.state.allowed())
        if token < FIRST_FIELD:  # a spelled field: none of the training texts
            return False
        trial = _fed(self.state, self.of[token - FIRST_FIELD])
        if trial is None:
            return False
        if not self._goes_on(trial):
            return False
        self.state = trial
        return True

    def _goes_on(self, state: State, steps: int = 3) -> bool:
        """Whether the vocabulary has what may come next. Looked at where little may, and for some steps: "2" alone is
        a dead end where blanks belong to the token before them."""
        kinds = {span.kind for span in state.allowed()}
        if len(kinds) > FEW_KINDS or END in kinds or not steps:
            return True
        following = (_fed(state, fields) for fields in self.of if fields[0].kind in kinds)
        return any(after is not None and self._goes_on(after, steps - 1) for after in following)


def _fed(state: State, fields: Sequence[Field]) -> State | None:
    """The state after some fields; None where they may not stand there."""
    trial = state.copy()
    try:
        for field in fields:
            trial.feed(field)
    except CadenzaError:
        return None
    return trial


def fields_by_token(cell: Cell, codec: Codec, texts_: Sequence[Tokens]) -> dict[str, list[Field]]:
    """The fields that each token of a codec is (with its blank two, in ABC), as the texts that it was made of say."""
    known = {" ": Field(" ", "")}
    wanted = {part for token in codec.fields for part in cell.joint([token])}
    for tokens in texts_:
        if wanted <= set(known):
            break
        for field in cell.notation.fields(text_of(cell.notation, cell.joint(tokens))):
            known.setdefault(str(field), field)
    return {token: [known[part] for part in cell.joint([token])] for token in codec.fields}


def judged(cell: Cell, codec: Codec, row: NDArray[np.int64]) -> dict[str, Any]:
    """Whether a free continuation ended, and what the notation's reader and its automaton say of its text."""
    out: dict[str, Any] = {"ended": bool(row[-1] == EOS), "tokens": len(row), "read": False, "valid": False}
    try:
        told = codec.tokens(row[1:].tolist())
        text = text_of(cell.notation, cell.joint(told))
    except CadenzaError as error:
        return out | {"fault": f"expected {error.expected}, found {error.actual}"[:160]}
    out["read"] = out["ended"] and is_read(cell.notation, text)
    found = syntax.compute(est=text, notation=cell.notation)
    out["faulty_bars"] = found.get("faulty_bars")
    if not found["parse"]:
        return out | {"fault": fault_of(cell.notation, text)}
    return out | {"valid": out["ended"], "fault": "no end within the context"}


def is_read(notation: Notation, text: str) -> bool:
    """Whether the strict reader takes a text (that of ABC minds no bar that is too long or short)."""
    try:
        notation.decode(text)
    except CadenzaError:
        return False
    return True


def fault_of(notation: Notation, text: str) -> str:
    """What the automaton expected where it refuses a text."""
    state = notation.grammar().begin()
    try:
        for field in notation.fields(text):
            state.feed(field)
        notation.decode(text)
    except CadenzaError as error:
        return f"expected {error.expected}, found {error.actual}"[:160]
    return "an end where none may be"


def guided(
    model: Any, cell: Cell, codec: Codec, train: Sequence[Tokens], given: Sequence[NDArray[np.int64]]
) -> list[dict[str, float]] | None:
    """The figures of continuations under the grammar: none where one did not end within the context, or where what is
    given holds a field that training does not. None for streams that have no grammar."""
    if cell.joined is not None:
        return None
    known = fields_by_token(cell, codec, train)
    of = [known[token] for token in codec.fields]
    plain = [number for number, row in enumerate(given) if (row[1:] >= FIRST_FIELD).all()]
    guides = [Guide(cell.notation.grammar().begin(), of, given[number][1:].tolist()) for number in plain]
    out: list[dict[str, float]] = [{} for _ in given]
    for number, row in zip(plain, continued(model, codec, [given[k] for k in plain], cell.seed, guides), strict=True):
        if row[-1] == EOS:
            out[number] = figures(cell.read(codec.tokens(row[1:].tolist())))
    return out


def figures(score: Score) -> dict[str, float]:
    """The figures of :data:`FIGURES` that a score has."""
    if not score.n_notes:
        return {}
    found = {**repetition.compute(est=score), **pitch.compute(est=score), **rhythm.compute(est=score)}
    return {name: round(found[name], 6) for name in FIGURES if name in found}


def run_cell(cell: Cell, out: Path, train: Sequence[Tokens], held: Sequence[Tokens], n_tokens: int, key: str) -> None:
    """Train and judge a cell; its result goes to ``out``. One that stands, or that another process is at, is left."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        with locked(out / "lock", TAKEN):
            _same_key(out / "key.json", key)
            if (out / "result.json").is_file() and "guided" in json.loads((out / "result.json").read_bytes()):
                return
            codec = Codec.of(train)
            model, said = trained(cell, codec.ids(train), len(codec), n_tokens, out)
            bits = bits_of(model, cell, codec, held)
            given = [row[: 1 + (len(row) - 2) // 4] for row in codec.ids(held)[:N_SAMPLES]]
            written = [judged(cell, codec, row) for row in continued(model, codec, given, seed=cell.seed)]
            under = guided(model, cell, codec, train, given)
            found = {"training": said, "bits": bits, "continuations": written, "guided": under}
            write_json(out / "result.json", found)
    except FormatError as error:
        if error.hint != TAKEN:
            raise
        print(f"{cell.name}: {TAKEN}", flush=True)
        return
    mean = sum(one[0] for one in bits) / len(bits)
    valid = sum(one["valid"] for one in written)
    print(f"{cell.name}: {mean:.1f} bits a text, {valid}/{len(written)} valid", flush=True)


def _same_key(path: Path, key: str) -> None:
    """Note what a cell depends on, or compare it with what was noted."""
    if not path.is_file():
        write_json(path, key)
    elif json.loads(path.read_bytes()) != key:
        hint = "Choose another --out."
        raise ConfigError("a cell of the same music and settings", "another", where=str(path), hint=hint)


def settings_key(key_train: str, key_held: str, n_tokens: int) -> str:
    """What results depend on."""
    parts = [key_train, key_held, n_tokens, N_PARAMETERS, BATCH_ROWS, N_SAMPLES, TOP_P, RECIPE.read_text("utf-8")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="a built corpus with its folder work")
    parser.add_argument("--out", type=Path, required=True, help="folder of the cells")
    parser.add_argument("--tokens", type=int, default=N_TOKENS, help="that each cell is trained on")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of cells (from 0) to run")
    parser.add_argument("--report", action="store_true", help="only write result and page of the cells that stand")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare the music")
    chosen = parser.parse_args(arguments)
    train = texts.training(chosen.corpus, chosen.out, chosen.workers)
    held = texts.held_out(chosen.corpus, chosen.out, chosen.workers)
    key = settings_key(train.fingerprint, held.fingerprint, chosen.tokens)
    every = cells()
    for number, cell in enumerate(every):
        if not chosen.report and (chosen.only is None or number in chosen.only):
            run_cell(cell, chosen.out / cell.slug, train.tokens[cell.name], held.tokens[cell.name], chosen.tokens, key)
    if chosen.report or chosen.only is None:
        from benchmarks import notation_page

        notation_page.write(chosen.out, train, held)


if __name__ == "__main__":
    main()
