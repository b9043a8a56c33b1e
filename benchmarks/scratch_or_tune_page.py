"""The page of benchmarks/scratch_or_tune.py: every figure and every sentence about one comes from its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.pages import interval, p_said, paragraph
from cadenza.base.files import write_atomically
from cadenza.train.curves import Panel, drawing, nice

ALPHA = 0.05
NAMED = {"full": "in full (Muon)", "lora": "LoRA (AdamW)"}
HEAD = (
    *("", "bits per note", "tokens of music", "tokens in all", "notes seen", "tokens a note"),
    *("trained of all parameters", "CPU s of music"),
)


def write(result: dict[str, Any], page: Path) -> None:
    """The page and, beside it, its drawing (.svg)."""
    write_atomically(page.with_suffix(".svg"), (curves(result) + "\n").encode())
    write_atomically(page, text(result, page.with_suffix(".svg").name).encode())


def text(result: dict[str, Any], svg: str) -> str:
    """The page as Markdown."""
    cells, english = result["cells"], result["english"]
    step, music, before = result["step_tokens"], result["music_steps"], result["english_steps"]
    lines = [
        "# Scratch or fine-tune",
        "",
        "<!-- Written by benchmarks/scratch_or_tune.py: do not edit. -->",
        "",
        paragraph(
            """Does a small decoder that has read English first learn music better than one from random weights? The
            published experiment fine-tuned large text models and could not say. Here both are trained from the
            beginning, so that all compute is counted, and judged on the same held-out works."""
        ),
        "",
        "## What was done",
        "",
        paragraph(
            f"""A decoder of the shape `scratch:small` (2.3 million parameters without its vocabulary) read {before}
            steps of {step:,} tokens of English, {before * step:,} tokens: {english_said(english)} The music budget is
            {music} steps ({music * step:,} tokens), the total budget {before + music} ({(before + music) * step:,}).
            A step costs nearly the same for all; equal budgets are equal tokens. Music is told in the shipped
            composer's notation (`benchmarks/small_corpus.yaml`): {split_said(result, "train")} to learn from. “New
            tokens” gives the notation's fields tokens of their own (`extend_vocabulary: true`), their rows beginning
            as the mean of their pieces'; “text tokens” lets the English BPE of 4,096 tokens spell them."""
        ),
        "",
        paragraph(
            f"""Learning rates: {rates_said(result)}. One seed each: intervals are over works, not over trainings."""
        ),
        "",
        f"    {result['command']} --data DATA --work DIR",
        "",
        "## Bits per note of held-out works",
        "",
        paragraph(
            f"""{works_said(cells)} The given bars and the paid text are the same for every row, so all fields are
            common fields and only the tokens differ. 95 % intervals by bootstrap over works."""
        ),
        "",
        "| " + " | ".join(HEAD) + " |",
        "|---" * len(HEAD) + "|",
    ]
    for name, row in sorted(cells.items(), key=lambda item: item[1]["bits_per_note"]["value"]):
        lines.append(
            f"| {name} | {interval(row['bits_per_note'])} | {row['music_tokens']:,} | "
            f"{row['total_tokens']:,} | {row['notes_seen']:,} | {row['tokens_per_note']:.2f} | "
            f"{row['trainable'] / 1e6:.2f} of {row['parameters'] / 1e6:.2f} M | {row['cpu_seconds_of_music']:.0f} |"
        )
    lines += (
        []
        if not result["pairs"]
        else [
            "",
            "## Comparisons",
            "",
            paragraph(
                """Set before anything was measured. Fewer bits of the first than of the second, paired by work; p by
            flipping signs, corrected over the table (Holm)."""
            ),
            "",
            "| | first | second | fewer bits, % | p |",
            "|---|---|---|---|---|",
        ]
    )
    for pair in result["pairs"]:
        told = interval(pair, 1, 100, "+")
        lines.append(f"| {pair['asks']} | {pair['a']} | {pair['b']} | {told} | {p_said(pair['p_holm'])} |")
    lines += ["", *(f"- {sentence}" for sentence in findings(result)), ""]
    lines += [
        "## Learning curves",
        "",
        f"![Bits per note of validation works over training]({svg})",
        "",
        paragraph(
            f"""Bits per note of 48 passages of validation works; a step is {step:,} tokens. Left over steps of music,
            right with the steps of English counted."""
        ),
    ]
    if result["missing"]:
        lines += ["", f"Not trained (the command above does it): {'; '.join(result['missing'])}."]
    lines += ["", "## The English", "", paragraph(sources_said(english)), ""]
    return "\n".join(lines)


