"""Audio language models of transformers, as they are: their own features, chat template and merge of sound into text.

    listen: {tower: whole}
    base: Qwen/Qwen2-Audio-7B-Instruct      # or a Music Flamingo, an Audio Flamingo 3; a folder or hub id

The audio tower stays frozen, the multi-modal projector is trained in full, the language model with adapters (or in
full). Features are the log-mel frames of the model's own feature extractor, so that each clip's are computed once; the
tower reads them in every forward pass. They are kept without the silence that fills a window, but with the
:data:`MARGIN` frames after the sound into which the last of it reaches: the tower's convolutions see these, and with
them every logit is the one that the model gives for its own processor's inputs (a test holds it to that).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cadenza.base.errors import ConfigError, ModelError
from cadenza.model.hub_vocabulary import HubVocabulary
from cadenza.train import bases
from cadenza.train.listening.audio_lm import (
    LISTEN,
    load_parts,
    only_trained,
    save_language,
    save_parts,
    value_head,
)
from cadenza.train.listening.towers import SAMPLE_RATE, Floats, sound_of
from cadenza.train.recipe import TrainConfig
from cadenza.train.rows import Codec

WHOLE = "whole"
#: Frames kept after a sound's last: two convolutions of width 3 look that far.
MARGIN = 2
#: What is shorter, a sound or its last window, is followed by silence: 0.1 s make two placeholders. Of one alone
#: Qwen2-Audio thinks that its text was never expanded; a last window without any makes Music Flamingo fail.
LEAST_SAMPLES = SAMPLE_RATE // 10


@dataclass(frozen=True)
class Kind:
    """One class of audio language models.

    Args:
        name: of the class in transformers.
        mask: its word for the mask of the features.
    """

    name: str
    mask: str


#: ``model_type`` → its class. All have a Whisper-like tower whose frames come at a quarter of the features' rate.
KINDS = {
    "qwen2_audio": Kind("Qwen2AudioForConditionalGeneration", "feature_attention_mask"),
    "musicflamingo": Kind("MusicFlamingoForConditionalGeneration", "input_features_mask"),
    "audioflamingo3": Kind("AudioFlamingo3ForConditionalGeneration", "input_features_mask"),
}


# ── what the processor says ──────────────────────────────────────────────────────────────────────────────


def open_processor(source: str) -> Any:
    """The processor of a folder or hub id; its tokenizer's end is the end of an answer in the chat template.

    Raises:
        ModelError: there is none, or it has no chat template.
    """
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        said = str(error).partition("\n")[0][:200]
        raise ModelError("a processor of an audio language model", said, where=source) from None
    missing = [name for name in ("feature_extractor", "tokenizer", "audio_token") if not hasattr(processor, name)]
    if missing or not processor.chat_template:
        found = f"{type(processor).__name__} without {', '.join(missing) or 'a chat template'}"
        raise ModelError("a processor of sound and text with a chat template", found, where=source)
    if int(processor.feature_extractor.sampling_rate) != SAMPLE_RATE:
        found = f"{processor.feature_extractor.sampling_rate} Hz"
        raise ModelError(f"features of sound at {SAMPLE_RATE} Hz", found, where=source)
    end = end_of_answer(processor)
    if end is not None:
        processor.tokenizer.eos_token = end
    return processor


def _asked(sound: Any, question: str) -> dict[str, Any]:
    """A user's turn: a sound and what is asked about it."""
    return {"role": "user", "content": [{"type": "audio", "audio": sound}, {"type": "text", "text": question}]}


def end_of_answer(processor: Any) -> str | None:
    """The special token that the chat template writes after an answer; None where it writes none.

    Some tokenizers name the end of a text as their end of sequence although answers end otherwise.
    """
    mark = "ANSWER"
    told = {"role": "assistant", "content": [{"type": "text", "text": mark}]}
    rest = processor.apply_chat_template([_asked("clip", "?"), told], tokenize=False).rpartition(mark)[2]
    ids = processor.tokenizer(rest, add_special_tokens=False)["input_ids"]
    return processor.tokenizer.convert_ids_to_tokens(ids[0]) if ids and ids[0] in _specials(processor) else None


def _specials(processor: Any) -> set[int]:
    added = processor.tokenizer.added_tokens_decoder
    return {number for number, token in added.items() if token.special}


