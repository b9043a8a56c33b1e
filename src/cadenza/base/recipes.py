"""Recipes that come with the package: a name finds one, a path is taken as it is."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from cadenza.base.errors import ConfigError, did_you_mean


def folder(kind: str) -> Path:
    """Where the shipped recipes of a kind ("train", "corpus") lie."""
    return Path(str(files("cadenza"))) / "recipes" / kind


def names(kind: str) -> list[str]:
    """Names of the shipped recipes of a kind."""
    return sorted(path.stem for path in folder(kind).glob("*.yaml"))


def find(recipe: str, kind: str) -> Path:
    """The file of a recipe: the path itself where there is one, else the shipped one of that name.

    Raises:
        ConfigError: neither.
    """
    path = Path(recipe)
    if path.is_file():
        return path
    known = names(kind)
    if recipe in known:
        return folder(kind) / f"{recipe}.yaml"
    shipped = ", ".join(known)
    raise ConfigError(f"a recipe's file, or one of {shipped}", repr(recipe), hint=did_you_mean(recipe, known))
