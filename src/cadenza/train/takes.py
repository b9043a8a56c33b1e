"""A model's own takes: completions of given tokens, drawn at a temperature, and what a reward says of them.

No grammar stands beside the model here: what is learned from is what the model does by itself, and a completion that is
not its notation has reward 0. Letters: G takes of one prompt, T tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cadenza.base.errors import NotationError
from cadenza.metrics.reward import Judgement, Reward
from cadenza.notation.base import Notation
from cadenza.score.edit import select_ticks
from cadenza.score.model import Score
from cadenza.train.rows import Codec, units


def drawn(
    model: Any,
    given: NDArray[np.int64],
    n_takes: int,
    n_tokens: int,
    codec: Codec,
    temperature: float,
    seed: int,
) -> list[NDArray[np.int64]]:
    """``n_takes`` completions of ``given``, each to ``<eos>`` (kept) or ``n_tokens`` tokens.

    The draw depends on the model, ``given`` and ``seed`` alone. Ids beyond the vocabulary (embeddings are padded), and
    those that begin or fill a row, are not drawn.

    Args:
        temperature: 0 takes the likeliest token each time.
    """
    return drawn_together(model, [given], n_takes, n_tokens, codec, temperature, seed)[0]


@torch.no_grad()
def drawn_together(
    model: Any,
    prompts: Sequence[NDArray[np.int64]],
    n_takes: int,
    n_tokens: int,
    codec: Codec,
    temperature: float,
    seed: int,
    first: dict[str, Any] | None = None,
    never: Collection[int] = (),
) -> list[list[NDArray[np.int64]]]:
    """As :func:`drawn` for several prompts in one batch, shorter ones filled at their beginning; prompt by prompt.

    Args:
        first: what else the model is given with the prompts, a row for each take of each prompt (sound in the places of
            placeholders).
        never: further ids that are not drawn (placeholders); those beyond the vocabulary may be among them.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    dice = torch.Generator(device=device).manual_seed(seed)
    longest = max(map(len, prompts))
    filled = np.full((len(prompts), longest), codec.pad_id or 0, np.int64)
    for row, given in enumerate(prompts):
        filled[row, longest - len(given) :] = given
    n_rows = len(prompts) * n_takes
    following = torch.from_numpy(filled).repeat_interleave(n_takes, 0).to(device)
    mask = None
    if min(map(len, prompts)) < longest:
        lengths = torch.tensor([len(given) for given in prompts]).repeat_interleave(n_takes)
        mask = (torch.arange(longest) >= longest - lengths[:, None]).long().to(device)
    written = torch.empty(n_rows, 0, dtype=torch.long, device=device)
    open_ = torch.ones(n_rows, dtype=torch.bool, device=device)
    unwanted = {codec.pad_id, codec.bos_id, *never} - {codec.eos_id, None}
    banned = [one for one in unwanted if one is not None and one < len(codec)]
    past = None
    for _ in range(n_tokens):
        masked = {} if mask is None else {"attention_mask": mask}
        out = model(input_ids=following, past_key_values=past, use_cache=True, **masked, **(first or {}))
        past, first = out.past_key_values, None
        logits = out.logits[:, -1].float() / (temperature or 1.0)
        logits[:, len(codec) :] = -torch.inf
        logits[:, banned] = -torch.inf
        likeliest = logits.argmax(-1, keepdim=True)
        following = torch.multinomial(logits.softmax(-1), 1, generator=dice) if temperature else likeliest
        following[~open_] = codec.eos_id
        written = torch.cat([written, following], 1)
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(n_rows, 1)], 1)
        open_ &= following[:, 0] != codec.eos_id
        if not open_.any():
            break
    model.train(was_training)
    takes = []
    for row in written.cpu().numpy():
        ends = np.flatnonzero(row == codec.eos_id)
        takes.append(row[: ends[0] + 1] if len(ends) else row)
    return [takes[at * n_takes : (at + 1) * n_takes] for at in range(len(prompts))]


@dataclass(frozen=True)
class Judge:
    """Ids of a take → what the reward says of its music, without what was given.

    Args:
        reward: over metrics.
        codec: ids → text.
        notation: text → Score.
    """

    reward: Reward
    codec: Codec
    notation: Notation

    def __call__(self, given: Sequence[int] | NDArray[np.int64], take: Sequence[int] | NDArray[np.int64]) -> Judgement:
        """The verdict on what comes after the prompt (on the whole text, for metrics of texts).

        A take that was cut off counts to its last bar line; 0 where the text cannot be read.
        """
        ids = [int(token) for token in take]
        ended = bool(ids) and ids[-1] == self.codec.eos_id
        before = [int(token) for token in given if token != self.codec.bos_id]
        text = self.codec.detokenize([*before, *(ids[:-1] if ended else ids)])
        if not ended:
            parts = units(text, self.notation.unit_start)
            text = "".join(parts[:-1] if len(parts) > 1 else parts)
        prompt = self._read(self.codec.detokenize(before))
        start = 0 if prompt is None else prompt.length_ticks
        whole = self._read(text)
        if whole is None or whole.length_ticks <= start:
            return Judgement(0.0, {}, {})
        new = select_ticks(start, whole.length_ticks).apply(whole) if start else whole
        return self.reward.of_score(new, text, self.notation, seed=prompt)

    def _read(self, text: str) -> Score | None:
        """The music of a text; None where it is none by itself."""
        try:
            return self.notation.decode(text.rstrip())
        except NotationError:
            return None