class Chat:
    """Questions about a sound, written by the processor's chat template.

    Args:
        processor: of the model.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.audio_id = int(processor.tokenizer.convert_tokens_to_ids(processor.audio_token))
        self._known: dict[str, tuple[list[int], list[int]]] = {}

    def ids(self, n_vectors: int, question: str) -> list[int]:
        """Ids of the conversation up to where the answer begins, with so many placeholders.

        Raises:
            ModelError: the template does not say once where the sound is.
        """
        if question not in self._known:
            self._known[question] = self._around(question)
        before, after = self._known[question]
        return [*before, *[self.audio_id] * n_vectors, *after]

    def _around(self, question: str) -> tuple[list[int], list[int]]:
        """What the processor makes of the question and a short silence, before and after the silence's placeholders."""
        silence = np.zeros(LEAST_SAMPLES, np.float32)
        try:
            found = self.processor.apply_chat_template(
                [_asked(silence, question)], tokenize=True, add_generation_prompt=True, return_dict=True
            )
        except ValueError as error:  # as many sounds as the template has places for
            raise ModelError("a chat template with a sound", str(error)[:200], where="chat template") from None
        ids = [int(token) for token in np.asarray(found["input_ids"]).reshape(-1)]
        places = [at for at, token in enumerate(ids) if token == self.audio_id]
        if not places or places[-1] - places[0] != len(places) - 1:
            where = "chat template"
            raise ModelError(f"{self.processor.audio_token} in one place", f"{len(places)} apart", where=where)
        return ids[: places[0]], ids[places[-1] + 1 :]


class LogMel:
    """Log-mel frames of the model's feature extractor, shape (T + :data:`MARGIN`, mels).

    Args:
        processor: of the model.

    Raises:
        ModelError: (when asked) a sound is longer than the model hears.
    """

    def __init__(self, processor: Any) -> None:
        self._extract = processor.feature_extractor
        self.width = int(self._extract.feature_size)
        self.frames_per_second = SAMPLE_RATE / int(self._extract.hop_length)
        # Those that hear one window alone say nothing of a longest sound.
        self.most_seconds = int(getattr(processor, "max_audio_len", 0)) or int(self._extract.chunk_length)

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        seconds = len(samples) / SAMPLE_RATE
        if seconds > self.most_seconds:
            hint = "Make shorter clips."
            raise ModelError(f"at most {self.most_seconds} seconds of sound", f"{seconds:.1f}", hint=hint)
        sound = sound_of(samples)
        window = int(self._extract.n_samples)
        last = len(sound) % window if len(sound) else 0
        if last or not len(sound):
            sound = np.pad(sound, (0, max(0, LEAST_SAMPLES - last)))
        parts = []
        for start in range(0, len(sound), window):
            found = self._extract(
                sound[start : start + window], sampling_rate=SAMPLE_RATE, padding="max_length",
                return_attention_mask=True, return_tensors="np",
            )  # fmt: skip
            mel = found["input_features"][0].T
            there = int(found["attention_mask"][0].sum())
            parts.append(mel[:there])
        # Where the window ends with the sound there are no such frames, and nothing reads them.
        margin = np.full((MARGIN, self.width), mel.min())
        after = mel[there : there + MARGIN]
        margin[: len(after)] = after
        return np.concatenate([*parts, margin]).astype(np.float32)

    def fingerprint(self) -> str:
        said = json.dumps(self._extract.to_dict(), sort_keys=True, default=str)
        return hashlib.sha256(f"{said} {MARGIN} {LEAST_SAMPLES}".encode()).hexdigest()


# ── the model ────────────────────────────────────────────────────────────────────────────────────────────


