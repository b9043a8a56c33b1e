"""How much memory a training run will need, before it is started.

Counted: weights (4-bit ones with their scales, and what is dequantised for one layer at a time), adapters, gradients,
optimiser states, activations, the head. Korthikanti et al. (2022) count 34·s·b·h + 5·a·s²·b bytes of activations a
layer in 16-bit arithmetic (s tokens, b rows, width h, a heads) for the GPT-3 block; here they are counted tensor by
tensor for the block that these models have (grouped-query attention, SwiGLU, RMS norm, LoRA's branches), as
``torch.autograd.graph.saved_tensors_hooks`` shows them. The s² term is absent with fused attention (sdpa's flash or
memory-efficient kernel, flash_attention_2); with gradient checkpointing a layer keeps its input alone, and one layer's
activations are there at a time.

Not all parts are there at once: gradients grow while activations are let go. The total is the largest of three moments:
the beginning of the backward pass, its end, and the optimiser's step. What an allocator keeps in pieces beyond that is
not counted (:mod:`cadenza.train.allocator`; an accelerator's caching one reserves more than it has handed out).
``benchmarks/memory.py`` (processor) and
``benchmarks/gpu_memory.py`` hold the estimate against measured peaks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cadenza.train.recipe import TrainConfig
    from cadenza.train.run import Prepared

#: Optimiser states, bytes a trained number. Muon's: of the blocks' matrices; embeddings and head have AdamW's.
OPTIMISER_BYTES = {"adamw": 8.0, "adamw_8bit": 2.0, "adafactor": 0.1, "muon": 4.0}
#: sdpa's math kernel: matrices (float32, s² a head) that autograd keeps, and those of a layer's own pass beside them.
MATH_KEPT, MATH_AT_WORK = 1, 3
#: Temporaries of the optimiser's step, which goes tensor by tensor; the head is the largest. AdamW's root and
#: Adafactor's square have a copy on their way.
STEP_AT_WORK = 2
#: bitsandbytes' 8-bit Adam has a fused kernel on accelerators alone. On a processor (``backends/cpu/ops.py`` of 0.50.2)
#: both states in float32, a scaled gradient, the root of the second moment and the root divided are there at once.
EIGHT_BIT_AT_WORK = 5


@dataclass(frozen=True)
class Memory:
    """Bytes.

    Args:
        weights: as stored, with copies in the arithmetic's precision and one layer's dequantised matrix.
        adapters: LoRA's weights and new tokens.
        gradients: of all that is trained.
        optimiser: its states.
        activations: what the backward pass needs, and what one layer's backward pass adds.
        logits: hidden states at the head, logits of a slice, gradient of the head.
        total: the peak; at most the sum of the parts.
    """

    weights: int
    adapters: int
    gradients: int
    optimiser: int
    activations: int
    logits: int
    total: int

    def as_dict(self) -> dict[str, int]:
        """The parts and the peak."""
        return asdict(self)


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
    normed_heads: bool = False
    tied: bool = False

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
            str(getattr(config, "model_type", "")).startswith("qwen3"),
            bool(getattr(config, "tie_word_embeddings", False)),
        )

    @property
    def q_width(self) -> int:
        """Width of all query heads."""
        return self.n_heads * self.head_width

    @property
    def kv_width(self) -> int:
        """Width of all key (or value) heads."""
        return self.n_kv_heads * self.head_width

    @property
    def layer_weights(self) -> int:
        """Numbers in the linear layers of a block."""
        d, f = self.width, self.mlp_width
        return d * (2 * self.q_width + 2 * self.kv_width) + 3 * d * f


def layer_activations(
    shape: Shape, n_tokens: int, n_rows: int, method: str, precision: str, attention: str = "fused", rank: int = 16
) -> int:
    """Bytes that the backward pass of one layer needs: the tensors that autograd saves.

    Args:
        n_tokens: of a row.
        method, precision: of the recipe; adapters are on all linear layers.
        attention: "fused"; "masked": fused, for packed rows, whose mask is there (and keys and values repeated for
            all heads); "math": the matrices of weights are there.
        rank: of the adapters.
    """
    d, f, q, kv = shape.width, shape.mlp_width, shape.q_width, shape.kv_width
    full, half = method == "full", precision == "bfloat16"
    e = 2 if half else 4
    # Norms: their inputs in float32 and, where their weights are trained, the normalised inputs too.
    per_token = 2 * d * 4 * (2 if full else 1)
    if shape.normed_heads:
        per_token += (q + kv) * e * (2 if full else 1)
    # Inputs of q, k, v and of gate, up: one tensor each in float32, a cast copy for each layer under autocast.
    per_token += 5 * d * 2 if half else 2 * d * 4
    # Queries, keys, values as attention sees them, its answer (and its copy for the adapter's branch).
    keys = q if attention != "fused" else kv
    per_token += (2 * q + 2 * keys) * e + (q * e if half and not full else 0)
    # gate, up, silu(gate), and their product; 4-bit layers answer in float32, the precision of their residual stream.
    per_token += 3 * f * (4 if method == "qlora" else e) + f * e
    if not full:
        per_token += 7 * rank * e
    total = per_token * n_tokens * n_rows
    if attention == "masked":
        total += n_rows * n_tokens**2 * e
    if attention == "math":
        total += MATH_KEPT * shape.n_heads * n_rows * n_tokens**2 * 4
    return int(total)


def estimate(
    shape: Shape,
    config: TrainConfig,
    n_trainable: int,
    n_tokens: int,
    *,
    frozen_bytes: int,
    attention: str = "fused",
    on_accelerator: bool = False,
) -> Memory:
    """The estimate for rows of ``n_tokens`` tokens, of which all are learned.

    Args:
        n_trainable: parameters with gradients.
        n_tokens: of a row.
        frozen_bytes: of the weights that are not trained, as they are stored (4-bit ones with their scales).
        attention: see :func:`layer_activations`.
        on_accelerator: there AdamW updates all tensors at once, and has a temporary of each.
    """
    from cadenza.train.head import slice_rows

    full, half = config.method == "full", config.precision == "bfloat16"
    e = 2 if half else 4
    rows, d, f = config.batch_rows, shape.width, shape.mlp_width
    head_weights = shape.n_vocabulary * d
    weights = 4 * n_trainable if full else frozen_bytes
    copies = 2 * shape.n_layers * shape.layer_weights if half and full else 0  # autocast's: they live through the pass
    if config.method == "qlora":
        weights += d * max(f, shape.q_width) * e
    adapters = 0 if full else 4 * n_trainable
    gradients = 4 * n_trainable
    optimiser = int(OPTIMISER_BYTES[config.optimiser] * n_trainable)
    if full and config.optimiser == "muon":
        optimiser += int((OPTIMISER_BYTES["adamw"] - OPTIMISER_BYTES["muon"]) * head_weights * (1 if shape.tied else 2))

    one = layer_activations(shape, n_tokens, rows, config.method, config.precision, attention, config.lora.rank)
    # What a block's backward pass adds at its highest: three gradients of the feed-forward's width, when the product
    # has been let go (each step frees what was saved for it); or those of attention's matrices.
    at_work = n_tokens * rows * (2 * f + 2 * d) * (4 if config.method == "qlora" else e)
    if attention == "math":
        at_work = max(at_work, MATH_AT_WORK * shape.n_heads * rows * n_tokens**2 * 4)
    residual = 2 if half and config.method == "lora" else 4
    if config.gradient_checkpointing:
        kept = shape.n_layers * n_tokens * rows * d * residual
        activations = kept + one + at_work
    else:
        kept = shape.n_layers * one
        activations = kept + at_work
    mask = rows * n_tokens**2 if attention == "masked" else 0  # true or false; each layer makes numbers of it
    activations += mask
    # The last norm, its output at the learned places and its gradient; logits of a slice: in the arithmetic's
    # precision, in float32, their softmax and gradient; under autocast a copy of the head; the head's gradient.
    n_slice = min(n_tokens * rows, slice_rows(shape.n_vocabulary))
    logits = n_tokens * rows * d * (4 + 4 + 2 * e) + n_slice * shape.n_vocabulary * (12 + (2 * e if half else 0))
    logits += head_weights * ((2 if half else 0) + (8 if full else 0))

    standing = gradients if config.accumulate > 1 else 0
    beginning = copies + max(kept + mask + logits, activations + (4 * head_weights if full else 0)) + standing
    end = copies + gradients + one + at_work
    largest = 4 * max(head_weights, d * f) if full else 0
    n_temporaries = EIGHT_BIT_AT_WORK if config.optimiser == "adamw_8bit" and not on_accelerator else STEP_AT_WORK
    at_once = gradients if on_accelerator and config.optimiser == "adamw" else n_temporaries * largest
    total = weights + adapters + optimiser + max(beginning, end, gradients + at_once)
    weights += copies
    return Memory(weights, adapters, gradients, optimiser, activations, logits, total)


def frozen_bytes(model: Any) -> int:
    """Bytes of a model's frozen weights, with the scales of 4-bit ones."""
    total = 0
    for parameter in model.parameters():
        if parameter.requires_grad:
            continue
        total += parameter.numel() * parameter.element_size()
        state = getattr(parameter, "quant_state", None)
        while state is not None:  # double quantisation: the scales have scales
            total += state.absmax.numel() * state.absmax.element_size() + state.code.numel() * state.code.element_size()
            state = state.state2
    return int(total)


def estimate_of(prepared: Prepared) -> Memory:
    """The estimate of a prepared run."""
    config, model = prepared.config, prepared.base.model
    longest = max((sum(int(prepared.train.lengths[i]) for i in row) for row in prepared.train_rows.rows), default=0)
    packed = any(len(row) > 1 for row in prepared.train_rows.rows)
    kinds = {"eager": "math", "flash_attention_2": "fused", "sdpa": "masked" if packed else "fused"}
    return estimate(
        Shape.of(model.config),
        config,
        prepared.base.n_trainable,
        min(longest, config.context_tokens),
        frozen_bytes=frozen_bytes(model),
        attention=kinds[config.attention],
        on_accelerator=next(model.parameters()).device.type != "cpu",
    )
