"""Learning from answers that were drawn once: the best of n (rejection sampling), and DPO on best and worst.

Before the first step ``preference.group`` answers are drawn to ``preference.prompts`` clips and judged; they are kept
in ``answers.jsonl``, clip by clip, so that a run that was stopped goes on drawing where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cadenza.base.errors import ModelError
from cadenza.train.listening.rows import ClipRows, documents_of, features_of, given_of
from cadenza.train.listening.trainers import Judges, ListenTrainer, answers_to, text_of
from cadenza.train.preferences import document_log_p, dpo
from cadenza.train.recipe import TrainConfig
from cadenza.train.rows import Codec

ANSWERS = "answers.jsonl"


def draw(
    model: Any, rows: ClipRows, config: TrainConfig, codec: Codec, judges: Judges, out: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """One record a clip: its row, ids of the answers, what each is paid. A batch of clips is answered at once."""
    path, what, size = out / ANSWERS, config.preference, config.batch_rows
    done = path.read_text("utf-8").splitlines(True) if path.is_file() else []
    done = [line for line in done if line.endswith("\n")]
    done = done[: len(done) // size * size]  # what is drawn depends on the batch, which is begun again as a whole
    path.write_text("".join(done), "utf-8")
    order = np.random.default_rng([config.seed, 11]).permutation(len(rows))[: config.preference.prompts].tolist()
    with path.open("a", encoding="utf-8") as file:
        for first in range(len(done), len(order), size):
            numbers = order[first : first + size]
            asked = [given_of(rows[number], int(rows.documents.n_given[number])) for number in numbers]
            heard = [features_of([rows[number]])[0] for number in numbers]
            found = answers_to(model, asked, heard, what.group, config, codec, what.temperature, [12, first])
            verdicts = judges(
                [text_of(codec, one) for own in found for one in own],
                [rows.asked[number].answer for number in numbers for _ in range(what.group)],
            )
            for at, (number, own) in enumerate(zip(numbers, found, strict=True)):
                paid = [verdict.total for verdict in verdicts[at * what.group : (at + 1) * what.group]]
                file.write(json.dumps({"row": number, "answers": [one.tolist() for one in own], "paid": paid}) + "\n")
            file.flush()
            if first // 50 < (first + size) // 50:
                say(f"answers to {first + len(numbers)} of {len(order)} clips")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def best_rows(rows: ClipRows, drawn: list[dict[str, Any]]) -> ClipRows:
    """The best answer to each clip in the place of the true one; clips whose answers all have 0 are left out.

    Raises:
        ModelError: no answer is worth anything.
    """
    texts, given, asked = [], [], []
    for one in drawn:
        best = int(np.argmax(one["paid"]))
        if one["paid"][best] <= 0:
            continue
        number = one["row"]
        prompt = rows.documents.document(number)[0][: rows.documents.n_given[number]].tolist()
        texts.append([*prompt, *one["answers"][best]])
        given.append(len(prompt))
        asked.append(rows.asked[number])
    if not texts:
        raise ModelError("answers that the reward tells from nothing", "none", hint="Train longer with objective sft.")
    return ClipRows(documents_of(texts, given, [0] * len(texts)), asked, rows.heard)


class PairRows(ClipRows):
    """Rows of a clip's best and worst answers, each with the reference's sums of log p."""

    def __init__(self, rows: ClipRows, drawn: list[dict[str, Any]], reference: Any = None) -> None:
        texts: list[list[int]] = []
        given: list[int] = []
        asked = []
        for one in drawn:
            best, worst = int(np.argmax(one["paid"])), int(np.argmin(one["paid"]))
            if one["paid"][best] <= one["paid"][worst]:
                continue
            number = one["row"]
            prompt = rows.documents.document(number)[0][: rows.documents.n_given[number]].tolist()
            for at in (best, worst):
                texts.append([*prompt, *one["answers"][at]])
                given.append(len(prompt))
                asked.append(rows.asked[number])
        if not texts:
            hint = "Raise preference.group or temperature."
            raise ModelError("answers that the reward tells apart", "none", hint=hint)
        super().__init__(documents_of(texts, given, [0] * len(texts)), asked, rows.heard)
        self.rows = [[2 * at, 2 * at + 1] for at in range(len(texts) // 2)]
        self.reference = reference

    def __getitem__(self, number: int) -> dict[str, Any]:
        better, worse = (ClipRows(self.documents, self.asked, self.heard)[at] for at in self.rows[number])
        found = {"better": better, "worse": worse, "row": number}
        return found if self.reference is None else found | {"reference": self.reference[number]}


class PairCollate:
    """Better and worse answers one after another, so that a batch of B pairs is 2B rows."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate

    def __call__(self, pairs: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch of pairs; of plain rows, as evaluation has them, a plain one."""
        if "better" not in pairs[0]:
            return self.collate(pairs)  # type: ignore[no-any-return]
        batch: dict[str, torch.Tensor] = self.collate(
            [row for pair in pairs for row in (pair["better"], pair["worse"])]
        )
        if "reference" in pairs[0]:
            batch["reference"] = torch.tensor(np.array([pair["reference"] for pair in pairs]))
        return batch


def pair_sums(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """(B, 2) sums of log p of the better and the worse answers, with the sound."""
    out = model(
        input_ids=batch["input_ids"], features=batch["features"], position_ids=batch["position_ids"], use_cache=False
    )
    ids = batch["input_ids"].masked_fill(batch["input_ids"] >= out.logits.shape[-1], 0)
    return document_log_p(out.logits, ids, batch["labels"], batch["position_ids"], 1).view(-1, 2)


@torch.no_grad()
def with_reference(model: Any, rows: PairRows, collate: PairCollate) -> PairRows:
    """The rows with the sums of the model as it is."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    sums = []
    for first in range(0, len(rows), 8):
        pairs = [rows[number] for number in range(first, min(first + 8, len(rows)))]
        batch = {name: value.to(device) for name, value in collate(pairs).items()}
        sums.append(pair_sums(model, batch).float().cpu().numpy())
    model.train(was_training)
    rows.reference = np.concatenate(sums)
    return rows


class DpoListenTrainer(ListenTrainer):
    """DPO (Rafailov et al. 2023) on pairs of answers, all of it with the sound."""

    def __init__(self, *args: Any, **keys: Any) -> None:
        super().__init__(*args, **keys)
        self.data_collator = PairCollate(self.data_collator)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """DPO's loss of a batch; batches of a step weigh the same."""
        del return_outputs, num_items_in_batch
        found = dpo(pair_sums(model, inputs), inputs["reference"], self.config.preference.beta)
        return found / self.current_gradient_accumulation_steps
