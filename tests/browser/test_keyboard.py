"""The main job by the keyboard alone: from the gadget's link to one's own row, through the sign-in to a stored file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import opened_tab
from tests.browser.files_page import expect_stored
from tests.web.conftest import prepared, running_stack

__all__ = ["prepared"]

pytestmark = pytest.mark.chromium

_MOST_STEPS: Final = 120
"""A page with so many places to stop at would be no page for a keyboard."""
_FOCUSED: Final = """() => {
    const focused = document.activeElement;
    const style = getComputedStyle(focused);
    const box = focused.getBoundingClientRect();
    return {
        name: (focused.ariaLabel || focused.textContent || focused.name || '').trim().replace(/\\s+/g, ' '),
        isSeen: focused === document.body || (box.width > 0 && box.height > 0 && box.right > 0 && box.bottom > 0),
        isMarked: focused === document.body || style.outlineStyle !== 'none',
    };
}"""


async def tab_to(page: Page, name: str) -> list[str]:
    """Press Tab until this is focused; what was passed on the way. Wherever the focus stops, one sees where it is."""
    passed: list[str] = []
    for _ in range(_MOST_STEPS):
        await page.keyboard.press("Tab")
        focused: dict[str, Any] = await page.evaluate(_FOCUSED)
        assert focused["isSeen"], focused
        assert focused["isMarked"], focused
        if focused["name"] == name:
            return passed
        passed.append(focused["name"])
    raise AssertionError(f"{name} cannot be reached: {passed}")


async def press(page: Page, name: str) -> list[str]:
    """Go there and press Enter, once the page is all there: what is focused before may be lost again."""
    await page.wait_for_load_state()
    passed = await tab_to(page, name)
    await page.keyboard.press("Enter")
    return passed


async def test_the_keyboard_alone_plays_the_main_job(browser: Browser, prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "stack")
    file = tmp_path / "Été à Pemberley.txt"
    file.write_text("by the keyboard")
    async with running_stack(tmp_path / "stack") as stack, opened_tab(browser) as page:
        gadget = await stack.open_gadget()
        link = urlsplit((await gadget.call("POST", "page-links")).json["url"]).path
        await page.goto(f"{stack.home_url}{link}")
        await press(page, "Yes, continue as Elizabeth Bennet")
        await expect(page).to_have_url(f"{stack.home_url}/")

        # The first stop leads past the head of the page.
        assert await press(page, "Skip to the content") == []
        assert "Files" not in await press(page, "Letters written")
        await expect(page).to_have_url(f"{stack.home_url}/boards/letters")
        await press(page, "Around me")
        await expect(page).to_have_url(f"{stack.home_url}/boards/letters?period=all&around=me")
        await expect(page.locator("tr#me")).to_contain_text("Elizabeth Bennet")

        await press(page, "Files")
        await expect(page).to_have_url(f"{stack.home_url}/sign-in?back=/files")
        await press(page, "Sign in at Orange")
        await expect(page.get_by_role("button", name="Marie Dupont")).to_be_visible()
        await page.get_by_role("button", name="Marie Dupont").press(
            "Enter"
        )  # Orange's page is not ours to walk through
        await expect(page).to_have_url(f"{stack.home_url}/files")
        await expect(page.get_by_role("button", name="choose files")).to_be_visible()
        async with page.expect_file_chooser() as chooser:
            await press(page, "choose files")
        await (await chooser.value).set_files(file)
        await expect_stored(page, [file.name])

        await press(page, "Português")
        await expect(page.locator("html")).to_have_attribute("lang", "pt-BR")
        await expect(page).to_have_url(f"{stack.home_url}/files")
        await page.goto("about:blank")
