"""Tokens ↔ a told piece. One token a line."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cadenza.notation.dadagp.piece import Said, SaidBar, SaidBeat, SaidPiece, close, common_downtune
from cadenza.notation.dadagp.tables import family, round_tempo, waits
from cadenza.notation.dadagp.tunings import Tuning

_NOTE = re.compile(r"([a-z]+\d*):note:(?:s(\d+):f(-?\d+)|(\d+))")


def head_of(artist: str, tempo: float, instruments: Mapping[str, Tuning | None]) -> list[str]:
    """The tokens before the first measure."""
    common = common_downtune(instruments.values())
    out = [f"artist:{artist}", f"downtune:{common}", f"tempo:{round_tempo(tempo)}"]
    for name, tuning in instruments.items():
        if tuning is not None and tuning.strings:
            out.append(f"{name}:tuning:{':'.join(map(str, tuning.strings))}")
        elif tuning is not None and tuning.downtune != common:
            out.append(f"{name}:downtune:{tuning.downtune}")
    return [*out, "start"]


def names_of(text: str) -> list[str]:
    """The instruments of a text, in the order of the tracks that are read from it."""
    return list(piece_of(text.split()).instruments)


def lines_of(piece: SaidPiece) -> list[str]:
    """The tokens of a piece."""
    out = head_of(piece.artist, piece.tempo, piece.instruments)
    order = {name: index for index, name in enumerate(piece.instruments)}
    for bar in piece.bars:
        out.append("new_measure")
        out += bar.marks
        at = bar.start
        beats = [(beat.start, order[name], name, beat) for name, line in bar.beats.items() for beat in line]
        for start, _, name, beat in sorted(beats, key=lambda place: place[:2]):
            if start > at:
                out += waits(start - at)
                at = start
            for note in beat.notes:
                place = str(note.fret) if name == "drums" else f"s{note.string}:f{note.fret}"
                out += [f"{name}:note:{place}", *note.effects]
            if not beat.notes:
                out.append(f"{name}:rest")
            out += beat.effects
        out += waits((piece.end if bar is piece.bars[-1] else bar.end) - at)
    return [*out, "end"]


def piece_of(lines: list[str]) -> SaidPiece:
    """The piece that tokens tell; they follow the grammar."""
    heads = lines.index("start")
    downtune = int(lines[1].partition(":")[2])
    tunings: dict[str, Tuning] = {}
    for line in lines[3:heads]:
        name, kind, *values = line.split(":")
        own = "bass" if family(name) == "bass" else "guitar"
        numbers = tuple(map(int, values))
        tunings[name] = Tuning(own, 0, numbers) if kind == "tuning" else Tuning(own, numbers[0])
    bars: list[SaidBar] = []
    at = 0
    beat = SaidBeat(0, 0)
    target: list[str] = []  # whose effects follow
    for line in lines[heads + 1 :]:
        if line.startswith("wait:"):
            at += int(line[5:])
        elif line.startswith(("nfx:", "param:")):
            target.append(line)
        elif line.startswith("bfx:"):
            target = beat.effects
            target.append(line)
        elif line in ("new_measure", "end"):
            if bars:
                bars[-1].end = at
            if line == "new_measure":
                bars.append(SaidBar(at, at))
        elif line.startswith("measure:"):
            bars[-1].marks.append(line)
        else:
            name, _, rest = line.partition(":")
            told = bars[-1].beats.setdefault(name, [])
            if not told or told[-1].start != at:
                told.append(SaidBeat(at, at))
            beat = told[-1]
            if rest != "rest":
                words = rest.split(":")
                if len(words) == 2:
                    beat.notes.append(Said(0, int(words[1])))
                else:
                    beat.notes.append(Said(int(words[1][1:]), int(words[2][1:])))
                target = beat.notes[-1].effects
    close(bars, at)
    from cadenza.notation.dadagp.writing import ordered

    instruments: dict[str, Tuning | None] = {}
    for name in ordered(bars):
        own = "bass" if family(name) == "bass" else "guitar"
        instruments[name] = None if name == "drums" else tunings.get(name, Tuning(own, downtune))
    return SaidPiece(lines[0].partition(":")[2], int(lines[2].partition(":")[2]), instruments, bars)
