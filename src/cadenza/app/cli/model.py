"""``cadenza model merge|export|card|push|diagnose|ask``: from a training run to a model that others can use."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Make a usable model of a training run.", no_args_is_help=True)

_RUN = typer.Argument(..., metavar="RUN", help="Folder of a training run, or of a model.")


@app.command("merge")
def merge(
    run: Path = _RUN,
    out: Path = typer.Option(..., "-o", "--out", help="Folder for the merged model."),
    base: str = typer.Option("", "--base", help="Where the base lies now, if not where the run found it."),
) -> None:
    """Merge a run's adapter into its base: plain safetensors that need no peft."""
    from cadenza.train import export as exporting

    typer.echo(f"{exporting.merge(run, out, base)}: merged")


@app.command("blend")
def blend(
    run: Path = _RUN,
    out: Path = typer.Option(..., "-o", "--out", help="Folder for the model between the two."),
    keep: float = typer.Option(
        0.5, "--keep", min=0, max=1, help="Share of the base: 0 is the run's model, 1 the base."
    ),
    base: str = typer.Option("", "--base", help="Where the base lies now, if not where the run found it."),
) -> None:
    """Go part of the way back to the model that a run began with: less of the new style, less of the old forgotten."""
    from cadenza.train import export as exporting

    typer.echo(f"{exporting.blend(run, out, keep, base)}: {keep:.0%} of the base")


@app.command("export")
def export(
    run: Path = _RUN,
    out: Path = typer.Option(..., "-o", "--out", help="Folder for the model that composes without torch."),
    precision: str = typer.Option("int8", "--precision", help="int8 or float32."),
) -> None:
    """Export to the engine that runs without torch, and compare its answers with the weights'."""
    from cadenza.train import export as exporting

    found = exporting.export(run, out, precision)
    typer.echo(
        f"{out}: exported; log-probabilities differ by {found['mean_difference']:.2g} nats on average, "
        f"{found['largest_difference']:.2g} at most"
    )


@app.command("card")
def card(
    run: Path = _RUN,
    corpus: Path | None = typer.Option(None, "--corpus", help="The corpus, for its licences and attributions."),
) -> None:
    """Write the model card: data, licences, attributions, training command, scores."""
    from cadenza.train import export as exporting

    typer.echo(f"{exporting.write_card(run, corpus)}")


@app.command("push")
def push(
    folder: Path = _RUN,
    name: str = typer.Argument(..., metavar="OWNER/NAME", help="Where to, on the hub."),
    public: bool = typer.Option(False, "--public", help="Let everybody see it."),
) -> None:
    """Upload a model to a hub. Nothing is ever uploaded otherwise."""
    from cadenza.train import export as exporting

    typer.echo(exporting.push(folder, name, private=not public))


@app.command("diagnose")
def diagnose(
    runs: list[Path] = typer.Argument(..., metavar="RUN…", help="Runs or model folders, to be compared."),
    corpus: Path = typer.Option(..., "--corpus", help="A built corpus; its held-out bars are repeated."),
    out: Path = typer.Option(..., "-o", "--out", help="Drawing to write (.svg)."),
    copies: int = typer.Option(16, "--copies", min=2, help="How often a bar is repeated."),
    units: int = typer.Option(64, "-n", min=1, help="Bars."),
    split: str = typer.Option("validation", "--split", help="train, validation or test."),
    as_json: bool = typer.Option(False, "--json", help="Machine-readable."),
) -> None:
    """Self-reinforcement (TP, IP, WR): how much likelier a bar becomes each time it has been repeated."""
    import json

    from cadenza.base.files import write_atomically
    from cadenza.train import reinforcement
    from cadenza.train.export import model_folder
    from cadenza.train.run import open_for_reading

    found = {}
    for run in runs:
        model, documents = open_for_reading(model_folder(run), corpus, split)
        found[run.name] = reinforcement.curves(model, documents, n_units=units, n_copies=copies)
    write_atomically(out, reinforcement.svg(found).encode())
    if as_json:
        typer.echo(json.dumps({name: one.as_dict() for name, one in found.items()}))
        return
    for name, one in found.items():
        last = one.tp[-1]
        typer.echo(
            f"{name}: TP {one.tp[0]:.3f} → {last:.3f}, IP {one.ip[-1]:.3f}, WR {one.wr[-1]:.3f} at copy {copies}"
        )
    typer.echo(f"{out}")


@app.command("ask")
def ask(
    model: str = typer.Argument(..., metavar="MODEL", help="Folder or hub id of a chat model, as it is."),
    seed_file: Path = typer.Argument(..., metavar="SEED", help="A piece that has begun."),
    out: Path = typer.Option(..., "-o", "--out", help="File to write; its suffix says the format."),
    bars: int = typer.Option(8, "--bars", min=1, max=64, help="Bars to be written."),
    given: int = typer.Option(16, "--given", min=1, help="Most bars of the seed that are told."),
    temperature: float = typer.Option(1.0, "--temperature", min=0, help="0: greedy."),
    top_p: float = typer.Option(0.95, "--top-p", help="Nucleus sampling."),
    most_tokens: int = typer.Option(2048, "--tokens", min=1, help="Longest answer, in tokens."),
    random_seed: int = typer.Option(0, "--seed", help="Of what is drawn."),
    as_json: bool = typer.Option(False, "--json", help="Machine-readable, with the answer as it came."),
) -> None:
    """Ask an untuned chat model to continue a piece, and find the notes in its answer: the baseline of a tuned one."""
    import json

    from cadenza import formats
    from cadenza.infer.model import PLAIN_NOTATION
    from cadenza.infer.sample import Sampling
    from cadenza.infer.zero_shot import continue_by_chat
    from cadenza.train.chat import ChatModel

    seed = formats.read(seed_file)
    sampling = Sampling(temperature=temperature, top_p=top_p)
    chat = ChatModel.open(model, max_new_tokens=most_tokens, sampling=sampling, seed=random_seed)
    answer = continue_by_chat(seed, chat, PLAIN_NOTATION, bars=bars, given_bars=given)
    formats.write(answer.score, out)
    if as_json:
        said = {"notes": answer.n_notes, "bars": answer.bars, "repairs": dict(answer.repairs), "answer": answer.text}
        typer.echo(json.dumps(said))
        return
    typer.echo(f"{out}: {answer.n_notes} notes in {answer.bars} of {bars} bars")
    for what, count in answer.repairs.items():
        typer.echo(f"  repaired: {what}: {count}")
