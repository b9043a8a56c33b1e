"""A report as one page: what was asked, figures with intervals, what differs, examples to see and hear.

HTML with inline SVG and sound; nothing to load, light or dark. Numbers stand beside every mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from cadenza.app.evaluation import picture
from cadenza.corpus.page import STYLE, table

MORE_STYLE = """
body { max-width: 1180px }
.plots { grid-template-columns: repeat(auto-fill, minmax(345px, 1fr)) }
figure svg.dots { max-width: 380px } svg .whisker { stroke: var(--quiet); stroke-width: 1.5 }
svg .dot { fill: var(--bar) } svg .human { fill: #c2571a } svg .band { fill: #c2571a; opacity: .14 }
svg .zero { stroke: #c2571a; stroke-dasharray: 3 3 }
td.far1 { background: color-mix(in srgb, #c2571a 14%, transparent) }
td.far2 { background: color-mix(in srgb, #c2571a 30%, transparent) }
td.far3 { background: color-mix(in srgb, #c2571a 50%, transparent) }
td small { display: block; line-height: 1.1 }
.examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(440px, 1fr)); gap: 1.4rem 2rem }
svg.roll { max-width: none; background: color-mix(in srgb, var(--line) 35%, transparent); border-radius: 4px }
svg.roll rect.given { opacity: .38 } svg.roll .bar { stroke: var(--line) }
svg.roll .split { stroke: var(--ink); stroke-dasharray: 4 3 }
svg rect.t0 { fill: #3b6fb6 } svg rect.t1 { fill: #c2571a } svg rect.t2 { fill: #2f8f5b }
svg rect.t3 { fill: #8a56ac } svg rect.t4 { fill: #b8860b } svg rect.t5 { fill: #c04070 }
audio { width: 100%; height: 32px; margin-top: .3rem }
details { margin: .6rem 0 } summary { cursor: pointer; color: var(--quiet) }
pre { overflow-x: auto; background: color-mix(in srgb, var(--line) 35%, transparent); padding: .6rem; font-size: 12px }
.note { border-left: 3px solid var(--line); padding-left: .8rem }
code { font-size: .9em } figcaption { overflow-wrap: anywhere }
table.even { table-layout: fixed } table.even th:first-child { width: 24% }
""".strip()
ROW, LABEL, PLOT, NUMBER = 18, 140, 170, 62  # pixels of an interval plot
SHADES = ((0.2, ""), (0.5, "far1"), (0.8, "far2"))  # |effect| below which a cell has this shade; beyond, the last
LAST_SHADE = "far3"


def document(title: str, parts: Sequence[str]) -> str:
    """A whole page."""
    return "\n".join([
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{STYLE}\n{MORE_STYLE}</style></head><body>",
        *parts,
        "</body></html>",
        "",
    ])  # fmt: skip


def number(value: float | None) -> str:
    """Three digits that matter; a dash for what is not known."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if size >= 0.001 else f"{value:.1e}"


def between(found: Mapping[str, Any]) -> str:
    """An interval's bounds in words."""
    low, high = found.get("low"), found.get("high")
    return "" if low is None or high is None else f"{number(low)} … {number(high)}"


def dots(title: str, about: str, found: Mapping[str, Mapping[str, Any]], reference: str = "human") -> str:
    """One figure of several systems: a dot with its interval each, the reference's interval as a band behind."""
    if not found:
        return ""
    lows = [v for one in found.values() for v in (one["low"], one["value"]) if v is not None]
    highs = [v for one in found.values() for v in (one["high"], one["value"]) if v is not None]
    low, high = min(lows), max(highs)
    room = (high - low) or abs(high) or 1.0
    low, high = low - 0.06 * room, high + 0.06 * room

    def x(value: float) -> float:
        return LABEL + PLOT * (value - low) / (high - low)

    height = ROW * len(found)
    parts = []
    if reference in found and found[reference]["low"] is not None:
        a, b = x(found[reference]["low"]), x(found[reference]["high"])
        parts.append(f'<rect class="band" x="{a:.1f}" y="0" width="{max(b - a, 1):.1f}" height="{height}"/>')
    if reference in found:
        at = x(found[reference]["value"])
        parts.append(f'<line class="zero" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{height}"/>')
    for row, (name, one) in enumerate(found.items()):
        y = ROW * row + ROW // 2
        parts.append(f'<text x="{LABEL - 8}" y="{y + 4}" text-anchor="end">{escape(_short(name))}</text>')
        if one["low"] is not None:
            parts.append(
                f'<line class="whisker" x1="{x(one["low"]):.1f}" x2="{x(one["high"]):.1f}" y1="{y}" y2="{y}"/>'
            )
        kind = "human" if name == reference else "dot"
        parts.append(
            f'<circle class="{kind}" cx="{x(one["value"]):.1f}" cy="{y}" r="4"><title>{escape(name)}: '
            f"{number(one['value'])} ({between(one)})</title></circle>"
            f'<text class="n" x="{LABEL + PLOT + 8}" y="{y + 4}">{number(one["value"])}</text>'
        )
    return (
        f"<figure><figcaption>{escape(title)} <span>{escape(about)}</span></figcaption>"
        f'<svg class="dots" viewBox="0 0 {LABEL + PLOT + NUMBER} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


def words(name: str) -> str:
    """A column's name as words."""
    return name.replace("_", " ")


def configuration(report: Mapping[str, Any]) -> str:
    """What the report can be made again from."""
    import json

    shown = {"config": report["config"], "versions": report["versions"]}
    return (
        "<details><summary>Configuration and versions</summary><pre>"
        f"{escape(json.dumps(shown, indent=1, ensure_ascii=False))}</pre></details>"
    )


# ── generation ───────────────────────────────────────────────────────────────────────────────────────────


def generation(report: Mapping[str, Any], examples: Sequence[str]) -> str:
    """The page of a generation report.

    Args:
        examples: figures, as :func:`example` makes them.
    """
    config, systems = report["config"], report["systems"]
    given, asked = config["n_given"], config["n_bars"]
    corpus, seeds = report["corpus_sha256"][:12], report["seeds_sha256"][:12]
    parts = [
        f"<h1>{escape(report['model']['name'])} on {report['n_seeds']} held-out seeds</h1>",
        f"<p>{given} bars given, {asked} written; split {escape(config['split'])} of the corpus "
        f"<code>{escape(corpus)}</code>, seeds <code>{escape(seeds)}</code> "
        f"({', '.join(f'{n} {escape(s)}' for s, n in report['sources'].items())}). Intervals are 95 % bootstraps over "
        "pieces; the orange band is human music.</p>",
        *(f'<p class="note">{escape(note)}</p>' for note in report["notes"]),
        *_likelihood(report),
        "<h2>Systems</h2>",
        _systems(systems),
        *_heat(report),
        *_ratios(report),
        *_sets(report),
        *_differences(report),
    ]
    if examples:
        of = escape(report["examples"]["system"])
        parts += [
            f"<h2>Nearest to and farthest from human music: {of}</h2>",
            "<p>By the mean distance of their figures from those of the human continuations, in standard deviations. "
            "Pale notes are the last bar that was given.</p>",
            '<div class="examples">', *examples, "</div>",
        ]  # fmt: skip
    parts += _plots(report)
    parts.append(configuration(report))
    return document(f"{report['model']['name']}: generation", parts)


def _likelihood(report: Mapping[str, Any]) -> list[str]:
    found = report["likelihood"]
    if not found:
        return []
    names = list(found["systems"])
    units = ("note", "bar", "second", "token")
    rows = [[name, *(_cell(found["systems"][name][f"bits_per_{unit}"]) for unit in units)] for name in names]
    said = [f"{escape(n)}: {_percent(g)} fewer bits ({_percents(g)})" for n, g in found["fewer_bits"].items()]
    gram = found["n_gram"]
    about = f" The n-gram is {escape(gram['smoothing'])} of order {gram['order']}." if gram else ""
    figure = dots("Bits per note", "less is better", {n: found["systems"][n]["bits_per_note"] for n in names}, "")
    return [
        "<h2>How likely held-out music is</h2>",
        f"<p>{found['n_notes']:,} notes in {found['n_texts']} passages, windows of {found['window_tokens']:,} tokens "
        f"that move by {found['stride_tokens']:,}.{about} {'; '.join(said)}{'.' if said else ''}</p>",
        cells(["", *(f"bits a {unit}" for unit in units)], rows),
        f'<div class="plots" style="margin-top:1rem">{figure}</div>',
    ]


def _percent(found: Mapping[str, Any]) -> str:
    return f"{found['value']:.1%}"


def _percents(found: Mapping[str, Any]) -> str:
    return "" if found["low"] is None else f"{found['low']:.1%} … {found['high']:.1%}"


def _cell(found: Mapping[str, Any]) -> tuple[str, str, str]:
    return number(found["value"]), between(found), ""


def cells(head: Sequence[str], rows: Sequence[Sequence[Any]], *, even: bool = False) -> str:
    """A table whose cells are texts or (value, what stands small below, shade); ``even``: columns of one width."""
    out = []
    for row in rows:
        shown = []
        for one in row:
            value, below, shade = one if isinstance(one, tuple) else (one, "", "")
            small = f"<small>{escape(below)}</small>" if below else ""
            mark = f' class="{shade}"' if shade else ""
            shown.append(f"<td{mark}>{escape(value)}{small}</td>")
        out.append(f"<tr>{''.join(shown)}</tr>")
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    kind = ' class="even"' if even else ""
    return (
        f'<div class="table"><table{kind}><thead><tr>{titles}</tr></thead><tbody>{"".join(out)}</tbody></table></div>'
    )


def _systems(systems: Mapping[str, Any]) -> str:
    rows = []
    for name, found in systems.items():
        refused = ", ".join(f"{n} × {reason[:60]}" for reason, n in found["refused"].items()) or "0"
        rows.append([name, f"{found['notes']:,}", f"{found['tokens']:,}" if found["tokens"] else "–", refused])
    return table(["", "notes", "tokens drawn", "seeds refused"], rows)


def _heat(report: Mapping[str, Any]) -> list[str]:
    """All columns × systems; a cell's shade says how many standard deviations of the paired differences it is off."""
    systems = list(report["systems"])
    off = {(one["a"], one["column"]): one for one in report["paired"] if one["b"] == "human"}
    out = [
        "<h2>All figures</h2>",
        "<p>Means over pieces. Shades: the difference from the human continuations of the same seeds in standard "
        "deviations of that difference (0.2, 0.5, 0.8); a star where p &lt; 0.05 by sign flips, corrected after Holm "
        "for the whole table.</p>",
    ]
    for metric in dict.fromkeys(found["metric"] for found in report["columns"].values()):
        names = [
            name for name, found in report["columns"].items()
            if found["metric"] == metric and any(name in report["systems"][s]["columns"] for s in systems)
        ]  # fmt: skip
        if not names:
            continue
        rows = []
        for name in names:
            row: list[Any] = [words(name)]
            for system in systems:
                found = report["systems"][system]["columns"].get(name)
                one = off.get((system, name))
                if found is None:
                    row.append("–")
                    continue
                star = " *" if one and one["p_holm"] < 0.05 else ""
                row.append((number(found["value"]) + star, between(found), _shade(one)))
            rows.append(row)
        out.append(cells([metric, *systems], rows, even=True))
    return out


def _shade(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return ""
    size = abs(one["effect"]) if one["effect"] is not None else 9.0
    return next((shade for least, shade in SHADES if size < least), LAST_SHADE)


def _ratios(report: Mapping[str, Any]) -> list[str]:
    found = report["ratios"]
    if not found:
        return []
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    rows = [[words(name), *(_cell(one[name]) if name in one else "–" for one in found.values())] for name in names]
    return [
        "<h2>Repetition against the held-out music</h2>",
        "<p>Ratios of means on the same seeds: 1 is as repetitive as the human continuations.</p>",
        cells(["", *found], rows, even=True),
    ]


def _sets(report: Mapping[str, Any]) -> list[str]:
    found = report["sets"]
    if not found:
        return []
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    rows = [[words(name), *(number(one.get(name)) for one in found.values())] for name in names]
    return ["<h2>Whole sets</h2>", table(["", *found], rows)]


def _differences(report: Mapping[str, Any]) -> list[str]:
    found = sorted((one for one in report["paired"] if one["p_holm"] < 0.05), key=lambda one: one["p_holm"])
    n_tests = len(report["paired"])
    if not n_tests:
        return []
    rows = [
        [
            f"{one['a']} − {one['b']}", words(one["column"]), _cell(one["difference"]), number(one["effect"]),
            number(one["p_holm"]), number(one["q"]),
        ]
        for one in found
    ]  # fmt: skip
    head = ["pair", "figure", "difference", "effect", "p (Holm)", "q"]
    least = [
        [words(one["column"]), f"{one['a']} − {one['b']}", number(one["detectable"])]
        for one in report["paired"]
        if one["a"] == report["config"]["decodings"][0] and one["b"] == "human"
    ]  # fmt: skip
    return [
        f"<h2>What differs ({len(found)} of {n_tests} tests)</h2>",
        f"<details><summary>Differences with p &lt; 0.05 after correction</summary>{cells(head, rows)}</details>",
        "<details><summary>The smallest differences that so many seeds detect with 80 % power, one test at 5 %"
        f"</summary>{table(['figure', 'pair', 'difference'], least)}</details>",
    ]


def _plots(report: Mapping[str, Any]) -> list[str]:
    out = ["<h2>The same figures as plots</h2>"]
    for metric in dict.fromkeys(found["metric"] for found in report["columns"].values()):
        figures = []
        for name, declared in report["columns"].items():
            found = {
                system: one["columns"][name] for system, one in report["systems"].items() if name in one["columns"]
            }
            if declared["metric"] == metric and found:
                figures.append(dots(words(name), declared["unit"], found))
        if figures:
            source = next(found["source"] for found in report["columns"].values() if found["metric"] == metric)
            out += [f"<h3>{escape(metric)}</h3><p>{escape(source)}</p>", '<div class="plots">', *figures, "</div>"]
    return out


def example(title: str, about: str, score: Any, split_ticks: int, with_sound: bool = True) -> str:
    """One piece to see and hear."""
    audio = f'<audio controls preload="none" src="{picture.sound(score)}"></audio>' if with_sound else ""
    return (
        f"<figure><figcaption>{escape(title)} <span>{escape(about)}</span></figcaption>"
        f"{picture.roll(score, split_ticks, title)}{audio}</figure>"
    )


def write_generation(out: Path, report: Mapping[str, Any]) -> str:
    """The page of a finished run, with its examples."""
    from cadenza.app.evaluation.generation import loaded
    from cadenza.corpus.store import load_pieces

    figures = []
    if report["examples"]:
        seeds, _, _ = loaded(out)
        system = report["examples"]["system"]
        for kind in ("best", "worst"):
            for one in report["examples"][kind]:
                made = {p.work_id: p.score for p in load_pieces(out / "pieces" / f"{one['index']:05d}.npz")}
                score, split = picture.with_lead_in(seeds[one["index"]].given, made[system], 1)
                about = f"{'near' if kind == 'best' else 'far'}, distance {one['distance']:.2f}"
                figures.append(example(one["name"], about, score, split))
    return generation(report, figures)
