"""Decoding by transformers: any causal language model that it knows, with adapters, and with 4 or 8 bits.

The one module below training that reaches torch, and only when a decoder is opened: what the engine's own arithmetic
does not cover (other architectures, shards, adapters, quantised weights) still composes. Weights are read from
safetensors alone, and no model brings code of its own.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cadenza.base.errors import ConfigError, MissingExtraError, ModelError
from cadenza.base.tensors import read_json_object, read_model_file
from cadenza.model.decoder import (
    CHUNK,
    checked_ids,
    checked_rows,
    checked_sizes,
    checked_step,
    picked_log_probabilities,
)

Quantize = Literal["", "nf4", "int8"]
QUANTIZE: tuple[Quantize, ...] = ("", "nf4", "int8")


@dataclass(frozen=True)
class HubSizes:
    """What is known of a model that transformers decodes."""

    n_vocabulary: int
    max_positions: int


class HubDecoder:
    """A :class:`~cadenza.model.decoder.Decoder` on a causal model of transformers.

    Args:
        model: on its device, with ``config`` and a forward pass that takes and returns ``past_key_values``.
        batch: rows B.
        max_length: tokens a row can hold; the model's own maximum where None.

    Raises:
        ConfigError: ``batch`` or ``max_length`` out of range.
    """

    def __init__(self, model: Any, *, batch: int = 1, max_length: int | None = None) -> None:
        rows = int(model.get_input_embeddings().weight.shape[0])
        self.architecture = HubSizes(rows, _reach(model))
        self.batch, self.max_length = batch, checked_sizes(self.architecture, batch, max_length)
        self._model = model.eval()
        self._config = model.config.get_text_config()
        self.reset()

    @property
    def length(self) -> int:
        """Tokens in each row so far."""
        return self._length

    def reset(self) -> None:
        """Forget all tokens."""
        from transformers import DynamicCache

        self._cache = DynamicCache(config=self._config)
        self._length = 0

    def prefill(self, ids: Any) -> np.ndarray:
        """See :meth:`cadenza.model.decoder.Decoder.prefill`."""
        prompt = checked_ids(ids, self.architecture, self.max_length)
        if prompt.ndim == 2 and len(prompt) != self.batch:
            raise ModelError(f"a prompt for each of {self.batch} rows", str(len(prompt)))
        self.reset()
        rows = prompt.reshape(-1, prompt.shape[-1])
        for start in range(0, rows.shape[1], CHUNK):
            logits = self._forward(rows[:, start : start + CHUNK], keep=1)
        if len(rows) < self.batch:  # one prompt for all rows: computed once, then copied
            self._cache.batch_repeat_interleave(self.batch)
            logits = np.repeat(logits, self.batch, axis=0)
        return logits[:, -1]

    def step(self, ids: Any) -> np.ndarray:
        """See :meth:`cadenza.model.decoder.Decoder.step`."""
        if self._length >= self.max_length:
            raise ModelError(f"at most {self.max_length} tokens", "one more", hint="Open with a greater max_length.")
        column = checked_step(ids, self.batch, self.architecture.n_vocabulary).astype(np.int64)
        return self._forward(column[:, None], keep=1)[:, -1]

    def score(self, ids: Any) -> np.ndarray:
        """See :meth:`cadenza.model.decoder.Decoder.score`."""
        tokens = checked_ids(ids, self.architecture, self.max_length)
        if tokens.ndim != 1:
            raise ModelError("one row of tokens", f"shape {tokens.shape}")
        self.reset()
        parts = [np.empty(0)]
        for start in range(0, len(tokens) - 1, CHUNK):
            chunk = tokens[start : min(start + CHUNK, len(tokens) - 1)]
            logits = self._forward(chunk[None], keep=0)[0]
            parts.append(picked_log_probabilities(logits, tokens[start + 1 : start + 1 + len(chunk)]))
        self.reset()
        return np.concatenate(parts)

    def reorder(self, rows: Any) -> None:
        """See :meth:`cadenza.model.decoder.Decoder.reorder`."""
        import torch

        index = checked_rows(rows, self.batch)
        if self._length:
            self._cache.batch_select_indices(torch.as_tensor(index, device=self._model.device))

    def _forward(self, ids: np.ndarray, keep: int) -> np.ndarray:
        """Append ids (B, S); logits float32 of the last ``keep`` positions (0: all), (B, keep, V)."""
        import torch

        with torch.inference_mode():
            tokens = torch.tensor(ids, device=self._model.device)
            # No mask: every row is full, and a mask of ones costs the fast attention kernels.
            out = self._model(
                input_ids=tokens, past_key_values=self._cache, use_cache=True, logits_to_keep=keep, return_dict=True
            )
            self._length += ids.shape[1]
            logits: np.ndarray = out.logits.float().cpu().numpy()
        return logits


def _reach(model: Any) -> int:
    """Positions that a model was made for; a million where its kind has no such bound."""
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 20)


def open_hub_decoder(
    name: Path | str,
    *,
    batch: int = 1,
    max_length: int | None = None,
    adapter: Path | str = "",
    quantize: Quantize = "",
    n_vocabulary: int = 0,
) -> HubDecoder:
    """A decoder of any causal model of transformers.

    Args:
        name: a folder, or the id of a model on the hub.
        max_length: tokens a row can hold, at most the model's own maximum (which serves where None).
        adapter: a folder that peft wrote, put on top.
        quantize: {"", "nf4", "int8"}: 4-bit normal floats with double quantisation, or 8 bits (bitsandbytes).
        n_vocabulary: rows that the embeddings must have at least: new tokens of an adapter come with it.

    Raises:
        ModelError: there is no such model or adapter, or transformers cannot read it.
        ConfigError: an unknown quantisation.
        MissingExtraError: torch, transformers, peft or bitsandbytes is needed and not installed.
    """
    if quantize not in QUANTIZE:
        raise ConfigError("quantize nf4 or int8", repr(quantize))
    need = ["torch", "transformers", *(["peft"] if adapter else []), *(["bitsandbytes"] if quantize else [])]
    missing = [package for package in need if importlib.util.find_spec(package) is None]
    if missing:
        hint = "pip install 'cadenza[train]'"
        raise MissingExtraError(f"{', '.join(missing)}, which this model needs", "not installed", hint=hint)
    import torch
    from transformers import AutoModelForCausalLM

    on_gpu = torch.cuda.is_available()
    options: dict[str, Any] = {"dtype": "auto" if on_gpu else torch.float32, "use_safetensors": True}
    if quantize:
        options["quantization_config"] = _bits(quantize, torch.bfloat16 if on_gpu else torch.float32)
    if on_gpu:
        options["device_map"] = {"": 0}
    try:
        model = AutoModelForCausalLM.from_pretrained(str(name), **options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        said = str(error).partition("\n")[0][:300]
        hint = "Give a folder of a saved model, or a hub id that can be reached."
        raise ModelError("a causal language model of transformers", said, where=str(name), hint=hint) from None
    embeddings: Any = model.get_input_embeddings()
    if n_vocabulary > embeddings.weight.shape[0]:
        model.resize_token_embeddings(n_vocabulary, mean_resizing=False)
    if adapter:
        model = _adapted(model, Path(adapter))
    reach = _reach(model)
    return HubDecoder(model, batch=batch, max_length=None if max_length is None else min(max_length, reach))


def _bits(quantize: Quantize, compute: Any) -> Any:
    from transformers import BitsAndBytesConfig

    if quantize == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )


def _adapted(model: Any, folder: Path) -> Any:
    import peft

    if not (folder / "adapter_model.safetensors").is_file():
        hint = "A training run's folder adapter/, or any adapter that peft saved as safetensors."
        raise ModelError("an adapter (adapter_model.safetensors)", "none there", where=str(folder), hint=hint)
    try:
        return peft.PeftModel.from_pretrained(model, str(folder))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        said = " ".join(str(error).split())[:300]
        raise ModelError("an adapter of this model", said, where=str(folder), hint="Name its own base.") from None


def base_of(adapter: Path | str) -> str:
    """The model that an adapter was trained on.

    Raises:
        ModelError: the adapter does not say.
    """
    for name, key in (("base.json", "base"), ("adapter_config.json", "base_model_name_or_path")):
        path = Path(adapter) / name
        if path.is_file():
            found = read_json_object(read_model_file(path), str(path)).get(key)
            if found == "shipped":
                return str(files("cadenza").joinpath("models", "composer"))
            if isinstance(found, str) and found:
                return found
    raise ModelError("an adapter that names its base", "none there", where=str(adapter), hint="Give --model as well.")
