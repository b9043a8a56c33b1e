"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    root = os.environ.get("CADENZA_SHARED")
    if not root:
        pytest.skip("CADENZA_SHARED is not set: shared music data absent")
    path = Path(root) / "data"
    assert path.is_dir(), f"CADENZA_SHARED is set, but {path} is not a folder"
    return path
