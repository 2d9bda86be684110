"""Every page in every state that it can be in, for the tests that look at all of them: who looks, and where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from homeserver.model import BrowserLeg, Origin, Person, StorageLeg, Upload
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE
from homeserver.services.moderation import Moderation
from homeserver.storage import appdata, leaderboards, people, uploads
from homeserver.storage.database import Database, Transaction, open_database
from homeserver.wiring import wall_clock_ms
from tests.web.conftest import Browser, Stack, running_stack
from tests.writing import observe_person

Scheme = Literal["light", "dark"]
LANGUAGES: Final = ("en", "pt-BR", "fr")
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")
WIDTHS: Final = (1280, 360)

Who = Literal["nobody", "player", "hidden", "withdrawn", "storage", "new", "both", "operator"]

LONG_NAME: Final = "Maria da Conceição " * 10 + "dos Santos"
ODD_NAMES: Final = ("שרה בן־דוד", LONG_NAME, "🦊🦊🦊 Kit 👩‍👩‍👧‍👦", '<b>Bold</b> & "quoted"', "Ünïcôdé\u202eevil")


@dataclass(frozen=True, slots=True)
class View:
    """A page in one state. `shows` is a selector of what it has in that state; `route` is its pattern in the list of
    routes, where it has one."""

    name: str
    who: Who
    path: str
    route: str
    shows: str
    status: int = 200


VIEWS: Final = (
    View("welcome", "nobody", "/", "/", 'a.button[href="/files"]'),
    View("not-for-strangers", "nobody", "/boards/letters", "/boards/{board}", '.hint:has-text("not_signed_in")', 401),
    View("nothing-here", "nobody", "/nowhere", "", '.hint:has-text("not_found")', 404),
    View("sign-in", "nobody", "/sign-in", "/sign-in", 'form[action="/sign-in"]'),
    View("page-link", "nobody", "{link}", "/page-link/{token}", "form:not([action]) .button.primary"),
    View("privacy-of-nobody", "nobody", "/privacy", "/privacy", 'a[href="/sign-in?back=/privacy"]'),
    View("home", "player", "/", "/", ".panel.mine .places"),
    View("board", "player", "/boards/letters", "/boards/{board}", "tr.mine, aside .big"),
    View("board-friends", "player", "/boards/letters?friends=true", "/boards/{board}", "tr.mine"),
    View("board-around-me", "player", "/boards/letters?around=me&limit=5", "/boards/{board}", "tr.mine"),
    View("board-nobody-found", "player", "/boards/letters?search=zzzz", "/boards/{board}", ".empty"),
    View(
        "board-names", "player", "/boards/letters?search={odd}", "/boards/{board}", 'td a.name:has-text("dos Santos")'
    ),
    View("board-empty", "player", "/boards/fastest?period=day", "/boards/{board}", ".empty"),
    View("board-season", "player", "/boards/letters?period=season", "/boards/{board}", 'caption:has-text("Season 20")'),
    View(
        "board-not-understood",
        "player",
        "/boards/letters?at_rank=no",
        "/boards/{board}",
        '.hint:has-text("bad_input")',
        400,
    ),
    View("player", "player", "/players/{player}", "/players/{player}", 'h1:has-text("Elizabeth")'),
    View("player-with-a-long-name", "player", "/players/{long}", "/players/{player}", 'h1:has-text("dos Santos")'),
    View("board-hidden", "hidden", "/boards/letters", "/boards/{board}", "aside .big ~ p"),
    View(
        "board-hidden-by-me", "withdrawn", "/boards/letters", "/boards/{board}", '.notice form[action="/privacy/show"]'
    ),
    View("home-hidden-by-me", "withdrawn", "/", "/", '.notice form[action="/privacy/show"]'),
    View(
        "player-hidden-by-me",
        "withdrawn",
        "/players/{withdrawn}",
        "/players/{player}",
        '.notice form[action="/privacy/show"]',
    ),
    View("player-who-hides", "player", "/players/{withdrawn}", "/players/{player}", '.hint:has-text("not_found")', 404),
    View("privacy-hidden-by-me", "withdrawn", "/privacy?done=hidden", "/privacy", '#seen form[action="/privacy/show"]'),
    View("privacy", "both", "/privacy", "/privacy", 'form[action="/privacy/erase"]'),
    View("sign-in-again", "both", "/sign-in", "/sign-in", 'a[href="/files"]:has-text(" ")'),
    View("files-empty", "new", "/files", "/files", "#uploads .empty"),
    View("files", "storage", "/files", "/files", "#upload-0000000000000000000000"),
    View("operators", "nobody", "/admin/sign-in", "/admin/sign-in", "#password"),
    View("admin", "operator", "/admin", "/admin", ".tiles"),
    View("admin-account", "operator", "/admin/account", "/admin/account", 'form[action="/admin/account/password"]'),
    View("admin-operators", "operator", "/admin/operators", "/admin/operators", 'form[action="/admin/operators"]'),
    View("admin-board", "operator", "/admin/boards/letters", "/admin/boards/{board}", 'a:has-text("dos Santos")'),
    View(
        "admin-range",
        "operator",
        "/admin/boards/letters/range?least=1&greatest=2000000",
        "/admin/boards/{board}/range",
        'form[method="post"]',
    ),
    View("admin-task", "operator", "{task}", "/admin/tasks/{task}", "h1"),
    View("admin-players", "operator", "/admin/players?search=maria", "/admin/players", "tbody a"),
    View("admin-player", "operator", "/admin/players/{long}", "/admin/players/{player}", 'form[action$="/hide"]'),
    View(
        "admin-player-who-hides",
        "operator",
        "/admin/players/{withdrawn}",
        "/admin/players/{player}",
        ".facts .chip.bad",
    ),
    View(
        "admin-erase", "operator", "/admin/players/{long}/erase", "/admin/players/{player}/erase", 'form[method="post"]'
    ),
    View("admin-review", "operator", "/admin/review", "/admin/review", "h1"),
    View("admin-sync", "operator", "/admin/sync", "/admin/sync", "table"),
    View("admin-uploads", "operator", "/admin/uploads", "/admin/uploads", "table"),
    View("admin-settings", "operator", "/admin/settings", "/admin/settings", "table"),
    View("admin-audit", "operator", "/admin/audit", "/admin/audit", "table"),
)

NO_PAGES: Final = frozenset(
    {
        *("/boards/{board}/events", "/gadget.js"),
        *("/files/events", "/files/answered", "/files/{upload}", "/sign-in/return", "/sign-in/metadata"),
        *("/privacy/export", "/gadget.xml", "/gadget/lifecycle", "/healthz", "/readyz", "/openapi.json", "/metrics"),
    }
)
"""Addresses that answer GET with something else than a page; what is under /gadget/v1/ is none either."""


@dataclass(frozen=True, slots=True)
class Look:
    """One way to look at a page."""

    language: str
    scheme: Scheme
    width: int


def every_look() -> list[Look]:
    """All ways."""
    return [Look(language, scheme, width) for language, scheme, width in product(LANGUAGES, SCHEMES, WIDTHS)]


_FEW: Final = (
    (("en", 0, 0), ("pt-BR", 1, 1), ("fr", 0, 1)),
    (("en", 1, 1), ("pt-BR", 0, 0), ("fr", 1, 0)),
    (("en", 0, 1), ("pt-BR", 1, 0), ("fr", 0, 0)),
    (("en", 1, 0), ("pt-BR", 0, 1), ("fr", 1, 1)),
)


def few_looks(number: int) -> list[Look]:
    """Three ways for the page of this number: each language, scheme and width; over four pages, each pair of them."""
    return [Look(language, SCHEMES[scheme], WIDTHS[width]) for language, scheme, width in _FEW[number % len(_FEW)]]


@dataclass(frozen=True, slots=True)
class World:
    """A home server whose players, files and operators are in every state that a page shows."""

    stack: Stack
    visitors: dict[Who, Browser]
    named: dict[str, str]

    async def address(self, view: View) -> str:
        """Where the view is; a link from the gadget is made for it."""
        path = view.path
        if "{link}" in path:
            gadget = await self.stack.open_gadget(JANE)
            path = urlsplit((await gadget.call("POST", "page-links")).json["url"]).path
        for name, value in self.named.items():
            path = path.replace(f"{{{name}}}", value)
        return f"{self.stack.home_url}{path}"


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """It runs inside of the context."""
    async with running_stack(folder) as stack, open_database(stack.settings.database_url) as database:
        player, hidden = await stack.player(ELIZABETH), await stack.player(JANE)
        withdrawn, both = await stack.player(CHARLOTTE), await stack.player(ELIZABETH)
        await both.sign_in_to_storage("marie")
        storage, new, operator = stack.browser(), stack.browser(), stack.browser()
        await storage.sign_in_to_storage("marie")
        await new.sign_in_to_storage("luc")
        await operator.sign_in_as_operator("configure")
        own = (await (await stack.open_gadget(ELIZABETH)).call("GET", "me")).json["me"]["id"]
        theirs = (await (await stack.open_gadget(CHARLOTTE)).call("GET", "me")).json["me"]["id"]
        await withdrawn.post("/privacy/hide")
        long = await _people(database, stack)
        await database.write(_files)
        visitors: dict[Who, Browser] = {
            "nobody": stack.browser(),
            "player": player,
            "hidden": hidden,
            "withdrawn": withdrawn,
            "both": both,
            "storage": storage,
            "new": new,
            "operator": operator,
        }
        checked = await operator.post("/admin/boards/letters/verify", {"reason": "for the pages"})
        named = {"player": own, "withdrawn": theirs, "long": long, "odd": "ris", "task": checked.location}
        yield World(stack, visitors, named)


async def _people(database: Database, stack: Stack) -> str:
    """Odd names on the board, Jane hidden; the public id of the longest name."""
    now_ms, container = wall_clock_ms(), stack.settings.container.name

    async def work(tx: Transaction) -> str:
        boards = await leaderboards.begin(tx)
        long, changes = "", []
        for number, name in enumerate(ODD_NAMES):
            player = await people.player_of(tx, container, f"odd-{number}")
            await observe_person(tx, player, Person(f"odd-{number}", name, "Mbappé-Riscado"), now_ms)
            value = {"letters": str(1_000_000 + number // 2)}
            changes += await appdata.observe(
                tx, player, value, observed_ms=now_ms, at_ms=now_ms, origin=Origin.SUBMITTED
            )
            if name == LONG_NAME:
                long = (await people.card(tx, player)).id
        await leaderboards.record(tx, boards, changes, now_ms)
        return long

    long = await database.write(work)
    jane = await database.read(lambda reader: people.find_player(reader, container, JANE))
    assert jane is not None
    await Moderation(database, wall_clock_ms).hide(jane, actor="configure", reason="for the pages")
    return long


async def _files(tx: Transaction) -> None:
    """Of Marie, an upload in each state; their names are as odd as people's."""
    now_ms = wall_clock_ms()
    user = await tx.fetch_value("SELECT MIN(storage_user) FROM page_sessions WHERE storage_name LIKE 'Marie%'")
    portal = "http://localhost:1/portal"
    codes = {
        StorageLeg.NEEDS_ACTIVATION: "MD804",
        StorageLeg.NEEDS_CONSENT: "-3",
        StorageLeg.OUT_OF_SPACE: "MD327",
        StorageLeg.NEEDS_NAME: "PA003",
        StorageLeg.REFUSED: "MD803",
        StorageLeg.FAILED: "PA900",
    }
    for number, leg in enumerate(StorageLeg):
        under_way = leg in uploads.UNDER_WAY
        await uploads.add(
            tx,
            Upload(
                id=f"{number:022}",
                storage_user=user,
                name=f"{(*ODD_NAMES, 'Été.jpg')[number % 6]}.{leg.value}",
                media_type="image/jpeg",
                size_bytes=31_163 * 10 ** (number % 6),
                received_bytes=0 if under_way else 31_163 * 10 ** (number % 6),
                sent_bytes=0,
                browser=BrowserLeg.RECEIVING if under_way else BrowserLeg.RECEIVED,
                storage=leg,
                attempts=1 + number % 3,
                code=codes.get(leg),
                detail="detail of the storage" if leg in codes else None,
                portal_url=portal if leg in codes else None,
                content_id="6174" if leg is StorageLeg.STORED else None,
                folder_id="3449" if leg is StorageLeg.STORED else None,
                created_ms=now_ms - 60_000 * number,
                updated_ms=now_ms - 60_000 * number,
            ),
            None,
        )
