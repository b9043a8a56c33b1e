"""The cells of the notation table: each a way to tell an excerpt as tokens, and to read tokens back.

A token is a field of the notation, as its own ``fields`` takes a text apart; a blank between two elements of ABC
belongs to the token before it (in Simplified MIDI blanks are implied). Each cell's vocabulary holds the fields of its
training texts; others are spelled in bytes.

Split streams are a layout of Simplified MIDI proper (``streams="split"``). For ABC and DadaGP they are made here, by
moving tokens within a bar: where a note stood a mark stays, its pitch (in DadaGP string and fret) goes behind the
bar's rhythm, its dynamics behind the pitches. :func:`joined_abc` and :func:`joined_dadagp` put them back, so what a
model wrote in streams is read by the notation's own strict reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.notation_music import SIMPLIFIED, Excerpt
from cadenza.base.errors import NotationError
from cadenza.notation.abc import Abc
from cadenza.notation.abc.fields import ACCIDENTALS, DYNAMIC_FIELDS, LETTERS, SIGNS
from cadenza.notation.base import Notation
from cadenza.notation.dadagp import DadaGP
from cadenza.notation.grammar import NEWLINE, Field
from cadenza.score.model import Score

Tokens = list[str]
NOTE, LOUDNESS = "x", "!"  # marks of ABC's rhythm: a note, and dynamics before one
_OCTAVES = (",", "'")

# ── streams of ABC and DadaGP ────────────────────────────────────────────────────────────────────────────


def split_abc(fields: Iterable[Field]) -> Iterator[str]:
    """The tokens of an ABC text, each bar of each voice as rhythm, pitches, dynamics."""
    rhythm: Tokens = []
    pitches: Tokens = []
    dynamics: Tokens = []
    open_ = False  # an accidental waits for its letter
    for one in fields:
        said = str(one)
        if one.kind in SIGNS or one.kind == NEWLINE:
            yield from (*rhythm, *pitches, *dynamics, said)
            rhythm, pitches, dynamics = [], [], []
        elif said in ACCIDENTALS or said in LETTERS:
            rhythm += [] if open_ else [NOTE]
            open_ = said in ACCIDENTALS
            pitches.append(said)
        elif said in _OCTAVES:
            pitches.append(said)
        elif said in DYNAMIC_FIELDS:
            rhythm.append(LOUDNESS)
            dynamics.append(said)
        else:
            rhythm.append(said)
    yield from (*rhythm, *pitches, *dynamics)


def joined_abc(tokens: Sequence[str]) -> Tokens:
    """The tokens of the joint text.

    Raises:
        NotationError: marks and what belongs to them do not agree.
    """
    out: Tokens = []
    rhythm: Tokens = []
    pitches: list[Tokens] = []
    dynamics: Tokens = []

    def flush() -> None:
        if rhythm.count(NOTE) != len(pitches) or rhythm.count(LOUDNESS) != len(dynamics):
            raise NotationError("as many pitches and dynamics as marks", "others")
        notes, loud = iter(pitches), iter(dynamics)
        for token in rhythm:
            if token == NOTE:
                out.extend(next(notes))
            else:
                out.append(next(loud) if token == LOUDNESS else token)
        for kept in (rhythm, pitches, dynamics):
            kept.clear()

    for token in tokens:
        if token == NEWLINE or token.rstrip("0123456789,") in SIGNS:
            flush()
            out.append(token)
        elif token in ACCIDENTALS or (token in LETTERS and not (pitches and pitches[-1][-1] in ACCIDENTALS)):
            pitches.append([token])
        elif token in LETTERS or token in _OCTAVES:
            if not pitches:
                raise NotationError("a letter", repr(token))
            pitches[-1].append(token)
        elif token in DYNAMIC_FIELDS:
            dynamics.append(token)
        elif pitches or dynamics:
            raise NotationError("pitches and dynamics behind all rhythm", repr(token))
        else:
            rhythm.append(token)
    flush()
    return out


def split_dadagp(fields: Iterable[Field]) -> Iterator[str]:
    """The tokens of a DadaGP text, each measure's strings, frets and drums behind its rhythm."""
    pitches: Tokens = []
    for one in fields:
        if one.kind in ("new_measure", "end"):
            yield from (*pitches, str(one))
            pitches = []
        elif one.kind.endswith((":note:s", ":note:")):
            mark = one.kind.removesuffix("s").removesuffix(":")
            pitches.append(("s" if one.kind.endswith("s") else "k") + one.value)
            yield mark
        elif one.kind == ":f":
            pitches.append(str(one))
        else:
            yield str(one)


