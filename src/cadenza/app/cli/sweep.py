"""``cadenza sweep``: many short runs of a recipe over a space of settings, and the best recipe of them."""

from __future__ import annotations

from pathlib import Path

import typer


def sweep(
    recipe: str = typer.Argument(..., metavar="RECIPE", help="A recipe's file, or the name of a shipped one."),
    out: Path = typer.Option(..., "-o", "--out", help="Folder of the sweep; starting again goes on where it was."),
    space: str = typer.Option("published", "--space", help="A space's file, or the name of a shipped one."),
    trials: int = typer.Option(20, "--trials", min=1, help="How many runs, earlier ones of this folder included."),
    settings: list[str] = typer.Option([], "--set", help="key=value over the recipe; may be given again."),
    pruner: str = typer.Option("median", "--pruner", help="median, hyperband or none: which runs end early."),
    sampler: str = typer.Option("tpe", "--sampler", help="tpe learns from earlier runs; random does not."),
    keep: bool = typer.Option(False, "--keep", help="Keep the weights of every run, not of the best alone."),
) -> None:
    """Try settings of RECIPE and write the best one (best.yaml), with a page of curves and importances."""
    from cadenza.app.cli.train import _needs_extra, progress_bar
    from cadenza.base.config import load_config
    from cadenza.base.recipes import find
    from cadenza.train.recipe import TrainConfig

    arguments = [str(find(recipe, "train"))]
    for setting in settings:
        arguments += ["--set", setting]
    config = load_config(TrainConfig, arguments)
    where = find(space, "sweep")
    _needs_extra()
    from cadenza.train import sweep as sweeping

    axes = sweeping.read_space(where)
    with progress_bar() as (say, live):
        best = sweeping.sweep(
            config, axes, out, n_trials=trials, pruner=pruner, sampler=sampler, keep=keep, say=say, live=live
        )
    typer.echo(f"{best}: run it with cadenza train {best} -o RUN")
    typer.echo(f"{out / sweeping.PAGE}: curves and importances")
