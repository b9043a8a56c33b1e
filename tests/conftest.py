"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the shared music; tests that need it skip where CADENZA_SHARED is unset and fail where it is wrong."""
    root = os.environ.get("CADENZA_SHARED")
    if not root:
        pytest.skip("CADENZA_SHARED is not set: shared music data absent")
    path = Path(root) / "data"
    assert path.is_dir(), f"CADENZA_SHARED has no data folder: {path}"
    return path
