"""The main job, as a person does it: play in the container, see the boards, sign in, send files, land on the portal."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, FrameLocator, Page, expect

from homeserver.demo import OPERATOR, Demo
from tests.browser.conftest import KeepPicture
from tests.browser.files_page import choose, sign_in

pytestmark = pytest.mark.chromium

ELIZABETH: Final = "15913663323317925521"


async def play(page: Page, demo: Demo) -> FrameLocator:
    """Choose Elizabeth on the container's page; the gadget in its frame, with a board."""
    await page.goto(demo.sandbox_url)
    await page.get_by_role("link", name="Elizabeth Bennet").click()
    gadget = page.frame_locator("iframe")
    await expect(gadget.get_by_role("table")).to_be_visible()
    return gadget


async def test_play_and_watch_the_board_change(page: Page, demo: Demo, keep_picture: KeepPicture) -> None:
    await page.goto(demo.sandbox_url)
    await keep_picture(page, "container-people")
    gadget = await play(page, demo)
    write = gadget.get_by_role("button", name="Write a letter")
    await expect(write).to_be_enabled()
    await expect(gadget.get_by_text("Elizabeth Bennet (you)")).to_be_visible()
    await keep_picture(page, "gadget-canvas")

    await write.click()
    await expect(gadget.get_by_role("status")).to_contain_text("Saved: 4.")
    assert demo.sandbox.container.appdata_of(ELIZABETH)["letters"] == "4"
    await expect(gadget.locator("tr.mine td.num")).to_have_text("4")
    await keep_picture(page, "gadget-score-written")

    # The pages show the same, to whoever comes; and to Elizabeth herself after the link from the gadget.
    async with page.context.expect_page() as opened:
        await gadget.get_by_role("button", name="Open my page").click()
    own = await opened.value
    await own.get_by_role("button", name="Yes, continue as Elizabeth Bennet").click()
    await expect(own).to_have_url(f"{demo.home_url}/")
    await keep_picture(own, "home")
    await own.goto(f"{demo.home_url}/boards/letters")
    await expect(own.locator("tr.mine").first).to_contain_text("Elizabeth Bennet")
    await expect(own.locator("tr.mine td.num").first).to_have_text("4")
    await keep_picture(own, "board")
    await own.get_by_role("link", name="Friends").first.click()
    await expect(own.locator("tr.mine").first).to_be_visible()
    await keep_picture(own, "board-friends")
    await own.goto(f"{demo.home_url}/privacy")
    await keep_picture(own, "privacy")


@pytest.mark.parametrize("view", ["profile", "home"])
async def test_the_gadget_has_every_view(page: Page, demo: Demo, keep_picture: KeepPicture, view: str) -> None:
    await page.goto(f"{demo.sandbox_url}/play?viewer={ELIZABETH}&view={view}")
    await expect(page.frame_locator("iframe").get_by_role("table")).to_be_visible()
    await keep_picture(page, f"gadget-{view}")


async def test_send_a_file_and_see_it_stored(page: Page, demo: Demo, keep_picture: KeepPicture, tmp_path: Path) -> None:
    content = b"\xff\xd8 a picture \xff\xd9" * 5_000
    file = tmp_path / 'Été "à" Pemberley.jpg'
    file.write_bytes(content)
    await page.goto(f"{demo.home_url}/files")
    await keep_picture(page, "sign-in")
    await page.get_by_role("button", name="Sign in at Orange").click()
    await keep_picture(page, "storage-sign-in")
    await page.get_by_role("button", name="Marie Dupont").click()
    await keep_picture(page, "files-empty")
    await choose(page, file)
    stored = page.get_by_role("row").filter(has_text="Pemberley.jpg")
    await expect(stored).to_contain_text("stored")
    await expect(stored).to_contain_text("6174")
    await keep_picture(page, "files-stored")
    kept = demo.sandbox.storage.files[file.name]
    assert (kept.sha256, kept.media_type) == (hashlib.sha256(content).hexdigest(), "image/jpeg")
    await page.goto(f"{demo.sandbox_url}/mesdonnees/")
    await expect(page.get_by_text(file.name)).to_be_visible()
    await keep_picture(page, "storage-arrived")


async def test_the_form_alone_does_the_same_without_scripts(browser: Browser, demo: Demo, tmp_path: Path) -> None:
    """The real policy is in force: a 303 from our form to another site must be allowed by it."""
    file = tmp_path / "HelloWorld.jpg"
    file.write_bytes(b"Hello, World")
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await sign_in(page, demo, "Paul Martin", scripts=False)
    await page.get_by_label("Choose a file").set_input_files(file)
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page).to_have_url(re.compile(f"{demo.sandbox_url}/mesdonnees/portal"))
    await page.get_by_role("button", name="Activate my space").click()
    await page.goto(f"{demo.home_url}/files")
    await page.get_by_role("button", name="I have activated it, send now").click()
    await page.get_by_role("link", name="Refresh").click()
    await expect(page.get_by_role("row").filter(has_text="HelloWorld.jpg")).to_contain_text("stored")
    await context.close()


async def test_an_operator_signs_in_and_sees_the_boards(page: Page, demo: Demo, keep_picture: KeepPicture) -> None:
    await play(page, demo)
    await page.goto(f"{demo.home_url}/admin")
    await keep_picture(page, "admin-sign-in")
    await page.get_by_label("Name").fill(OPERATOR)
    await page.get_by_label("Password").fill(demo.operator_password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Boards")).to_be_visible()
    await expect(page.get_by_text("Letters written")).to_be_visible()
    await keep_picture(page, "admin")
