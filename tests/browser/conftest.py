"""Debian's Chromium, which no test of this folder lets into a network."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # pyrefly: ignore[missing-import]

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.fail("no chromium on the PATH; apt-get install chromium")
    nowhere = "--host-resolver-rules=MAP * ~NOTFOUND"
    with sync_playwright() as started:
        running = started.chromium.launch(
            executable_path=program, args=["--no-sandbox", nowhere], timeout=120_000
        )
        yield running
        running.close()
