"""A built corpus on disk: its manifest, its rows, and whether it is what it says."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cadenza.base.config import build_config
from cadenza.base.errors import CadenzaError, FormatError
from cadenza.corpus import shards
from cadenza.corpus.hearing import HEARD_IN
from cadenza.corpus.task import AFTER, BEFORE, GIVEN, MIDDLE, PART
from cadenza.notation import NOTATIONS
from cadenza.notation.base import Notation
from cadenza.notation.grammar import END


@dataclass(frozen=True)
class BuiltCorpus:
    """A folder of :func:`cadenza.corpus.pipeline.build`."""

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path | str) -> BuiltCorpus:
        """Read the manifest.

        Raises:
            FormatError: the folder holds no finished corpus.
        """
        folder = Path(folder)
        try:
            manifest = json.loads((folder / "manifest.json").read_bytes())
        except (OSError, ValueError) as error:
            hint = "Start cadenza corpus build again: it goes on where it was." if (folder / "work").is_dir() else ""
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            actual = "no manifest.json there" if missing else str(error)[:200]
            raise FormatError("a built corpus", actual, where=str(folder), hint=hint) from None
        return cls(folder, manifest)

    @property
    def notation(self) -> Notation:
        """The notation of its texts."""
        options = dict(self.manifest["notation"])
        return build_config(NOTATIONS.load(options.pop("name")), options, "notation")

    @property
    def fields(self) -> list[str]:
        """The fields that its texts are made of, each once: its notation's, and those that tell what is heard."""
        heard = HEARD_IN.vocabulary() if "transcribe" in self.manifest["config"]["tasks"] else []
        return list(dict.fromkeys([*self.notation.vocabulary(), *heard]))

    def rows(self, split: str = "") -> Iterator[dict[str, Any]]:
        """The rows of a split (or of all), shard by shard."""
        for name in self.manifest["shards"]:
            if not split or Path(name).name.startswith(f"{split}-"):
                for row in shards.load(self.folder / name):
                    yield row | {"split": Path(name).name.partition("-")[0]}

    def check(self) -> list[str]:
        """What is wrong with it, in sentences; nothing where all is well.

        Shards have the hashes of the manifest; no group of works is in two splits; ids are unique; every text of every
        row decodes, and is accepted by the notation's automaton to its end.
        """
        wrong: list[str] = []
        for name, digest in self.manifest["shards"].items():
            path = self.folder / name
            found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "missing"
            if found != digest:
                wrong.append(f"{name}: expected the hash {digest[:12]}…, found {found[:12]}")
        if wrong:
            return wrong
        notation = self.notation
        splits: dict[str, set[str]] = defaultdict(set)
        ids: set[str] = set()
        for row in self.rows():
            splits[row["group"]].add(row["split"])
            if row["id"] in ids:
                wrong.append(f"row {row['id']}: its id stands twice")
            ids.add(row["id"])
            for text in texts_of(row, self.manifest["config"]["style"]):
                problem = fault_of(text, notation)
                if problem:
                    wrong.append(f"row {row['id']} ({row['path']}, {row['task']}): {problem}")
                    break
        wrong += [f"group {group}: in {', '.join(sorted(found))}" for group, found in splits.items() if len(found) > 1]
        return wrong


def texts_of(row: dict[str, Any], style: str = "bare") -> list[str]:
    """The whole texts of the notation that a row holds: what is given and what is to be written."""
    prompt = row["prompt"]
    if style == "instruct":
        prompt = after_instruction(prompt)
    if row["task"] == "infill":
        before, _, rest = prompt.removeprefix(f"{BEFORE}\n").partition(f"\n{AFTER}\n")
        after = rest.rpartition(f"\n{MIDDLE} ")[0]
        return [before, after, row["completion"]]
    if row["task"] == "accompany":
        return [prompt.removeprefix(f"{GIVEN}\n").rpartition(f"\n{PART} ")[0], row["completion"]]
    if row["task"] == "transcribe":  # what is heard is told in events
        return [row["completion"]]
    return [prompt + row["completion"]]


def after_instruction(prompt: str) -> str:
    """The music of an instruction prompt: what follows the sentence of the task."""
    from cadenza.corpus.prompts import TASKS

    for sentence in TASKS.values():
        _, found, music = prompt.partition(sentence + "\n")
        if found:
            return music
    return prompt


def fault_of(text: str, notation: Notation) -> str:
    """Why ``text`` is not a whole text of the notation; empty where it is."""
    try:
        notation.decode(text)
        state = notation.grammar().begin()
        for field in notation.fields(text):
            state.feed(field)
    except CadenzaError as error:
        return str(error)
    if not any(span.kind == END for span in state.allowed()):
        return "the text may not end where it does"
    return ""
