"""Jobs for test_batch.py that end badly; in a file of their own because workers import them."""

from __future__ import annotations

import os
import signal
import time


def job(what: str) -> str:
    """Sleeps, dies, or answers."""
    if what == "hang":
        time.sleep(600)
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "leave":
        os._exit(3)
    return what.upper()
