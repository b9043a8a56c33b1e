"""A page in headless Chromium, by chromedriver's own protocol (W3C WebDriver): nothing to install in Python.

with opened(path) as browser:
    browser.press("a")
    assert browser.run("return document.title") == "…"
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

START_SECONDS = 60
NAMES = {"left": "\ue012", "right": "\ue014", "space": " "}


def programs() -> tuple[str, str]:
    """Chromium and its driver; skips the test, with the reason, where one is missing."""
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next((found for name in names if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium with chromedriver here (apt-get install chromium chromium-driver)")
    return chromium, driver


class Browser:
    """One window."""

    def __init__(self, address: str, session: str) -> None:
        self._base = f"{address}/session/{session}"

    def run(self, script: str, *arguments: Any) -> Any:
        """What JavaScript returns."""
        return _call(f"{self._base}/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, *keys: str) -> None:
        """Keys, one after another, to the page as a whole."""
        pressed = [NAMES.get(key, key) for key in keys]
        actions = [{"type": kind, "value": key} for key in pressed for kind in ("keyDown", "keyUp")]
        _call(f"{self._base}/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def open(self, path: Path) -> None:
        """A file."""
        _call(f"{self._base}/url", {"url": path.resolve().as_uri()})

    def logged(self) -> list[str]:
        """What went wrong on the page, by its console."""
        found = _call(f"{self._base}/se/log", {"type": "browser"})
        return [one["message"] for one in found if one["level"] == "SEVERE"]

    def picture(self, path: Path, width: int = 1280, height: int = 0) -> None:
        """A screenshot; of the whole page where no height is given."""
        height = height or int(self.run("return document.documentElement.scrollHeight"))
        _call(f"{self._base}/window/rect", {"width": width, "height": min(height + 140, 16_000)})
        path.write_bytes(base64.b64decode(_call(f"{self._base}/screenshot", None)))


@contextmanager
def opened(path: Path, folder: Path, *, dark: bool = False) -> Iterator[Browser]:
    """The page at ``path`` in a window of its own; ``folder`` is for the browser's profile and downloads."""
    chromium, driver = programs()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address)
        arguments = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio",
            "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={folder / 'profile'}",
            "--window-size=1280,900", "--host-resolver-rules=MAP * ~NOTFOUND",  # offline: nothing may be fetched
            *(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []),
        ]  # fmt: skip
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "binary": chromium, "args": arguments, "prefs": {"download.default_directory": str(folder)},
            },
            "goog:loggingPrefs": {"browser": "ALL"},
        }  # fmt: skip
        session = _call(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        browser = Browser(address, session)
        try:
            browser.open(path)
            yield browser
        finally:
            _call(f"{address}/session/{session}", None, method="DELETE")
    finally:
        process.terminate()
        process.wait(20)


def _wait(address: str) -> None:
    for _ in range(10 * START_SECONDS):
        try:
            _call(f"{address}/status", None)
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise TimeoutError("chromedriver did not start")


def _call(url: str, body: Any, method: str = "") -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=method or ("GET" if data is None else "POST"))
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.loads(answer.read())["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url}: {error.read().decode()[:600]}") from None
