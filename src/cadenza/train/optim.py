"""Muon for matrices, AdamW for the rest.

Muon (K. Jordan and others, 2024) replaces the momentum of each weight matrix by the nearest semi-orthogonal matrix,
found by five Newton–Schulz steps. PyTorch's own Muon runs these steps in bfloat16, which processors without bf16 units
emulate at a tenth of the speed of float32; hence these forty lines in float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(gradient: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The semi-orthogonal matrix nearest to ``gradient`` (shape (…, rows, columns)), singular values within 0.7–1.2."""
    is_tall = gradient.shape[-2] > gradient.shape[-1]
    x = gradient.mT if is_tall else gradient
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return x.mT if is_tall else x


class Muon(torch.optim.Optimizer):
    """Momentum 0.95 (Nesterov), step scaled by sqrt(max(1, rows / columns)), decoupled weight decay.

    Args:
        parameters: matrices.
        others: parameters that AdamW (betas 0.9 and 0.95, no decay) updates in the same step.
        others_lr: its learning rate.
    """

    def __init__(
        self,
        parameters: Iterable[torch.Tensor],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        others: Iterable[torch.Tensor] = (),
        others_lr: float = 0.0,
    ) -> None:
        groups: list[dict[str, Any]] = [{"params": list(parameters), "adam": False}]
        rest = list(others)
        if rest:
            groups.append({"params": rest, "adam": True, "lr": others_lr})
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):  # type: ignore[no-untyped-def, override]
        """One update of everything that has a gradient."""
        for group in self.param_groups:
            alike: dict[Any, list[torch.Tensor]] = {}
            for at, p in enumerate(group["params"]):
                if p.grad is None:
                    continue
                if group["adam"]:
                    self._adam(p, group["lr"])
                else:  # shares of sharded matrices are not stacked
                    plain = type(p.data) is torch.Tensor
                    alike.setdefault((p.shape, p.dtype, p.device) if plain else at, []).append(p)
            for same in alike.values():
                self._orthogonal(same, group)

    def _orthogonal(self, same: list[torch.Tensor], group: dict[str, Any]) -> None:
        """Muon's update of matrices of one shape, all of them at once: on accelerators the number of operations is what
        a small model's step costs."""
        for p in same:
            if "momentum" not in self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        updates = []
        for p in same:
            momentum = self.state[p]["momentum"]
            assert p.grad is not None
            momentum.lerp_(p.grad, 1 - group["momentum"])
            updates.append(p.grad.lerp(momentum, group["momentum"]))
        found = orthogonalise(torch.stack(updates)).unbind() if len(same) > 1 else [orthogonalise(updates[0])]
        rows, columns = same[0].shape
        for p, update in zip(same, found, strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.add_(update, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)

    def _adam(
        self, p: torch.Tensor, lr: float, betas: tuple[float, float] = (0.9, 0.95), epsilon: float = 1e-8
    ) -> None:
        state = self.state[p]
        if "step" not in state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
        assert p.grad is not None
        state["step"] += 1
        state["mean"].lerp_(p.grad, 1 - betas[0])
        state["square"].lerp_(p.grad.square(), 1 - betas[1])
        n = state["step"].item()
        unbiased = (state["square"] / (1 - betas[1] ** n)).sqrt_().add_(epsilon)
        p.addcdiv_(state["mean"] / (1 - betas[0] ** n), unbiased, value=-lr)
