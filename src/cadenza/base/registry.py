"""Names of parts → the modules that hold them.

A part (notation, format, metric, encoder, task, recipe) is one file and one entry-point line in
``pyproject.toml`` (``cadenza.notations``, ``cadenza.formats``, …); built-in parts use the same table as
anyone else's. Listing reads names only, :meth:`Registry.load` imports, and a name that two distributions
claim fails naming both.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from cadenza.base.errors import RegistryError, did_you_mean


@dataclass(frozen=True)
class Part:
    """One registered part: its name, its target ``module[:attribute]`` and the distribution that brings it."""

    name: str
    target: str
    owner: str
    _entry_point: EntryPoint

    def load(self) -> Any:
        """Import the part."""
        return self._entry_point.load()

    @property
    def summary(self) -> str:
        """First line of the part's module docstring, read from the source without importing it."""
        module = self.target.partition(":")[0]
        try:
            spec = importlib.util.find_spec(module)
            source = Path(spec.origin).read_text("utf-8") if spec and spec.origin else ""
            docstring = ast.get_docstring(ast.parse(source)) or ""
        except (ImportError, OSError, SyntaxError):
            docstring = ""
        return docstring.partition("\n")[0]


@dataclass(frozen=True)
class Registry:
    """All parts of one kind, for example ``Registry("cadenza.formats", "format")``."""

    group: str
    noun: str

    def parts(self) -> dict[str, Part]:
        """Every registered part by name; imports none of them.

        Raises:
            RegistryError: two distributions claim the same name for different targets.
        """
        return _parts(self.group, self.noun)

    def names(self) -> list[str]:
        """The registered names, sorted."""
        return sorted(self.parts())

    def load(self, name: str) -> Any:
        """Import and return the part called ``name``.

        Raises:
            RegistryError: no part has this name.
        """
        parts = self.parts()
        if name not in parts:
            raise RegistryError(f"a registered {self.noun}", repr(name), hint=did_you_mean(name, parts))
        return parts[name].load()


@cache
def _parts(group: str, noun: str) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for point in entry_points(group=group):
        owner = point.dist.name if point.dist else "unknown"
        part = Part(point.name, point.value, owner, point)
        other = found.get(point.name)
        if other and other.target != part.target:
            raise RegistryError(
                f"one owner of the {noun} {point.name!r}",
                f"two: {other.owner} ({other.target}) and {part.owner} ({part.target})",
                hint="Uninstall one of them or rename its entry point.",
            )
        found[point.name] = part
    return found
