"""Every page in every state, by languages, light and dark, wide and narrow: whole, translated, and open to everybody.

`make test` looks at each page in three ways, which over four pages make every pair; `make test-long` in all twelve. The
pictures are in `build/screenshots/pages`.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import combinations, product
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, Response

from homeserver.web import setup
from homeserver.web.keys import SITE, Site
from homeserver.web.languages import all_languages
from scripts.texts import gathered
from tests.browser.all_pages import (
    LANGUAGES,
    NO_PAGES,
    SCHEMES,
    VIEWS,
    WIDTHS,
    Look,
    View,
    World,
    every_look,
    few_looks,
    world,
)
from tests.browser.conftest import SCREENSHOTS, opened_browser, opened_tab
from tests.checkout import ROOT
from tests.web.conftest import prepared
from tests.web.test_tus_clients import bundled

__all__ = ["bundled", "prepared"]

pytestmark = [pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

_RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_OVERFLOW: Final = """() => [...document.querySelectorAll('body *')]
    .filter((each) => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1
        && !each.closest('.unseen, .name') && getComputedStyle(each).visibility !== 'hidden')
    .map((each) => `${each.tagName}.${each.className}: ${each.textContent.trim().slice(0, 40)}`).slice(0, 5)"""
_WIDER: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_TEXTS: Final = """() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
        if (!walker.currentNode.parentElement.closest('script, bdi, code')) found.push(walker.currentNode.data.trim());
    }
    for (const each of document.querySelectorAll('[aria-label], [placeholder], [title]')) {
        found.push(each.ariaLabel ?? '', each.placeholder ?? '', each.title ?? '');
    }
    return found.filter(Boolean);
}"""


# --- one server, one browser ----------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def everything(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The server in every state."""
    folder = tmp_path_factory.mktemp("pages") / "stack"
    shutil.copytree(prepared, folder)
    async with world(folder) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    async with opened_browser() as opened:
        yield opened


@asynccontextmanager
async def tab_of(chromium: Browser, everything: World, view: View) -> AsyncIterator[Page]:
    """A tab of whoever looks. What its console says against a page that is no refusal is an error."""
    refusal = rf"status of {view.status} " if view.status >= 400 else r"ERR_CONNECTION_REFUSED.*localhost"
    async with opened_tab(chromium, [refusal], reduced_motion="reduce") as page:
        url = everything.stack.home_url
        for name, value in everything.visitors[view.who].cookies.items():
            await page.context.add_cookies([{"name": name, "value": value, "url": url}])
        yield page


async def look_at(page: Page, everything: World, view: View, look: Look) -> Response:
    """Open the page in this way."""
    url = everything.stack.home_url
    await page.context.add_cookies([{"name": "language", "value": look.language, "url": url}])
    await page.emulate_media(color_scheme=look.scheme)
    await page.set_viewport_size({"width": look.width, "height": 800})
    response = await page.goto(await everything.address(view))
    assert response is not None
    return response


# --- what is asked of a page ----------------------------------------------------------------------------------------


async def check(page: Page, response: Response, view: View, look: Look) -> None:
    """The page came, in the language, whole, without anything that sticks out."""
    assert response.status == view.status
    assert await page.locator("html").get_attribute("lang") == look.language
    assert await page.title() != ""
    assert await page.locator("h1").count() == 1
    assert await page.locator(view.shows).count() > 0, "the page is not in the state that is meant"
    assert await sticks_out(page) == []
    if look.language != "en":
        assert untranslated(look.language, await page.evaluate(_TEXTS)) == []
    folder = SCREENSHOTS / "pages"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{view.name}-{look.language}-{look.scheme}-{look.width}"
    await page.screenshot(path=folder / f"{name}.png", full_page=True)


async def check_large(page: Page) -> None:
    """WCAG 2.2, 1.4.10: no scrolling in two directions at 320 px, which is 400 % of 1280; 1.4.4: text of twice its size
    in the same window, as who chooses a larger one in the browser's settings sees it."""
    await page.set_viewport_size({"width": 320, "height": 640})
    assert await sticks_out(page) == []
    await page.set_viewport_size({"width": 1280, "height": 800})
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Page.setFontSizes", {"fontSizes": {"standard": 32, "fixed": 26}})
    assert await page.evaluate("getComputedStyle(document.documentElement).fontSize") == "32px"
    assert await sticks_out(page) == []


