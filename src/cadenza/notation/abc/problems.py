"""What is wrong with a text, where, and what was done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cadenza.base.errors import NotationError


@dataclass(frozen=True)
class Problem:
    """One finding.

    Args:
        line, column: counted from 1.
        severity: "error": not ABC; a strict reader stops here. "bar": a bar's length is not its metre's; an error for
            those who count well-formed bars, a warning to readers. "warning": read as it stands.
        expected, found: noun phrases.
        repair: what a lenient reader did; empty where there was nothing to do.
    """

    line: int
    column: int
    severity: Literal["error", "bar", "warning"]
    expected: str
    found: str
    repair: str = ""

    def __str__(self) -> str:
        done = f"; {self.repair}" if self.repair else ""
        return f"line {self.line}, column {self.column}: expected {self.expected}, found {self.found}{done}"

    def error(self) -> NotationError:
        """The error that a strict reader raises."""
        return NotationError(self.expected, self.found, where=f"line {self.line}, column {self.column}")
