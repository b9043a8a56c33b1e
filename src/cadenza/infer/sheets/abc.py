"""ABC, bar by bar or voice by voice; see :mod:`cadenza.infer.sheet`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from cadenza.infer.constrain import Instrument
from cadenza.infer.model import ComposerModel
from cadenza.infer.players.abc import END_SIGN, AbcPlayer, voices_of
from cadenza.infer.sheet import Part, Told, View, matched
from cadenza.notation.abc.fields import WHOLE
from cadenza.notation.abc.notation import Abc
from cadenza.score.model import Score, Track

_HEAD = re.compile(r"V:\d|%%MIDI")


def told(model: ComposerModel, view: View) -> Told:
    """The view as a tune that goes on."""
    notation: Abc = model.notation
    score = view.score
    if not view.n_standing:
        score = replace(score, length_ticks=view.bar_ticks)
    text = notation.encode(score)
    found = notation.decode(text)
    n_tracks = len(score.tracks)
    if len(found.tracks) == n_tracks:
        places: list[int | None] = list(range(n_tracks))
    else:
        places = matched(score, found)
    if notation.layout == "interleaved":
        header, parts = _by_bar(text, view)
    else:
        header, parts = _by_voice(text, view)
    # A track that is not told apart from another goes where that one goes.
    voices = [places[track] or 0 for track in voices_of(notation.fields(text))]

    def player(instruments: Sequence[Instrument]) -> AbcPlayer:
        return AbcPlayer(notation, instruments, voices, view.free)

    def read(text: str) -> Score:
        out: list[Track | None] = [None] * n_tracks
        read = notation.decode(text.rstrip("\n"))
        for place, track in zip(places, read.tracks, strict=True):
            if place is not None:
                out[place] = track
        return view.new_bars(out, read.ticks_per_quarter)

    silent = frozenset(range(n_tracks)) - {place for place in places if place is not None}
    units = WHOLE * view.metre.numerator // view.metre.denominator
    return Told(header, parts, player, read, units, view.n_standing, silent)


def _by_bar(text: str, view: View) -> tuple[str, tuple[Part, ...]]:
    at = text.index("\n[V:1]") + 1
    header, lines = text[:at], text[at:].split("\n")
    if not view.n_standing:
        return header, (Part("", view.n_bars),)
    first = max(n for n, line in enumerate(lines) if line.startswith("[V:1]"))
    lines[first:] = [_goes_on(line) for line in lines[first:]]
    return header, (Part("\n".join([*lines, ""]), view.n_bars),)


def _by_voice(text: str, view: View) -> tuple[str, tuple[Part, ...]]:
    blocks: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.startswith("V:"):
            blocks.append([])
        blocks[-1].append(line)
    parts = []
    for number, block in enumerate(blocks[1:]):
        if not view.n_standing:
            block = [line for line in block if _HEAD.match(line)]
        else:
            block[-1] = _goes_on(block[-1])
        parts.append(Part(("\n" if number else "") + "\n".join(block), view.n_bars))
    return "\n".join([*blocks[0], ""]), tuple(parts)


def _goes_on(line: str) -> str:
    """A line whose last bar is not the last of the piece."""
    return line.removesuffix(END_SIGN) + "|" if line.endswith(END_SIGN) else line
