"""Reading a file together with what reading it leaves out or mends, where the format can say so.

A format module may have ``read_with_report(path)`` → (score, sentences), for what files of it say and a Score does not
hold; and ``repair(path, number=…)`` → (score, problems), for files that break its rules. Repairs are asked for by name.
"""

from __future__ import annotations

from pathlib import Path

from cadenza import formats
from cadenza.base.errors import CadenzaError
from cadenza.score.model import Score


def read(path: Path, repair: bool = False) -> tuple[Score, list[str]]:
    """The score, and what reading left out ("leaves out 3 lyrics") or mended ("mends …").

    Raises:
        FormatError, NotationError: as :func:`cadenza.formats.read`.
    """
    numbered = getattr(formats, "numbered", lambda path: (path, None))
    file, number = numbered(path)
    module = formats.module_for(file, "read")
    try:
        if repair and hasattr(module, "repair"):
            score, problems = module.repair(file, number=number)
            return score, [f"mends {problem}" for problem in problems if getattr(problem, "repair", "")]
        if hasattr(module, "read_with_report"):
            score, report = module.read_with_report(file)
            return score, [f"leaves out {sentence}" for sentence in report]
    except CadenzaError as error:
        raise error if str(file) in error.where else error.at(str(path)) from error
    return formats.read(path), []
