"""Does a model believe what it has just said? The self-reinforcement of Xu et al. (2022), measured and drawn.

A bar of held-out music is repeated N times and read by the model, teacher-forced. For copy n:

* TP: the mean probability of its tokens;
* IP: the share of its tokens that are likelier than in the first copy;
* WR: the share of its tokens that are likelier than in the first copy and the likeliest of all.

A model that loops shows TP and WR that climb to 1. Human music repeats too, so TP above its first value is no fault;
what tells is how fast it climbs, beside another model on the same bars.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cadenza.train import curves as drawn
from cadenza.train.rows import Documents


@dataclass(frozen=True)
class Curves:
    """One value a copy, each of shape (n_copies,).

    Args:
        tp: mean probability of a token.
        ip: share of tokens likelier than in copy 1 (0 there).
        wr: share of tokens likelier than in copy 1 and likeliest of all (0 there).
        n_units: bars that were repeated.
    """

    tp: NDArray[np.float64]
    ip: NDArray[np.float64]
    wr: NDArray[np.float64]
    n_units: int

    def as_dict(self) -> dict[str, Any]:
        """Plain lists."""
        return {"tp": self.tp.tolist(), "ip": self.ip.tolist(), "wr": self.wr.tolist(), "n_units": self.n_units}


def repeated_units(
    documents: Documents, n_units: int, n_copies: int, most_tokens: int, rng: np.random.Generator
) -> list[tuple[NDArray[np.int64], int, int]]:
    """(ids, start of the first copy, tokens of a copy): an interior bar of a random document after what precedes it."""
    out: list[tuple[NDArray[np.int64], int, int]] = []
    for index in rng.permutation(len(documents)):
        bars = documents.units_of(int(index))
        if len(bars) < 2:
            continue
        ids, _ = documents.document(int(index))
        chosen = int(rng.integers(len(bars) - 1))
        begin, end = int(bars[chosen]), int(bars[chosen + 1])
        if end - begin < 2 or begin + n_copies * (end - begin) > most_tokens:
            continue
        out.append((np.concatenate([ids[:begin], np.tile(ids[begin:end], n_copies)]), begin, end - begin))
        if len(out) == n_units:
            break
    return out


@torch.no_grad()
def curves(
    model: Any, documents: Documents, *, n_units: int = 64, n_copies: int = 16, most_tokens: int = 2048, seed: int = 0
) -> Curves:
    """The curves of a model over bars of ``documents``; equal seeds choose equal bars."""
    model.eval()
    rows = repeated_units(documents, n_units, n_copies, most_tokens, np.random.default_rng(seed))
    tp, ip, wr = (np.zeros(n_copies) for _ in range(3))
    for ids, start, period in rows:
        x = torch.from_numpy(ids)[None].to(next(model.parameters()).device)
        logp = torch.log_softmax(model(input_ids=x, use_cache=False).logits[0, start - 1 : -1].float(), -1)
        targets = x[0, start:]
        p = logp.gather(1, targets[:, None])[:, 0].exp().cpu().numpy().reshape(n_copies, period)
        best = (logp.argmax(1) == targets).cpu().numpy().reshape(n_copies, period)
        likelier = p > p[0]
        tp += p.mean(1)
        ip += likelier.mean(1)
        wr += (likelier & best).mean(1)
    n = max(1, len(rows))
    return Curves(tp / n, ip / n, wr / n, len(rows))


def svg(named: dict[str, Curves], width: int = 900, height: int = 320) -> str:
    """A drawing of the three curves, side by side, a line for each model."""
    panels = []
    titles = {"tp": "TP: mean probability", "ip": "IP: share likelier", "wr": "WR: likelier and likeliest"}
    for name, title in titles.items():
        lines = {
            model: [(copy + 1.0, float(value)) for copy, value in enumerate(getattr(found, name))]
            for model, found in named.items()
        }
        panels.append(drawn.Panel(title, "copy", lines, (0, 0.25, 0.5, 0.75, 1)))
    return drawn.drawing(panels, width, height)
