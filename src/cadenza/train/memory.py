"""How much memory a training run will need, before it is started.

Counted: weights (4-bit ones with their scales, and what is dequantised for one layer at a time), adapters, gradients,
optimiser states, activations, logits. Activations per layer follow Korthikanti et al. (2022), with s tokens, b rows,
width h, a heads: 34·s·b·h + 5·a·s²·b bytes in 16-bit arithmetic; here counted tensor by tensor for the block that these
models have (grouped-query attention, SwiGLU, RMS norm), since their sizes differ from the GPT-3 block of that paper.
The s² term is absent with fused attention (sdpa's flash or memory-efficient kernel, flash_attention_2); with gradient
checkpointing a layer keeps its input alone, and one layer's activations are there at a time.

On a processor sdpa has a fused kernel only where no mask is given; packed rows have one, so the mask of b·s² is there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cadenza.train.recipe import TrainConfig
    from cadenza.train.run import Prepared


@dataclass(frozen=True)
class Memory:
    """Bytes."""

    weights: int
    adapters: int
    gradients: int
    optimiser: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """Their sum: the peak, at the end of a forward pass or in the backward pass of the head."""
        return self.weights + self.adapters + self.gradients + self.optimiser + self.activations + self.logits

    def as_dict(self) -> dict[str, int]:
        """The parts and their sum."""
        return asdict(self) | {"total": self.total}


@dataclass(frozen=True)
class Shape:
    """What the estimate needs of a decoder."""

    n_vocabulary: int
    width: int
    mlp_width: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_width: int

    @classmethod
    def of(cls, config: Any) -> Shape:
        """From a configuration of transformers."""
        n_heads = int(config.num_attention_heads)
        return cls(
            int(config.vocab_size),
            int(config.hidden_size),
            int(config.intermediate_size),
            int(config.num_hidden_layers),
            n_heads,
            int(getattr(config, "num_key_value_heads", None) or n_heads),
            int(getattr(config, "head_dim", None) or config.hidden_size // n_heads),
        )


OPTIMISER_BYTES = {"adamw": 8.0, "adamw_8bit": 2.0, "adafactor": 0.1, "muon": 4.0}


def layer_activations(shape: Shape, n_tokens: int, n_rows: int, n_bytes: int, *, adapters: bool, fused: bool) -> int:
    """Bytes that the backward pass of one layer needs: the tensors that autograd saves.

    Args:
        n_bytes: of a number in the arithmetic's precision.
        adapters: LoRA on all linear layers: each keeps the adapter's inner tensor and, in full precision, its input.
        fused: attention without the matrix of weights.
    """
    d, f = shape.width, shape.mlp_width
    q, kv = shape.n_heads * shape.head_width, shape.n_kv_heads * shape.head_width
    # Two norms: input (float32 when computed in it) and normalised output each.
    norms = 2 * (2 * d * n_bytes + 4 * d)
    # q, k, v before and after rotation; k and v repeated for the heads; the attention's output.
    attention = (2 * q + 2 * kv + kv + 2 * q + q) * n_bytes
    # gate, up, silu(gate), their product.
    mlp = 4 * f * n_bytes
    per_token = norms + attention + mlp
    if adapters:
        # The adapter's branch is computed in float32: a copy of each input, where the arithmetic is shorter.
        per_token += (3 * d + q + 2 * d + f) * (4 if n_bytes < 4 else 0)
    total = per_token * n_tokens * n_rows
    if not fused:
        total += 2 * shape.n_heads * n_tokens * n_tokens * n_rows * n_bytes
    return int(total)


def estimate(
    shape: Shape,
    config: TrainConfig,
    n_parameters: int,
    n_trainable: int,
    n_tokens: int,
    *,
    weight_bytes: float,
    fused: bool = True,
) -> Memory:
    """The estimate for rows of ``n_tokens`` tokens.

    Args:
        n_parameters: all of them.
        n_trainable: those with gradients.
        weight_bytes: of a frozen weight; NF4 with double quantisation has 0.5 + 0.127 / 8 · 8 bits of scales.
        fused: attention keeps no s² matrix.
    """
    full = config.method == "full"
    numbers = 2 if config.precision == "bfloat16" else 4
    frozen = 0 if full else n_parameters - n_trainable
    weights = int(frozen * weight_bytes) if not full else 4 * n_parameters
    if numbers == 2 and full:
        weights += 2 * n_parameters  # autocast's copies live through the pass
    adapters = 0 if full else 4 * n_trainable
    rows = config.batch_rows
    one = layer_activations(shape, n_tokens, rows, numbers, adapters=not full, fused=fused)
    if config.gradient_checkpointing:
        activations = one + shape.n_layers * n_tokens * rows * shape.width * numbers
    else:
        activations = shape.n_layers * one
    # Logits in the arithmetic's precision, in float32, and their gradient.
    words = n_tokens * rows * shape.n_vocabulary
    logits = words * (numbers + 4 + 4)
    return Memory(
        weights,
        adapters,
        4 * n_trainable,
        int(OPTIMISER_BYTES[config.optimiser] * n_trainable),
        activations,
        logits,
    )


def estimate_of(prepared: Prepared) -> Memory:
    """The estimate of a prepared run, on the machine at hand."""
    import torch

    config = prepared.config
    model = prepared.base.model
    stored = sum(p.numel() * p.element_size() for p in model.parameters() if not p.requires_grad)
    frozen = prepared.base.n_parameters - prepared.base.n_trainable
    longest = max((sum(int(prepared.train.lengths[i]) for i in row) for row in prepared.train_rows.rows), default=0)
    return estimate(
        Shape.of(model.config),
        config,
        prepared.base.n_parameters,
        prepared.base.n_trainable,
        min(longest, config.context_tokens),
        weight_bytes=stored / frozen if frozen else 4.0,
        fused=config.attention != "eager" and (torch.cuda.is_available() or config.attention == "sdpa"),
    )
