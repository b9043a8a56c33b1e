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
    """The semi-orthogonal matrix nearest to ``gradient`` (shape (rows, columns)), singular values within 0.7–1.2."""
    x = gradient.mT if gradient.shape[0] > gradient.shape[1] else gradient
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return x.mT if gradient.shape[0] > gradient.shape[1] else x


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
            for p in group["params"]:
                if p.grad is None:
                    continue
                if group["adam"]:
                    self._adam(p, group["lr"])
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalise(p.grad.lerp(state["momentum"], group["momentum"]))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * max(1.0, p.shape[0] / p.shape[1]) ** 0.5)

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
