"""Test set-up: one thread, so that floats are the same on every machine; seeded random signals; a browser."""

import os
import shutil

import pytest
import torch

torch.set_num_threads(1)
# As little as possible beside the page itself: no sandbox (CI runs as root), no updates, no first-run traffic.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture
def rng() -> torch.Generator:
    """A random generator with a fixed seed."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def browser():
    """A Chromium that is on the machine; without one, tests that ask for it are skipped, or fail in CI."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        message = "no chromium, chromium-browser or google-chrome on PATH: the browser tests did not run"
        pytest.fail(message) if os.environ.get("GDL_BROWSER") == "required" else pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(autouse=True)
def seed():
    """Torch's own random numbers begin anew in each test."""
    torch.manual_seed(0)
