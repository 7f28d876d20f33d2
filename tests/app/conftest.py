"""Two models on disk, and a browser to look at the page with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from parts import tiny_model, write_clip

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-device-for-media-stream",  # a camera that shows a clock
    "--use-fake-ui-for-media-stream",  # and that may be used
]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two saved models, without motion and with M2A."""
    folders = []
    for mechanism in ("none", "m2a"):
        folders.append(tmp_path_factory.mktemp("models") / mechanism)
        tiny_model(mechanism).save_pretrained(folders[-1])
    return folders


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "square to the right.mp4")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium. Without one the test is skipped, or fails where M2A_REQUIRE_CHROMIUM is 1."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    reason = None
    if found is None:
        reason = f"there is no {', no '.join(NAMES)} on this machine; on Debian: apt-get install chromium"
    elif find_spec("playwright") is None:
        reason = "playwright, of the developers' tools, is not installed"
    if reason is not None:
        (pytest.fail if os.environ.get("M2A_REQUIRE_CHROMIUM") == "1" else pytest.skip)(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=SWITCHES)
        yield browser
        browser.close()
