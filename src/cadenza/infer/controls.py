"""What can be asked of the music beyond its task, how the model is held to it, and whether it was met.

A control is kept in one of three ways. Some hold by construction: bars, tempo, metre, tracks, tuning and pitch range
are part of what is asked or of what may follow at all. A strict key is a mask on pitches. The others bend the model's
distribution and leave it the last word: a soft key takes from pitches outside the scale, density from steps that would
leave the bar's pace, nearness adds to (or takes from) what followed the same tokens in the seed. Those are checked
afterwards, and what was not met is said.

How well each is obeyed by the shipped model is measured by ``benchmarks/obedience.py`` (``models/obedience.json``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError
from cadenza.infer.constrain import ALL_CLASSES, Instrument, Rules, field_tables
from cadenza.infer.model import ComposerModel
from cadenza.infer.names import classes_of
from cadenza.infer.players import Player
from cadenza.infer.prompt import Prompt
from cadenza.infer.repetition import followers
from cadenza.infer.sheet import Sheet
from cadenza.infer.write import Bend, Wish, rules_of
from cadenza.model.units import tokenize_units, units
from cadenza.notation.simplified.grammar import SimplifiedState
from cadenza.score.model import Key, Score
from cadenza.score.time import bar_ticks

Bent = tuple[NDArray[np.int64], NDArray[np.float64]]

SOFT_KEY_NATS = 4.0  # taken from pitches outside a soft key
NEARNESS_NATS = 1.0  # a token of the match, up to six
DENSITY_NATS = 4.0  # at an eighth of the wanted notes (at least one) too many or too few
DENSITY_TOLERANCE = 0.25
KEY_TOLERANCE = 0.9  # share of the sounding time within the scale


@dataclass(frozen=True)
class Controls:
    """Wishes.

    Args:
        key: of what is written.
        strict_key: no pitch outside it at all.
        density: notes a bar, all written tracks together.
        low, high: pitches that the written tracks keep to, drums aside.
        nearness: −1 (away from the seed's own figures) … 1 (towards them).

    Raises:
        ConfigError: a value out of range.
    """

    key: Key | None = None
    strict_key: bool = False
    density: float | None = None
    low: int | None = None
    high: int | None = None
    nearness: float = 0.0

    def __post_init__(self) -> None:
        if self.density is not None and not 0.25 <= self.density <= 200:
            raise ConfigError("a density of 0.25 to 200 notes a bar", repr(self.density))
        if not -1 <= self.nearness <= 1:
            raise ConfigError("nearness from −1 to 1", repr(self.nearness))
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ConfigError("a pitch range from low to high", f"{self.low} to {self.high}")
        if self.strict_key and self.key is None:
            raise ConfigError("a key to keep strictly", "none")

    def rules(self, prompt: Prompt) -> Rules:
        """What may follow, with range and strict key.

        Raises:
            ConfigError: an instrument has no pitch left.
        """
        narrow = self.narrowed(prompt.instruments, prompt.free, prompt.tracks)
        return rules_of(replace(prompt, instruments=narrow))

    def narrowed(
        self, instruments: Sequence[Instrument], free: Sequence[int], tracks: Sequence[int]
    ) -> tuple[Instrument, ...]:
        """The instruments with range and strict key.

        Args:
            free: those that are written.
            tracks: the piece's track of each.

        Raises:
            ConfigError: an instrument has no pitch left.
        """
        instruments = list(instruments)
        for place in free:
            one = instruments[place]
            if one.is_drums:
                continue
            low = one.low if self.low is None else max(one.low, self.low)
            high = one.high if self.high is None else min(one.high, self.high)
            classes = classes_of(self.key) if self.strict_key and self.key is not None else ALL_CLASSES
            kept = replace(one, low=low, high=high, classes=classes)
            if not any(p % 12 in classes and kept.takes((p,)) for p in range(low, high + 1)):
                asked = f"{one.low}–{one.high}, asked for {low}–{high}"
                where = f"track {tracks[place] + 1}"
                raise ConfigError("pitches that the instrument can play", asked, where=where)
            instruments[place] = kept
        return tuple(instruments)

    @property
    def bends(self) -> bool:
        """Whether the model's distribution is bent."""
        return (self.key is not None and not self.strict_key) or self.density is not None or self.nearness != 0

    def wish(self, model: ComposerModel, prompt: Prompt, rules: Rules) -> Wish:
        """What to add to the logits; of a model whose tokens are the notation's fields.

        Raises:
            ConfigError: another model.
        """
        if not model.has_fields:
            hint = "Keep the key strictly, or take a model whose tokens are the notation's fields."
            raise ConfigError("a model of fields for soft key, density and nearness", "a text vocabulary", hint=hint)
        parts: list[Wish] = []
        if self.key is not None and not self.strict_key:
            parts.append(_soft_key(model, prompt, self.key))
        if self.density is not None:
            parts.append(_paced(model, prompt, self.density))
        if self.nearness:
            parts.append(_near(model, prompt, self.nearness))

        def all_of_them(state: SimplifiedState, bar: Sequence[int]) -> Bent | None:
            return _joined([wish(state, bar) for wish in parts])

        return all_of_them

    def bend(self, model: ComposerModel, sheet: Sheet, player: Player) -> Bend:
        """What to add to the logits in a notation that a player writes: soft key and nearness.

        Raises:
            ConfigError: a density, or a model of text.
        """
        if not model.has_fields:
            hint = "Keep the key strictly, or take a model whose tokens are the notation's fields."
            raise ConfigError("a model of fields for soft key and nearness", "a text vocabulary", hint=hint)
        if self.density is not None:
            expected = f"wishes that {model.notation.name} knows (key, range, nearness)"
            hint = "A model of simplified-midi with bar words on one time line keeps a density."
            raise ConfigError(expected, f"a density of {self.density:g} notes a bar", hint=hint)
        parts: list[Bend] = []
        if self.key is not None and not self.strict_key:
            parts.append(_soft_key_of(model, player, self.key))
        if self.nearness:
            text = "".join(part.given for part in sheet.parts)
            seed = tokenize_units(model.vocabulary, units(text, model.notation.unit_start), goes_on=True)
            parts.append(_near_to([token for part in seed for token in part], frozenset(), self.nearness))
        return lambda place, bar: _joined([part(place, bar) for part in parts])

    def unmet(self, score: Score, parts: Sequence[tuple[int, int, int]], n_bars: int) -> list[str]:
        """What the written parts did not meet, in words."""
        out = []
        sounding = np.zeros(12)
        n_notes = 0
        for track, start, stop in parts:
            notes = score.tracks[track].notes
            notes = notes[(notes["onset_ticks"] >= start) & (notes["onset_ticks"] < stop)]
            n_notes += len(notes)
            if not score.tracks[track].is_drums:
                sounding += np.bincount(notes["pitch"] % 12, notes["duration_ticks"], 12)
        if self.key is not None and sounding.any():
            share = sounding[sorted(classes_of(self.key))].sum() / sounding.sum()
            if share < KEY_TOLERANCE:
                out.append(f"key: {share:.0%} of the sounding time lies in it")
        if self.density is not None:
            found = n_notes / max(n_bars, 1)
            if abs(found - self.density) > DENSITY_TOLERANCE * self.density:
                out.append(f"density: {found:.1f} notes a bar, asked for {self.density:g}")
        return out


def _joined(parts: Sequence[Bent | None]) -> Bent | None:
    found = [part for part in parts if part is not None]
    if not found:
        return None
    ids = np.concatenate([ids for ids, _ in found])
    amounts = np.concatenate([amounts for _, amounts in found])
    unique, place = np.unique(ids, return_inverse=True)
    return unique.astype(np.int64), np.bincount(place, amounts, len(unique)).astype(np.float64)


def _soft_key_of(model: ComposerModel, player: Player, key: Key) -> Bend:
    fields, _, _ = field_tables(model.vocabulary, model.notation)
    said = [(token, one) for token, one in fields.items() if one.kind in player.pitch_kinds]
    inside = classes_of(key)

    def bend(place: Player, bar: Sequence[int]) -> Bent | None:
        pitches = [(token, place.sounding(one)) for token, one in said]
        outside = [token for token, pitch in pitches if pitch is not None and pitch % 12 not in inside]
        return (np.array(outside, np.int64), np.full(len(outside), -SOFT_KEY_NATS)) if outside else None

    return bend


def _fields(model: ComposerModel, kind: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(ids, numbers) of the fields of a kind, by number."""
    found = []
    for index, text in enumerate(model.vocabulary.fields):
        value = text[len(kind) :]
        if text.startswith(kind) and value.isdecimal():
            found.append((int(value), model.vocabulary.first_field + index))
    found.sort()
    return np.array([token for _, token in found], np.int64), np.array([value for value, _ in found], np.int64)


def _soft_key(model: ComposerModel, prompt: Prompt, key: Key) -> Wish:
    ids, pitches = _fields(model, "p")
    outside = ids[~np.isin(pitches % 12, sorted(classes_of(key)))]
    amounts = np.full(len(outside), -SOFT_KEY_NATS)
    is_drums = [one.is_drums for one in prompt.instruments]

    def wish(state: SimplifiedState, bar: Sequence[int]) -> Bent | None:
        return None if state.track >= 0 and is_drums[state.track] else (outside, amounts)

    return wish


def _paced(model: ComposerModel, prompt: Prompt, density: float) -> Wish:
    steps, lengths = _fields(model, ":t")
    rests, rest_lengths = _fields(model, "t")
    pitches, _ = _fields(model, "p")
    tracks, _ = _fields(model, "i")
    line = model.vocabulary.id_of("|")
    is_pitch = np.zeros(len(model.vocabulary), bool)
    is_pitch[pitches] = True
    more = np.concatenate([pitches, tracks])
    wanted = density / prompt.split
    width = max(wanted / 8, 1.0)
    free = set(prompt.free)

    def cost(n: NDArray[np.float64] | float, share: NDArray[np.float64] | float) -> Any:
        return -DENSITY_NATS * ((n - wanted * share) / width) ** 2

    def wish(state: SimplifiedState, bar: Sequence[int]) -> Bent | None:
        if state.note is not None and state.track not in free:
            return None
        n = float(is_pitch[np.array(bar, np.int64)].sum())
        whole = bar_ticks(prompt.metre, state.ticks_per_quarter)
        step = state.note.get("t", 0) if state.note is not None else 0
        at = whole - (state.bar_end_ticks - state.now_ticks) + step
        # A further note at this place is in time where some step after it brings the pace back.
        further = np.full(len(more), cost(n + 1, 1.0) if n + 1 > wanted else 0.0)
        parts = [(more, further)]
        for ids, ticks in ((steps, lengths), (rests, rest_lengths)):
            parts.append((ids, cost(n, np.minimum((at + ticks) / whole, 1.0))))
        if line is not None:
            parts.append((np.array([line]), np.array([cost(n, 1.0)])))
        return np.concatenate([ids for ids, _ in parts]), np.concatenate([amounts for _, amounts in parts])

    return wish


def _near(model: ComposerModel, prompt: Prompt, nearness: float) -> Wish:
    line = model.vocabulary.id_of("|")
    seed = [token for bar in prompt.bars for token in model.vocabulary.tokenize(bar.strip())]
    return _near_to(seed, frozenset() if line is None else frozenset({line}), nearness)


def _near_to(seed: Sequence[int], breakers: frozenset[int], nearness: float) -> Callable[..., Bent | None]:
    def wish(state: object, bar: Sequence[int]) -> Bent | None:
        found = followers(np.array([*seed, *bar], np.int64), breakers)
        if not found:
            return None
        lengths = np.minimum(np.array(list(found.values()), np.float64), 6)
        return np.array(list(found), np.int64), nearness * NEARNESS_NATS * lengths

    return wish


# ── the list ─────────────────────────────────────────────────────────────────────────────────────────────

#: name → (values, how it is kept).
CONTROLS: Mapping[str, tuple[str, str]] = {
    "bars": ("1 … 1000", "by construction"),
    "seconds": ("a length; whole bars, the nearest", "by construction"),
    "tempo": ("quarter notes a minute; new pieces and continuations", "by construction"),
    "metre": ("4/4, 3/4, 7/8 …; new pieces and continuations", "by construction"),
    "key": ("C, F#, Em, Bbm …", "bends the distribution"),
    "strict-key": ("with key", "mask on pitches"),
    "tracks": ("new: instruments; else which tracks are written, by number, name or family", "by construction"),
    "tuning": ("standard, drop-d, dadgad … or strings from the lowest up; new fretted tracks", "by construction"),
    "density": ("notes a bar, written tracks together", "bends the distribution"),
    "low, high": ("pitches: E2, 40 …; drums aside", "mask on pitches"),
    "nearness": ("-1 … 1, away from or towards the seed's figures", "bends the distribution"),
    "temperature": ("0 (the likeliest) …", "sampling"),
    "top-p, top-k, min-p, typical": ("see --help", "sampling"),
    "contrastive": ("0 (off) … 1; 0.6 is its authors'", "contrastive search"),
    "dry, no-repeat, guard, recall, original": ("see --help", "repetition"),
    "seed": ("0 …; the same gives the same music", "by construction"),
}


def obedience() -> dict[str, Any]:
    """What ``benchmarks/obedience.py`` measured with the shipped model: control → runs and share that met it."""
    path = Path(str(files("cadenza"))) / "models" / "obedience.json"
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))["controls"]
    return found
