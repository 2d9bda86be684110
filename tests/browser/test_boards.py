"""Boards in Chromium: friends among each other, seasons, gains, and a score that waits to be looked at."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from homeserver.demo import Demo
from homeserver.model import Origin
from homeserver.sandbox.people import ELIZABETH
from homeserver.storage import appdata, leaderboards, people
from homeserver.storage.database import Transaction, open_database
from homeserver.wiring import wall_clock_ms
from tests.browser.conftest import KeepPicture
from tests.browser.test_main_job import play

pytestmark = pytest.mark.chromium


async def claim(demo: Demo, letters: str) -> None:
    """What a sync would find, if Elizabeth had been synced longer ago."""

    async def work(tx: Transaction) -> None:
        player = await people.player_of(tx, "sandbox", ELIZABETH)
        boards, now_ms = await leaderboards.begin(tx), wall_clock_ms()
        found = await appdata.observe(
            tx, player, {"letters": letters}, observed_ms=now_ms, at_ms=now_ms, origin=Origin.READ
        )
        await leaderboards.record(tx, boards, found, now_ms)

    async with open_database(demo.settings.database_url) as database:
        await database.write(work)


async def test_pages_and_gadget_show_what_is_mine(page: Page, demo: Demo, keep_picture: KeepPicture) -> None:
    gadget = await play(page, demo)
    write = gadget.get_by_role("button", name="Write a letter")
    for letters in ("4", "5"):
        await expect(write).to_be_enabled()
        await write.click()
        await expect(gadget.get_by_role("status")).to_contain_text(f"Saved: {letters}.")
    assert demo.sandbox.container.appdata_of(ELIZABETH)["last_letter_date"].startswith("20")
    await gadget.get_by_role("button", name="Friends").click()
    await expect(gadget.locator("caption")).to_contain_text("places among you and your friends, ")
    await expect(gadget.locator("tr.mine .hint")).to_contain_text("of all")
    await keep_picture(page, "gadget-friends")
    await gadget.get_by_role("button", name="Season").click()
    await expect(gadget.locator("caption")).to_contain_text("Season 20")
    await expect(gadget.locator(".own .big")).to_have_text("1")
    await expect(gadget.locator(".own")).to_contain_text("of 1 player")

    async with page.context.expect_page() as opened:
        await gadget.get_by_role("button", name="Open my page").click()
    own = await opened.value
    await own.get_by_role("button", name="Yes, continue as Elizabeth Bennet").click()
    await own.goto(f"{demo.home_url}/boards/letters?period=season")
    await expect(own.locator("tr.mine .num")).to_have_text("5")
    await keep_picture(own, "board-season")
    await own.goto(f"{demo.home_url}/boards/busiest?period=day")
    await expect(own.locator("tr.mine .num")).to_have_text("2")
    await keep_picture(own, "board-gained")

    await claim(demo, "5000")
    gadget = await play(page, demo)
    await gadget.get_by_role("button", name="Busiest writers").click()
    await expect(gadget.locator(".own")).to_contain_text("5,000 waits to be looked at")
    await keep_picture(page, "gadget-pending")
    await own.goto(f"{demo.home_url}/boards/busiest")
    await expect(own.get_by_text("waits to be looked at")).to_be_visible()
    await keep_picture(own, "board-pending")
    await own.locator("a.me").click()
    await expect(own.get_by_role("heading", name="Elizabeth Bennet")).to_be_visible()
    await keep_picture(own, "player")
    await own.set_viewport_size({"width": 360, "height": 800})
    await keep_picture(own, "player-narrow")
    await own.goto(f"{demo.home_url}/boards/letters?friends=true")
    await expect(own.locator("tr.mine")).to_be_visible()
    overflow = await own.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    await keep_picture(own, "board-friends-narrow")
