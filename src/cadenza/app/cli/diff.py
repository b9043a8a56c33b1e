"""``cadenza diff A B``: the musical differences between two files of any formats."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from cadenza.score.compare import Comparison, Difference
    from cadenza.score.model import Score

MANY_POINTS = 6  # of a bend; more are counted, not listed


def diff(
    a: Path = typer.Argument(..., metavar="A", help="One file."),
    b: Path = typer.Argument(..., metavar="B", help="The other, of any format that can be read."),
    only: str = typer.Option(
        "", "--only", help="Aspects or groups to compare: notes, header, tracks, written, tempo …"
    ),
    ignore: str = typer.Option("", "--ignore", help="Aspects or groups to leave out: velocity,spelling …"),
    tolerance: str = typer.Option("0", "--tolerance", help="Times so near are the same, in quarters: 0.02 or 1/48."),
    cents: float = typer.Option(0.0, "--cents", help="Bends that stay so near are the same."),
    unfold: bool = typer.Option(False, "--unfold", help="Compare with repeats and endings written out."),
    limit: int = typer.Option(20, "--limit", min=0, help="Differences to list after the summary."),
    as_json: bool = typer.Option(False, "--json", help="Machine-readable: every difference."),
) -> None:
    """Show what is musically different between two files; exit status 0: nothing, 1: something, 2: an error."""
    from cadenza import formats
    from cadenza.score import repeats
    from cadenza.score.compare import compare

    near = _quarters(tolerance)
    scores = [formats.read(path) for path in (a, b)]
    if unfold:
        scores = [repeats.unfold().apply(score) for score in scores]
    aspects = {"only": _listed(only), "ignore": _listed(ignore)}
    written = [any(len(track.beats) or track.marks for track in score.tracks) for score in scores]
    if written[0] != written[1] and not aspects["only"]:
        aspects["ignore"].append("written")  # one file's format has no place for it: no difference of the music
    found = compare(scores[0], scores[1], **aspects, tolerance_quarters=near, tolerance_cents=cents)
    if as_json:
        import json

        typer.echo(json.dumps(facts(found, (a, b), (scores[0], scores[1])), indent=1, ensure_ascii=False))
    elif not found:
        typer.echo(f"no musical difference: {found.n_notes[0]:,} notes in both")
    else:
        for line in summary(found, (a, b), (scores[0], scores[1])):
            typer.echo(line)
        for line in details(found, (scores[0], scores[1]), limit):
            typer.echo(line)
    if found:
        raise typer.Exit(1)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _quarters(text: str) -> Fraction:
    from cadenza.base.errors import ConfigError

    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(-1)
    if value < 0:
        raise ConfigError("a tolerance in quarters, such as 0.02 or 1/48", repr(text), where="--tolerance")
    return value


# ── in words ─────────────────────────────────────────────────────────────────────────────────────────────


def summary(found: Comparison, paths: tuple[Path, Path], scores: tuple[Score, Score]) -> list[str]:
    """Which files, then one line for what is different in the header and one for each track."""
    from cadenza.score.compare import ASPECTS

    lines = []
    for sign, path, score in zip(("---", "+++"), paths, scores, strict=True):
        lines.append(f"{sign} {path}: {len(score.tracks)} tracks, {score.n_notes:,} notes")
    header = [one for one in found.differences if ASPECTS[one.aspect] == "header"]
    if header:
        lines.append(f"header: {_counts(header)}")
    if any(one.aspect == "order" for one in found.differences):
        lines.append("tracks: in another order")
    for both in found.tracks:
        own = [one for one in found.differences if one.tracks == both]
        if own:
            lines.append(f"track {_track(both, scores)}: {_of_track(own)}")
    return lines


def _counts(ones: list[Difference]) -> str:
    counts = Counter(one.aspect for one in ones)
    return ", ".join(f"{aspect} {n:,}" if n > 1 else aspect for aspect, n in counts.items())


def _of_track(ones: list[Difference]) -> str:
    if ones[0].aspect == "tracks":
        where, (_, n_notes) = ("A", ones[0].a) if ones[0].a else ("B", ones[0].b)
        return f"only in {where}, {n_notes:,} notes"
    parts = []
    for side, said in ((0, "A"), (1, "B")):
        n = sum(1 for one in ones if one.aspect == "notes" and (one.a, one.b)[side] is not None)
        parts += [f"{n:,} {'note' if n == 1 else 'notes'} only in {said}"] * bool(n)
    changes: dict[str, list[Difference]] = {}
    for one in ones:
        if one.aspect != "notes":
            changes.setdefault(one.aspect, []).append(one)
    said_changes = []
    for aspect, listed in changes.items():
        text = f"{aspect} {len(listed):,}" if aspect not in ("name", "program", "drums", "tuning", "capo") else aspect
        if aspect in ("onset", "pitch", "velocity", "duration") and len(listed) > 1:
            shifts = {round(one.b - one.a, 9) for one in listed}
            text += f" (all {shifts.pop():+g})" if len(shifts) == 1 else ""
        elif aspect in ("marks", "techniques"):
            text += f" ({_kinds(aspect, listed)})"
        said_changes.append(text)
    return "; ".join([*parts, *([f"changed: {', '.join(said_changes)}"] if said_changes else [])])


def _kinds(aspect: str, listed: list[Difference]) -> str:
    """Which marks, or which techniques with how many gone and come."""
    if aspect == "marks":
        counts = Counter(str(one.subject[0] or one.subject[1]).replace("_", " ") for one in listed)
        return ", ".join(f"{name} {n:,}" for name, n in counts.most_common(6))
    gone = Counter(name for one in listed for name in set(one.a) - set(one.b))
    come = Counter(name for one in listed for name in set(one.b) - set(one.a))
    signed = [
        *((f"−{n:,}", name) for name, n in gone.most_common(6)),
        *((f"+{n:,}", t) for t, n in come.most_common(6)),
    ]
    return ", ".join(f"{n} {name.replace('_', ' ')}" for n, name in signed)


def _track(both: tuple[int | None, int | None], scores: tuple[Score, Score]) -> str:
    i, j = both
    track = scores[0].tracks[i] if i is not None else scores[1].tracks[j]  # type: ignore[index]
    number = f"{i + 1}" if i is not None else f"{j + 1} of B"  # type: ignore[operator]
    return f"{number} {track.name!r}" if track.name else number


def details(found: Comparison, scores: tuple[Score, Score], limit: int) -> list[str]:
    """Up to ``limit`` lines: place, what, from → to; what changed in one note shares a line."""
    rows = [list(group) for _, group in groupby(found.differences, lambda one: (one.tracks, one.at_ticks, one.subject))]
    if not limit:
        return []
    places = _Places(scores)
    lines = []
    for ones in rows[:limit]:
        first = ones[0]
        if all(one.aspect in ("tracks", "order") for one in ones):
            continue  # said in the summary
        where = places.words(first)
        track = f"track {_track(first.tracks, scores)} " if first.tracks != (None, None) else ""
        lines.append(f"  {where}{track}{_what(ones, scores)}")
    if len(rows) > limit:
        lines.append(f"  … and {len(rows) - limit:,} more (--limit {len(rows)} lists all)")
    return lines


class _Places:
    """Ticks → bar and beat, counted from 1."""

    def __init__(self, scores: tuple[Score, Score]) -> None:
        from cadenza.score.time import bar_table

        self.scores, self.tables = scores, [bar_table(score) for score in scores]

    def at(self, side: int, tick: int) -> tuple[int, float]:
        """(bar, beat); beats are those of the metre: eighths in 6/8."""
        table, score = self.tables[side], self.scores[side]
        bar = int(table.index_of(tick))
        beat_ticks = score.ticks_per_quarter * 4 / table.metres[bar].denominator
        return bar + 1, round((tick - int(table.starts_ticks[bar])) / beat_ticks + 1, 4)

    def words(self, one: Difference) -> str:
        for side, tick in enumerate(one.at_ticks):
            if tick is not None:
                bar, beat = self.at(side, tick)
                return f"bar {bar} beat {beat:g}  "
        return ""


def _what(ones: list[Difference], scores: tuple[Score, Score]) -> str:
    from cadenza.score.compare import ASPECTS

    first = ones[0]
    if first.aspect == "notes":
        pitch, quarters = first.a or first.b
        done = "only in A" if first.b is None else "only in B"
        return f"{_pitch(pitch, first, scores)}, {quarters:g} quarters: {done}"
    changes = ", ".join(_change(one) for one in ones)
    return f"{_pitch(first.subject[0], first, scores)}: {changes}" if ASPECTS[first.aspect] == "notes" else changes


def _pitch(pitch: int, one: Difference, scores: tuple[Score, Score]) -> str:
    from cadenza.score.instruments import pitch_name

    i, j = one.tracks
    track = scores[0].tracks[i] if i is not None else scores[1].tracks[j]  # type: ignore[index]
    return f"drum {pitch}" if track.is_drums else pitch_name(pitch)


def _change(one: Difference) -> str:
    name = one.aspect
    if name in ("marks", "beats", "controls"):
        name = {"marks": str(one.subject[0] or one.subject[1]).replace("_", " "), "beats": "note value"}.get(
            name, f"controller {one.subject[0] if one.subject[0] is not None else one.subject[1]}"
        )
    apart = ""
    if name == "bends":
        from cadenza.score.compare import apart_cents

        apart = f" (at most {apart_cents(one.a, one.b):.3g} cents apart)"
    return f"{name} {_value(one.aspect, one.a)} → {_value(one.aspect, one.b)}{apart}"


def _value(aspect: str, value: Any) -> str:
    if value is None or value in ("", ()):
        return "none"
    if aspect in ("string", "fret", "spelling") and value in (-1, 0, -128) and (aspect, value) != ("fret", 0):
        return "none"
    if aspect == "metre":
        return f"{value[0]}/{value[1]}"
    if aspect == "key":
        return f"{abs(value[0])} {'flats' if value[0] < 0 else 'sharps'} {value[1]}"
    if aspect == "repeats":
        return " ".join(["open"] * bool(value[0]) + [f"close ×{value[1]}"] * bool(value[1]))
    if aspect == "techniques":
        return "+".join(name.replace("_", " ") for name in value)
    if aspect == "bends":
        if len(value) > MANY_POINTS:
            return f"{len(value):,} points from {min(c for _, c in value)} to {max(c for _, c in value)} cents"
        return " ".join(f"{at:.4g}:{cents}" for at, cents in value)
    if aspect == "beats":
        _, length, dots, enters, times, _ = value
        return f"1/{length}{'.' * dots}" + (f" ({enters} in {times})" if enters != times else "")
    if aspect == "marks":
        return " ".join([*map(str, value[4]), *([repr(value[5])] if value[5] else [])]) or "there"
    if aspect == "controls":
        return str(value[1])
    if isinstance(value, float):
        return f"{value:.6g}"
    return repr(value) if isinstance(value, str) else str(value)


# ── for programs ─────────────────────────────────────────────────────────────────────────────────────────


def facts(found: Comparison, paths: tuple[Path, Path], scores: tuple[Score, Score]) -> dict[str, Any]:
    """Everything, ready for JSON."""
    places = _Places(scores)

    def place(side: int, tick: int | None) -> dict[str, Any] | None:
        if tick is None:
            return None
        bar, beat = places.at(side, tick)
        return {"bar": bar, "beat": beat, "quarters": tick / scores[side].ticks_per_quarter}

    return {
        "a": str(paths[0]),
        "b": str(paths[1]),
        "equal": not found,
        "notes": list(found.n_notes),
        "notes_in_both": found.n_paired,
        "tracks": [list(both) for both in found.tracks],
        "counts": found.counts(),
        "differences": [
            {
                "aspect": one.aspect,
                "a": one.a,
                "b": one.b,
                "track": list(one.tracks),
                "at": [place(side, tick) for side, tick in enumerate(one.at_ticks)],
                "subject": list(one.subject),
            }
            for one in found.differences
        ],
    }
