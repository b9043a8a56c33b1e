"""A language model that hears: features → projector → its embeddings, in the places of placeholder tokens.

``input_ids`` hold :attr:`AudioLm.audio_id` as often as the projector gives vectors; these take the place of embeddings,
so every log-probability after them is conditioned on the sound. Nothing of the language model changes: any causal model
of transformers, with adapters or without.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from cadenza.base.errors import ModelError
from cadenza.base.tensors import read_json_object
from cadenza.train.listening.rows import prompt_ids
from cadenza.train.rows import Codec

PROJECTOR = "projector.safetensors"
LISTEN = "listen.json"


class Listener(Protocol):
    """What runs ask of a model that listens, beside its forward pass (:meth:`AudioLm.forward`).

    Attributes:
        language: what adapters are put on.
        projector: what brings the sound to the language model.
        value: a value head on the last hidden states, or None.
    """

    language: Any
    value: nn.Module | None

    @property
    def projector(self) -> nn.Module: ...

    @property
    def audio_id(self) -> int:
        """The placeholder: no answer ever holds it."""
        ...

    def n_vectors(self, n_frames: int) -> int:
        """Placeholders of so many frames of features."""
        ...

    def prompt_ids(self, codec: Codec, n_frames: int, question: str) -> list[int]:
        """Ids of a question about so many frames, up to where the answer begins."""
        ...

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """All that opening it again needs, beside the tokenizer and frozen weights of a base."""
        ...

    def load_parts(self, folder: Path) -> None:
        """The projector and the value head of a folder."""
        ...

    def parameters(self, recurse: bool = True) -> Any: ...
    def eval(self) -> Any: ...
    def to(self, device: torch.device) -> Any: ...
    def __call__(self, *given: Any, **named: Any) -> Any: ...


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

    def __init__(self, language: Any, width: int, stack: int = 1, with_value: bool = False, seed: int = 0) -> None:
        super().__init__()
        self.language = language
        table = language.get_input_embeddings().weight
        torch.manual_seed(seed)
        self.projector = Projector(width, int(table.shape[1]), stack)
        # As large as embeddings are, so that sound neither drowns text nor drowns in it.
        with torch.no_grad():
            self.projector.linear.weight.mul_(float(table.float().std()) * self.projector.linear.in_features**0.5)
        self.value = value_head(int(table.shape[1])) if with_value else None
        self.register_state_dict_post_hook(only_trained)

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

    def n_vectors(self, n_frames: int) -> int:
        """Placeholders of so many frames."""
        return self.projector.n_vectors(n_frames)

    def prompt_ids(self, codec: Codec, n_frames: int, question: str) -> list[int]:
        """Ids of begin, sound and question."""
        return prompt_ids(codec, self.n_vectors(n_frames), self.audio_id, question)

    def activation_checkpointing_enable(self, **options: Any) -> None:
        """Compute the language model's activations twice instead of keeping them, as Trainer asks for it."""
        self.language.activation_checkpointing_enable(**options)

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """The language model's own files (or its adapter's), the projector's, and ``listen.json``."""
        save_language(self.language, folder)
        save_parts(self, folder)
        said = about | {"width": self.projector.width, "stack": self.projector.stack}
        (folder / LISTEN).write_text(json.dumps(said, indent=1), "utf-8")

    def load_parts(self, folder: Path) -> None:
        """What :meth:`save` wrote; a value head stays new where none was saved.

        Raises:
            ModelError: of another shape.
        """
        load_parts(self, folder)


def value_head(width: int) -> nn.Module:
    """Worth of a place from its last hidden state; 0 of all of them before it has learned."""
    head = nn.Linear(width, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def save_language(language: Any, folder: Path) -> None:
    """A language model's own files, or its adapter's alone."""
    options = {} if not hasattr(language, "peft_config") else {"save_embedding_layers": False}
    language.save_pretrained(folder, **options)


def save_parts(model: Listener, folder: Path) -> None:
    """``projector.safetensors``: the projector and, where there is one, the value head."""
    parts = {"projector": model.projector, "value": model.value}
    own = {
        f"{part}.{name}": tensor.contiguous()
        for part, module in parts.items()
        if module is not None
        for name, tensor in module.state_dict().items()
    }
    save_file(own, folder / PROJECTOR)


def load_parts(model: Listener, folder: Path) -> None:
    """Read what :func:`save_parts` wrote; a value head stays new where none was saved.

    Raises:
        ModelError: of another shape.
    """
    saved = load_file(folder / PROJECTOR)
    for name, module in (("projector", model.projector), ("value", model.value)):
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


def only_trained(module: nn.Module, state: dict[str, Any], prefix: str, local_metadata: Any) -> None:
    """A checkpoint holds what is trained, once: tied heads are their embeddings, frozen weights are the base's."""
    del local_metadata
    kept = {name for name, p in module.named_parameters() if p.requires_grad} | dict(module.named_buffers()).keys()
    for name in [name for name in state if name.startswith(prefix)]:
        if name.removeprefix(prefix) not in kept:
            del state[name]
