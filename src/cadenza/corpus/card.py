"""The card of a corpus (Markdown with the front matter that dataset hubs read): sources, licences, attributions."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from cadenza.corpus.open import BuiltCorpus


def card(corpus: BuiltCorpus) -> str:
    """The text of the corpus's README.md."""
    manifest = corpus.manifest
    held = [split for split, count in manifest["splits"].items() if count["examples"]]
    files = "\n".join(f"  - split: {split}\n    path: data/{split}-*.parquet" for split in held)
    rows = "\n".join(
        f"| {split} | {c['examples']:,} | {c['pieces']:,} | {c['notes']:,} | {c['seconds'] / 3600:.2f} |"
        for split, c in manifest["splits"].items()
    )
    return "\n".join(
        [
            "---\nconfigs:\n- config_name: default\n  data_files:\n" + files + "\ntags:\n- music\n---\n",
            f"# A corpus of music in {manifest['notation']['name']}\n",
            f"Fingerprint `{manifest['fingerprint']}`. Built by cadenza {manifest['versions']['cadenza']}.\n",
            "| split | examples | pieces | notes | hours |\n|---|---|---|---|---|\n" + rows + "\n",
            "## Sources\n\n" + _sources(manifest["sources"]) + "\n",
            "Research-only or unknown licences, where any are listed, bind whoever uses the corpus.\n",
            "## How it was built\n\n```json\n"
            + json.dumps(manifest["config"], indent=1, ensure_ascii=False)
            + "\n```\n",
            "Left out: "
            + (", ".join(f"{n:,} {kind}" for kind, n in manifest["rejected"].items()) or "nothing")
            + ".\n",
        ]
    )


def _sources(listed: list[dict[str, Any]]) -> str:
    groups: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for one in listed:
        groups[one["source"], one["licence"]].append((one["attribution"], one["pieces"]))
    lines = ["| source | licence | pieces | attribution |", "|---|---|---|---|"]
    for (source, licence), named in sorted(groups.items()):
        said = "; ".join(sorted({name for name, _ in named}))
        lines.append(f"| {source} | {licence} | {sum(n for _, n in named):,} | {said.replace('|', '/')} |")
    return "\n".join(lines)
