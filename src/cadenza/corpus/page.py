"""The figures of a corpus as one page: HTML with its plots drawn as inline SVG, nothing to load, light or dark.

Bars are horizontal, longest first (or in the order of what is counted: velocities, bends), with their numbers beside
them, so that the page can be read without hovering and printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from cadenza.corpus.stats import CONTEXT_TOKENS

MAX_BARS = 16
LABEL_WIDTH, BAR_WIDTH, COUNT_WIDTH, ROW_HEIGHT, BAR_HEIGHT = 150, 210, 80, 22, 14  # pixels

#: What is plotted: key of the statistics → title, what is counted.
PLOTS: Mapping[str, tuple[str, str]] = {
    "keys": ("Keys", "pieces"),
    "metres": ("Metres", "pieces"),
    "families": ("Instrument families", "tracks"),
    "instruments": ("Instruments", "notes, by group of General MIDI programs"),
    "velocities": ("Velocities", "notes"),
    "distinct_velocities": ("Different velocities", "pieces, by how many they have"),
    "bends": ("Bends", "bent notes, by furthest distance in cents"),
    "bend_share": ("Share of notes that bend", "pieces"),
    "polyphony": ("Notes at once", "pieces, by mean"),
    "sources": ("Sources", "pieces"),
}
STYLE = """
:root { --ink: #1d2433; --quiet: #5b6577; --paper: #ffffff; --line: #dde2ea; --bar: #3b6fb6; color-scheme: light dark }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf2; --quiet: #9aa5b8; --paper: #14181f; --line: #2c3442; --bar: #6ea0e6 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 1000px; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem }
p, figcaption span, small { color: var(--quiet) }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(440px, 1fr)); gap: 1.6rem 2rem }
figure { margin: 0 } figcaption { font-weight: 600 } figcaption span { font-weight: 400 }
svg { width: 100%; max-width: 440px; height: auto; font: 12px system-ui, sans-serif }
svg text { fill: var(--ink) } svg .n { fill: var(--quiet) } svg rect { fill: var(--bar) }
svg .rest { opacity: .45 }
.table { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums }
th { font-weight: 600 } th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: nowrap }
.over th { border-bottom: 0; padding-bottom: 0 }
@media (max-width: 480px) { .plots { grid-template-columns: 1fr } }
""".strip()


def page(found: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """The page of :func:`~cadenza.corpus.stats.statistics`, as HTML.

    Args:
        manifest: the corpus's; its notation and fingerprint stand on the page.
    """
    splits, notation = found["splits"], manifest["notation"]
    hours = sum(values["hours"] for values in splits.values())
    notes = sum(values["notes"] for values in splits.values())
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Corpus: {hours:,.1f} hours</title><style>{STYLE}</style></head><body>",
        f"<h1>{notes:,} notes, {hours:,.1f} hours of music</h1>",
        f"<p>Written as {escape(notation['name'])}; fingerprint {escape(manifest['fingerprint'][:16])}. Augmented "
        "copies count in the splits; the plots and the costs are of the pieces as they came.</p>",
        "<h2>Splits</h2>",
        _splits(splits),
    ]
    if found.get("costs"):
        parts += _costs(found["costs"])
    drawn = [_figure(*titles, found[key]) for key, titles in PLOTS.items() if found.get(key)]
    if drawn:
        parts += ["<h2>What it holds</h2>", '<div class="plots">', *drawn, "</div>"]
    return "\n".join([*parts, "</body></html>", ""])


def table(head: Sequence[str], rows: Sequence[Sequence[str]], over: Sequence[tuple[str, int]] = ()) -> str:
    """Cells in rows; ``over``: (title, columns) above the head."""
    above = "".join(f'<th colspan="{columns}">{escape(title)}</th>' for title, columns in over)
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    above = f'<tr class="over">{above}</tr>' if above else ""
    return f'<div class="table"><table><thead>{above}<tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def _splits(splits: Mapping[str, Mapping[str, Any]]) -> str:
    names = list(next(iter(splits.values()), {}))
    rows = [
        [split, *("–" if values[name] is None else f"{values[name]:,}" for name in names)]
        for split, values in splits.items()
    ]
    return table(["", *(_words(name) for name in names)], rows)


def _words(name: str) -> str:
    return name.replace(f"seconds_per_{CONTEXT_TOKENS}_tokens", f"seconds in {CONTEXT_TOKENS:,} tokens").replace(
        "_", " "
    )


def _costs(costs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table, one row a notation, two columns a tokenizer, and a plot of the seconds."""
    notations = list(dict.fromkeys(row["notation"] for row in costs))
    tokenizers = list(dict.fromkeys(row["tokenizer"] for row in costs))
    by = {(row["notation"], row["tokenizer"]): row for row in costs}
    seconds = f"seconds_per_{CONTEXT_TOKENS}_tokens"

    def cells(name: str, form: str, notation: str) -> list[str]:
        return [format(by[notation, t][name], form) if (notation, t) in by else "–" for t in tokenizers]

    first = costs[0]
    refused = f"; {first['refused']} more that some notation refuses serve none" if first["refused"] else ""
    over = [("", 1), ("tokens a note", len(tokenizers)), (f"seconds in {CONTEXT_TOKENS:,} tokens", len(tokenizers))]
    rows = [[n, *cells("tokens_per_note", ",.2f", n), *cells(seconds, ",.1f", n)] for n in notations]
    plots = [
        _figure(f"Seconds in {CONTEXT_TOKENS:,} tokens", t, {n: by[n, t][seconds] for n in notations if (n, t) in by})
        for t in tokenizers
    ]
    return [
        "<h2>What it costs a model</h2>",
        f"<p>The same {first['pieces']} pieces ({first['notes']:,} notes) in every notation{refused}.</p>",
        table(["notation", *tokenizers, *tokenizers], rows, over),
        '<div class="plots" style="margin-top:1.2rem">',
        *plots,
        "</div>",
    ]


def _figure(title: str, counted: str, counts: Mapping[str, float]) -> str:
    """Horizontal bars; what exceeds :data:`MAX_BARS` is summed in a last one."""
    shown = list(counts.items())
    rest = shown[MAX_BARS:]
    rows = [(name, value, "") for name, value in shown[:MAX_BARS]]
    if rest:
        rows.append((f"{len(rest)} others", sum(value for _, value in rest), "rest"))
    most = max((value for _, value, _ in rows), default=1) or 1
    width, height = LABEL_WIDTH + BAR_WIDTH + COUNT_WIDTH, ROW_HEIGHT * len(rows)
    drawn = []
    for at, (name, value, kind) in enumerate(rows):
        middle = ROW_HEIGHT * at + ROW_HEIGHT // 2
        length = max(1.0, BAR_WIDTH * value / most)
        label = name if len(name) <= 22 else name[:21] + "…"
        number = f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
        drawn.append(
            f'<text x="{LABEL_WIDTH - 8}" y="{middle + 4}" text-anchor="end">{escape(label)}'
            f"<title>{escape(name)}</title></text>"
            f'<rect class="{kind}" x="{LABEL_WIDTH}" y="{middle - BAR_HEIGHT // 2}" width="{length:.1f}" '
            f'height="{BAR_HEIGHT}" rx="2"/>'
            f'<text class="n" x="{LABEL_WIDTH + length + 6:.1f}" y="{middle + 4}">{number}</text>'
        )
    said = f"{title}, {counted}"
    return (
        f"<figure><figcaption>{escape(title)} <span>{escape(counted)}</span></figcaption>"
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(said)}">{"".join(drawn)}</svg></figure>'
    )
