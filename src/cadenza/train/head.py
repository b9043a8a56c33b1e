"""Cross entropy at the head of a causal model, without the logits of a whole row ever being there.

A row of 32,768 tokens over 128,000 words has 17 GB of float32 logits, as much again for their softmax and their
gradient. While :func:`summed_loss` is on, the model's head gets only the places where something is learned, a slice at
a time: loss and gradient of a slice are computed together and its logits let go. The model's forward pass then gives
the summed loss where it would give logits, so what wraps it (DDP, FSDP2, autocast, adapters) need not know.

Letters: n learned places, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional

from cadenza.train import sharding
from cadenza.train.rows import IGNORED

#: Logits (numbers) of a slice: 16 MiB in float32 stay near a processor's cache and still fill an accelerator.
SLICE = 2**22


def slice_rows(n_vocabulary: int) -> int:
    """Places of a slice."""
    return max(16, SLICE // n_vocabulary)


def is_plain(model: Any) -> bool:
    """Whether the head's answer is the model's: nothing scales or caps logits afterwards (as Gemma 2 and Cohere do).

    One pass over four tokens without a gradient; nothing is drawn at random.
    """
    head = head_of(model)
    if head is None:
        return False
    seen: list[torch.Tensor] = []
    handle = head.register_forward_hook(lambda module, given, answer: seen.append(answer))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            device = next(model.parameters()).device
            answer = model(input_ids=torch.arange(4, device=device)[None], use_cache=False).logits
    finally:
        handle.remove()
        model.train(was_training)
        sharding.reshard(model)
    return len(seen) == 1 and seen[0].shape == answer.shape and bool(torch.equal(seen[0], answer))


def head_of(model: Any) -> Any:
    """The module that gives logits; None where a model says none."""
    return model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None


@contextmanager
def summed_loss(head: Any, labels: torch.Tensor) -> Iterator[None]:
    """Let the model's ``logits`` be the sum of −log p (nats) over the targets, a float32 scalar.

    Args:
        head: see :func:`head_of`.
        labels: (B, T); token t is predicted from what stands before it. :data:`IGNORED` counts for nothing.
    """
    targets = labels[:, 1:]
    wanted = targets != IGNORED
    plain = head.forward

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        return _summed(hidden[:, :-1][wanted], targets[wanted], plain)

    head.forward = forward
    try:
        yield
    finally:
        del head.forward


def _summed(hidden: torch.Tensor, targets: torch.Tensor, head: Any) -> torch.Tensor:
    """The loss of hidden states (n, D), whose targets are (n,)."""
    if not len(targets):
        return head(hidden).float().sum()  # 0, with a gradient of 0 for all that it comes from
    gradients = torch.is_grad_enabled()
    first = head(hidden[:1].detach())
    n_rows = slice_rows(first.shape[-1])
    if gradients:
        answer: torch.Tensor = _Head.apply(hidden, targets, head, n_rows, *leaves(first))
        return answer
    total = hidden.new_zeros((), dtype=torch.float32)
    for begin in range(0, len(targets), n_rows):
        part = slice(begin, begin + n_rows)
        total += functional.cross_entropy(head(hidden[part]).float(), targets[part], reduction="sum")
    return total


def leaves(result: torch.Tensor) -> list[torch.Tensor]:
    """The tensors with gradients that a result was computed from: whatever adapters wrap the head, none is missed."""
    found: dict[int, torch.Tensor] = {}
    seen: set[Any] = set()
    left = [result.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            found[id(variable)] = variable
        left += [before for before, _ in node.next_functions]
    return list(found.values())


class _Head(torch.autograd.Function):
    """Summed loss whose gradients are made in the forward pass, slice by slice."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, hidden: torch.Tensor, targets: torch.Tensor, head: Any, n_rows: int, *weights: torch.Tensor
    ) -> torch.Tensor:
        total = hidden.new_zeros((), dtype=torch.float32)
        of_hidden = torch.empty_like(hidden)
        of_weights = [torch.zeros_like(weight) for weight in weights]
        for begin in range(0, len(targets), n_rows):
            part = slice(begin, begin + n_rows)
            with torch.enable_grad():
                here = hidden[part].detach().requires_grad_()
                loss = functional.cross_entropy(head(here).float(), targets[part], reduction="sum")
                of_hidden[part], *more = torch.autograd.grad(loss, [here, *weights])
            for whole, one in zip(of_weights, more, strict=True):
                whole += one
            total += loss.detach()
        ctx.found = [of_hidden, *of_weights]
        return total

    @staticmethod
    def backward(ctx: Any, *scale: torch.Tensor) -> Any:
        if ctx.found is None:
            raise RuntimeError("the gradients of this loss have been taken already")
        # Scaled in place and let go here: they are as large as the head, and become the gradients without a copy.
        found, ctx.found = ctx.found, None
        of_hidden, *of_weights = (one.mul_(scale[0]) for one in found)
        return (of_hidden, None, None, None, *of_weights)
