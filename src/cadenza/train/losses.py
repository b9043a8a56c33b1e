"""What is minimised: cross entropy, and two cures for loops that work at training time.

Letters: B rows, T tokens, V vocabulary.

**DITTO** (Xu et al., "Learning to Break the Loop", NeurIPS 2022). A row repeats one unit (here 1–4 bars) of a training
text until it is full. From the second copy on (or the third: form A A B B is music, not a fault), the probability of a
token shall be ``decay`` times that of the same token one copy before, whose gradient is stopped:
−log(1 − |P(x_n) − decay · P(x_{n−1})|). With ``excess`` only what lies above is penalised.

**Unlikelihood** (Welleck et al., 2020), the control. Token level: −log(1 − P(c)) for every earlier token c of the
document that is not the target, beside cross entropy; sequence level: the same on tokens of a row of the model's own
greedy continuation that repeat a 4-gram.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from cadenza.train.rows import IGNORED, Documents

LEAST = 1e-20  # DITTO's own clamp


def cross_entropy_sum(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum of −log p (nats) over the targets.

    Args:
        logits: (B, T, V).
        labels: (B, T); token t is predicted from what stands before it. :data:`IGNORED` counts for nothing.
    """
    targets = labels[:, 1:]
    wanted = targets != IGNORED
    return functional.cross_entropy(logits[:, :-1][wanted].float(), targets[wanted], reduction="sum")


@dataclass(frozen=True)
class RepetitionRows:
    """Rows that repeat one unit: prefix, first copy, further copies to the end.

    Args:
        ids: (B, T).
        starts: (B,) where the first copy begins.
        periods: (B,) tokens of a copy.
    """

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    periods: NDArray[np.int64]


