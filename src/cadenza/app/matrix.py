"""What each format keeps of each feature, worked out, not written down: the table in docs/formats.md.

A cell comes from sending the feature's own scores (:mod:`cadenza.app.features`) through the format and looking again. A
format that reads and writes has a law, so its declared PROJECTION is the way through; one that is only read needs files
made for it (``makers``). What is dropped because the file has no place for it is told apart by a declaration: the
module's attribute ABSENT (names of features, or for a module of several suffixes such names by suffix), and for the
built-in ones :data:`ABSENT` here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cadenza import formats
from cadenza.app.features import GROUPS, Feature, features
from cadenza.base.errors import CadenzaError
from cadenza.score.edit import project
from cadenza.score.model import Score

KEPT, CHANGED, DROPPED, ABSENT_CELL, REFUSED = "kept", "changed", "dropped", "not in the format", "refused"
#: The best first: a format keeps a feature where it keeps it in a tab or in a staff.
ORDER = (KEPT, CHANGED, DROPPED, REFUSED)
SIGNS = {KEPT: "●", CHANGED: "◐", DROPPED: "○", ABSENT_CELL: "·", REFUSED: "✕"}

Maker = Callable[[Score, Path], None]


@dataclass(frozen=True)
class Lacks:
    """Features for which a kind of file has no place: whole groups and single names, ``but`` for some."""

    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    but: tuple[str, ...] = ()

    def of(self, feature: Feature) -> bool:
        return feature.name not in self.but and (feature.name in self.names or feature.group in self.groups)


_WRITTEN = ("playing techniques", "written beats", "written marks")
_FORM = ("repeats", "repeats of more than two passes", "alternate endings", "segno, coda, fine", "da capo, dal segno")
_FRETS = ("string and fret", "tuning", "seven strings", "eight strings", "capo")
_VOICES = ("two voices", "three voices")
_SPELLING = "spelling (F sharp, G flat)"
_GP5 = (
    _SPELLING, "transposing instrument", "arpeggio", "crescendo", "dynamics as written", "fermata",
    "pedal marks", "ornaments (mordent, turn)", "number of staves", "golpe", "barre", "legato",
    "left hand tap", "pick slide", "other articulations (tenuto)", "strong vibrato",
    "vibrato of finger beside that of the bar",
)  # fmt: skip
_GP4 = (*_GP5, "two voices", "heavy accent", "segno, coda, fine", "da capo, dal segno", "ottava", "wah")
_GP3 = (
    *_GP4, "palm mute", "legato slide", "slide in from below", "slide in from above", "slide out downwards",
    "slide out upwards", "tapped harmonic", "pinch harmonic", "semi harmonic", "accent", "staccato", "trill",
    "trill: interval and speed", "tremolo picking", "tremolo picking: speed", "pick stroke", "rasgueado",
)  # fmt: skip
_ABC = (
    *_FRETS, "controllers (volume, pan, pedal)", "velocity, exactly", "repeats of more than two passes", "bend up",
    "pre-bend and release", "bends to the cent, at any time", "palm mute", "dead note", "let ring",
    "shift slide", "legato slide", "slide in from below", "slide in from above", "slide out downwards",
    "slide out upwards", "hammer-on, pull-off", "ghost note", "tap", "slap", "pop", "artificial harmonic",
    "tapped harmonic", "pinch harmonic", "semi harmonic", "vibrato", "whammy bar", "wide vibrato", "fade", "rasgueado",
    "slap effect", "wah", "golpe", "barre", "bend as drawn", "harmonic: touched place", "tremolo picking",
    "tremolo picking: speed", "trill: interval and speed", "left hand tap", "pick slide", "strong vibrato",
    "vibrato of finger beside that of the bar", "hammer-on or slide to nothing", "performed times (off any grid)",
)  # fmt: skip
#: Suffix → what its files have no place for.
ABSENT: Mapping[str, Lacks] = {
    "mid": Lacks(
        _WRITTEN, (_SPELLING, *_VOICES, *_FRETS, *_FORM, "composer"),
        but=("text at a beat", "lyrics", "tempo said again"),
    ),
    "smidi": Lacks(
        _WRITTEN,
        (_SPELLING, *_VOICES, "string and fret", *_FORM, "controllers (volume, pan, pedal)", "section names, markers",
         "title", "composer", "texts of any script"),
    ),
    "gp5": Lacks(names=_GP5),
    "gp4": Lacks(names=_GP4),
    "gp3": Lacks(names=_GP3),
    "gp": Lacks(names=("controllers (volume, pan, pedal)",)),
    "gpx": Lacks(names=("controllers (volume, pan, pedal)",)),
    "abc": Lacks(names=_ABC),
    "jams": Lacks(
        (*_WRITTEN, "tracks"),
        (_SPELLING, *_VOICES, *_FORM, "velocity, exactly", "velocity in eight steps", "composer",
         "section names, markers", "upbeat (short first bar)"),
    ),
}  # fmt: skip


def lacks(suffix: str, feature: Feature) -> bool:
    """Whether files of this suffix have no place for the feature."""
    module = formats.FORMATS.load(suffix)
    declared: Any = getattr(module, "ABSENT", None)
    if declared is not None:
        names: Collection[str] = declared.get(suffix, ()) if isinstance(declared, Mapping) else declared
        return feature.name in names
    alias = next((name for name in aliases(suffix) if name in ABSENT), None)
    return alias is not None and ABSENT[alias].of(feature)


def aliases(suffix: str) -> list[str]:
    """The suffix, and after it others of the same module that read, write and declare the same (``midi``: ``mid``)."""
    module = formats.FORMATS.load(suffix)
    writes = suffix in formats.suffixes("write")
    if not writes or hasattr(module, "WRITES"):
        return [suffix]
    return [
        suffix,
        *(name for name in formats.FORMATS.names() if name != suffix and formats.FORMATS.load(name) is module),
    ]


def outcome(feature: Feature, through: Callable[[Score], Score]) -> str:
    """What becomes of the feature on the way ``through``: the best of its scores."""
    found = []
    for score in feature.scores:
        before = feature.value(score)
        try:
            after = feature.value(through(score))
        except CadenzaError:
            found.append(REFUSED)
            continue
        if feature.keeps(before, after):
            return KEPT
        found.append(DROPPED if feature.gone(after) else CHANGED)
    return min(found, key=ORDER.index)


def ways(makers: Mapping[str, Maker]) -> dict[str, Callable[[Score], Score]]:
    """Suffix → the way of a score through it; formats that only write are none, nor those that nothing makes."""
    writable, out = formats.suffixes("write"), {}
    for suffix in formats.suffixes("read"):
        if suffix in writable:
            out[suffix] = _projected(formats.FORMATS.load(suffix).PROJECTION)
        elif suffix in makers:
            out[suffix] = made_and_read(suffix, makers[suffix])
    return out


def _projected(projection: Any) -> Callable[[Score], Score]:
    return lambda score: project(score, projection)


def made_and_read(suffix: str, maker: Maker) -> Callable[[Score], Score]:
    """The way through a real file."""

    def through(score: Score) -> Score:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"piece.tokens.{suffix}")  # as DadaGP names its .txt
            maker(score, path)
            return formats.read(path)

    return through


def cell(suffix: str, feature: Feature, through: Callable[[Score], Score]) -> str:
    """One cell."""
    return _said(suffix, feature, outcome(feature, through))


def _said(suffix: str, feature: Feature, found: str) -> str:
    return ABSENT_CELL if found != KEPT and lacks(suffix, feature) else found


def table(makers: Mapping[str, Maker]) -> dict[str, dict[str, str]]:
    """Suffix → feature → cell."""
    rows, writable = features(), formats.suffixes("write")
    found: dict[Any, dict[str, str]] = {}
    out = {}
    for suffix, way in ways(makers).items():
        # A projection is its module's, whatever the suffix; what is not in the format may differ.
        through = formats.FORMATS.load(suffix).__name__ if suffix in writable else suffix
        if through not in found:
            found[through] = {row.name: outcome(row, way) for row in rows}
        out[suffix] = {row.name: _said(suffix, row, found[through][row.name]) for row in rows}
    return out


def page(makers: Mapping[str, Maker]) -> str:
    """docs/formats.md."""
    rows, cells, readable, writable = features(), table(makers), formats.suffixes("read"), formats.suffixes("write")
    columns: dict[tuple[Any, ...], list[str]] = {}
    for suffix, column in cells.items():
        # Suffixes of one module with the same cells share a column.
        key = (formats.FORMATS.load(suffix).__name__, suffix in writable, tuple(column.values()))
        columns.setdefault(key, []).append(suffix)
    heads = ["<br>".join(f".{name}" for name in names) for names in columns.values()]
    verbs = ["read, write" if names[0] in writable else "read" for names in columns.values()]
    lines = [
        "# Formats and what they keep",
        "",
        "Generated by `python docs/generate.py`; do not edit. Each cell is the outcome of an experiment: a small score",
        "that has the feature goes through the format and is looked at again; the tests do the same with real files.",
        "What a conversion of a piece of yours drops, `cadenza convert` says before it writes.",
        "",
        f"{SIGNS[KEPT]} kept &nbsp; {SIGNS[CHANGED]} changed (kept in part, rounded) &nbsp; {SIGNS[DROPPED]} dropped"
        f" &nbsp; {SIGNS[ABSENT_CELL]} not in the format &nbsp; {SIGNS[REFUSED]} refused with an error",
        "",
    ]
    for group in GROUPS:
        lines += [
            f"## {group[0].upper()}{group[1:]}",
            "",
            f"| | {' | '.join(heads)} |",
            "|---" * (len(heads) + 1) + "|",
        ]
        if group == GROUPS[0]:
            lines.append(f"| *cadenza can* | {' | '.join(f'*{verb}*' for verb in verbs)} |")
        for row in rows:
            if row.group == group:
                signs = [SIGNS[cells[names[0]][row.name]] for names in columns.values()]
                lines.append(f"| {row.name} | {' | '.join(signs)} |")
        lines.append("")
    rendered = [f".{name}" for name in writable if name not in readable]
    lines += ["## Not in the table", "", f"Sound and pictures, which are written only: {', '.join(rendered)}."]
    unknown = [f".{name}" for name in readable if name not in cells]
    if unknown:
        lines += ["", f"Read only, and no file of them can be made here: {', '.join(unknown)}."]
    made = [f".{name}" for name in cells if name in makers and name not in writable]
    if made:
        said = "of formats that are only read stand for files made by other means from a .gp5, .gp or plain annotations"
        lines += ["", f"The columns {said}: {', '.join(made)}."]
    return "\n".join(lines) + "\n"
