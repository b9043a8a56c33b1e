"""How many drawn examples each law stands: every notation, every format that reads and writes, comparison.

    python -m benchmarks.laws --out FILE.json [--examples 2000] [-k WORDS] [FILE ...]

Runs the tests of the laws with so many examples each and writes a table: law, examples that Hypothesis ran, whether
all passed, CPU seconds, the commit. Rows of laws that were not run now are kept, so that after a mend only what is
concerned need run again; each row names the state that it was run on. A law with fewer possible cases than examples
is run on all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from cadenza.base.files import write_atomically

LAWS = ("tests/laws", "tests/rooms/score/test_compare.py", "tests/rooms/notation/test_mt3.py")
EXAMPLES_RUN = re.compile(r"during generate phase.*?(\d+) passing", re.DOTALL)


class Table:
    """A pytest plugin: after each law its row is written."""

    def __init__(self, out: Path, commit: str) -> None:
        self.out, self.commit = out, commit
        self.rows: dict[str, dict[str, Any]] = {}
        if out.is_file():
            self.rows = {row["law"]: row for row in json.loads(out.read_text(encoding="utf-8"))["laws"]}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if hasattr(getattr(item, "obj", None), "hypothesis")]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        start = time.process_time()
        result = yield
        law = item.nodeid.removeprefix("tests/")
        found = EXAMPLES_RUN.search(getattr(item, "hypothesis_statistics", ""))
        self.rows[law] = {
            "law": law,
            "examples": int(found[1]) if found else 0,
            "passed": self.passed,
            "cpu_seconds": round(time.process_time() - start),
            "commit": self.commit,
        }
        print(json.dumps(self.rows[law]), flush=True)
        self.write()
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.passed = report.passed
            if report.failed:
                print(report.longreprtext[-20_000:], flush=True)

    def write(self) -> None:
        rows = [self.rows[law] for law in sorted(self.rows)]
        table = {
            "hypothesis": version("hypothesis"),
            "n_laws": len(rows),
            "n_passed": sum(row["passed"] for row in rows),
            "fewest_examples": min((row["examples"] for row in rows), default=0),
            "laws": rows,
        }
        write_atomically(self.out, json.dumps(table, indent=1).encode() + b"\n")


def state() -> str:
    """The commit that the sources are at, with a + where they differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "--short=10", "HEAD") + "+" * bool(git("status", "--porcelain", "src", "tests"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=2_000)
    parser.add_argument("-k", dest="words", default="", help="only laws whose names these words choose, as in pytest")
    parser.add_argument("files", nargs="*", default=list(LAWS))
    options = parser.parse_args()
    os.environ["CADENZA_EXAMPLES"] = str(options.examples)
    table = Table(options.out, state())
    chosen = ["-k", options.words] if options.words else []
    return int(
        pytest.main(["--hypothesis-profile=long", "-p", "no:cacheprovider", *chosen, *options.files], plugins=[table])
    )


if __name__ == "__main__":
    raise SystemExit(main())
