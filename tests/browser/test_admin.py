"""An operator in Chromium does each act and takes it back."""

from __future__ import annotations

import re
from typing import Final

import pytest
from playwright.async_api import Browser, Page, Response, Route, expect

from homeserver.demo import OPERATOR, Demo
from homeserver.sandbox.people import ELIZABETH
from homeserver.storage import people
from homeserver.storage.database import Reader, open_database
from tests.browser.conftest import KeepPicture, opened_tab
from tests.browser.test_boards import claim
from tests.browser.test_main_job import play

pytestmark = pytest.mark.chromium

WHY: Final = "a score that nobody can reach"


async def sign_in(page: Page, demo: Demo) -> None:
    await page.goto(f"{demo.home_url}/admin/sign-in")
    await page.get_by_label("Name").fill(OPERATOR)
    await page.get_by_label("Password").fill(demo.operator_password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Boards")).to_be_visible()


async def player_address(demo: Demo) -> str:
    """Elizabeth's page."""

    async def work(reader: Reader) -> str:
        player = await people.find_player(reader, "sandbox", ELIZABETH)
        assert player is not None
        return (await people.card(reader, player)).id

    async with open_database(demo.settings.database_url) as database:
        return f"{demo.home_url}/admin/players/{await database.read(work)}"


async def act(page: Page, button: str, /, **fields: str) -> None:
    """Open the form behind the button of this name, fill it in, and send it."""
    summary = page.locator("summary", has_text=re.compile(f"^{button}$")).first
    await summary.click()
    form = page.locator("details.act[open] form")
    for field, value in {**fields, "reason": WHY}.items():
        control = form.locator(f"[name={field}]")
        await (control.select_option(value) if field == "board" else control.fill(value))
    await form.get_by_role("button").click()


async def undo(page: Page, done: str, undone: str) -> None:
    """What was done is said; take it back, and that is said too."""
    notice = page.locator(".notice.done")
    await expect(notice).to_contain_text(f"Done: {done}.")
    await notice.get_by_role("button", name="Undo").click()
    await expect(notice).to_contain_text(f"Done: {undone}.")


async def over(page: Page, state: str = "done") -> None:
    """On a task's page, which changes by itself: until it says so."""
    await expect(page.locator("#task .chip").first).to_have_text(state)


async def test_each_act_and_what_takes_it_back(page: Page, demo: Demo, keep_picture: KeepPicture) -> None:
    await play(page, demo)
    await page.goto("about:blank")
    await claim(demo, "5000")
    await sign_in(page, demo)
    elizabeth, letters = await player_address(demo), f"{demo.home_url}/admin/boards/letters"

    await page.goto(elizabeth)
    await page.locator("summary", has_text="Hide").click()
    await keep_picture(page, "admin-act")
    await page.keyboard.press("Escape")
    await expect(page.locator("details.act[open]")).to_have_count(0)
    await act(page, "Hide", board="letters")
    await keep_picture(page, "admin-done")
    await undo(page, "hidden", "restored")
    await act(page, "Remove the score", board="letters")
    await undo(page, "score removed", "score counts again")
    await act(page, "Adjust the score", board="letters", score="4321")
    await expect(page.get_by_text("adjusted to 4321")).to_be_visible()
    await undo(page, "score adjusted", "adjustment taken back")
    await expect(page.get_by_text("adjusted to 4321")).to_have_count(0)

    await page.goto(f"{demo.home_url}/admin/review?board=busiest")
    await expect(page.locator("tbody tr").first).to_contain_text("5,000")
    await keep_picture(page, "admin-review")
    await act(page, "Approve")
    await undo(page, "claim approved", "claim taken up again")
    await act(page, "Reject")
    await undo(page, "claim rejected", "claim taken up again")
    await page.goto(f"{demo.home_url}/admin/review?board=letters&what=scores")
    await keep_picture(page, "admin-far-scores")
    await act(page, "It is right")
    await undo(page, "score found right", "finding taken back")

    await page.goto(letters)
    await act(page, "Close")
    await expect(page.locator(".lede")).to_contain_text("closed")
    await undo(page, "board closed", "board opened")
    await act(page, "Rebuild")
    await over(page)
    await expect(page.locator("#task")).to_contain_text("as many")
    await keep_picture(page, "admin-task")
    await page.goto(letters)
    await act(page, "Check the lists")
    await over(page)
    await page.goto(letters)
    await act(page, "Reset", name="Spring")
    await over(page)
    await page.goto(letters)
    await expect(page.locator("#entries .empty")).to_be_visible()
    await page.get_by_role("link", name="Spring").click()
    await expect(page.locator("#entries td.rank").first).to_have_text("1")
    await page.goto(letters)
    await page.get_by_role("link", name="reset", exact=True).click()
    await page.get_by_role("button", name="Undo").click()
    await over(page)
    await page.goto(letters)
    await expect(page.locator("#entries td.rank").first).to_have_text("1")

    await page.get_by_role("link", name="Act on a range of scores").click()
    await page.get_by_label("Least score").fill("10")
    await page.get_by_role("button", name="Show who that is").click()
    await expect(page.locator("caption")).to_contain_text("players would be concerned.")
    await keep_picture(page, "admin-range")
    await page.get_by_label("Reason").fill(WHY)
    await page.get_by_role("button", name=re.compile("^Hide")).click()
    await over(page)
    await page.goto(f"{letters}?state=hidden")
    await expect(page.locator("#entries tbody")).to_contain_text("Elizabeth Bennet")
    await page.go_back()
    await page.get_by_role("button", name="Undo").click()
    await over(page)
    await page.goto(f"{letters}?state=hidden")
    await expect(page.locator("#entries .empty")).to_be_visible()

    await page.goto(f"{elizabeth}/erase")
    await keep_picture(page, "admin-erase")
    await page.get_by_label("To be sure, type the name: Elizabeth Bennet").fill("Elizabeth Bennet")
    await page.get_by_label("Reason, for the log.").fill("asked for by mail")
    await page.get_by_role("button", name="Erase for good").click()
    await expect(page.locator(".notice.done")).to_contain_text("This cannot be undone here.")


async def test_without_scripts_a_task_tells_how_far_it_is(demo: Demo, browser: Browser) -> None:
    async with opened_tab(browser, java_script_enabled=False) as page:
        await sign_in(page, demo)
        await page.goto(f"{demo.home_url}/admin/boards/letters")
        await act(page, "Rebuild")
        await over(page)  # the page asks again by itself


async def test_a_task_is_asked_about_until_the_server_is_back(page: Page, demo: Demo, tolerated: list[str]) -> None:
    tolerated.append("status of 50")
    await sign_in(page, demo)
    opened: list[str] = []
    asked: list[str] = []

    async def away_for_a_moment(route: Route) -> None:
        if route.request.is_navigation_request():
            opened.append(route.request.url)
            answer = await route.fetch()
            going_on = (await answer.text()).replace('<div id="task">', '<div id="task" data-refresh="1">')
            await route.fulfill(response=answer, body=going_on)
            return
        asked.append(route.request.url)
        if len(asked) == 1:
            await route.fulfill(status=502, body="<h1>Bad gateway</h1>", content_type="text/html")
        else:
            await route.continue_()

    def is_well(answer: Response) -> bool:
        return len(asked) == 2 and answer.url == asked[1] and answer.status == 200

    await page.goto(f"{demo.home_url}/admin/boards/letters")
    await act(page, "Rebuild")
    await over(page)
    await page.route("**/admin/tasks/*", away_for_a_moment)
    async with page.expect_response(is_well):
        await page.reload()
    await over(page)
    assert len(opened) == 1
