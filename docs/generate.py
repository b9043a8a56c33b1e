"""Writes the pages that follow from the code.

- reference.md: formats and what each drops, notations and theirs, metrics, the command line.
- formats.md: what each format keeps of each feature.

python docs/generate.py          writes them
python docs/generate.py --check  fails where one is stale
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path

from typer.testing import CliRunner

from cadenza.app import matrix
from cadenza.app.cli.main import app
from cadenza.formats import FORMATS, suffixes
from cadenza.notation import NOTATIONS

FOLDER = Path(__file__).parent
VERBS = (
    "convert", "diff", "info", "compose", "render", "transcribe", "corpus", "train", "sweep", "model", "evaluate",
    "leaderboard", "doctor",
)  # fmt: skip


def formats_section() -> list[str]:
    """One row a suffix."""
    lines = ["## Formats", "", "| suffix | reads | writes | writing it |", "|---|---|---|---|"]
    for name in FORMATS.names():
        module = FORMATS.load(name)
        edits = [edit.says for edit in getattr(module, "PROJECTION", ())] if hasattr(module, "write") else []
        writes = name in suffixes("write")
        said = "; ".join(edits) if writes else ""
        if writes and not hasattr(module, "read"):
            said = "renders"
        lines.append(f"| .{name} | {'yes' if hasattr(module, 'read') else ''} | {'yes' if writes else ''} | {said} |")
    return lines


def notations_section() -> list[str]:
    """Prose, options and losses of each notation."""
    lines = ["## Notations"]
    for name in NOTATIONS.names():
        kind = NOTATIONS.load(name)
        module = inspect.getmodule(kind)
        lines += ["", f"### {name}", "", inspect.getdoc(module) or "", "", inspect.getdoc(kind) or ""]
        lines += ["", "| options | what encoding does to a score |", "|---|---|"]
        for options in kind.variants:
            said = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "default"
            lines.append(f"| {said} | {'; '.join(edit.says for edit in kind(**options).projection)} |")
    return lines


def metrics_section() -> list[str]:
    """Every column of every metric: range, direction, unit, source."""
    from cadenza.metrics.base import METRICS, NEEDS

    lines = [
        "## Metrics",
        "",
        "What each means, whose definition it is and how ours differs stands in its module; whether it",
    ]
    lines.append("measures anything, in [damage.md](damage.md). `reference`: nearest to human music is best.")
    for name in METRICS.names():
        metric = METRICS.load(name)
        lines += [
            "",
            f"### {name}",
            "",
            f"{metric.summary} Takes {NEEDS[metric.needs].summary}. Source: {metric.source}.",
        ]
        lines += ["", "| column | range | better | unit | |", "|---|---|---|---|---|"]
        for c in metric.columns:
            ends = " – ".join("∞" if end == float("inf") else f"{end:g}" for end in (c.low, c.high))
            lines.append(f"| `{c.name}` | {ends} | {c.better} | {c.unit} | {c.summary} |")
    return lines


def command_section() -> list[str]:
    """The help of every verb, and of what a verb consists of."""
    lines = ["## Command line"]
    parts = {group.name: group.typer_instance.registered_commands for group in app.registered_groups}
    for verb in VERBS:
        for words in [(verb,), *((verb, str(part.name)) for part in parts.get(verb, ()))]:
            result = CliRunner().invoke(
                app, [*words, "--help"], env={"COLUMNS": "110", "TERMINAL_WIDTH": "110", "NO_COLOR": "1"}
            )
            text = "\n".join(line.rstrip() for line in result.output.strip("\n").splitlines())
            lines += ["", f"### cadenza {' '.join(words)}", "", "```", text, "```"]
    return lines


def recipes_section() -> list[str]:
    """Every key of the recipes of training and of corpora, with its default; the shipped ones."""
    from cadenza.app.evaluation.generation import GenerationConfig
    from cadenza.app.evaluation.pairs import PairsConfig
    from cadenza.base import recipes
    from cadenza.corpus.pipeline import CorpusConfig
    from cadenza.train.recipe import Lora, Loss, Preference, Rope, Scratch, TrainConfig, Vary

    lines = ["## Recipes", "", "`cadenza train RECIPE`: shipped are " + ", ".join(recipes.names("train")) + "."]
    lines += ["`cadenza corpus build --recipe RECIPE`: shipped are " + ", ".join(recipes.names("corpus")) + "."]
    lines += ["`cadenza sweep RECIPE --space SPACE`: shipped are " + ", ".join(recipes.names("sweep")) + "."]
    named = {
        "train": TrainConfig, "vary": Vary, "scratch": Scratch, "lora": Lora, "rope": Rope, "loss": Loss,
        "preference": Preference, "corpus": CorpusConfig, "evaluate generation": GenerationConfig,
        "evaluate transcription": PairsConfig,
    }  # fmt: skip
    for name, kind in named.items():
        lines += ["", f"### Keys: {name}", "", "| key | default | |", "|---|---|---|"]
        said = arguments_of(kind)
        for one in fields(kind):
            default = one.default if one.default is not MISSING else one.default_factory()  # type: ignore[misc]
            shown = "its own keys" if is_dataclass(default) else f"`{default!r}`"
            lines.append(f"| `{one.name}` | {shown} | {said[one.name].replace('|', chr(92) + '|')} |")
    return lines


def arguments_of(kind: type) -> dict[str, str]:
    """Name → meaning, from the Args of a docstring; several names may share one line."""
    body = (inspect.getdoc(kind) or "").partition("Args:\n")[2]
    out: dict[str, str] = {}
    names: list[str] = []
    for line in body.splitlines():
        text = line.strip()
        head, colon, rest = text.partition(":")
        if (
            colon
            and len(line) - len(line.lstrip()) == 4
            and head.replace(",", " ").replace("_", "").replace(" ", "").isalnum()
        ):
            names = [name.strip() for name in head.split(",")]
            out |= {name: rest.strip() for name in names}
        elif text:
            for name in names:
                out[name] += " " + text
    return out


def reference() -> str:
    """The whole reference."""
    head = ["# Reference", "", "Generated by `python docs/generate.py`; do not edit.", ""]
    sections = (formats_section, notations_section, metrics_section, recipes_section, command_section)
    return "\n".join([*head, *(line for section in sections for line in (*section(), ""))][:-1]) + "\n"


def pages() -> dict[str, str]:
    """Name → text of every generated page."""
    sys.path.insert(0, str(FOLDER.parent))  # whether run as a script or not
    from docs.makers import MAKERS

    return {"reference.md": reference(), "formats.md": matrix.page(MAKERS)}


if __name__ == "__main__":
    for name, text in pages().items():
        path = FOLDER / name
        if "--check" not in sys.argv:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            sys.exit(f"{name} is stale: run python docs/generate.py")
