"""``cadenza info FILE``: what is in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer


def info(
    file: Path = typer.Argument(..., metavar="FILE", help="File to look into."),
    as_json: bool = typer.Option(False, "--json", help="Machine-readable."),
) -> None:
    """Show tracks, tempo, metre, key, length and playing techniques of a file."""
    from cadenza import formats

    facts = describe(formats.read(file))
    if as_json:
        import json

        typer.echo(json.dumps({"file": str(file), **facts}, indent=1, ensure_ascii=False))
        return
    _print(file, facts)


def describe(score: Any) -> dict[str, Any]:
    """Facts about a score, ready for JSON."""
    from cadenza.score.model import Technique
    from cadenza.score.time import bar_table, ticks_to_seconds

    tracks = []
    for track in score.tracks:
        bits = track.notes["techniques"]
        counts = {t.name.lower(): int(((bits & int(t)) > 0).sum()) for t in Technique if t and t.name}
        pitches = track.notes["pitch"]
        tracks.append(
            {
                "name": track.name,
                "program": None if track.is_drums else track.program,
                "drums": track.is_drums,
                "tuning": list(track.tuning),
                "capo_fret": track.capo_fret,
                "notes": len(track),
                "lowest_pitch": int(pitches.min()) if len(track) else None,
                "highest_pitch": int(pitches.max()) if len(track) else None,
                "bent_notes": len(set(track.bends["note"].tolist())),
                "techniques": {name: n for name, n in counts.items() if n},
            }
        )
    return {
        "title": score.title,
        "composer": score.composer,
        "ticks_per_quarter": score.ticks_per_quarter,
        "bars": len(bar_table(score)),
        "seconds": round(float(ticks_to_seconds(score, score.length_ticks)), 3),
        "quarters": score.length_ticks / score.ticks_per_quarter,
        "tempos": [[t.onset_ticks, round(t.quarters_per_minute, 3)] for t in score.tempos],
        "metres": [[m.onset_ticks, m.numerator, m.denominator] for m in score.metres],
        "keys": [[k.onset_ticks, k.fifths, k.mode] for k in score.keys],
        "repeats": sum(1 for mark in score.bars if mark.repeat_close),
        "markers": [[m.onset_ticks, m.text] for m in score.markers],
        "notes": score.n_notes,
        "tracks": tracks,
    }


def _print(file: Path, facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    title = " – ".join(part for part in (facts["composer"], facts["title"]) if part) or file.name
    tempos = " → ".join(f"{t:g}" for _, t in facts["tempos"][:4]) or "120 (none given)"
    metres = " → ".join(f"{n}/{d}" for _, n, d in facts["metres"][:4]) or "4/4 (none given)"
    more = " …" if max(len(facts["tempos"]), len(facts["metres"])) > 4 else ""
    console.print(f"[bold]{escape(title)}[/bold]")
    console.print(
        f"{facts['bars']} bars, {facts['seconds']:.1f} s, {facts['notes']:,} notes, tempo {tempos}, "
        f"metre {metres}{more}, {facts['ticks_per_quarter']} ticks a quarter, {facts['repeats']} repeats"
    )
    table = Table("", "track", "plays", "notes", "pitches", "bent", "techniques")
    for number, track in enumerate(facts["tracks"], 1):
        plays = "drums" if track["drums"] else f"program {track['program']}"
        strings = f", {len(track['tuning'])} strings" if track["tuning"] else ""
        span = f"{track['lowest_pitch']}–{track['highest_pitch']}" if track["notes"] else "–"
        techniques = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in track["techniques"].items())
        table.add_row(
            str(number),
            escape(track["name"]),
            plays + strings,
            f"{track['notes']:,}",
            span,
            str(track["bent_notes"]),
            techniques,
        )
    console.print(table)
