"""The files page as a person handles it: signing in, choosing, dropping, looking at the list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from playwright.async_api import Locator, Page, expect

from homeserver.demo import Demo


async def sign_in(page: Page, demo: Demo, name: str, *, scripts: bool = True) -> None:
    """From the files page to the storage's sign-in and back, which takes a button where there is no script."""
    await page.goto(f"{demo.home_url}/files")
    await page.get_by_role("button", name="Sign in at Orange").click()
    await page.get_by_role("button", name=name).click()
    if not scripts:
        await page.get_by_role("button", name="Go back").click()
    await expect(page).to_have_url(f"{demo.home_url}/files")


async def choose(page: Page, *files: Path) -> None:
    """By the button, as the browser's own dialogue would give them."""
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="choose files").click()
    await (await chooser.value).set_files(list(files))


def row(page: Page, name: str) -> Locator:
    """The one line of the list that is about a file, under way or finished."""
    return page.locator("#uploads [data-upload]").filter(has_text=name)


async def expect_stored(page: Page, names: Sequence[str]) -> None:
    """All of them are, each once."""
    for name in names:
        await expect(row(page, name)).to_have_count(1)
        await expect(row(page, name).locator(".chip")).to_have_text("stored")


async def expect_no_sideways_scrolling(page: Page) -> None:
    """Nothing is wider than the window."""
    width = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0
