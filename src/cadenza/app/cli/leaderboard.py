"""``cadenza leaderboard add|show|html``: rows of evaluations, compared where they may be."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Rows of evaluations side by side, where they answer the same question.", no_args_is_help=True)

_BOARD = typer.Option(Path("leaderboard"), "--board", help="Folder of the rows.")


@app.command("add")
def add(
    sources: list[Path] = typer.Argument(..., metavar="RUN…", help="Folders of runs, or files of rows."),
    board: Path = _BOARD,
) -> None:
    """Put the rows of finished evaluations on the board."""
    from cadenza.app.evaluation import leaderboard

    for path, done in leaderboard.add(board, sources):
        typer.echo(f"{done} {path}")


@app.command("show")
def show(
    board: Path = _BOARD,
    figure: list[str] = typer.Option([], "--figure", help="Only these columns; may be given again."),
) -> None:
    """Print the board, group by group; what may not be compared is said with its reason."""
    from cadenza.app.evaluation import leaderboard
    from cadenza.app.evaluation.page import between, number
    from cadenza.base.errors import ConfigError, did_you_mean

    found = leaderboard.groups(leaderboard.load(board))
    known = list(dict.fromkeys(name for group in found for name in leaderboard.figures_of(group)))
    for name in figure:
        if name not in known:
            raise ConfigError("a column of the board", repr(name), hint=did_you_mean(name, known))
    for at, group in enumerate(found, 1):
        settings = group[0]["settings"]
        typer.secho(f"group {at}: {settings['kind']}, {settings.get('n_seeds', '?')} pieces", bold=True)
        if at > 1:
            reasons = leaderboard.why_not(found[0][0], group[0])
            typer.echo(f"  not compared with group 1: {'; '.join(reasons)}")
        for line in leaderboard.comparable_bits(group):
            typer.echo(f"  bits do not compare for {line}")
        present = leaderboard.figures_of(group)
        names = [n for n in (figure or leaderboard.SHORT) if n in present] or (present[:6] if not figure else [])
        wide = max(len(leaderboard.label(row)) for row in group)
        for row in group:
            typer.echo(f"  {leaderboard.label(row):<{wide}}")
            for name in names:
                values = row["figures"].get(name)
                if values is not None:
                    bounds = between(values)
                    typer.echo(f"    {name:<24} {number(values['value']):>8}" + (f"  ({bounds})" if bounds else ""))


@app.command("html")
def html(
    out: Path = typer.Option(..., "-o", "--out", help="Page to write, FILE.html."),
    board: Path = _BOARD,
) -> None:
    """Write the board as one page, with plots and, apart, figures that others have published."""
    from cadenza.app.evaluation import leaderboard
    from cadenza.base.files import make_folder_for, write_atomically

    text = leaderboard.html(leaderboard.load(board))
    make_folder_for(out)
    write_atomically(out, text.encode())
    typer.echo(f"{out}")
