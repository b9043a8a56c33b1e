"""DadaGP tokens; see :mod:`cadenza.infer.sheet`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cadenza.base.errors import RangeError
from cadenza.infer.constrain import Instrument
from cadenza.infer.model import ComposerModel
from cadenza.infer.players.dadagp import DadaGPPlayer, own_string
from cadenza.infer.sheet import Part, Told, View, matched
from cadenza.notation.dadagp.notation import DadaGP
from cadenza.notation.dadagp.tables import QUARTER_TICKS, waits
from cadenza.notation.dadagp.text import head_of, names_of
from cadenza.notation.dadagp.writing import names_for
from cadenza.score.model import NO_FRET, NO_STRING, Score, Track
from cadenza.score.time import bar_ticks, tempo_at

END = "end"


def told(model: ComposerModel, view: View) -> Told:
    """The view's tokens, its last measure filled.

    Raises:
        RangeError: instruments without a family (sound effects), or measures that tokens divide otherwise.
    """
    notation: DadaGP = model.notation
    length = bar_ticks(view.metre, QUARTER_TICKS)
    if view.n_standing:
        header, body, names = _standing(notation, view, length)
    else:
        named = names_for(view.score.tracks)
        if len(named) < len(view.score.tracks):
            raise RangeError("instruments that DadaGP tells", "sound effects, or more than it has names for")
        tempo = tempo_at(view.score, 0).quarters_per_minute
        header, body = "\n".join([*head_of("unknown", tempo, dict(named)), ""]), ""
        names = {name: place for place, (name, _) in enumerate(named)}
    free = {name: place for name, place in names.items() if place in view.free}

    def player(instruments: Sequence[Instrument]) -> DadaGPPlayer:
        return DadaGPPlayer(instruments, free, length)

    def read(text: str) -> Score:
        whole = f"{text.rstrip()}\n{END}"
        found = notation.decode(whole)
        tracks: list[Track | None] = [None] * len(view.score.tracks)
        for name, track in zip(names_of(whole), found.tracks, strict=True):
            if name in free:
                tracks[free[name]] = on_own_strings(track, view.instruments[free[name]])
        return view.new_bars(tracks, found.ticks_per_quarter)

    silent = frozenset(range(len(view.score.tracks))) - set(names.values())
    return Told(header, (Part(body, view.n_bars),), player, read, length, view.n_standing, silent)


def _standing(notation: DadaGP, view: View, length: int) -> tuple[str, str, dict[str, int]]:
    """Header and measures of what stands, and which track each instrument is."""
    text = notation.encode(view.score)
    head, start, body = text.partition("\nstart\n")
    lines = body.split("\n")[:-1]
    if lines.count("new_measure") != view.n_standing:
        raise RangeError(f"{view.n_standing} measures", str(lines.count("new_measure")))
    last = len(lines) - lines[::-1].index("new_measure")
    lines += waits(length - sum(int(line[5:]) for line in lines[last:] if line.startswith("wait:")))
    found = matched(view.score, notation.decode(text))
    names = {name: place for name, place in zip(names_of(text), found, strict=True) if place is not None}
    return head + start, "\n".join([*lines, ""]), names


def on_own_strings(track: Track, instrument: Instrument) -> Track:
    """Strings and frets of the track's own tuning; none where it cannot play a note there."""
    notes = track.notes.copy()
    string, fret = np.full(len(notes), NO_STRING), np.full(len(notes), NO_FRET)
    harmonic = notes["fret"].astype(np.int64)
    for row in range(len(notes) if instrument.tuning and not track.is_drums else 0):
        told = int(notes["string"][row])
        if told < 1:
            continue
        opened = track.tuning[told - 1]
        own = own_string(instrument, opened)
        if own is not None:
            place = opened + int(harmonic[row]) - instrument.tuning[own] - instrument.capo_fret
            if place >= 0:
                string[row], fret[row] = own + 1, place
    notes["string"], notes["fret"] = string, fret
    return Track(track.name, track.program, track.is_drums, instrument.tuning, instrument.capo_fret, notes, track.bends)
