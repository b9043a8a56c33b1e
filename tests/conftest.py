"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import Phase, settings

# By hand a failing example is made small. The whole suite and the long runs (`make test`, `make laws`) name the
# profile "long": a failure there is printed as it was found, with the line that replays it, as shrinking one may take
# five minutes.
settings.register_profile("long", phases=[Phase.explicit, Phase.generate], database=None, print_blob=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    root = os.environ.get("CADENZA_SHARED")
    if not root:
        pytest.skip("CADENZA_SHARED is not set: shared music data absent")
    path = Path(root) / "data"
    assert path.is_dir(), f"CADENZA_SHARED is set, but {path} is not a folder"
    return path


@pytest.fixture(scope="session", autouse=True)
def _shared_cores() -> None:
    """Budgets of CPU time are exact in ``python -m tests.fuzz``; here tests run beside each other."""
    os.environ.setdefault("CADENZA_FUZZ_SLACK", "3")
