"""Models with random weights in the shapes of pretrained ones, and one training step, for measurements of memory.

A 4-bit model is quantised matrix by matrix on the device: the weights are never there whole in a longer precision.
"""

from __future__ import annotations

from typing import Any

import torch

from cadenza.train import bases, head
from cadenza.train.recipe import TrainConfig

#: Vocabulary, width, mlp width, layers, heads, key-value heads.
SEVEN_BILLION = {
    "llama": (32_000, 4096, 11_008, 32, 32, 32),  # Llama-2-7B
    "mistral": (32_000, 4096, 14_336, 32, 32, 8),
    "qwen2": (152_064, 3584, 18_944, 28, 28, 4),
}
CLASSES = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}


def model_config(kind: str, sizes: tuple[int, ...], context_tokens: int) -> Any:
    """A configuration of transformers."""
    import transformers

    n_vocabulary, width, mlp_width, n_layers, n_heads, n_kv_heads = sizes
    more: dict[str, Any] = {"sliding_window": None} if kind == "mistral" else {}
    if kind == "qwen3":
        more["head_dim"] = width // n_heads
    config = getattr(transformers, f"{CLASSES[kind]}Config")(
        vocab_size=n_vocabulary,
        hidden_size=width,
        intermediate_size=mlp_width,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        num_key_value_heads=n_kv_heads,
        max_position_embeddings=max(4096, context_tokens),
        tie_word_embeddings=False,
        use_cache=False,
        **more,
    )
    config._attn_implementation = "sdpa"
    return config


def build(kind: str, sizes: tuple[int, ...], config: TrainConfig, device: str) -> Any:
    """A model as :func:`cadenza.train.bases.open_base` would give it, but for its weights."""
    import transformers

    shape = model_config(kind, sizes, config.context_tokens)
    with torch.device("meta"):
        model = getattr(transformers, f"{CLASSES[kind]}ForCausalLM")(shape)
    half = config.method != "full" and config.precision == "bfloat16"
    dtype = torch.bfloat16 if half else torch.float32
    for name, module in list(model.named_modules()):
        if hasattr(module, "inv_freq"):  # a buffer that is computed, not stored
            with torch.device(device):
                _put(model, name, type(module)(shape))
        elif isinstance(module, torch.nn.Linear) and config.method == "qlora" and ".layers." in name:
            _put(model, name, _four_bits(module, dtype, device))
        else:
            for key, parameter in list(module.named_parameters(recurse=False)):
                value = torch.ones_like if parameter.ndim == 1 and key == "weight" else _random
                made = value(torch.empty(parameter.shape, dtype=dtype, device=device))
                setattr(module, key, torch.nn.Parameter(made))
    if config.method == "qlora":
        model.is_loaded_in_4bit = True
        bases.repair_nf4(model)
    if config.method != "full":
        model = bases.adapt(model, config, None, 0)  # type: ignore[arg-type]  # no new tokens: no codec is read
    if config.gradient_checkpointing and config.method != "qlora":  # adapt does it for 4-bit ones
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model.train()


def _random(empty: torch.Tensor) -> torch.Tensor:
    return empty.normal_(0.0, 0.02)


def _put(model: Any, name: str, module: Any) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def _four_bits(linear: Any, dtype: torch.dtype, device: str) -> Any:
    """An NF4 layer with double quantisation, of random weights."""
    import bitsandbytes as bnb

    weight = _random(torch.empty(linear.weight.shape, dtype=dtype, device=device))
    has_bias = linear.bias is not None
    layer = bnb.nn.Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=has_bias,
        compute_dtype=dtype,
        compress_statistics=True,
        quant_type="nf4",
        device="meta",
    )
    layer.weight = bnb.nn.Params4bit(
        weight, requires_grad=False, quant_type="nf4", compress_statistics=True, module=layer
    )
    if has_bias:
        layer.bias = torch.nn.Parameter(torch.zeros(linear.out_features, dtype=dtype, device=device))
    return layer.to(device)


def optimiser_of(model: Any, config: TrainConfig) -> Any:
    """The recipe's, as the trainer makes it."""
    from transformers import Adafactor

    trained = [p for p in model.parameters() if p.requires_grad]
    rate = config.peak_learning_rate
    if config.optimiser == "adamw_8bit":
        import bitsandbytes as bnb

        return bnb.optim.AdamW(trained, lr=rate, optim_bits=8)
    if config.optimiser == "muon":
        from cadenza.train import loop

        return loop.muon_with_adamw(model, config)
    if config.optimiser == "adafactor":
        return Adafactor(trained, lr=rate, scale_parameter=False, relative_step=False)
    return torch.optim.AdamW(trained, lr=rate)


def documents(n_rows: int, n_tokens: int, n_documents: int, n_words: int, device: str) -> dict[str, torch.Tensor]:
    """Rows of random tokens, all learned but the first; each holds ``n_documents`` documents."""
    drawn = torch.Generator().manual_seed(0)
    ids = torch.randint(0, n_words, (n_rows, n_tokens), generator=drawn)
    each = -(-n_tokens // n_documents)
    positions = (torch.arange(n_tokens) % each).expand(n_rows, -1)
    labels = ids.masked_fill(positions == 0, -100)
    return {"input_ids": ids.to(device), "labels": labels.to(device), "position_ids": positions.to(device)}


def step(model: Any, optimiser: Any, batch: dict[str, torch.Tensor], config: TrainConfig, device: str) -> float:
    """One step of training on one batch: the loss of :mod:`cadenza.train.head`; returns nats a token."""
    half = config.precision == "bfloat16"
    labels = batch["labels"]
    with (
        torch.autocast(device, torch.bfloat16, enabled=half),
        head.summed_loss(head.head_of(model), labels),
    ):
        total = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
    loss = total / (labels[:, 1:] != -100).sum()
    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], config.max_grad_norm)
    optimiser.step()
    optimiser.zero_grad()
    return float(loss.detach())