def joined_dadagp(tokens: Sequence[str]) -> Tokens:
    """The tokens of the joint text.

    Raises:
        NotationError: marks and what belongs to them do not agree.
    """
    out: Tokens = []
    rhythm: Tokens = []
    pitches: list[Tokens] = []

    def flush() -> None:
        if sum(token.endswith(":note") for token in rhythm) != len(pitches):
            raise NotationError("as many strings and drums as notes", "others")
        notes = iter(pitches)
        for token in rhythm:
            if token.endswith(":note"):
                head, *fret = next(notes)
                string = head if head[0] == "s" else head[1:]
                out.extend([f"{token}:{string}", *fret])
            else:
                out.append(token)
        rhythm.clear()
        pitches.clear()

    for token in tokens:
        if token in ("new_measure", "end"):
            flush()
            out.append(token)
        elif token[0] in "sk" and token[1:].isdigit():
            pitches.append([token])
        elif token.startswith(":f"):
            if not pitches:
                raise NotationError("a string", repr(token))
            pitches[-1].append(token)
        elif pitches:
            raise NotationError("strings and frets behind all rhythm", repr(token))
        else:
            rhythm.append(token)
    flush()
    return out


def with_blanks(tokens: Sequence[str]) -> Tokens:
    """Each blank put to the token before it."""
    out: Tokens = []
    for token in tokens:
        if token == " " and out and not out[-1].endswith(" "):
            out[-1] += " "
        else:
            out.append(token)
    return out


def without_blanks(tokens: Sequence[str]) -> Tokens:
    """The tokens with blanks as tokens of their own."""
    return [
        part for token in tokens for part in ([token[:-1], " "] if token.endswith(" ") and token != " " else [token])
    ]


# ── tokens ↔ text ────────────────────────────────────────────────────────────────────────────────────────


def text_of(notation: Notation, tokens: Sequence[str]) -> str:
    """The text of a notation's fields."""
    if isinstance(notation, Abc):
        return "".join(tokens)
    gap = "\n" if isinstance(notation, DadaGP) else " "
    out: list[str] = []
    for token in tokens:
        if out and out[-1] != NEWLINE and token != NEWLINE and not token.startswith(":"):
            out.append(gap)
        out.append(token)
    return "".join(out)


@dataclass(frozen=True)
class Cell:
    """A way to tell music.

    Args:
        family: "Simplified MIDI", "ABC" or "DadaGP".
        layout: "interleaved" or "by_track".
        streams: "joint" or "split".
        loud: with velocities.
        notation: reads the text of the joint tokens (of Simplified MIDI's own streams: their text).
        split, joined: joint fields → tokens, and back; None where tokens are fields.
        seed: of the weights and of the order of rows.
    """

    family: str
    layout: str
    streams: str
    loud: bool
    notation: Notation
    split: Callable[[Iterable[Field]], Iterator[str]] | None = None
    joined: Callable[[Sequence[str]], Tokens] | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """Of its folder and row."""
        parts = [self.family, self.layout.replace("_", " "), self.streams, "velocity" if self.loud else "no velocity"]
        return ", ".join(parts + ([f"seed {self.seed}"] if self.seed else []))

    @property
    def slug(self) -> str:
        """The name as a folder's."""
        return self.name.lower().replace(", ", "-").replace(" ", "-")

    def score(self, excerpt: Excerpt) -> Score:
        """What it tells of an excerpt."""
        return excerpt.loud if self.loud else excerpt.score

    def fields(self, excerpt: Excerpt) -> list[Field]:
        """The fields of an excerpt's text."""
        return list(self.notation.fields(self.notation.encode(self.score(excerpt))))

    def tokens(self, fields: Sequence[Field]) -> Tokens:
        """The tokens of a text's fields."""
        told = list(self.split(fields)) if self.split else [str(one) for one in fields]
        return with_blanks(told) if isinstance(self.notation, Abc) else told

    def joint(self, tokens: Sequence[str]) -> Tokens:
        """The joint fields that tokens say; blanks of ABC are fields of their own.

        Raises:
            NotationError: they are no bars in streams.
        """
        told = without_blanks(tokens) if isinstance(self.notation, Abc) else list(tokens)
        return self.joined(told) if self.joined else told

    def read(self, tokens: Sequence[str]) -> Score:
        """The score that tokens say.

        Raises:
            NotationError: they say none.
        """
        return self.notation.decode(text_of(self.notation, self.joint(tokens)))

    def is_velocity(self, token: str) -> bool:
        """Whether a token says how loud something is and nothing else."""
        if isinstance(self.notation, Abc):
            return token.rstrip(" ") in DYNAMIC_FIELDS or token == LOUDNESS
        return token.startswith((":v", "v"))


