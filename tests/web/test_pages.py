"""The pages, without a script, against the whole product: who gets in, what is shown, what forms do."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.pytest_plugin import AiohttpClient
from lxml import etree

from homeserver.config import Visibility
from homeserver.domain import periods
from homeserver.model import Board, Change, Origin, Span
from homeserver.sandbox.people import ELIZABETH, JANE
from homeserver.services.health import Health
from homeserver.services.jobs import Jobs
from homeserver.storage.database import open_database
from homeserver.web import formats, rendering, setup
from homeserver.web.keys import HEALTH, SITE, Site
from homeserver.web.security import local_path
from homeserver.wiring import wall_clock_ms
from tests.patience import until
from tests.web.conftest import PASSWORD, Browser, Reply, Stack, running_stack
from tests.writing import apply_changes

WEEK_MS = 7 * 86_400_000


def week_of(at_ms: int) -> str:
    """The id of the week of a moment, in the zone of the demo's boards."""
    return periods.period_at(Board("b", "B", "b", zone="America/Sao_Paulo"), Span.WEEK, at_ms).id


def page(reply: Reply) -> etree._Element:
    """The document, held to what every page must be."""
    assert reply.status == 200, reply.text
    tree: etree._Element = etree.HTML(reply.text)
    assert not tree.xpath(
        "//script[not(@src) and not(@type='application/json')] | //style | //@style | //@*[starts-with(name(), 'on')]"
    )
    assert len(texts(tree, "//h1")) == 1
    return tree


def texts(tree: etree._Element, path: str) -> list[str]:
    found = tree.xpath(path)
    assert isinstance(found, list)
    return [" ".join(str(node.xpath("string()")).split()) for node in found if isinstance(node, etree._Element)]


def values(tree: etree._Element, path: str) -> list[str]:
    """The values of attributes."""
    found = tree.xpath(path)
    assert isinstance(found, list)
    return [str(value) for value in found]


# --- who gets in ----------------------------------------------------------------------------------------------------


async def test_a_stranger_is_told_how_to_get_in(stack: Stack) -> None:
    stranger = stack.browser()
    assert "Open my page" in (await stranger.get("/")).text
    refused = await stranger.get("/boards/letters")
    assert refused.status == 401
    assert "The leaderboards are for players" in refused.text
    assert (await stranger.get("/players/whoever")).status == 401


async def test_boards_may_be_for_everyone_but_not_for_search_engines(folder: Path) -> None:
    async with running_stack(folder, server={"boards_visible_to": Visibility.EVERYONE}) as stack:
        await stack.open_gadget()
        reply = await stack.browser().get("/boards/letters")
        assert values(page(reply), "//meta[@name='robots']/@content") == ["noindex"]
        assert reply.headers["X-Robots-Tag"] == "noindex"
        assert (await stack.browser().get("/boards/letters?friends=true")).status == 403
        assert "Nobody is on this board yet" in (await stack.browser().get("/boards/fastest?period=day")).text


