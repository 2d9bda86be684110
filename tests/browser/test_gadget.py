"""The gadget in the sandbox's frame, on another site than the server: every view, state and trouble that it can be in.

One server and one browser for all of it; each test is somebody else in the container, or leaves things as they were.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    FrameLocator,
    Page,
    ProxySettings,
    Route,
    async_playwright,
    expect,
)

from homeserver.sandbox import CannedReply, Fault
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE
from homeserver.services.board_states import BoardStates
from homeserver.services.moderation import Moderation
from homeserver.services.rebuilds import Rebuilds
from homeserver.storage import people
from homeserver.storage.database import open_database
from homeserver.storage.migrate import migrate
from homeserver.web.languages import all_languages
from homeserver.wiring import wall_clock_ms
from tests.browser.conftest import FLAGS, PATIENCE_MS, SCREENSHOTS, opened_browser, opened_tab
from tests.browser.test_all_pages import axe
from tests.browser.wire import Wire, stretched
from tests.patience import until
from tests.web.conftest import Stack, running_stack
from tests.web.test_tus_clients import bundled

__all__ = ["axe", "bundled"]

pytestmark = [pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

FAMILY: Final = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
FLAG: Final = "\N{REGIONAL INDICATOR SYMBOL LETTER B}\N{REGIONAL INDICATOR SYMBOL LETTER R}"
SOON: Final = "const timeout = AbortSignal.timeout.bind(AbortSignal); AbortSignal.timeout = (ms) => timeout(ms / 100);"
"""Whoever does not answer is given up soon."""
NAME: Final = "Wolfeschlegelsteinhausenbergerdorff "


@dataclass(slots=True)
class World:
    """The product, its sandbox, and a browser. The clock of both servers is `ahead_ms` of the browser's."""

    stack: Stack
    browser: Browser
    ahead_ms: int = 0

    @asynccontextmanager
    async def tab(self, **options: Any) -> AsyncIterator[Page]:
        """A tab that leaves its last page before the servers end; see `opened_tab`."""
        async with opened_tab(self.browser, **options) as page:
            yield page
            await page.goto("about:blank")

    def place(self, viewer: str | None, view: str = "canvas", owner: str | None = None, lang: str = "en") -> str:
        """Where the container shows the gadget."""
        query = {"viewer": viewer or "", "owner": owner or viewer or "", "view": view, "lang": lang, "bpc": "1"}
        return f"{self.stack.sandbox_url}/play?{urlencode(query)}"

    async def open(self, page: Page, viewer: str | None, view: str = "canvas", **more: Any) -> FrameLocator:
        """The gadget, once it shows a board."""
        await page.goto(self.place(viewer, view, **more))
        gadget = page.frame_locator("iframe")
        await expect(gadget.get_by_role("table")).to_be_visible()
        return gadget


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("gadget")
    await asyncio.to_thread(migrate, f"sqlite:///{folder / 'homeserver.db'}")
    found: list[World] = []
    async with (
        running_stack(folder, now_ms=lambda: wall_clock_ms() + (found[0].ahead_ms if found else 0)) as stack,
        opened_browser() as chromium,
    ):
        found.append(World(stack, chromium))
        yield found[0]


def through(wire: Wire) -> ProxySettings:
    return {"server": f"socks5://127.0.0.1:{wire.port}", "bypass": "<-loopback>"}


async def keep(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"gadget-{name}.png", full_page=True)


async def write(world: World, person: str, value: str, board: str = "letters") -> None:
    """Somebody else plays, elsewhere."""
    gadget = await world.stack.open_gadget(person)
    assert (await gadget.call("POST", "scores", {"board": board, "value": value})).status == 201


