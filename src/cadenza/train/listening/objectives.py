"""Losses of learning from rewards, as functions of tensors: PPO's, with its value and advantages, and GRPO's.

Letters: B takes, T tokens; ``wanted`` (B, T) is true at a take's own tokens.
"""

from __future__ import annotations

import torch


def masked_mean(values: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean over the wanted places, a scalar; 0 where there are none."""
    return (values * wanted).sum() / wanted.sum().clamp(min=1)


def gae(
    rewards: torch.Tensor, values: torch.Tensor, wanted: torch.Tensor, gamma: float = 1.0, lam: float = 0.95
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised advantages (Schulman et al. 2016) and returns, each (B, T); 0 outside ``wanted``.

    δ_t = r_t + γ·V_{t+1} − V_t; A_t = δ_t + γλ·A_{t+1}; after a take's last token V and A are 0. Returns are A + V.
    """
    advantage = torch.zeros_like(values)
    following = torch.zeros_like(values[:, 0])
    value_after = torch.zeros_like(values[:, 0])
    for t in range(values.shape[1] - 1, -1, -1):
        here = wanted[:, t]
        delta = rewards[:, t] + gamma * value_after - values[:, t]
        found = delta + gamma * lam * following
        advantage[:, t] = torch.where(here, found, torch.zeros_like(found))
        following = torch.where(here, found, following)
        value_after = torch.where(here, values[:, t], value_after)
    return advantage, torch.where(wanted, advantage + values, torch.zeros_like(values))


def whitened(values: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Brought to mean 0 and standard deviation 1 over the wanted places."""
    mean = masked_mean(values, wanted)
    spread = masked_mean((values - mean) ** 2, wanted).sqrt()
    return torch.where(wanted, (values - mean) / (spread + 1e-8), torch.zeros_like(values))


def clipped(log_p: torch.Tensor, old: torch.Tensor, advantage: torch.Tensor, clip: float) -> torch.Tensor:
    """PPO's clipped objective, negative, of each token (Schulman et al. 2017, eq. 7)."""
    ratio = torch.exp(log_p - old)
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def ppo(
    log_p: torch.Tensor, old: torch.Tensor, advantage: torch.Tensor, wanted: torch.Tensor, clip: float
) -> torch.Tensor:
    """Mean clipped objective over all tokens."""
    return masked_mean(clipped(log_p, old, advantage, clip), wanted)


def value_loss(
    values: torch.Tensor, old: torch.Tensor, returns: torch.Tensor, wanted: torch.Tensor, clip: float
) -> torch.Tensor:
    """Half the mean squared error of the values, not rewarded for moving further than ``clip`` (as in PPO's code)."""
    near = old + (values - old).clamp(-clip, clip)
    worst = torch.maximum((values - returns) ** 2, (near - returns) ** 2)
    return 0.5 * masked_mean(worst, wanted)


def k3(log_p: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Estimator k3 of the KL to the reference, of each token (Schulman 2020): r − log r − 1, r = reference / policy."""
    apart = reference - log_p
    return torch.exp(apart) - apart - 1


def grpo(
    log_p: torch.Tensor, old: torch.Tensor, reference: torch.Tensor, advantage: torch.Tensor, wanted: torch.Tensor,
    beta: float, clip: float,
) -> torch.Tensor:  # fmt: skip
    """GRPO (Shao et al. 2024): clipped objective + β · k3, the mean over a take's tokens, then over takes.

    Args:
        advantage: (B,), of the group.
    """
    each = clipped(log_p, old, advantage[:, None], clip)
    if beta:
        each = each + beta * torch.where(wanted, k3(log_p, reference), torch.zeros_like(log_p))
    return ((each * wanted).sum(1) / wanted.sum(1).clamp(min=1)).mean()


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Of each place's distribution, nats, shape (...)."""
    log_p = torch.log_softmax(logits.float(), -1)
    return -(log_p.exp() * log_p).sum(-1)