class WholeAudioLm(nn.Module):
    """An audio language model behind the interface of :class:`~cadenza.train.listening.audio_lm.AudioLm`.

    Args:
        language: one of :data:`KINDS`, or one with adapters (on its language model).
        processor: its processor, see :func:`open_processor`.
        with_value: a value head on the last hidden states (for PPO).

    Raises:
        ModelError: model and processor do not fit each other.
    """

    def __init__(self, language: Any, processor: Any, with_value: bool = False) -> None:
        super().__init__()
        self.language = language
        self.processor, self.chat = processor, Chat(processor)
        self.codec, self.tower = HubVocabulary(processor.tokenizer), LogMel(processor)
        config = self.inner.config
        self.mask_name = KINDS[config.model_type].mask
        self.window = 2 * int(config.audio_config.max_source_positions)
        n_rows = int(self.inner.get_input_embeddings().weight.shape[0])
        if len(self.codec) > n_rows:
            raise ModelError(f"a tokenizer of at most {n_rows} ids, as the model has rows", str(len(self.codec)))
        fits = {
            "the placeholder": (self.chat.audio_id, int(config.audio_token_id)),
            "frames a window": (int(processor.feature_extractor.nb_max_frames), self.window),
            "mels": (self.tower.width, int(config.audio_config.num_mel_bins)),
        }
        for name, (own, models) in fits.items():
            if own != models:
                raise ModelError(f"a processor with {name} {models}, as the model has", str(own))
        width = int(config.text_config.hidden_size)
        self.value = value_head(width) if with_value else None
        self.ears.requires_grad_(False)
        # What is trained is float32, whatever the weights around it are.
        self.projector.float().requires_grad_(True)
        self.projector.register_forward_pre_hook(_in_own_precision)
        self.register_state_dict_post_hook(only_trained)

    @property
    def inner(self) -> Any:
        """The model of transformers under its adapters."""
        return self.language.get_base_model() if hasattr(self.language, "get_base_model") else self.language

    @property
    def ears(self) -> Any:
        """The audio tower."""
        return self.inner.model.audio_tower

    @property
    def projector(self) -> nn.Module:
        """The multi-modal projector."""
        found: nn.Module = self.inner.model.multi_modal_projector
        return found

    @property
    def config(self) -> Any:
        """The model's own."""
        return self.inner.config

    @property
    def audio_id(self) -> int:
        """The model's own placeholder."""
        return self.chat.audio_id

    def train(self, mode: bool = True) -> WholeAudioLm:
        """The audio tower is frozen: it never drops anything out."""
        super().train(mode)
        self.ears.eval()
        return self

    def activation_checkpointing_enable(self, **options: Any) -> None:
        """Compute activations twice instead of keeping them, as Trainer asks for it."""
        self.inner.activation_checkpointing_enable(**options)

    # ── sound ────────────────────────────────────────────────────────────────────────────────────────────

    def n_vectors(self, n_frames: int) -> int:
        """Placeholders of a clip's features, as the processor counts them."""
        n = n_frames - MARGIN
        lengths = torch.tensor([min(self.window, n - start) for start in range(0, n, self.window)])
        return int(self.ears._get_feat_extract_output_lengths(lengths)[1].sum())

    def prompt_ids(self, codec: Codec, n_frames: int, question: str) -> list[int]:
        """Ids of the question in the model's own chat, with a clip's placeholders."""
        del codec
        return self.chat.ids(self.n_vectors(n_frames), question)

    def windows(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
        """(features (N, mels, window), mask (N, window), frames of each row) of (B, F, mels), filled with NaN."""
        counts = [int(n) - MARGIN for n in (~torch.isnan(features[..., 0])).sum(1)]
        found, masks = [], []
        for row, n in zip(features, counts, strict=True):
            if n < 1:
                raise ModelError("frames of every clip", "none of one of them")
            whole = -(-n // self.window) * self.window
            there = min(whole, n + MARGIN)
            filled = row.new_full((whole, row.shape[1]), float(row[:there].min()))
            filled[:there] = row[:there]
            found.append(filled.view(-1, self.window, row.shape[1]))
            masks.append((torch.arange(whole, device=row.device) < n).long().view(-1, self.window))
        return torch.cat(found).transpose(1, 2), torch.cat(masks), counts

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
        """As the model's, of ids with placeholders and the features that they stand for.

        Args:
            features: (B, F, mels), rows shorter than F filled with NaN; None where no placeholder is left.

        Raises:
            ModelError: a row has not as many placeholders as its sound.
        """
        given: dict[str, Any] = {"input_ids": input_ids}
        places = (input_ids == self.audio_id).sum(1).tolist()
        if features is not None:
            sound, mask, counts = self.windows(features)
            wanted = [self.n_vectors(n + MARGIN) for n in counts]
            if places != wanted:
                raise ModelError(f"{wanted} placeholders", str(places))
            given |= {"input_features": sound.to(self.ears.conv1.weight.dtype), self.mask_name: mask}
        elif any(places):
            raise ModelError("sound for the placeholders", "none")
        if attention_mask is not None:
            given["attention_mask"] = attention_mask
        elif position_ids is not None:
            given["position_ids"] = position_ids
        return self.language(
            **given, past_key_values=past_key_values, use_cache=use_cache, output_hidden_states=output_hidden_states
        )

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """The model's own files (or its adapter's), projector and value head, processor, and ``listen.json``."""
        save_language(self.language, folder)
        save_parts(self, folder)
        self.processor.save_pretrained(folder)
        (folder / LISTEN).write_text(json.dumps(about | {"width": self.tower.width, "stack": 1}, indent=1), "utf-8")

    def load_parts(self, folder: Path) -> None:
        """Projector and value head of a folder; a value head stays new where none was saved.

        Raises:
            ModelError: of another shape.
        """
        load_parts(self, folder)


def _in_own_precision(module: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    dtype = next(module.parameters()).dtype
    return tuple(one.to(dtype) for one in given)


# ── opening ──────────────────────────────────────────────────────────────────────────────────────────────


def check(config: TrainConfig) -> None:
    """That a recipe asks for nothing that would not be heeded.

    Raises:
        ConfigError: it does.
    """
    if config.is_scratch:
        hint = "Give base a folder or hub id of " + ", ".join(kind.name for kind in KINDS.values()) + "."
        raise ConfigError("an audio language model as base", config.base, where="recipe base", hint=hint)
    unheeded = {
        "listen.stack": config.listen.stack != 1, "listen.tower_source": bool(config.listen.tower_source),
        "rope": config.rope.kind != "none", "extend_vocabulary": config.extend_vocabulary,
        "neftune_alpha": config.neftune_alpha is not None, "loss": config.loss.name != "cross-entropy",
        "fsdp": config.fsdp, "compile": config.compile,
    }  # fmt: skip
    found = [name for name, there in unheeded.items() if there]
    if found:
        said = "a recipe without " + ", ".join(unheeded)
        raise ConfigError(said, ", ".join(found), where="recipe listen.tower whole")


def pretrained(config: TrainConfig) -> Any:
    """A base's weights; what hears and what brings the sound over is never put into 4 bits.

    Raises:
        ModelError: the base is none of :data:`KINDS`.
    """
    import transformers

    known = ", ".join(KINDS)
    try:
        shape = transformers.AutoConfig.from_pretrained(config.source)
    except (OSError, ValueError, KeyError) as error:
        said = str(error).partition("\n")[0][:200]
        raise ModelError(f"an audio language model of transformers ({known})", said, where=config.base) from None
    if shape.model_type not in KINDS:
        hint = "Any causal model listens with a tower: listen.tower."
        raise ModelError(f"an audio language model of {known}", shape.model_type, where=config.base, hint=hint)
    kind = getattr(transformers, KINDS[shape.model_type].name)
    return bases.pretrained(config, kind, ("model.audio_tower", "model.multi_modal_projector", "lm_head"))


def adapt(model: Any, config: TrainConfig) -> Any:
    """The model with adapters on its language model's linear layers, or on those that the recipe names.

    Raises:
        ConfigError: it has no such layers.
    """
    linear = {
        name.rpartition(".")[2]
        for name, module in model.model.language_model.named_modules()
        if isinstance(module, nn.Linear)
    }
    named = linear if config.lora.targets == ["all-linear"] else set(config.lora.targets)
    if not named <= linear:
        found = ", ".join(sorted(named - linear))
        raise ConfigError(f"layers of {', '.join(sorted(linear))}", found, where="recipe lora.targets")
    within = rf".*\.language_model\..*\.({'|'.join(sorted(named))})"
    return bases.adapt(model, config, None, 0, within)


def open_base(config: TrainConfig, with_value: bool = False) -> WholeAudioLm:
    """The model that a recipe with ``listen.tower: whole`` begins with.

    Raises:
        ConfigError: the recipe asks for what cannot be.
        ModelError: no such model lies at the base.
    """
    check(config)
    language = pretrained(config)
    if config.method == "full":
        language.requires_grad_(True)
    else:
        language = adapt(language, config)
    return WholeAudioLm(language, open_processor(config.source), with_value)


__all__ = ["KINDS", "WHOLE", "Chat", "LogMel", "WholeAudioLm", "check", "open_base", "open_processor"]
