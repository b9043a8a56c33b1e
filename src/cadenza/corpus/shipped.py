"""Recipes that come with the package: ``--recipe NAME`` beside ``--recipe FILE``."""

from __future__ import annotations

from pathlib import Path

from cadenza.base.errors import ConfigError, did_you_mean

FOLDER = Path(__file__).parent / "recipes"


def names() -> list[str]:
    """The recipes that are shipped, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find(recipe: str) -> Path:
    """The file of a recipe: a path where there is such a file, else a shipped name.

    Raises:
        ConfigError: neither.
    """
    if Path(recipe).is_file():
        return Path(recipe)
    if recipe in names():
        return FOLDER / f"{recipe}.yaml"
    hint = did_you_mean(recipe, names())
    raise ConfigError(f"a recipe file, or one of {', '.join(names())}", repr(recipe), where="--recipe", hint=hint)
