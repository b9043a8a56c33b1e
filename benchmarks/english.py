"""English to pretrain on: docstrings and descriptions of installed packages whose licences permit it.

The text is read from the packages where they are installed and never kept with the project. A package serves if its
own metadata names a permissive licence; packages about music are left out, so that the text says nothing of the
notation, and so are tests. Equal texts are taken once; every fiftieth is held out.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import metadata

from benchmarks.vocabulary import docstrings
from cadenza.base.errors import ConfigError

#: Distribution → the package in it whose docstrings are read.
DISTRIBUTIONS = {
    "accelerate": "accelerate", "alembic": "alembic", "attrs": "attr", "click": "click", "datasets": "datasets",
    "fsspec": "fsspec", "huggingface_hub": "huggingface_hub", "joblib": "joblib", "matplotlib": "matplotlib",
    "networkx": "networkx", "numpy": "numpy", "optuna": "optuna", "pandas": "pandas", "peft": "peft",
    "pydantic": "pydantic", "requests": "requests", "rich": "rich", "scikit-learn": "sklearn", "scipy": "scipy",
    "setuptools": "setuptools", "SQLAlchemy": "sqlalchemy", "trl": "trl", "typer": "typer", "urllib3": "urllib3",
    "Werkzeug": "werkzeug",
}  # fmt: skip
_PERMISSIVE = re.compile(r"\b(MIT|BSD|Apache|PSF|Python Software Foundation|0BSD|ISC)\b", re.IGNORECASE)
_BINDING = re.compile(r"\b(L?GPL|AGPL|MPL|GNU|Mozilla)\b", re.IGNORECASE)
CHARACTERS = 2400  # of a piece of text; longer ones are cut at blank lines
HELD_OUT = 50


@dataclass(frozen=True)
class English:
    """Texts in the order in which they were found.

    Args:
        train, held: texts.
        sources: distribution → version, licence as its metadata says it, characters taken.
    """

    train: list[str]
    held: list[str]
    sources: dict[str, dict[str, str | int]]

    def about(self) -> dict[str, object]:
        """What is told of the text in results; its fingerprint stands for it."""
        digest = hashlib.sha256("\0".join([*self.train, *self.held]).encode()).hexdigest()
        return {
            "texts": len(self.train), "held_out_texts": len(self.held), "characters": sum(map(len, self.train)),
            "words": words(self.train), "sha256": digest, "sources": self.sources,
        }  # fmt: skip


def words(texts: list[str]) -> int:
    """Blank-separated words."""
    return sum(len(text.split()) for text in texts)


def licence_of(distribution: metadata.Distribution) -> str:
    """The licence that a distribution's metadata names.

    Raises:
        ConfigError: it is not a permissive one, or none is named.
    """
    said = distribution.metadata
    named = [said.get("License-Expression") or "", (said.get("License") or "").strip().partition("\n")[0][:80]]
    kinds = [kind.rpartition("::")[2].strip() for kind in said.get_all("Classifier") or [] if "License ::" in kind]
    licence = "; ".join(dict.fromkeys(one for one in (*named, *kinds) if one))
    if not _PERMISSIVE.search(licence) or _BINDING.search(licence):
        raise ConfigError("a package with a permissive licence", licence or "none named", where=said["Name"])
    return licence


def parts(text: str) -> list[str]:
    """A text in pieces of at most about :data:`CHARACTERS`, cut at blank lines where there are such."""
    out: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        paragraph = paragraph.rstrip()
        if out and len(out[-1]) + len(paragraph) < CHARACTERS:
            out[-1] += "\n\n" + paragraph
        else:
            out += [paragraph[at : at + CHARACTERS] for at in range(0, len(paragraph), CHARACTERS)]
    return out


def gather(distributions: dict[str, str] | None = None) -> English:
    """The texts of the distributions that are installed here.

    Raises:
        ConfigError: one of them is there under a licence that does not permit it, or none is there.
    """
    every: dict[str, None] = {}
    sources: dict[str, dict[str, str | int]] = {}
    for name, package in (distributions or DISTRIBUTIONS).items():
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        licence, before = licence_of(found), sum(map(len, every))
        described = found.metadata.get_payload()
        for text in (described if isinstance(described, str) else "", *docstrings((package,), tests=False)):
            every |= dict.fromkeys(part for part in parts(text) if len(part) > 80)
        taken = sum(map(len, every)) - before
        sources[name] = {"version": found.version, "licence": licence, "characters": taken}
    if not every:
        raise ConfigError("installed packages to read", "none", where="benchmarks/english.py")
    texts = list(every)
    return English([text for n, text in enumerate(texts) if n % HELD_OUT], texts[::HELD_OUT], sources)
