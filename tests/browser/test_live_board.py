"""The board's page in Chromium while scores come: rows move calmly, wait for the reader, and can be stopped."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, Route, expect

from homeserver.demo import Demo
from homeserver.model import Origin, Person
from homeserver.storage import appdata, leaderboards, people
from homeserver.storage.appdata import Observation
from homeserver.storage.database import Transaction, open_database
from homeserver.wiring import wall_clock_ms
from tests.browser.conftest import KeepPicture
from tests.writing import observe_person

pytestmark = pytest.mark.chromium

ROWS = "#rows > tr"


async def score(demo: Demo, **letters: int) -> None:
    """What a sync would find: these people, who may be new, have written so many letters. As another process does."""

    async def work(tx: Transaction) -> None:
        boards, now_ms = await leaderboards.begin(tx), wall_clock_ms()
        found: list[Observation] = []
        for name, count in letters.items():
            player = await people.player_of(tx, "sandbox", f"test-{name}")
            await observe_person(tx, player, Person(name, given_name=name), now_ms)
            found.append(Observation(player, {"letters": str(count)}, now_ms, now_ms, Origin.SUBMITTED))
        changed = await appdata.observe_all(tx, found)
        await leaderboards.record(tx, boards, [change for each in changed for change in each], now_ms)

    async with open_database(demo.settings.database_url) as database:
        await database.write(work)


async def names(page: Page) -> list[str]:
    return await page.locator(f"{ROWS} .name").all_inner_texts()


async def count_moves(page: Page) -> None:
    """Count the animations of rows from now on."""
    await page.evaluate(
        "() => { window.moves = 0; const was = Element.prototype.animate;"
        "Element.prototype.animate = function (...all) { window.moves += 1; return was.apply(this, all); }; }"
    )


async def test_rows_move_when_scores_come_and_wait_for_who_reads(
    page: Page, demo: Demo, keep_picture: KeepPicture
) -> None:
    await score(demo, Anna=30, Bert=20, Carl=10)
    await page.goto(f"{demo.home_url}/boards/letters")
    await expect(page.locator("#live-state")).to_have_text("Live")
    await count_moves(page)
    await score(demo, Carl=40, Dora=35)
    await expect(page.locator(f"{ROWS} .name")).to_have_text(["Carl", "Dora", "Anna", "Bert"])
    await expect(page.get_by_role("status")).to_have_text("4 places on this page have changed.")
    assert await page.evaluate("window.moves") == 4
    assert await page.evaluate("document.getAnimations().every((one) => one.effect.getTiming().duration <= 200)")

    await page.locator(f"{ROWS} .name").nth(2).hover()  # Anna is being read
    await score(demo, Bert=50)
    await expect(page.locator("#live-state")).to_have_text("There is news: it is shown when you leave the list.")
    assert await names(page) == ["Carl", "Dora", "Anna", "Bert"]
    await page.mouse.move(0, 0)
    await expect(page.locator(f"{ROWS} .name")).to_have_text(["Bert", "Carl", "Dora", "Anna"])

    await page.locator(f"{ROWS} .name").nth(3).focus()
    await score(demo, Dora=60)
    await expect(page.locator("#live-state")).to_have_text("There is news: it is shown when you leave the list.")
    await expect(page.locator(f"{ROWS} .name").nth(3)).to_be_focused()
    pause = page.get_by_role("button", name="Pause live updates")
    await pause.focus()
    await expect(page.locator(f"{ROWS} .name").first).to_have_text("Dora")
    await expect(pause).to_be_focused()

    await pause.press("Space")
    await expect(pause).to_have_attribute("aria-pressed", "true")
    await score(demo, Anna=70)
    await page.reload()
    await expect(page.locator("#live-state")).to_have_text("Live updates are paused.")
    await score(demo, Carl=80)
    await keep_picture(page, "board-live-paused")
    assert (await names(page))[0] == "Anna"
    await pause.click()
    await expect(page.locator(f"{ROWS} .name").first).to_have_text("Carl")  # told at once what was missed


async def test_what_a_busy_server_did_not_give_is_asked_for_again(page: Page, demo: Demo, tolerated: list[str]) -> None:
    tolerated.append("status of (503|429)")
    await score(demo, Anna=30, Bert=20)
    await page.goto(f"{demo.home_url}/boards/letters")
    await expect(page.locator("#live-state")).to_have_text("Live")
    refusals = [429, 503]

    async def busy(route: Route) -> None:
        if refusals:
            await route.fulfill(status=refusals.pop())
        else:
            await route.continue_()

    await page.route("**/boards/letters", busy)
    await score(demo, Bert=40)
    await expect(page.locator(f"{ROWS} .name")).to_have_text(["Bert", "Anna"])
    assert refusals == []


async def test_with_reduced_motion_nothing_moves_and_a_hidden_tab_holds_no_stream(page: Page, demo: Demo) -> None:
    await page.emulate_media(reduced_motion="reduce")
    await score(demo, Anna=30, Bert=20)
    await page.goto(f"{demo.home_url}/boards/letters")
    await expect(page.locator("#live-state")).to_have_text("Live")
    await count_moves(page)
    await score(demo, Bert=40)
    await expect(page.locator(f"{ROWS} .name")).to_have_text(["Bert", "Anna"])
    assert await page.evaluate("window.moves") == 0

    hide = (
        "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange')); }"
    )
    await page.evaluate(hide, True)
    await expect(page.locator("#live-state")).to_have_text("")
    await score(demo, Anna=50)
    assert await names(page) == ["Bert", "Anna"]
    async with page.expect_response(lambda answer: "/events?" in answer.url) as opened:
        await page.evaluate(hide, False)
    assert "version=" in (await opened.value).url
    await expect(page.locator(f"{ROWS} .name")).to_have_text(["Anna", "Bert"])


async def test_a_history_is_a_chart_and_stays_a_drawing_without_scripts(
    page: Page, demo: Demo, keep_picture: KeepPicture
) -> None:
    for letters in (10, 12, 30):
        await score(demo, Anna=letters)
    await page.goto(f"{demo.home_url}/boards/letters")
    await page.locator(f"{ROWS} .name").click()
    chart = page.get_by_role("group", name="Letters written over time, now 30")
    await expect(chart.locator("canvas")).to_be_visible()
    await chart.locator(".u-over").hover()
    legend = chart.locator(".u-legend")
    await expect(legend).to_contain_text("Letters written")
    await expect(legend).to_contain_text(re.compile(r"\d{1,2} \w{3,4} \d{4}, \d\d:\d\d"))  # as on the page
    await page.emulate_media(color_scheme="dark")
    await expect(chart.locator("canvas")).to_be_visible()
    await keep_picture(page, "player-history-dark")
    address = page.url
    assert page.context.browser is not None
    plain = await page.context.browser.new_context(java_script_enabled=False)
    still = await plain.new_page()
    await still.goto(address)
    await expect(still.get_by_role("img", name="Letters written over time, now 30").first).to_be_visible()
    await plain.close()