async def test_the_link_from_the_gadget_signs_in_once_and_only_when_told_to(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    link = urlsplit((await gadget.call("POST", "page-links")).json["url"]).path
    browser = stack.browser()
    for _ in range(2):  # looking uses nothing up
        shown = await browser.get(link)
        assert "Elizabeth Bennet" in texts(page(shown), "//h1")[0]
        assert shown.headers["Referrer-Policy"] == "no-referrer"
    assert not browser.cookies
    assert (await browser.post(link, Origin="https://evil.example")).status == 403

    # A page without referrer sends its form with the origin `null`.
    redeemed = await browser.post(link, Origin="null")
    assert (redeemed.status, redeemed.location) == (303, "/")
    cookie = redeemed.headers["Set-Cookie"]
    assert re.fullmatch(r"hs=[A-Za-z0-9_-]{40,}; HttpOnly; Path=/; SameSite=Lax", cookie)
    assert "Elizabeth Bennet" in (await browser.get("/")).text

    assert (await stack.browser().get(link)).status == 404
    assert (await stack.browser().post(link)).status == 404


async def test_signing_out_ends_copies_of_the_cookie_too(stack: Stack) -> None:
    browser = await stack.player()
    copied = Browser(stack.http, stack.home_url, dict(browser.cookies))
    out = await browser.post("/sign-out")
    assert out.headers["Clear-Site-Data"] == '"storage"'  # parts of files that a shared computer would keep
    assert (out.status, out.location) == (303, "/")
    assert browser.cookies == {}
    assert (await copied.get("/boards/letters")).status == 401


async def test_odd_cookies_of_others_hide_nothing(stack: Stack) -> None:
    browser = await stack.player()
    mixed = f'odd="a;b; $x; {{"json": 1}}; hs={browser.cookies["hs"]}; hs_admin='
    assert (await stack.browser().get("/boards/letters", Cookie=mixed)).status == 200
    assert (await stack.browser().get("/boards/letters", Cookie='hs="quoted"; hs')).status == 401


# --- boards ---------------------------------------------------------------------------------------------------------


async def test_home_shows_the_top_of_each_board_and_my_places(stack: Stack) -> None:
    tree = page(await (await stack.player()).get("/"))
    assert texts(tree, "//section//h2") == ["Letters written", "Fastest letter", "Busiest writers", "Files"]
    assert len(texts(tree, "(//section)[1]//tbody/tr")) == 5
    assert texts(tree, "(//section)[1]//ul/li")[0].startswith("All time ")
    assert "Elizabeth Bennet" in texts(tree, "//a[@class='me']")[0]


async def test_a_board_marks_me_and_shows_ties(stack: Stack) -> None:
    browser = await stack.player()
    tree = page(await browser.get("/boards/letters?limit=100"))
    (mine,) = texts(tree, "//tr[@aria-current='true']")
    assert "Elizabeth Bennet" in mine
    places = texts(tree, "//tbody[@id='rows']//td[@class='rank']")
    assert any(place.startswith("=") for place in places)
    numbers = [int(place.lstrip("=")) for place in places]
    assert numbers == sorted(numbers)
    for place, number in zip(places, numbers, strict=True):
        assert place.startswith("=") == (numbers.count(number) > 1)


async def test_paging_links_lead_through_the_whole_board_and_back(stack: Stack) -> None:
    browser = await stack.player()
    whole = texts(page(await browser.get("/boards/letters?limit=100")), "//tbody[@id='rows']//a[@class='name']")
    address, seen, last = "/boards/letters?period=all", list[str](), ""
    while address:
        tree = page(await browser.get(address))
        seen += texts(tree, "//tbody[@id='rows']//a[@class='name']")
        last, address = address, next(iter(values(tree, "//a[@rel='next']/@href")), "")
    assert seen == whole
    tree = page(await browser.get(last))
    (back,) = values(tree, "//a[@rel='prev']/@href")
    assert len(texts(page(await browser.get(back)), "//tbody[@id='rows']/tr")) == 20


async def test_every_state_of_a_board_is_an_address(stack: Stack) -> None:
    browser = await stack.player()
    tabs = values(page(await browser.get("/boards/letters")), "//nav[@class='tabs']/a/@href")
    assert len(tabs) == 5 + 3
    for address in [*tabs, "/boards/letters?search=jane&at_rank=", "/boards/letters?search=&at_rank=7"]:
        page(await browser.get(address))
    found = await browser.get("/boards/letters?search=%3Cscript%3E")
    assert "No player on this board has “&lt;script&gt;”" in found.text
    assert "<script>" not in found.text
    assert (await browser.get("/boards/letters?at_rank=first")).status == 400
    assert (await browser.get("/boards/nothing")).status == 404
    assert (await browser.get("/boards/letters?utm_source=mail")).status == 200


async def test_names_are_text_whatever_they_hold(stack: Stack) -> None:
    container = stack.sandbox.container
    container.add_person("77", "<b>Tom</b>", '"><img src=x onerror=alert(1)>')
    container.befriend(ELIZABETH, "77")
    container.set_appdata("77", {"letters": "1000"})
    browser = await stack.player()
    for address in ("/", "/boards/letters"):
        tree = page(await browser.get(address))
        assert texts(tree, "//tbody[not(@class)]//a[@class='name']")[0] == '<b>Tom</b> "><img src=x onerror=alert(1)>'
    (theirs,) = values(page(await browser.get("/boards/letters")), "(//tbody[@id='rows']//a[@class='name'])[1]/@href")
    assert texts(page(await browser.get(theirs)), "//h1/span/bdi") == ['<b>Tom</b> "><img src=x onerror=alert(1)>']


async def test_a_player_page_names_nobody_by_number(stack: Stack) -> None:
    browser = await stack.player()
    (mine,) = values(page(await browser.get("/")), "//a[@class='me']/@href")
    assert ELIZABETH not in mine
    tree = page(await browser.get(mine))
    assert texts(tree, "//caption") == ["Letters written", "Fastest letter", "Busiest writers"]
    for nobody in ("1", ELIZABETH, "0", "x" * 300):
        assert (await browser.get(f"/players/{nobody}")).status == 404


async def test_a_board_shows_how_its_scores_are_spread_and_what_is_missing(stack: Stack) -> None:
    browser = await stack.player()
    tree = page(await browser.get("/boards/letters?limit=100"))
    scores = [int(text) for text in texts(tree, "//tbody[@id='rows']//td[@class='num']")]
    counted = dict(zip(texts(tree, "//dl//dt"), texts(tree, "//dl//dd"), strict=True))
    spread = {tuple(int(end) for end in label.split(" \u2013 ")): text for label, text in counted.items()}
    for ends, text in spread.items():
        count = sum(ends[0] <= score <= ends[-1] for score in scores)
        assert text == f"{count} player{'' if count == 1 else 's'}"
    titles = texts(tree, "//*[local-name()='svg']//*[local-name()='rect']/*[local-name()='title']")
    assert titles == [f"{label}: {text}" for label, text in counted.items() if text != "0 players"]
    assert len(values(tree, "//*[local-name()='rect'][@class='mine']/@x")) == 1

    (aside,) = texts(tree, "//aside")
    own = sum(score < 3 for score in scores) * 100 // (len(scores) - 1)
    following = min(score for score in scores if score > 3)
    assert f"Better than {own}% of the others" in aside
    rank = 1 + sum(score > following for score in scores)
    assert f"{following - 3} more for place {rank}" in aside
    jump = page(await browser.get("/boards/letters?at_score=3"))
    assert "Elizabeth Bennet" in " ".join(texts(jump, "//tbody[@id='rows']/tr"))
    assert texts(jump, "(//tbody[@id='rows']//td[@class='num'])[1]") == ["3"]
    assert (await browser.get("/boards/letters?at_score=3.5")).status == 400


async def test_a_new_week_begins_with_the_winners_of_the_last_one(folder: Path) -> None:
    now_ms = wall_clock_ms()
    async with running_stack(folder) as stack:
        browser = await stack.player()
        week_before = f"/boards/letters?period={week_of(now_ms - WEEK_MS)}"
        assert "Last week" not in (await browser.get("/boards/letters?period=week")).text
        assert "in that time" in (await browser.get(week_before)).text
        async with open_database(stack.settings.database.url.get_secret_value()) as database:
            player = (await database.read(lambda reader: reader.fetch_value("SELECT min(player) FROM players"))) or 0
            change = Change(player, "letters", None, "8", now_ms - WEEK_MS, Origin.READ)
            await database.write(lambda tx: apply_changes(tx, [change], now_ms))
        tree = page(await browser.get("/boards/letters?period=week"))
        assert "Last week" in texts(tree, "//aside//h2")
        (winner,) = texts(tree, "//ol[@class='winners']/li")
        assert winner.startswith("1 ")
        assert winner.endswith(" 8")
        (earlier,) = values(tree, "//h2[text()='Earlier']/following-sibling::ul//a/@href")
        assert urlsplit(earlier).query == f"period={week_of(now_ms - WEEK_MS).replace(':', '%3A')}"
        assert ", final" in texts(page(await browser.get(earlier)), "//caption")[0]


async def test_a_player_page_shows_what_was_before(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    browser = await stack.player()
    (mine,) = values(page(await browser.get("/")), "//a[@class='me']/@href")
    assert texts(page(await browser.get(mine)), "(//section)[1]//details/summary") == ["1 change"]
    for value in ("7", "5"):
        await gadget.call("POST", "scores", {"board": "letters", "value": value})
    tree = page(await browser.get(mine))
    assert texts(tree, "(//section)[1]//details/summary") == ["3 changes"]
    assert texts(tree, "(//section)[1]//details//td[@class='num']") == ["5", "7", "3"]
    assert "by the gadget" in texts(tree, "(//section)[1]//details//td")[0]
    (points,) = values(tree, "(//section)[1]//*[local-name()='polyline']/@points")
    assert re.fullmatch(r"([0-9.]+,[0-9.]+ ?){5}", points)


# --- storage sign-in and privacy ------------------------------------------------------------------------------------


async def test_files_lead_to_the_sign_in_and_back(stack: Stack) -> None:
    browser = stack.browser()
    sent_away = await browser.get("/files")
    assert (sent_away.status, sent_away.location) == (303, "/sign-in?back=/files")
    assert values(page(await browser.get(sent_away.location)), "//input[@name='back']/@value") == ["/files"]
    as_json = await browser.get("/files", Accept="application/json")
    assert (as_json.status, as_json.json["code"]) == (401, "not_signed_in")

    await browser.sign_in_to_storage("marie")
    assert "Marie Dupont" in (await browser.get("/files")).text
    assert (await browser.get("/boards/letters")).status == 401  # a storage user is no player


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil", "/a\r\nSet-Cookie: x", "", "files"],
)
def test_nobody_is_sent_to_another_site_afterwards(back: str) -> None:
    assert local_path(back, "/files") == "/files"
    assert local_path("/boards/letters?period=week", "/") == "/boards/letters?period=week"


async def test_linking_is_said_and_undone_on_the_privacy_page(stack: Stack) -> None:
    browser = await stack.player()
    assert "Link them" not in (await browser.get("/privacy")).text
    assert (await browser.post("/privacy/link")).status == 401
    await browser.sign_in_to_storage("marie")
    tree = page(await browser.get("/privacy"))
    assert texts(tree, "//span[@class='name']/bdi")[-2:] == ["Elizabeth Bennet", "Marie Dupont"]
    assert "Link them" in texts(tree, "//button")
    assert (await browser.post("/privacy/link")).location == "/privacy"
    assert "Unlink them" in (await browser.get("/privacy")).text

    jane = await stack.player(JANE)
    await jane.sign_in_to_storage("marie")
    assert (await jane.post("/privacy/link")).status == 409

    assert (await browser.post("/privacy/unlink")).status == 303
    assert "Link them" in (await browser.get("/privacy")).text
    assert "Nobody" in (await stack.browser().get("/privacy")).text
    assert (await stack.browser().post("/privacy/unlink")).status == 401


# --- operators ------------------------------------------------------------------------------------------------------


async def test_an_operator_sees_boards_uploads_and_sync(stack: Stack) -> None:
    await stack.player()
    operator = stack.browser()
    assert (await operator.get("/admin")).location == "/admin/sign-in"
    page(await operator.get("/admin/sign-in"))
    wrong = await operator.post("/admin/sign-in", {"name": "view", "password": "wrong"})
    assert wrong.status == 401
    assert "The name or the password is wrong." in wrong.text
    signed_in = await operator.sign_in_as_operator("view")
    assert (signed_in.status, signed_in.location) == (303, "/admin")
    assert "HttpOnly; Path=/admin; SameSite=Lax" in signed_in.headers["Set-Cookie"]

    tree = page(await operator.get("/admin"))
    assert texts(tree, "//main//tbody//a") == ["Letters written", "Fastest letter", "Busiest writers"]
    tree = page(await operator.get("/admin/boards/letters"))
    assert len(texts(tree, "(//tbody)[1]/tr")) > 20
    copied = Browser(stack.http, stack.home_url, dict(operator.cookies))
    assert (await operator.post("/admin/sign-out")).location == "/admin/sign-in"
    assert (await copied.get("/admin")).location == "/admin/sign-in"


async def test_guessing_a_password_ends_soon(stack: Stack) -> None:
    guesser = stack.browser()
    form = {"name": "view", "password": "guess"}
    statuses = [(await guesser.post("/admin/sign-in", form)).status for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    right = await guesser.post("/admin/sign-in", {"name": "view", "password": PASSWORD})
    assert (right.status, int(right.headers["Retry-After"]) > 0) == (429, True)


async def test_forms_are_read_strictly(stack: Stack) -> None:
    browser = stack.browser()
    assert (await browser.post("/sign-in", {"back": "x" * 20_000})).status == 413
    assert (await browser.post("/sign-in", Content_Type="application/json")).status == 400
    assert (await browser.post("/admin/sign-in", {f"field{n}": "" for n in range(30)})).status == 400


# --- machines -------------------------------------------------------------------------------------------------------


async def test_health(stack: Stack) -> None:
    browser = stack.browser()
    assert (await browser.get("/healthz")).json == {"status": "alive"}
    assert (await browser.get("/readyz")).json == {"status": "ready"}


async def test_a_dead_job_and_a_lost_database_turn_health_red(folder: Path, aiohttp_client: AiohttpClient) -> None:
    async def ends_at_once() -> None:
        return

    app, jobs = web.Application(), Jobs()
    app[SITE] = Site(public_url="https://home.example")
    async with open_database(f"sqlite:///{folder / 'homeserver.db'}") as database:
        app[HEALTH] = Health(database, jobs)
    setup(app)
    client = await aiohttp_client(app)
    async with jobs.running("sync", ends_at_once):

        async def is_dead() -> bool:
            return bool(jobs.dead)

        await until(is_dead)
    alive, ready = await client.get("/healthz"), await client.get("/readyz")
    assert (alive.status, await alive.json()) == (503, {"status": "failing", "dead_jobs": ["sync"]})
    assert (ready.status, await ready.json()) == (503, {"status": "not ready"})


# --- how things are written -----------------------------------------------------------------------------------------


def test_sizes_places_spans_and_times() -> None:
    sizes = [0, 999, 1000, 31_163, 9_949, 9_950, 999_499, 999_500, 2 << 30, 5 * 10**12]
    shown = ["0 bytes", "999 bytes", "1 kB", "31 kB", "9.9 kB", "10 kB", "999 kB", "1 MB", "2.1 GB", "5,000 GB"]
    assert [formats.size(size) for size in sizes] == shown
    assert formats.place(3, tied=True) == "=3"
    assert formats.place(1_284_310, tied=False) == "1,284,310"
    assert formats.place(None, tied=False) == "–"
    minute = 60_000
    spans = {0: "less than a minute", minute: "1 minute", 90 * minute: "1 hour, 30 minutes", 1440 * minute: "1 day"}
    assert {span: formats.left(span) for span in spans} == spans
    assert formats.left(3121 * minute) == "2 days, 4 hours"
    assert formats.moment(1_795_348_800_000) == "22 Nov 2026, 12:00 UTC"
    assert formats.moment(1_795_348_800_000, "America/Sao_Paulo") == "22 Nov 2026, 09:00"


def test_initials() -> None:
    names = {
        "Elizabeth Bennet": "EB",
        "Fitzwilliam Darcy of Pemberley": "FP",
        "🦊 Kit": "K",
        "": "?",
        "太郎 山田": "太山",
    }
    assert {name: rendering.initials(name) for name in names} == names
