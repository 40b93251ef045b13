"""Chromium without a window, on pages that this machine serves: nothing else is asked for, nothing downloaded."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..faults.commands import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # a route would empty the cache
)
PATIENCE = 60.0  # seconds, for a server to start and for a page to show what it is to show
SCREENSHOTS = "GANBENCH_SCREENSHOTS"
"""Environment variable: the folder that gets the screenshots of docs/pages.md, if it is set."""
# The assistant of MLflow's UI opens itself over the page at the first visit.
_NO_ASSISTANT = """if (window.origin !== "null") {
  localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
  localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
}"""

Shoot = Callable[["Page", str], None]


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    """Start Chromium, with a profile of its own that reaches this machine alone; pages share what it has loaded."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed (Debian's package chromium)")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(QUIET))
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        context.add_init_script(_NO_ASSISTANT)
        context.set_default_timeout(1000 * PATIENCE)
        yield context
        chromium.close()


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    """Open a page, and fail where a script of it does."""
    errors: list[str] = []
    opened = browser.new_page()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert not errors


@pytest.fixture
def shoot() -> Shoot:
    """Keep what a page shows as a picture, where the environment says in which folder."""

    def shot(page: Page, name: str) -> None:
        if folder := os.environ.get(SCREENSHOTS):
            page.wait_for_timeout(1500)  # until nothing moves any longer
            page.screenshot(path=Path(ROOT, folder, f"{name}.png"))

    return shot


@contextmanager
def served(*words: str, path: str = "/") -> Generator[str]:
    """Run one of ganbench's servers on a free port until it answers; yield its address, and stop it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "benchmarks.cli", *words, "--port", str(port)]
    # A session of its own: what the server starts in turn ends with it.
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet, start_new_session=True) as server:
        try:
            _await(f"{address}{path}", server)
            yield address
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(PATIENCE)


def _await(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert server.poll() is None, f"the server of {url} ended"
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    raise AssertionError(f"{url} does not answer")
