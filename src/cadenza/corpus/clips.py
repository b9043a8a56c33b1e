"""Clips for a model that listens: short stretches of music as sound, and the same stretches as ABC.

A clip is some whole bars of a piece, so that its text says the tempo, metre and key of just what is heard and leading
rests are kept; played as people play (:func:`cadenza.corpus.hearing.heard`) by one of the recipe's soundfonts; of some,
one voice alone is played, and then the text is that voice alone. A clip is a function of (seed, split, number).

A folder of clips holds ``clips.jsonl`` (name, work, text, questions, place of its sound), ``sound.i16`` (int16, mono,
one clip after another) and ``recipe.json``. It grows clip by clip: a build that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError, FormatError
from cadenza.base.files import write_atomically
from cadenza.corpus.build import rng_for
from cadenza.corpus.hearing import Errors, heard
from cadenza.corpus.questions import questions_of
from cadenza.formats.wav import synthesize
from cadenza.notation.abc import Abc
from cadenza.score import edit
from cadenza.score.key_finding import find_key, signature_of
from cadenza.score.model import Key, Metre, Score, Tempo
from cadenza.score.time import bar_table, ticks_to_seconds

SAMPLE_RATE = 16_000
NOTATION = Abc(velocity="drop")
PITCHES = "Write the key and the pitches alone."
_TAIL_SECONDS = 0.25
_PITCH = r"(?:\^{1,2}|_{1,2}|=)?[A-Ga-g][,']*"
_WRITTEN = re.compile(
    rf"(?P<chord>\[(?:{_PITCH}[\d/]*-?)+\])[\d/]*(?P<chord_tied>-?)|(?P<one>{_PITCH})[\d/]*(?P<tied>-?)"
)
_TRIES = 50


@dataclass(frozen=True)
class ClipRecipe:
    """How clips are made.

    Args:
        seconds: the longest.
        bars: fewest and most bars.
        least_notes: clips with fewer are drawn again.
        most_voices: pieces with more tracks are played without the rest.
        stem_share: share of clips of which one voice alone is played.
        soundfonts: files that are drawn from, or "built-in".
        seed: of all that is drawn.

    Raises:
        ConfigError: a value out of range.
    """

    seconds: float = 8.0
    bars: list[int] = field(default_factory=lambda: [1, 4])
    least_notes: int = 6
    most_voices: int = 4
    stem_share: float = 0.3
    soundfonts: list[str] = field(default_factory=lambda: ["built-in"])
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.bars) != 2 or not 1 <= self.bars[0] <= self.bars[1] or self.seconds <= 0:
            raise ConfigError("fewest and most bars, and seconds above 0", repr(self), where="clips")
        if not 0 <= self.stem_share <= 1 or self.least_notes < 1 or self.most_voices < 1 or not self.soundfonts:
            raise ConfigError("a share in 0–1, notes and voices from 1, a soundfont", repr(self), where="clips")


@dataclass(frozen=True)
class Clip:
    """A stretch of music.

    Args:
        name: of the piece, with its first bar.
        work: what it is of; splits are made by work.
        samples: int16, shape (n,), mono at :data:`SAMPLE_RATE`.
        text: the same bars as ABC.
        questions: (question, answer) pairs about it.
    """

    name: str
    work: str
    samples: NDArray[np.int16]
    text: str
    questions: tuple[tuple[str, str], ...]


def pitches_of(text: str) -> str:
    """What a clip's text writes, without lengths, rests and bars: ``K:Gm D ^F A [DA]``; what is tied over comes once.

    A model that listens learns from it to go along with what it hears: where it is depends on nothing but how many
    pitches it has written.
    """
    header, _, body = text.partition("\n[V:")
    key = next((line for line in header.splitlines() if line.startswith("K:")), "K:C")
    body = re.sub(r"\[[A-Za-z]:[^\]]*\]|\{[^}]*\}|\"[^\"]*\"|![^!]*!", " ", f"[V:{body}")
    found: list[str] = []
    tied = ""
    for match in _WRITTEN.finditer(body):
        name = re.sub(r"[\d/-]", "", match["chord"]) if match["chord"] else match["one"]
        if name.lstrip("^_=") != tied:
            found.append(name)
        held = match["tied"] or match["chord_tied"] or (match["chord"] or "").endswith("-]")
        tied = name.lstrip("^_=") if held else ""
    return " ".join([key, *found])


def n_pitches(told: str) -> int:
    """Pitches of what :func:`pitches_of` gave."""
    return len(re.findall(_PITCH, told.partition(" ")[2]))


def transposed(text: str, semitones: int) -> tuple[str, tuple[tuple[str, str], ...]]:
    """A clip's text, its music moved, and the questions about it.

    Raises:
        RangeError: a note would leave 0–127.
    """
    moved = edit.transpose(semitones).apply(NOTATION.decode(text))
    return NOTATION.encode(moved), questions_of(moved)


def passage(score: Score, recipe: ClipRecipe, rng: np.random.Generator) -> tuple[int, Score] | None:
    """(first bar, whole bars with their tempo, metre and key) of a piece; None where nothing fits."""
    tracks = [track for track in score.tracks if len(track) and not track.is_drums][: recipe.most_voices]
    if not tracks:
        return None
    plain = replace(score, tracks=tuple(tracks), bars=(), markers=())
    plain = replace(plain, tempos=plain.tempos or (Tempo(0, 120.0),), metres=plain.metres or (Metre(0, 4, 4),))
    table = bar_table(plain)
    for _ in range(_TRIES):
        n_bars = int(rng.integers(recipe.bars[0], recipe.bars[1] + 1))
        if n_bars > len(table):
            continue
        first = int(rng.integers(0, len(table) - n_bars + 1))
        chosen = edit.drop_doubled()(edit.select_bars(first, first + n_bars)(plain))
        if len(chosen.tempos) != 1 or len(chosen.metres) != 1:
            continue
        if rng.random() < recipe.stem_share:
            chosen = replace(chosen, tracks=(chosen.tracks[int(rng.integers(len(chosen.tracks)))],))
        chosen = replace(chosen, tracks=tuple(track for track in chosen.tracks if len(track)))
        if chosen.n_notes < recipe.least_notes or ticks_to_seconds(chosen, chosen.length_ticks) > recipe.seconds:
            continue
        return first, replace(chosen, keys=chosen.keys[:1] or (key_of(chosen),), title="", composer="")
    return None


def key_of(score: Score) -> Key:
    """The signature of the key that the notes are in."""
    found = find_key(score) or 0
    return Key(0, signature_of(found), "minor" if found >= 12 else "major")


def played(score: Score, recipe: ClipRecipe, rng: np.random.Generator) -> NDArray[np.int16]:
    """A performance of the bars as sound, as long as they are and a little more."""
    font = recipe.soundfonts[int(rng.integers(len(recipe.soundfonts)))]
    audio, _ = synthesize(heard(score, rng, Errors()), soundfont=font, sample_rate=SAMPLE_RATE)
    n = round((float(ticks_to_seconds(score, score.length_ticks)) + _TAIL_SECONDS) * SAMPLE_RATE)
    mono = audio.samples.mean(0)[:n]
    mono = np.pad(mono, (0, n - len(mono)))
    peak = max(float(np.abs(mono).max(initial=0)), 1e-6)
    return np.rint(mono / peak * 28_000).astype(np.int16)


def make(name: str, work: str, score: Score, recipe: ClipRecipe, rng: np.random.Generator) -> Clip | None:
    """A clip of a piece; None where no bars of it fit the recipe."""
    found = passage(score, recipe, rng)
    if found is None:
        return None
    first, bars = found
    # What is told is what is played: the text's own reading of the bars.
    text = NOTATION.encode(bars)
    told = NOTATION.decode(text)
    return Clip(f"{name} bar {first + 1}", work, played(told, recipe, rng), text, questions_of(told))


def build(
    pieces: Sequence[tuple[str, str, Score]],
    n_clips: int,
    split: str,
    out: Path,
    recipe: ClipRecipe,
    progress: Callable[[int, int], None] | None = None,
) -> ClipStore:
    """Make ``n_clips`` clips of (name, work, score) pieces, or those that are still missing.

    Raises:
        ConfigError: ``out`` holds clips of another recipe.
        FormatError: no piece has bars that fit.
    """
    if not pieces:
        raise FormatError(f"pieces of the split {split} with pitched notes", "none", hint="Give a larger corpus.")
    out.mkdir(parents=True, exist_ok=True)
    settings = out / "recipe.json"
    said = json.loads(json.dumps(asdict(recipe) | {"split": split}))
    if settings.is_file() and json.loads(settings.read_text("utf-8")) != said:
        raise ConfigError("the recipe that these clips were begun with", repr(said), where=str(settings))
    write_atomically(settings, json.dumps(said, indent=1).encode())
    done = end = 0
    if (out / "clips.jsonl").is_file():
        store = ClipStore(out)
        done, end = len(store), store.end
        whole = (out / "clips.jsonl").read_bytes()
        os.truncate(out / "clips.jsonl", whole.rfind(b"\n") + 1)  # a line that was not finished
    with open(out / "sound.i16", "ab") as sound, open(out / "clips.jsonl", "a", encoding="utf-8") as lines:
        sound.truncate(2 * end)  # what a stopped build wrote last has no line
        for number in range(done, n_clips):
            clip = _numbered(pieces, recipe, split, number)
            sound.write(clip.samples.tobytes())
            sound.flush()
            row = {
                "name": clip.name, "work": clip.work, "start": end, "n": len(clip.samples), "text": clip.text,
                "questions": clip.questions,
            }  # fmt: skip
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            lines.flush()
            end += len(clip.samples)
            if progress is not None:
                progress(number + 1, n_clips)
    return ClipStore(out)


def _numbered(pieces: Sequence[tuple[str, str, Score]], recipe: ClipRecipe, split: str, number: int) -> Clip:
    rng = rng_for(recipe.seed, "clips", split, str(number))
    for _ in range(_TRIES):
        name, work, score = pieces[int(rng.integers(len(pieces)))]
        clip = make(name, work, score, recipe, rng)
        if clip is not None:
            return clip
    raise FormatError(f"pieces with {recipe.least_notes} notes within {recipe.seconds:g} seconds", "none that fits")


class ClipStore:
    """Clips in a folder, by number.

    Raises:
        FormatError: there are none, or the files do not fit together.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        try:
            whole = (self.folder / "clips.jsonl").read_text("utf-8")
            self._rows: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines(True) if line[-1] == "\n"]
            n = (self.folder / "sound.i16").stat().st_size // 2
            self._sound = (
                np.memmap(self.folder / "sound.i16", np.int16, "r", shape=(n,)) if n else np.zeros(0, np.int16)
            )
        except (OSError, ValueError) as error:
            hint = "Make clips with cadenza.corpus.clips.build."
            raise FormatError("a folder of clips", str(error)[:200], where=str(folder), hint=hint) from None
        if self.end > len(self._sound):
            raise FormatError(f"{self.end} samples", str(len(self._sound)), where=str(self.folder / "sound.i16"))

    @property
    def end(self) -> int:
        """Samples of all clips."""
        return self.end_of(len(self._rows))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Clip:
        row = self._rows[number]
        samples = np.array(self._sound[row["start"] : row["start"] + row["n"]])
        return Clip(row["name"], row["work"], samples, row["text"], tuple((q, a) for q, a in row["questions"]))

    def end_of(self, n: int) -> int:
        """Samples of the first ``n`` clips."""
        return self._rows[n - 1]["start"] + self._rows[n - 1]["n"] if n else 0

    def questions(self, number: int) -> tuple[tuple[str, str], ...]:
        """Of a clip, without reading its sound."""
        return tuple((q, a) for q, a in self._rows[number]["questions"])

    @property
    def texts(self) -> list[str]:
        """Of all clips."""
        return [row["text"] for row in self._rows]

    @property
    def works(self) -> list[str]:
        """Of all clips."""
        return [row["work"] for row in self._rows]


def pieces_of(found: Iterable[Any]) -> list[tuple[str, str, Score]]:
    """(name, work, score) of a corpus's pieces that have pitched notes."""
    return [
        (piece.name, getattr(piece, "work", "") or piece.name, piece.score)
        for piece in found
        if any(len(track) and not track.is_drums for track in piece.score.tracks)
    ]