async def sticks_out(page: Page) -> list[str]:
    """What makes one scroll sideways."""
    found: list[str] = await page.evaluate(_OVERFLOW) if await page.evaluate(_WIDER) > 0 else []
    return found


def untranslated(language: str, texts: list[str]) -> list[str]:
    """Texts that stand on a page of this language as they stand in the code, though the catalogue has other words."""
    catalogue = all_languages()[language].texts
    english = {message.id for message in gathered() if isinstance(message.id, str) and message.id}
    return [text for text in texts if text in english and catalogue.gettext(text) != text]


async def faults(page: Page, axe: str) -> list[Any]:
    """What axe finds: rule, and where."""
    await page.evaluate(axe)
    found: dict[str, Any] = await page.evaluate(
        "(tags) => axe.run(document, { runOnly: tags, resultTypes: ['violations'] })", _RULES
    )
    return [
        (each["id"], [(node["target"], node["failureSummary"][:200]) for node in each["nodes"][:3]])
        for each in found["violations"]
    ]


@pytest.fixture(scope="session")
def axe(bundled: Path) -> str:
    """axe-core's script, as npm has it."""
    assert bundled
    return (ROOT / "build/vendor/node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", range(len(VIEWS)), ids=[view.name for view in VIEWS])
async def test_every_page_in_three_ways(everything: World, chromium: Browser, axe: str, number: int) -> None:
    view = VIEWS[number]
    seen = set()
    async with tab_of(chromium, everything, view) as page:
        for look in few_looks(number):
            await check(page, await look_at(page, everything, view, look), view, look)
            if look.scheme not in seen:
                assert await faults(page, axe) == []
                seen.add(look.scheme)
        await check_large(page)
        await page.goto("about:blank")
    assert seen == set(SCHEMES)


@pytest.mark.long
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
async def test_every_page_in_every_way(everything: World, chromium: Browser, axe: str, view: View) -> None:
    async with tab_of(chromium, everything, view) as page:
        for look in every_look():
            await check(page, await look_at(page, everything, view, look), view, look)
            assert await faults(page, axe) == []
            await page.emulate_media(color_scheme=look.scheme, forced_colors="active")
            assert await sticks_out(page) == []
            await page.emulate_media(color_scheme=look.scheme, forced_colors="none")
        await page.goto("about:blank")


async def test_what_would_be_found(chromium: Browser, axe: str) -> None:
    """A picture without a word for it, a line that is too long, a word of another language."""
    page = await chromium.new_page(viewport={"width": 320, "height": 640})
    await page.set_content(
        "<html lang='fr'><title>x</title><main><h1>x</h1><img src='data:,'><p style='width: 400px'>Files</p></main>"
    )
    assert [rule for rule, _ in await faults(page, axe)] == ["image-alt"]
    assert await sticks_out(page) == ["P.: Files"]
    assert untranslated("fr", await page.evaluate(_TEXTS)) == ["Files"]
    await page.close()


# --- that nothing was left out --------------------------------------------------------------------------------------


async def test_no_page_is_left_out() -> None:
    """An address that answers GET is looked at, or said to be no page."""
    app = web.Application()
    app[SITE] = Site(public_url="https://home.example")
    setup(app)
    served = {
        route.resource.canonical
        for route in app.router.routes()
        if route.method == "GET" and route.resource is not None and route.resource.canonical != "/static"
    }
    apis = {route for route in served if route.startswith(("/gadget/v1/", "/admin/api/"))}
    assert served - apis - NO_PAGES == {view.route for view in VIEWS if view.route}


async def test_few_looks_make_every_pair() -> None:
    for number in range(len(VIEWS)):
        looks = few_looks(number)
        assert {look.language for look in looks} == set(LANGUAGES)
        assert {look.scheme for look in looks} == set(SCHEMES)
        assert {look.width for look in looks} == set(WIDTHS)
    seen = [(look.language, look.scheme, look.width) for number in range(4) for look in few_looks(number)]
    for one, other in combinations(range(3), 2):
        values = (LANGUAGES, SCHEMES, WIDTHS)
        assert {(each[one], each[other]) for each in seen} == set(product(values[one], values[other]))
