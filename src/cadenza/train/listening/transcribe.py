"""A recording → a score, by a model that listens (route B).

Such a model hears as much at once as its clips were long, and writes the whole passage: a longer recording is refused,
not cut at a place that is no bar line. It writes under ABC's automaton (:mod:`cadenza.infer.grammatical`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cadenza.base.errors import CadenzaError, LimitError, ModelError
from cadenza.corpus.clips import NOTATION
from cadenza.formats.audio_file import open_audio
from cadenza.infer.grammatical import Guide
from cadenza.model.hub_vocabulary import HubVocabulary
from cadenza.score.model import Score
from cadenza.train.listening.audio_lm import about_of
from cadenza.train.listening.run import Opened, open_trained, source_of
from cadenza.train.listening.towers import SAMPLE_RATE, Floats

MOST_TOKENS = 400
ROOM_SECONDS = 1.0  # beyond the longest clip


@dataclass(frozen=True)
class Told:
    """What a model says of a recording.

    Args:
        text: its ABC.
        score: what the text says.
        log2_p: of the text, bits.
    """

    text: str
    score: Score
    log2_p: float


def open_for_use(folder: Path | str) -> tuple[Opened, float]:
    """(the model, the most seconds that it hears at once) of a run, or of its model's or adapter's folder.

    Raises:
        ModelError: it is none that listens.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    opened = open_trained(_source(folder))
    opened.model.eval()
    return opened, seconds_of(folder)


def seconds_of(folder: Path | str) -> float:
    """The most seconds that a model hears at once.

    Raises:
        ModelError: it is none that listens.
    """
    return float(about_of(_source(folder))["seconds"]) + ROOM_SECONDS


def _source(folder: Path | str) -> Path:
    source = source_of(str(folder))
    if source is None:
        raise ModelError("a model that listens", "none", where=str(folder), hint="Train one: cadenza train listen …")
    return source


def samples_of(path: Path | str, most_seconds: float) -> NDArray[np.int16]:
    """A sound file as the towers take it: mono, int16, :data:`SAMPLE_RATE`.

    Raises:
        FormatError: no sound file.
        LimitError: it is longer than ``most_seconds``.
    """
    audio = open_audio(path)
    if audio.duration_seconds > most_seconds:
        hint = "Cut the recording, or leave --route out: cadenza's own way hears any length."
        raise LimitError(
            f"at most {most_seconds:g} seconds", f"{audio.duration_seconds:.1f}", where=str(path), hint=hint
        )
    parts = list(audio.mono(SAMPLE_RATE))
    sound = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    peak = max(float(np.abs(sound).max(initial=0)), 1e-6)
    return np.rint(sound / peak * 28_000).astype(np.int16)


@torch.no_grad()
def tell(opened: Opened, features: Floats, guide: Guide | None = None, temperature: float = 0.0, seed: int = 0) -> Told:
    """What the model writes of features (T, width).

    Args:
        guide: keeps it to ABC's automaton.
        temperature: 0 takes the likeliest token each time.

    Raises:
        NotationError: what it wrote is no ABC (without a guide, or with a header that is none).
    """
    model, codec = opened.model, opened.codec
    dice = torch.Generator().manual_seed(seed)
    unwanted = {codec.pad_id, codec.bos_id, model.audio_id} - {codec.eos_id, None}
    banned = [one for one in unwanted if one is not None and one < len(codec)]
    given = torch.tensor([opened.prompt(len(features))])
    out = model(given, torch.from_numpy(features)[None], use_cache=True)
    place, total, ids = (guide.begin() if guide else None), 0.0, []
    for _ in range(MOST_TOKENS):
        log_p = torch.log_softmax(out.logits[0, -1, : len(codec)].float(), -1)
        allowed, may_end = place.allowed() if place else (None, True)
        masked = log_p if allowed is None else torch.full_like(log_p, -torch.inf)
        if allowed is not None:
            masked[allowed] = log_p[allowed]
        masked = masked.clone()
        masked[banned] = -torch.inf
        masked[codec.eos_id] = log_p[codec.eos_id] if may_end else -torch.inf
        token = int(masked.argmax())
        if temperature:
            token = int(torch.multinomial((masked / temperature).softmax(-1), 1, generator=dice))
        total += float(log_p[token])
        if token == codec.eos_id:
            break
        ids.append(token)
        if place:
            place.feed(token)
        out = model(torch.tensor([[token]]), past_key_values=out.past_key_values, use_cache=True)
    text = codec.detokenize(ids)
    if len(ids) == MOST_TOKENS:  # cut off: its whole lines are music
        text = text[: text.rfind("\n") + 1]
    return Told(text, NOTATION.decode(text), total / float(np.log(2)))


def transcribe(path: Path | str, folder: Path | str) -> Told:
    """A recording as a model of ``folder`` writes it.

    Raises:
        CadenzaError: no such model or sound; or the model wrote no music.
    """
    opened, most_seconds = open_for_use(folder)
    features = opened.tower(samples_of(path, most_seconds))
    guide = Guide(NOTATION, opened.codec.texts()) if isinstance(opened.codec, HubVocabulary) else None
    try:
        told = tell(opened, features, guide)
    except CadenzaError as error:
        hint = "It may have been trained for too short a time, or for other music."
        raise ModelError("a model that writes ABC", str(error)[:200], where=str(folder), hint=hint) from None
    return told
