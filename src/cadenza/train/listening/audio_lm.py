"""A language model that hears: features → projector → its embeddings, in the places of placeholder tokens.

``input_ids`` hold :attr:`AudioLm.audio_id` as often as the projector gives vectors; these take the place of embeddings,
so every log-probability after them is conditioned on the sound. Nothing of the language model changes: any causal model
of transformers, with adapters or without.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from cadenza.base.errors import ModelError
from cadenza.base.tensors import read_json_object

PROJECTOR = "projector.safetensors"
LISTEN = "listen.json"


class Projector(nn.Module):
    """Features (B, T, width) → (B, ceil(T / stack), out): ``stack`` frames side by side, normalised, one linear map.

    Args:
        width: of a frame.
        out: width of the language model's embeddings.
        stack: frames that make one vector.
    """

    def __init__(self, width: int, out: int, stack: int = 1) -> None:
        super().__init__()
        self.width, self.out, self.stack = width, out, stack
        self.norm = nn.LayerNorm(width * stack)
        self.linear = nn.Linear(width * stack, out)

    def n_vectors(self, n_frames: int) -> int:
        """Vectors of so many frames; at least one, so that a silent clip has a place too."""
        return max(1, -(-n_frames // self.stack))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        B, T, width = features.shape
        missing = self.n_vectors(T) * self.stack - T
        features = nn.functional.pad(features, (0, 0, 0, missing))
        joined = features.reshape(B, -1, self.stack * width)
        found: torch.Tensor = self.linear(self.norm(joined.to(self.linear.weight.dtype)))
        return found


class AudioLm(nn.Module):
    """A causal language model with ears.

    Args:
        language: a causal model of transformers, or one with adapters.
        width: of the features.
        stack: see :class:`Projector`.
        with_value: a value head on the last hidden states (for PPO).
    """

    #: What transformers' Trainer asks of whatever it resumes.
    _keys_to_ignore_on_save: Any = None

    def __init__(self, language: Any, width: int, stack: int = 1, with_value: bool = False, seed: int = 0) -> None:
        super().__init__()
        self.language = language
        table = language.get_input_embeddings().weight
        torch.manual_seed(seed)
        self.projector = Projector(width, int(table.shape[1]), stack)
        # As large as embeddings are, so that sound neither drowns text nor drowns in it.
        with torch.no_grad():
            self.projector.linear.weight.mul_(float(table.float().std()) * self.projector.linear.in_features**0.5)
        self.value = nn.Linear(int(table.shape[1]), 1) if with_value else None
        if self.value is not None:
            nn.init.zeros_(self.value.weight)
            nn.init.zeros_(self.value.bias)
        self.register_state_dict_post_hook(_without_twins)

    @property
    def config(self) -> Any:
        """The language model's."""
        return self.language.config

    @property
    def audio_id(self) -> int:
        """The placeholder: the first id that has no embedding."""
        return int(self.language.get_input_embeddings().weight.shape[0])

    def embeddings(self, input_ids: torch.Tensor, features: torch.Tensor | None) -> torch.Tensor:
        """Embeddings (B, T, D) with the sound in its places.

        Args:
            features: (B, F, width), rows shorter than F filled with NaN; None where no placeholder is left.

        Raises:
            ModelError: as many placeholders as vectors are not there.
        """
        places = input_ids == self.audio_id
        found = self.language.get_input_embeddings()(input_ids.masked_fill(places, 0))
        if features is None:
            if bool(places.any()):
                raise ModelError("sound for the placeholders", "none")
            return found  # type: ignore[no-any-return]
        there = ~torch.isnan(features[:, :: self.projector.stack, 0])
        there[:, 0] = True
        vectors = self.projector(torch.nan_to_num(features))[there]
        if int(places.sum()) != len(vectors):
            raise ModelError(f"{len(vectors)} placeholders", str(int(places.sum())))
        return found.masked_scatter(places[..., None], vectors.to(found.dtype))  # type: ignore[no-any-return]

    def forward(
        self,
        input_ids: torch.Tensor,
        features: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool = False,
        output_hidden_states: bool = False,
    ) -> Any:
        """As a causal model's, of ids with placeholders and the sound that they stand for."""
        given: dict[str, Any] = {"inputs_embeds": self.embeddings(input_ids, features)}
        if attention_mask is not None:
            given["attention_mask"] = attention_mask
        elif position_ids is not None:
            given["position_ids"] = position_ids
        return self.language(
            **given, past_key_values=past_key_values, use_cache=use_cache, output_hidden_states=output_hidden_states
        )

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """The language model's own files (or its adapter's), the projector's, and ``listen.json``."""
        options = {} if not hasattr(self.language, "peft_config") else {"save_embedding_layers": False}
        self.language.save_pretrained(folder, **options)
        own = {f"projector.{name}": tensor.contiguous() for name, tensor in self.projector.state_dict().items()}
        if self.value is not None:
            own |= {f"value.{name}": tensor.contiguous() for name, tensor in self.value.state_dict().items()}
        save_file(own, folder / PROJECTOR)
        said = about | {"width": self.projector.width, "stack": self.projector.stack}
        (folder / LISTEN).write_text(json.dumps(said, indent=1), "utf-8")

    def load_projector(self, folder: Path) -> None:
        """What :meth:`save` wrote; a value head stays new where none was saved.

        Raises:
            ModelError: of another shape.
        """
        saved = load_file(folder / PROJECTOR)
        for name, module in (("projector", self.projector), ("value", self.value)):
            own = {key.removeprefix(f"{name}."): value for key, value in saved.items() if key.startswith(f"{name}.")}
            if module is None or not own:
                continue
            try:
                module.load_state_dict(own)
            except RuntimeError as error:
                raise ModelError(f"a {name} of this shape", str(error)[:200], where=str(folder)) from None


def about_of(folder: Path) -> dict[str, Any]:
    """``listen.json`` of a model folder.

    Raises:
        ModelError: it is none that listens.
    """
    path = folder / LISTEN
    if not path.is_file():
        raise ModelError("a model that listens", f"no {LISTEN}", where=str(folder))
    return read_json_object(path.read_bytes(), str(path))


def _without_twins(module: nn.Module, state: dict[str, Any], prefix: str, local_metadata: Any) -> None:
    """A checkpoint holds what is trained, once: tied heads are their embeddings, frozen weights are the base's."""
    del local_metadata
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    for name in [name for name in state if name.startswith(prefix)]:
        if name.removeprefix(prefix) not in trained and name.removeprefix(prefix) not in dict(module.named_buffers()):
            del state[name]
