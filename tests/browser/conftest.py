"""A demo on free ports, and Chromium in front of it. Each test keeps pictures in `build/screenshots/`."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from homeserver.demo import Demo, prepare, running
from tests.patience import PATIENCE_S

SCREENSHOTS: Final = Path(__file__).parents[2] / "build" / "screenshots"
PATIENCE_MS: Final = 1_000 * PATIENCE_S

# Chromium's own business on the network is refused here and would fill its log; root needs --no-sandbox.
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

KeepPicture = Callable[[Page, str], Awaitable[None]]


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    """The product with its sandbox, begun anew."""
    prepared = await asyncio.to_thread(prepare, tmp_path / "demo", 0, 0)
    async with running(prepared):
        yield prepared


@asynccontextmanager
async def opened_browser() -> AsyncIterator[Browser]:
    """Debian's Chromium. What is expected of its pages from now on is waited for as long as all else."""
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        yield chromium
        await chromium.close()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    async with opened_browser() as chromium:
        yield chromium


@pytest.fixture
def tolerated() -> list[str]:
    """What the browser's console may say in this test all the same: patterns, for the test to add to."""
    return []


@asynccontextmanager
async def opened_tab(browser: Browser, tolerated: Sequence[str] = (), **options: Any) -> AsyncIterator[Page]:
    """A tab of a browser that has never been here, with these options of its context.

    What its pages complain of as errors, but for what is tolerated (patterns), makes the end fail.
    """
    usual = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", "timezone_id": "UTC"}
    context = await browser.new_context(**{**usual, **options})
    context.set_default_timeout(PATIENCE_MS)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    context.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield await context.new_page()
    await context.close()
    assert [error for error in errors if not any(re.search(pattern, error) for pattern in tolerated)] == []


@pytest.fixture
async def page(browser: Browser, demo: Demo, tolerated: list[str]) -> AsyncIterator[Page]:
    """A tab. It is closed before the demo is: a page that listens would say that nobody is there."""
    async with opened_tab(browser, tolerated) as tab:
        yield tab


@pytest.fixture
def keep_picture() -> KeepPicture:
    """Keep the whole page as a picture, for people to look at."""

    async def keep(page: Page, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    return keep