def cells() -> list[Cell]:
    """All cells that exist, the reference first, in the order in which they are trained."""
    out = []
    for loud, streams in ((False, "joint"), (False, "split"), (True, "joint"), (True, "split")):
        is_split = streams == "split"
        for layout in ("interleaved", "by_track"):
            ours: dict[str, Any] = {"layout": layout, "streams": streams, "velocity": "keep" if loud else "drop"}
            out.append(Cell("Simplified MIDI", layout, streams, loud, replace(SIMPLIFIED, **ours)))
            theirs: dict[str, Any] = {"layout": layout, "velocity": "dynamics" if loud else "drop"}
            how = (split_abc, joined_abc) if is_split else (None, None)
            out.append(Cell("ABC", layout, streams, loud, Abc(**theirs), *how))
        if not loud:
            how = (split_dadagp, joined_dadagp) if is_split else (None, None)
            out.append(Cell("DadaGP", "interleaved", streams, loud, DadaGP(original=False), *how))
    # The reference again with other random weights: what chance in training alone does.
    return [*out, *(replace(out[0], seed=seed) for seed in (1, 2))]


#: What is not in the table, and why.
ABSENT = {
    "DadaGP, by track": "a DadaGP text is one time line by definition: `wait` moves all instruments on together",
    "DadaGP with velocity": "DadaGP has no velocities (ghost notes and accents apart, which no other cell tells)",
    "a stream of bends": "ABC has no bends, so the common fields have none (Simplified MIDI's split streams tell them "
    "last, and a property test holds them to the notation's law)",
}

# ── tokens ↔ ids ─────────────────────────────────────────────────────────────────────────────────────────

PAD, BOS, EOS, STOP = range(4)
FIRST_BYTE = 4
FIRST_FIELD = FIRST_BYTE + 256


@dataclass(frozen=True)
class Codec:
    """Tokens ↔ ids. A token that is not among ``fields`` is its UTF-8 bytes and a stop."""

    fields: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[Sequence[str]]) -> Codec:
        """All tokens of these texts, in alphabetical order."""
        return cls(tuple(sorted({token for tokens in texts for token in tokens})))

    def __len__(self) -> int:
        return FIRST_FIELD + len(self.fields)

    def ids(self, texts: Sequence[Sequence[str]]) -> list[NDArray[np.int64]]:
        """Ids of each text, with begin and end."""
        known = {token: FIRST_FIELD + at for at, token in enumerate(self.fields)}
        out = []
        for tokens in texts:
            row = [BOS]
            for token in tokens:
                if token in known:
                    row.append(known[token])
                else:
                    row += [*(FIRST_BYTE + byte for byte in token.encode()), STOP]
            out.append(np.array([*row, EOS], np.int64))
        return out

    def tokens(self, ids: Iterable[int]) -> Tokens:
        """What ids say, up to the end.

        Raises:
            NotationError: bytes that are no text, or a begin or a filler in the middle.
        """
        out: Tokens = []
        spelled = bytearray()
        for token in ids:
            if token == EOS:
                break
            if FIRST_BYTE <= token < FIRST_FIELD:
                spelled.append(token - FIRST_BYTE)
            elif token == STOP:
                out.append(spelled.decode("utf-8", "replace"))
                spelled.clear()
            elif token < FIRST_BYTE or spelled:
                raise NotationError("fields", "a special token within a text")
            else:
                out.append(self.fields[token - FIRST_FIELD])
        if spelled or "" in out:
            raise NotationError("a field spelled to its end", "a part of one")
        return out