def english_said(english: dict[str, Any]) -> str:
    """What the text is and what was learned of it."""
    curve = english["bits_per_word"]
    return (
        f"docstrings and descriptions of {len(english['sources'])} installed packages ({english['words']:,} words, "
        f"none of it kept here). Bits per word of held-out text fell from {curve[0][1]:.1f} to {curve[-1][1]:.1f}."
    )


def split_said(result: dict[str, Any], split: str) -> str:
    """Pieces and notes of a split."""
    found = result["corpus"]["splits"][split]
    return f"{found['pieces']:,} pieces of hymns and Mutopia, {found['notes']:,} notes,"


def rates_said(result: dict[str, Any]) -> str:
    """Learning rates, and how they were come by."""
    told = []
    for method, rates in result["rates"].items():
        if method not in result["trials"]:
            told.append(f"{NAMED[method]} {rates[0]:g}, untried")
            continue
        tried = ", ".join(f"{rate}: {bits:.2f}" for rate, bits in result["trials"][method].items())
        steps = result["trial_steps"]
        told.append(f"{NAMED[method]} by {steps} steps each on validation works (bits per note at {tried})")
    return "; ".join(told)


def works_said(cells: dict[str, Any]) -> str:
    """What was measured on."""
    row = next(iter(cells.values()))
    return f"{row['passages']} passages of {row['works']} works, {row['notes']:,} notes."


def findings(result: dict[str, Any]) -> list[str]:
    """What each comparison says, in words that follow from its figures."""
    out = []
    for pair in result["pairs"]:
        percent = abs(100 * pair["value"])
        if pair["low"] <= 0 <= pair["high"] or pair["p_holm"] >= ALPHA:
            verdict = f"no difference that {result_works(result)} works show ({100 * pair['value']:+.1f} %)"
        elif pair["value"] > 0:
            verdict = f"“{pair['a']}” needs {percent:.1f} % fewer bits than “{pair['b']}”"
        else:
            verdict = f"“{pair['b']}” is better: “{pair['a']}” needs {percent:.1f} % more bits"
        out.append(f"{pair['asks'].capitalize()}: {verdict}.")
    return out


def result_works(result: dict[str, Any]) -> int:
    """Held-out works."""
    return int(next(iter(result["cells"].values()))["works"])


def sources_said(english: dict[str, Any]) -> str:
    """The packages and their licences."""
    named = (f"{name} {one['version']} ({one['licence']})" for name, one in english["sources"].items())
    return "Read where they are installed: " + ", ".join(named) + "."


def curves(result: dict[str, Any]) -> str:
    """The drawing: bits per note over steps of music, and over all steps."""
    cells, before = result["cells"], result["english_steps"]
    lines = {name: [(float(x), float(y)) for x, y in row["curve"]] for name, row in cells.items()}
    counted = {
        name: [(x + (before if row["total_tokens"] > row["music_tokens"] else 0), y) for x, y in lines[name]]
        for name, row in cells.items()
    }
    short = {name: [(x, y) for x, y in line if x <= result["music_steps"]] for name, line in lines.items()}
    figures = [y for line in lines.values() for _, y in line]
    ticks = nice(min(figures), max(figures))
    panels = [Panel("bits per note, validation", "steps of music", short, ticks)]
    panels.append(Panel("the same, English counted", "steps in all", counted, ticks))
    return drawing(panels)