# --- how it looks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("view", "width"), [("canvas", 1280), ("profile", 1000), ("home", 1000), ("canvas", 360)])
async def test_every_view_fits_its_frame(
    world: World, axe: str, view: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    """The frame has the height that the gadget asks for, so that nothing is hidden or scrolls; axe finds nothing."""
    async with world.tab(viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        gadget = await world.open(page, CHARLOTTE, view)
        await expect(gadget.locator(".own")).to_be_visible()
        await expect(gadget.locator(".pulse.on")).to_have_text("Live")
        await page.wait_for_function(
            "() => { const root = document.getElementById('gadget').contentDocument.documentElement;"
            " return root.scrollHeight <= root.clientHeight && root.scrollWidth <= root.clientWidth; }"
        )
        ground = await gadget.locator("#homeserver").evaluate("one => getComputedStyle(one).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
        await keep(page, f"{view}-{width}-{scheme}")
        frame = page.frames[1]
        await frame.evaluate(axe)
        rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
        found = await frame.evaluate("(tags) => axe.run('#homeserver', { runOnly: tags, preload: false })", rules)
        assert [(each["id"], each["nodes"][0]["failureSummary"]) for each in found["violations"]] == []
        assert found["passes"]


# --- the main job ---------------------------------------------------------------------------------------------------


async def test_a_score_says_whom_it_has_overtaken(world: World) -> None:
    """Those who had as many before; not those who have as many now."""
    async with world.tab() as page:
        gadget = await world.open(page, ELIZABETH)
        button = gadget.get_by_role("button", name="Write a letter")
        await expect(button).to_be_enabled()
        await button.click()
        said = gadget.get_by_role("status")
        await expect(said).to_contain_text(re.compile(r"Saved: 4\. All time: place =\d+, up \d places\."))
        await expect(said).to_contain_text("You have overtaken \u2068Emma Woodhouse\u2069.")
        level = gadget.locator("tr:not(.mine)", has=gadget.locator("td.num", has_text=re.compile(r"^4$")))
        names = await level.locator("bdi").all_text_contents()
        assert len(names) == 3
        await button.click()
        await expect(said).to_contain_text("Saved: 5.")
        await expect(said).to_contain_text("You have overtaken")
        for name in names:
            await expect(said).to_contain_text(name)
        await expect(gadget.locator("tr.mine td.num")).to_have_text("5")
        await expect(gadget.locator(".own .num")).to_have_text("5")
        assert world.stack.sandbox.container.appdata_of(ELIZABETH)["letters"] == "5"
        await keep(page, "overtaken")


async def test_the_keyboard_alone_plays_the_main_job(world: World) -> None:
    async with world.tab() as page:
        gadget = await world.open(page, CHARLOTTE)
        await expect(gadget.get_by_role("button", name="Write a letter")).to_be_enabled()
        await gadget.get_by_role("button", name="Letters written").focus()
        for name, key in (("Week", "Enter"), ("All time", "Space"), ("Around me", "Enter")):
            button = gadget.get_by_role("button", name=name, exact=True)
            for _ in range(20):
                if await button.evaluate("one => one === document.activeElement"):
                    break
                await page.keyboard.press("Shift+Tab" if name == "All time" else "Tab")
            await page.keyboard.press(key)
            await expect(button).to_have_attribute("aria-pressed", "true")
            await expect(button).to_be_focused()  # the table was drawn anew, the keyboard is where it was
        add = gadget.get_by_role("button", name="Write a letter")
        while not await add.evaluate("one => one === document.activeElement"):
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(gadget.get_by_role("status")).to_contain_text("Saved: 2.")
        await expect(add).to_be_enabled()


async def test_what_is_added_goes_to_the_board_of_its_button(world: World) -> None:
    """Whichever is chosen before the answers come, also when it has to be tried again."""
    before = world.stack.sandbox.container.appdata_of(CHARLOTTE)
    wanted = str(int(before["letters"]) + 1)
    async with world.tab(tolerated="status of 503") as page:
        gadget = await world.open(page, CHARLOTTE)
        add, said = gadget.get_by_role("button", name="Write a letter"), gadget.get_by_role("status")
        await expect(add).to_be_enabled()
        await expect(gadget.locator(".pulse.on")).to_be_visible()
        is_chosen = asyncio.Event()
        written: list[Any] = []

        async def later(route: Route) -> None:
            await is_chosen.wait()
            await route.continue_()

        async def second_time(route: Route) -> None:
            written.append(route.request.post_data_json)
            if len(written) == 1:
                await route.fulfill(status=503, json={"code": "busy"}, headers={"Access-Control-Allow-Origin": "*"})
            else:
                await route.continue_()

        await page.route("**/gadget/v1/me", later)
        await page.route("**/gadget/v1/scores", second_time)
        async with page.expect_request("**/gadget/v1/me"):
            await add.click()
        await gadget.get_by_role("button", name="Fastest letter").click()
        await expect(gadget.locator("caption")).to_contain_text("Fastest letter")
        is_chosen.set()
        await gadget.get_by_role("button", name="Try again").click()
        await expect(said).to_contain_text(f"Saved: {wanted}.")
        assert [(each["board"], each["value"]) for each in written] == [("letters", wanted)] * 2
        after = world.stack.sandbox.container.appdata_of(CHARLOTTE)
        assert (after["letters"], after.get("best_time")) == (wanted, before.get("best_time"))
        await page.unroute_all()


async def test_a_change_elsewhere_moves_the_rows(world: World) -> None:
    """But not under the pointer."""
    async with world.tab() as page:
        gadget = await world.open(page, CHARLOTTE)
        await expect(gadget.locator(".pulse.on")).to_be_visible()
        first = gadget.locator("tbody tr").first
        await expect(first).not_to_contain_text("Jane Bennet")
        await gadget.locator("tbody tr").nth(3).hover()
        asked = page.expect_request("**/entries?*", timeout=1500)
        await write(world, JANE, "900")
        with pytest.raises(Exception, match="Timeout"):
            async with asked:
                pass
        await expect(first).not_to_contain_text("Jane Bennet")
        await page.mouse.move(5, 5)
        await expect(first).to_contain_text("Jane Bennet")
        await write(world, JANE, "1000")
        await expect(first.locator("td.num")).to_have_text("1,000")
        await gadget.get_by_role("button", name="Today").click()  # another list: its changes are told instead
        await expect(first.locator("td.num")).to_have_text("1,000")
        await page.mouse.move(5, 5)
        await write(world, JANE, "1001")
        await expect(first.locator("td.num")).to_have_text("1,001")


# --- languages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "title", "button", "thousand"),
    [
        ("fr", "Lettres", "Écrire une lettre", "1\u202f234"),
        ("pt-BR", "Cartas", "Escrever uma carta", "1.234"),
        ("en", "Letters", "Write a letter", "1,234"),
    ],
)
async def test_the_container_says_in_which_language(
    world: World, lang: str, title: str, button: str, thousand: str
) -> None:
    await write(world, JANE, "1234")
    async with world.tab(locale="de-DE") as page:
        gadget = await world.open(page, CHARLOTTE, lang=lang)
        assert await page.frames[1].title() == title
        await expect(gadget.locator("#homeserver")).to_have_attribute("lang", lang)
        await expect(gadget.get_by_role("button", name=button)).to_be_visible()
        words = all_languages()[lang].words_of("gadget/")["texts"]
        await expect(gadget.get_by_role("button", name=words.get("Everybody", ["Everybody"])[0])).to_be_visible()
        await expect(gadget.locator("td.num").first).to_have_text(thousand)
        await keep(page, f"language-{lang}")


# --- troubles -------------------------------------------------------------------------------------------------------

AWAY: Final = "net::ERR_|status of 401|status of 403"


async def test_who_is_offline_is_told_and_goes_on_where_they_were(world: World) -> None:
    async with world.tab(tolerated=[AWAY]) as page:
        gadget = await world.open(page, CHARLOTTE)
        await expect(gadget.locator(".pulse.on")).to_be_visible()
        await page.context.set_offline(True)
        said = gadget.get_by_role("status")
        await expect(said).to_contain_text("You are offline.")
        await expect(gadget.locator(".pulse")).to_contain_text("Read at")
        await gadget.get_by_role("button", name="Friends").click()
        await expect(said).to_contain_text("You are offline.")
        await expect(gadget.get_by_role("table")).to_be_visible()
        await keep(page, "offline")
        await page.context.set_offline(False)
        await expect(said).to_be_empty()
        await expect(gadget.locator("caption")).to_contain_text("among you and your friends")
        await expect(gadget.locator(".pulse.on")).to_be_visible()


async def test_a_server_that_is_away_is_asked_again(world: World) -> None:
    """By itself where that is safe. A score of which no answer came is looked for before it is written again."""
    async with stretched() as wire, world.tab(tolerated=[AWAY], proxy=through(wire)) as page:
        gadget = await world.open(page, CHARLOTTE)
        add, said = gadget.get_by_role("button", name="Write a letter"), gadget.get_by_role("status")
        await expect(add).to_be_enabled()
        wire.cut()
        await gadget.get_by_role("button", name="Friends").click()
        await expect(said).to_contain_text("The server cannot be reached.")
        await expect(gadget.locator(".pulse")).not_to_have_class(re.compile(r"\bon\b"))
        wire.mend()
        await expect(gadget.locator("caption")).to_contain_text("among you and your friends")
        await expect(said).to_be_empty()
        await expect(gadget.locator(".pulse.on")).to_be_visible()

        held = world.stack.sandbox.container.appdata_of(CHARLOTTE)
        wanted = str(int(held["letters"]) + 1)

        async def written_but_unsaid(route: Route) -> None:
            await route.fetch()
            await route.abort("connectionreset")

        await page.route("**/gadget/v1/scores", written_but_unsaid)
        await add.click()
        await expect(said).to_contain_text("perhaps it was saved, perhaps not.")
        assert world.stack.sandbox.container.appdata_of(CHARLOTTE)["letters"] == wanted
        await page.unroute("**/gadget/v1/scores")
        await gadget.get_by_role("button", name="Try again").click()
        await expect(said).to_contain_text(f"Saved: {wanted}.")
        assert world.stack.sandbox.container.appdata_of(CHARLOTTE)["letters"] == wanted


async def fall_silent(world: World, page: Page, draw: int) -> tuple[FrameLocator, list[Route]]:
    """The gadget while the server no longer answers what it asks, and what that was. `draw` is what the gadget draws
    when it waits: 1000, and it does not try again by itself; -1, and it does so at once."""
    await page.add_init_script(f"{SOON} Math.random = () => {draw};")
    gadget = await world.open(page, CHARLOTTE)
    await expect(gadget.locator(".pulse.on")).to_be_visible()
    silent: list[Route] = []

    async def answers_nothing(route: Route) -> None:
        silent.append(route)

    await page.route("**/entries?*", answers_nothing)
    await gadget.get_by_role("button", name="Friends").click()
    await expect(gadget.get_by_role("status")).to_contain_text("The server cannot be reached.")
    return gadget, silent


async def test_a_server_that_says_nothing_is_not_waited_for_for_ever(world: World) -> None:
    """Nor asked again by itself before it is time: the button does it now."""
    async with world.tab(tolerated=AWAY) as page:
        gadget, silent = await fall_silent(world, page, 1000)
        await page.unroute("**/entries?*")
        await gadget.get_by_role("button", name="Try again now").click()
        await expect(gadget.locator("caption")).to_contain_text("among you and your friends")
        assert len(silent) == 1


async def test_a_trouble_that_lasts_is_said_once(world: World) -> None:
    """The button keeps the focus while the gadget tries by itself, and nothing is read out again."""
    async with world.tab(tolerated=AWAY) as page:
        gadget, silent = await fall_silent(world, page, -1)
        again, said = gadget.get_by_role("button", name="Try again now"), gadget.get_by_role("status")
        await again.focus()
        await said.evaluate(
            "said => new MutationObserver(() => { said.dataset.changed = 'yes'; }).observe(said, {childList: true})"
        )
        tried = len(silent)

        async def is_tried() -> bool:
            return len(silent) >= tried + 3

        await until(is_tried)
        await expect(again).to_be_focused()
        await expect(said).not_to_have_attribute("data-changed", "yes")


async def test_a_token_that_is_no_longer_good_is_renewed(world: World) -> None:
    async with world.tab(tolerated=[AWAY]) as page:
        gadget = await world.open(page, CHARLOTTE)
        add = gadget.get_by_role("button", name="Write a letter")
        await expect(add).to_be_enabled()
        for event in ("event.removeapp", "event.addapp"):  # which ends her tokens
            assert (await world.stack.sandbox.gadgets.tell(event, CHARLOTTE)).status == 204
        await add.click()
        await expect(gadget.get_by_role("status")).to_contain_text("Saved:")
        await expect(gadget.locator(".pulse.on")).to_be_visible()


async def test_a_page_that_was_open_for_too_long_must_be_loaded_again(world: World) -> None:
    """The container's own token ends too, and with it the handshake."""
    async with world.tab(tolerated=[AWAY]) as page:
        gadget = await world.open(page, CHARLOTTE)
        await expect(gadget.get_by_role("button", name="Write a letter")).to_be_enabled()
        world.ahead_ms += 2 * 3_600_000
        await gadget.get_by_role("button", name="Week").click()
        await expect(gadget.get_by_role("status")).to_contain_text("Load it again.")
        await gadget.get_by_role("button", name="Try again").click()
        await expect(gadget.get_by_role("status")).to_contain_text("Load it again.")


async def test_who_is_hidden_sees_it_and_is_seen_by_nobody(world: World) -> None:
    async with world.tab() as page:
        gadget = await world.open(page, CHARLOTTE)
        await gadget.get_by_role("button", name="Around me").click()
        await expect(gadget.locator("tr.mine")).to_have_count(1)
        await expect(gadget.locator(".own")).not_to_contain_text("seen by you alone")
        async with open_database(world.stack.settings.database_url) as database:
            player = await database.read(lambda reader: people.find_player(reader, "sandbox", CHARLOTTE))
            assert player is not None
            moderation = Moderation(database, world.stack.now_ms)
            await moderation.hide(player, actor="maria", reason="too good")
            await expect(gadget.locator("tr.mine")).to_have_count(0)  # the gadget heard of it
            await expect(gadget.locator(".own")).to_contain_text("seen by you alone")
            await keep(page, "hidden")
            await moderation.restore(player, actor="maria", reason="after all")
        await expect(gadget.locator("tr.mine")).to_have_count(1)


async def test_a_closed_board_says_so_before_a_score_is_refused(world: World) -> None:
    """When it is opened, or chosen; where it was closed meanwhile, with the refusal."""
    async with open_database(world.stack.settings.database_url) as database, world.tab(tolerated=["409"]) as page:
        states = BoardStates(database, Rebuilds(database, world.stack.now_ms), world.stack.now_ms)
        gadget = await world.open(page, CHARLOTTE)
        button, closed = gadget.get_by_role("button", name="Write a letter"), gadget.locator(".closed")
        await expect(button).to_be_enabled()
        await states.close("letters", actor="maria", reason="a pause")
        await expect(closed).to_have_count(0)
        await button.click()
        await expect(gadget.get_by_role("status")).to_contain_text("The board takes no scores for now.")
        await expect(closed).to_contain_text("This board is closed since")
        await expect(button).to_have_count(0)
        gadget = await world.open(page, CHARLOTTE)
        await expect(closed).to_contain_text("it takes no scores for now.")
        await expect(button).to_have_count(0)
        await keep(page, "closed")
        await gadget.get_by_role("button", name="Busiest writers").click()
        await expect(closed).to_have_count(0)
        await states.open("letters", actor="maria", reason="it goes on")
        await gadget.get_by_role("button", name="Letters written").click()
        await expect(button).to_be_enabled()
        await expect(closed).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("view", "width"), [("canvas", 1280), ("profile", 1000), ("canvas", 360)])
async def test_who_hides_is_told_so_and_goes_to_where_it_is_changed(
    world: World, axe: str, view: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    """In a tab of its own, signed in by the link; the gadget hears of what is done there."""
    async with world.tab(viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        browser = await world.stack.player(CHARLOTTE)
        gadget = await world.open(page, CHARLOTTE, view)
        said = gadget.get_by_text("You have hidden yourself. Others do not see you here.")
        await expect(gadget.locator(".own .big")).to_be_visible()
        await expect(said).to_have_count(0)
        assert (await browser.post("/privacy/hide")).status == 303
        await expect(said).to_be_visible()
        await expect(gadget.locator("tr.mine")).to_have_count(0)
        await expect(gadget.locator(".own .big")).to_be_visible()  # where they would be
        await keep(page, f"hidden-by-me-{view}-{width}-{scheme}")
        await page.frames[1].evaluate(axe)
        found = await page.frames[1].evaluate("() => axe.run('#homeserver', { runOnly: ['wcag2aa'], preload: false })")
        assert [(each["id"], each["nodes"][0]["failureSummary"]) for each in found["violations"]] == []
        async with page.context.expect_page() as opened:
            await gadget.get_by_role("button", name="Show me again").click()
        tab = await opened.value
        await tab.get_by_role("button", name="Yes, continue as").click()
        await expect(tab).to_have_url(re.compile("/privacy$"))
        await tab.get_by_role("button", name="Show me again").click()
        await expect(tab.get_by_role("status")).to_contain_text("Others see you again.")
        await tab.close()
        await expect(said).to_have_count(0)


async def test_whose_page_it_is_may_hide_meanwhile(world: World) -> None:
    """Their place goes, the viewer's stays; the next time nothing is said of them at all."""
    async with world.tab(tolerated=["status of 404"]) as page:
        browser = await world.stack.player(CHARLOTTE)
        gadget = await world.open(page, ELIZABETH, "profile", owner=CHARLOTTE)
        owner = gadget.get_by_role("group", name=re.compile("^Place of .Charlotte Lucas.$"))
        await expect(owner).to_be_visible()
        await browser.post("/privacy/hide")
        await expect(owner).to_have_count(0)
        await expect(gadget.get_by_role("group", name="Your place")).to_be_visible()
        await expect(gadget.get_by_role("status")).to_be_empty()
        gadget = await world.open(page, ELIZABETH, "profile", owner=CHARLOTTE)
        await expect(gadget.get_by_role("group", name="Your place")).to_be_visible()
        await expect(owner).to_have_count(0)
        await browser.post("/privacy/show")


async def test_a_day_that_ends_makes_room_for_the_next(world: World) -> None:
    """By the server's clock: the reader's may be wrong. The days of these boards are those of São Paulo."""
    await write(world, JANE, "1300")
    now = datetime.fromtimestamp(world.stack.now_ms() / 1000, ZoneInfo("America/Sao_Paulo"))
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
    world.ahead_ms += int((midnight - now).total_seconds() - 10.95 * 60) * 1000
    async with world.tab() as page:
        await page.clock.install()
        gadget = await world.open(page, CHARLOTTE)
        await gadget.get_by_role("button", name="Today").click()
        await expect(gadget.locator("caption")).to_contain_text("ends in 10 minutes")
        world.ahead_ms += 60_000
        await page.clock.fast_forward(60_000)
        await expect(gadget.locator("caption")).to_contain_text("ends in 9 minutes")
        world.ahead_ms += 10 * 60_000
        await page.clock.fast_forward(10 * 60_000)
        await expect(gadget.locator(".empty")).to_have_text("Nobody has a score in this period yet. Be the first.")
        await expect(gadget.locator(".own")).to_have_text("You have no score in this period yet.")
        await keep(page, "new-day")


async def test_a_guest_looks_and_writes_nothing(world: World) -> None:
    """They see whose page it is, and where that person stands."""
    async with world.tab() as page:
        gadget = await world.open(page, None, "profile", owner=ELIZABETH)
        owner = gadget.get_by_role("group", name=re.compile("^Place of .Elizabeth Bennet.$"))
        await expect(owner).to_contain_text(re.compile(r"Elizabeth Bennet of \d+ players"))
        letters = world.stack.sandbox.container.appdata_of(ELIZABETH)["letters"]
        await expect(owner.locator(".num")).to_have_text(letters)
        await keep(page, "guest")
        await expect(gadget.get_by_role("status")).to_contain_text("You see this as a guest.")
        await expect(gadget.get_by_role("button", name="Write a letter")).to_have_count(0)
        await expect(gadget.get_by_role("button", name="Friends")).to_have_count(0)


# --- without cookies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_blocked", [False, True])
async def test_it_needs_no_cookie_of_ours_in_the_frame(world: World, tmp_path: Path, is_blocked: bool) -> None:
    """Chromium blocks cookies of third parties, or does not: a cookie for anybody shows that it is so."""
    profile = {"profile": {"cookie_controls_mode": int(is_blocked), "block_third_party_cookies": is_blocked}}
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(profile))
    async with async_playwright() as playwright:
        context: BrowserContext = await playwright.chromium.launch_persistent_context(
            tmp_path, executable_path=shutil.which("chromium"), args=list(FLAGS)
        )
        context.set_default_timeout(PATIENCE_MS)
        home = world.stack.home_url
        page = await context.new_page()
        await page.goto(f"{home}/openapi.json")
        await page.evaluate("document.cookie = 'probe=1; Path=/; SameSite=None; Secure'")
        async with page.expect_request_finished(lambda request: "/gadget.js" in request.url) as script:
            gadget = await world.open(page, CHARLOTTE)
        sent = (await (await script.value).all_headers()).get("cookie")
        assert sent == (None if is_blocked else "probe=1")
        add = gadget.get_by_role("button", name="Write a letter")
        await expect(add).to_be_enabled()
        await add.click()
        await expect(gadget.get_by_role("status")).to_contain_text("Saved:")
        async with context.expect_page() as opened:
            await gadget.get_by_role("button", name="Open my page").click()
        own = await opened.value
        await own.get_by_role("button", name="Yes, continue as Charlotte Lucas").click()
        await expect(own).to_have_url(f"{home}/")  # a page of its own: there the cookie is ours
        await context.close()


# --- what people wrote ----------------------------------------------------------------------------------------------


async def test_what_people_wrote_is_only_text(world: World) -> None:
    container = world.stack.sandbox.container
    friends = [one for one in container.friends[ELIZABETH] if container.has_app(one) and one not in {JANE, CHARLOTTE}]
    names = {
        friends[0]: "<img src=x onerror=alert(1)>",
        friends[1]: "\"></td></tr><script>alert('2')</script>",
        friends[2]: "&lt;b&gt; &amp;amp; __MSG_title__ %(n)s",
        friends[3]: "\u202eمحمد عبد الله\u202c",
        friends[4]: (NAME * 6)[:200].strip(),
        friends[5]: f"{FAMILY} {FLAG}",
    }
    before = {one: (container.people[one].given_name, container.people[one].family_name) for one in names}
    pictures = {
        friends[0]: "javascript:alert(3)",
        friends[1]: f"{world.stack.home_url}/static/nothing.png",
        friends[2]: "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    plain = container.picture_url
    container.picture_url = lambda person: pictures.get(person.id) or plain(person)  # type: ignore[method-assign]
    for person, name in names.items():
        container.people[person].given_name, container.people[person].family_name = name, ""
        await write(world, person, "30")
    async with world.tab(tolerated=["404"]) as page:
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        gadget = await world.open(page, ELIZABETH)
        await expect(gadget.get_by_role("button", name="Write a letter")).to_be_enabled()
        await gadget.get_by_role("button", name="Friends", exact=True).click()
        for person, name in names.items():
            row = gadget.locator("tr", has=gadget.locator("bdi").filter(has_text=name))
            await expect(row).to_have_count(1)
            assert await row.locator("bdi").text_content() == name
            assert await row.locator("td").count() == 3
            is_seen = person not in pictures and container.people[person].has_picture
            await expect(row.locator("img")).to_have_count(int(is_seen))
        family = gadget.locator("tr", has=gadget.locator("bdi").filter(has_text=names[friends[5]]))
        assert await family.locator(".face").text_content() == FAMILY + FLAG  # not torn apart
        assert await gadget.locator("tr").last.bounding_box()
        await page.wait_for_function(
            "() => { const root = document.getElementById('gadget').contentDocument.documentElement;"
            " return root.scrollWidth <= root.clientWidth; }"
        )
        await keep(page, "awkward-names")
        # In a sentence too: whoever is overtaken is named there.
        await write(world, ELIZABETH, "30")
        await gadget.get_by_role("button", name="Write a letter").click()
        for person in friends[:3]:
            await expect(gadget.get_by_role("status")).to_contain_text(f"\u2068{names[person]}\u2069")
        await expect(gadget.get_by_role("status")).to_contain_text("and others.")
        assert await gadget.get_by_role("status").locator("*").count() == 0
        assert dialogs == []
    container.picture_url = plain  # type: ignore[method-assign]
    for person, (given, family_name) in before.items():
        container.people[person].given_name, container.people[person].family_name = given, family_name


# --- a container that is away ---------------------------------------------------------------------------------------


async def test_a_network_that_does_not_answer_is_named(world: World) -> None:
    """It is neither the server nor the reader. What was read before is shown, and how old it is."""
    async with world.tab(tolerated=[AWAY, "status of 50", "status of 404"]) as page:
        gadget = await world.open(page, CHARLOTTE)
        add = gadget.get_by_role("button", name="Write a letter")
        await expect(add).to_be_enabled()
        held = world.stack.sandbox.container.appdata_of(CHARLOTTE)["letters"]
        world.stack.sandbox.faults.add(Fault("* /social/*", times=None, reply=CannedReply(503)))
        await add.click()
        await expect(gadget.get_by_role("status")).to_contain_text("Your network does not answer as it should")
        await expect(add).to_be_enabled()
        assert world.stack.sandbox.container.appdata_of(CHARLOTTE)["letters"] == held
        world.ahead_ms += 2 * 3_600_000
        gadget = await world.open(page, CHARLOTTE)
        await expect(gadget.locator(".pulse")).to_contain_text("your scores were read 2 hours ago")
        await expect(gadget.locator(".own .num")).to_have_text(held)
        await keep(page, "stale")
        world.stack.sandbox.faults.clear()