def repetition_rows(
    documents: Documents,
    n_rows: int,
    n_tokens: int,
    unit_bars: int,
    rng: np.random.Generator,
    least_unit_bars: int = 1,
) -> RepetitionRows:
    """Pseudo-repetition rows: an interior unit of a random document, the text before it as prefix, then copies of it.

    A notation without bar marks gives runs of tokens instead. The prefix is what stands before the unit, at most a
    third of the row; a unit is at most a third of what is left, so that a row holds three copies at least. Units have
    ``least_unit_bars`` to ``unit_bars`` bars, where the documents hold such that fit.
    """
    ids = np.zeros((n_rows, n_tokens), np.int64)
    starts, periods = np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64)
    for row in range(n_rows):
        for _ in range(64):
            index = int(rng.integers(len(documents)))
            whole, _ = documents.document(index)
            bars = documents.units_of(index)
            ends = np.append(bars[1:], len(whole) - 1)  # without <eos>
            if len(documents.unit_starts) and len(bars) < 2:
                continue
            if not len(bars):
                # A notation without bars: any run of tokens of the completion.
                low = int(documents.n_given[index])
                length = int(rng.integers(4, 65))
                if len(whole) - 1 - low < length + 1:
                    continue
                begin = int(rng.integers(low, len(whole) - 1 - length + 1))
                end = begin + length
            else:
                first = int(rng.integers(len(bars)))
                last = min(first + int(rng.integers(least_unit_bars, unit_bars + 1)), len(bars)) - 1
                if last - first + 1 < least_unit_bars:
                    continue
                begin, end = int(bars[first]), int(ends[last])
            prefix = whole[max(0, begin - n_tokens // 3) : begin]
            period = end - begin
            if period >= 2 and period * 3 <= n_tokens - len(prefix):
                break
        else:
            period = max(2, n_tokens // 8)
            prefix, begin = whole[:0], 0
            whole = np.resize(whole, max(len(whole), period))
        copies = np.resize(whole[begin : begin + period], n_tokens - len(prefix))
        ids[row] = np.concatenate([prefix, copies])
        starts[row], periods[row] = len(prefix), period
    return RepetitionRows(ids, starts, periods)


def ditto(
    logits: torch.Tensor, rows: RepetitionRows, decay: float = 0.5, from_copy: int = 2, excess: bool = False
) -> torch.Tensor:
    """Mean DITTO loss over the penalised tokens.

    Args:
        logits: (B, T, V) of the rows.
        rows: see :class:`RepetitionRows`.
        decay: λ of the paper.
        from_copy: the first copy that is penalised, 2 or more.
        excess: penalise only probabilities above ``decay`` times the one before.
    """
    ids = torch.from_numpy(rows.ids).to(logits.device)
    logp = torch.log_softmax(logits[:, :-1].float(), -1)
    p = logp.gather(-1, ids[:, 1:, None]).squeeze(-1).exp()  # (B, T − 1); p[t − 1] is that of token t
    place = torch.arange(1, ids.shape[1], device=logits.device)[None]
    period = torch.from_numpy(rows.periods).to(logits.device)[:, None]
    start = torch.from_numpy(rows.starts).to(logits.device)[:, None]
    # A copy before also for the last tokens: place − period is a token of the row, and has a prediction.
    penalised = (place >= start + (from_copy - 1) * period) & (place - period >= 1)
    before = p.detach().gather(1, (place - period - 1).clamp(min=0))
    difference = p - decay * before
    difference = difference.clamp(min=0) if excess else difference.abs()
    loss = -torch.log((1 - difference).clamp(min=LEAST))
    return loss[penalised].mean()


def token_unlikelihood(
    logits: torch.Tensor, ids: torch.Tensor, labels: torch.Tensor, position_ids: torch.Tensor
) -> torch.Tensor:
    """Sum over the targets of −log(1 − p(c)) for every token c that stands earlier in the document, but the target.

    Args:
        logits: (B, T, V).
        ids: (B, T).
        labels: (B, T), :data:`IGNORED` where nothing is learned.
        position_ids: (B, T); a position 0 begins a document.
    """
    n_rows, _n_tokens, n_words = logits.shape
    total = logits.new_zeros((), dtype=torch.float32)
    for row in range(n_rows):
        begins = (position_ids[row] == 0).cumsum(0)
        for document in range(1, int(begins.max()) + 1):
            where = (begins == document).nonzero().squeeze(1)
            targets = labels[row, where]
            wanted = (targets != IGNORED).nonzero().squeeze(1)
            wanted = wanted[wanted > 0]
            if not len(wanted):
                continue
            # seen[t, v]: whether v stands before t.
            one_hot = torch.zeros(len(where), n_words, dtype=torch.bool, device=logits.device)
            one_hot[torch.arange(len(where)), ids[row, where]] = True
            seen = (one_hot.int().cumsum(0) > 0)[wanted - 1]
            seen[torch.arange(len(wanted)), targets[wanted]] = False
            p = logits[row, where[wanted] - 1].float().softmax(-1)
            total = total - (torch.log((1 - p).clamp(min=LEAST)) * seen).sum()
    return total


def repeats(ids: NDArray[np.int64], n: int = 4) -> NDArray[np.bool_]:
    """Which tokens of a row belong to an n-gram that stood in the row before."""
    out = np.zeros(len(ids), bool)
    seen: set[tuple[int, ...]] = set()
    for at in range(len(ids) - n + 1):
        gram = tuple(ids[at : at + n].tolist())
        if gram in seen:
            out[at : at + n] = True
        seen.add(gram)
    return out


def sequence_unlikelihood(logits: torch.Tensor, ids: torch.Tensor, n_given: int) -> torch.Tensor:
    """Mean −log(1 − p) of the tokens of the model's own continuations that repeat a 4-gram; 0 where none does.

    Args:
        logits: (B, T, V) of ``ids``, with gradient.
        ids: (B, T): prefix and the model's continuation of it.
        n_given: tokens of the prefix.
    """
    p = torch.log_softmax(logits[:, :-1].float(), -1).gather(-1, ids[:, 1:, None]).squeeze(-1).exp()
    mask = np.stack([repeats(row) for row in ids[:, n_given:].cpu().numpy()])
    wanted = torch.zeros_like(p, dtype=torch.bool)
    wanted[:, n_given - 1 :] = torch.from_numpy(mask).to(p.device)
    if not wanted.any():
        return p.sum() * 0
    return -torch.log((1 - p[wanted]).clamp(min=LEAST)).mean()
