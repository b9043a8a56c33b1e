"""log2 p of held-out rows under a transformers model, many at a time: padded batches, or packed end to end.

:func:`cadenza.infer.likelihood.log2_of` asks a decoder row by row and needs no torch; here the same rows go through in
batches, which is what an accelerator wants. However rows are put together, each token's figure is the same: padding is
on the right and masked, and packed rows begin anew with position 0, which transformers reads as a document of its own
when it is given positions and no mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError
from cadenza.infer.likelihood import Row


def log2_of(
    model: torch.nn.Module, rows: Sequence[Row], *, batch: int = 8, packed_tokens: int = 0
) -> NDArray[np.float64]:
    """log2 p of every token that the rows pay for, in their order.

    Args:
        batch: rows at once, padded to the longest.
        packed_tokens: instead of batches, rows end to end up to so many tokens (one row at least).

    Raises:
        ConfigError: neither a batch nor a pack of at least 1.
    """
    if batch < 1 or packed_tokens < 0:
        raise ConfigError("a batch of at least 1, packs of at least 0 tokens", f"{batch}, {packed_tokens}")
    model.eval()
    found: list[NDArray[np.float64]] = []
    with torch.inference_mode():
        for part in _packs(rows, packed_tokens) if packed_tokens else _batches(rows, batch):
            found += _packed(model, part) if packed_tokens else _padded(model, part)
    return np.concatenate([np.zeros(0), *found]) / math.log(2)


def _batches(rows: Sequence[Row], batch: int) -> list[Sequence[Row]]:
    return [rows[at : at + batch] for at in range(0, len(rows), batch)]


def _packs(rows: Sequence[Row], n_tokens: int) -> list[Sequence[Row]]:
    out: list[list[Row]] = []
    room = 0
    for row in rows:
        if not out or len(row.ids) > room:
            out.append([])
            room = n_tokens
        out[-1].append(row)
        room -= len(row.ids)
    return list(out)


def _padded(model: torch.nn.Module, rows: Sequence[Row]) -> list[NDArray[np.float64]]:
    """Natural logarithms of each row's paid tokens; ids (B, T)."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long, device=_device(model))
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row.ids)] = torch.from_numpy(row.ids)
        mask[number, : len(row.ids)] = 1
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return [_picked(logits[number], row) for number, row in enumerate(rows)]


def _packed(model: torch.nn.Module, rows: Sequence[Row]) -> list[NDArray[np.float64]]:
    """The same; ids (1, ΣT), positions from 0 in each row."""
    ids = torch.from_numpy(np.concatenate([row.ids for row in rows]))[None]
    positions = torch.cat([torch.arange(len(row.ids)) for row in rows])[None]
    device = _device(model)
    logits = model(input_ids=ids.to(device), position_ids=positions.to(device), use_cache=False).logits[0]
    out, at = [], 0
    for row in rows:
        out.append(_picked(logits[at : at + len(row.ids)], row))
        at += len(row.ids)
    return out


def _picked(logits: torch.Tensor, row: Row) -> NDArray[np.float64]:
    """log p of the row's tokens from ``n_given`` on; logits (T, V), the one before a token says it."""
    stop = len(row.ids)
    log_p = torch.log_softmax(logits[row.n_given - 1 : stop - 1].double(), -1)
    wanted = torch.from_numpy(row.ids[row.n_given :]).to(log_p.device)
    return log_p.gather(1, wanted[:, None])[:, 0].cpu().numpy()


def _device(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device
