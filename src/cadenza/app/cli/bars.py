"""Progress on standard error: a bar a stage, with the time left."""

from __future__ import annotations

from typing import Any


class Bars:
    """A context whose value is called with (stage, done, total)."""

    def __enter__(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=Console(stderr=True),
        )  # fmt: skip
        self.bar.start()
        self.stages: dict[str, Any] = {}

        def say(stage: str, done: int, total: int) -> None:
            if stage not in self.stages:
                self.stages[stage] = self.bar.add_task(stage, total=total)
            self.bar.update(self.stages[stage], completed=done, total=total)

        return say

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
