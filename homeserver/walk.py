"""`homeserver demo --once`: the main job from end to end, over HTTP as browsers and gadgets do it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import unquote, urlencode

from aiohttp import ClientSession, ClientTimeout, CookieJar, FormData
from lxml import html

from homeserver.demo import Demo, prepare, running
from homeserver.sandbox.gadgets import UNPARSEABLE_PREFIX
from homeserver.serving import Say

T = TypeVar("T")

PLAYER: Final = "15913663323317925521"
"""The guide's Elizabeth Bennet: an id beyond 63 bits, with friends who play."""
STORAGE_USER: Final = "marie"
UNACTIVATED_USER: Final = "paul"
PATIENCE_S: Final = 20.0
FILE_BYTES: Final = 300_000


class StepFailed(Exception):
    """What was expected did not happen; the message says what did."""


@dataclass(slots=True)
class Walk:
    """One person's way through the product. Each step checks what it sees, and says it in a line."""

    demo: Demo
    browser: ClientSession
    token: str = ""

    async def opens_the_gadget(self) -> str:
        """The container's page shows the frame; the gadget introduces itself by a signed call."""
        page = await self._text(f"{self.demo.sandbox_url}/play?viewer={PLAYER}&view=canvas")
        found = re.search(r"[?&](?:amp;)?st=([^&\"']+)", page)
        if found is None:
            raise StepFailed("the container's page has no frame with a security token")
        form = {
            "url": f"{self.demo.home_url}/gadget/session",
            "httpMethod": "POST",
            "authz": "signed",
            "headers": urlencode({"Content-Type": "application/json"}),
            "postData": "{}",
            "st": unquote(found[1]),
        }
        async with self.browser.post(f"{self.demo.sandbox_url}/gadgets/makeRequest", data=form) as response:
            text = await response.text()
        answer = json.loads(text.removeprefix(UNPARSEABLE_PREFIX))[form["url"]]
        expect(answer["rc"] == 200, f"/gadget/session answered {answer['rc']}")
        opened = json.loads(answer["body"])
        self.token = opened["token"]
        expect(opened["viewer"] is not None, "the token has no viewer")
        return "the container's RSA signature was verified, the gadget has a token"

    async def is_synced(self) -> str:
        """The sync that the opening began has brought friends and scores."""

        async def friends_on_the_board() -> int:
            return int((await self._gadget("GET", "boards/letters/entries?friends=true"))["total"])

        friends = await until(friends_on_the_board)
        requests = len(self.demo.sandbox.container.requests)
        return f"{requests} signed requests brought the profile, the friends and {friends} scores"

    async def sees_the_board(self) -> str:
        """Top, around me and friends agree about the player's place."""
        top = await self._gadget("GET", "boards/letters/entries?limit=3")
        around = await self._gadget("GET", "boards/letters/entries?around=me&limit=5")
        friends = await self._gadget("GET", "boards/letters/entries?friends=true&limit=100")
        mine = [entry for page in (around, friends) for entry in page["entries"] if entry["me"]]
        expect(len(mine) == 2 and mine[0]["rank"] == mine[1]["rank"], "around me and friends disagree about my place")
        first = top["entries"][0]
        expect(first["rank"] == 1, "the first of the board is not in place 1")
        return (
            f"{top['total']} players on the board; first is {first['player']['name']} with {first['display']}, "
            f"{mine[0]['player']['name']} is in place {mine[0]['rank']}"
        )

    async def writes_a_score(self) -> str:
        """A score goes to the container as AppData, beside what was there, and to the board."""
        container = self.demo.sandbox.container
        before = container.appdata_of(PLAYER)
        value = str(int(before.get("letters", "0")) + 40)
        placed = await self._gadget("POST", "scores", {"board": "letters", "value": value}, accept=(201,))
        after = container.appdata_of(PLAYER)
        expect(after == {**before, "letters": value}, "the AppData in the container is not what was written")
        change = next(change for change in placed["changes"] if change["period"]["id"] == "all")
        return f"{value} letters are in the container's AppData; the new place is {change['rank']}"

    async def stores_a_file(self) -> str:
        """Sign in to the storage, send a file by the plain form, find it there unchanged."""
        await self._sign_in(STORAGE_USER)
        content = secrets.token_bytes(FILE_BYTES)
        async with self._posting("HelloWorld.jpg", content) as (status, _, upload):
            expect(status == 201, f"POST /files answered {status}")
        address = f"{self.demo.home_url}/files/{upload['id']}"

        async def at_rest() -> dict[str, Any] | None:
            state: dict[str, Any] = json.loads(await self._text(address, as_json=True))
            return None if state["storage"] in {"waiting", "sending", "closing"} else state

        upload = await until(at_rest)
        expect(upload["storage"] == "stored", f"the upload is {upload['storage']}")
        stored = self.demo.sandbox.storage.files["HelloWorld.jpg"]
        expect(stored.sha256 == hashlib.sha256(content).hexdigest(), "the stored file differs from the one sent")
        place = f"content {upload['content_id']} in folder {upload['folder_id']}"
        return f"HelloWorld.jpg is stored as {place}, with the same SHA-256"

    async def is_sent_to_the_portal(self) -> str:
        """Who has not activated the storage lands on its portal (MD804), and the file waits."""
        await self._sign_in(UNACTIVATED_USER)
        async with self._posting("Pemberley.jpg", b"a picture", by_script=False) as (status, location, _):
            expect(status == 303 and "/portal" in location, f"POST /files answered {status}, {location or 'nowhere'}")
        page = await self._text(location)
        expect("Mes Donn" in page, "the portal's page does not look like one")
        waiting = json.loads(await self._text(f"{self.demo.home_url}/files", as_json=True))["uploads"][0]
        expect(waiting["storage"] == "needs_activation", f"the upload is {waiting['storage']}")
        return f"MD804 led to {location.partition('?')[0]}; {waiting['name']} waits"

    # --- what browsers and gadgets do -----------------------------------------------------------------------------

    async def _text(self, url: str, *, as_json: bool = False) -> str:
        headers = {"Accept": "application/json"} if as_json else {}
        async with self.browser.get(url, headers=headers) as response:
            expect(response.status == 200, f"{response.url.path} answered {response.status}")
            return await response.text()

    async def _gadget(self, method: str, path: str, body: object = None, accept: tuple[int, ...] = (200,)) -> Any:
        async with self.browser.request(
            method,
            f"{self.demo.home_url}/gadget/v1/{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.token}", "Origin": self.demo.sandbox_url},
        ) as response:
            expect(response.status in accept, f"/gadget/v1/{path} answered {response.status}")
            return await response.json(content_type=None)

    async def _sign_in(self, user: str) -> None:
        self.browser.cookie_jar.clear()
        headers = {"Origin": self.demo.home_url, "Sec-Fetch-Site": "same-origin"}
        async with self.browser.post(f"{self.demo.home_url}/sign-in", data={}, headers=headers) as response:
            page = response.url
            expect(response.status == 200 and page.path == "/mesdonnees/sso", "no way to the storage's sign-in")
        async with self.browser.post(page.with_query(None), data={**page.query, "user": user}) as response:
            form = _form(await response.text())
        async with self.browser.post(form.action, data=form.fields) as response:
            expect(response.url.path == "/files", f"signing in ended at {response.url.path}")

    @asynccontextmanager
    async def _posting(
        self, name: str, content: bytes, *, by_script: bool = True
    ) -> AsyncIterator[tuple[int, str, dict[str, Any]]]:
        form = FormData()
        form.add_field("file", content, filename=name, content_type="image/jpeg")
        headers = {"Origin": self.demo.home_url, "Accept": "application/json" if by_script else "text/html"}
        async with self.browser.post(
            f"{self.demo.home_url}/files", data=form, headers=headers, allow_redirects=False
        ) as response:
            upload = await response.json() if response.status == 201 else {}
            yield response.status, response.headers.get("Location", ""), upload


class _Form(NamedTuple):
    action: str
    fields: dict[str, str]


def _form(page: str) -> _Form:
    """The one form of a page, as a browser would post it."""
    (form,) = html.fromstring(page).iter("form")
    hidden = {field.get("name", ""): field.get("value", "") for field in form.iter("input")}
    return _Form(form.get("action", ""), hidden)


def expect(condition: bool, otherwise: str) -> None:
    """Go on only if this holds."""
    if not condition:
        raise StepFailed(otherwise)


async def until(probe: Callable[[], Awaitable[T | None]]) -> T:
    """Ask again and again until the answer is something."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if found := await probe():
                return found
            await asyncio.sleep(0.05)


async def walk(say: Say) -> bool:
    """Walk the main job on free ports and in a folder that is gone afterwards; whether every step went well."""
    with tempfile.TemporaryDirectory(prefix="homeserver-walk-") as folder:
        demo = await asyncio.to_thread(prepare, Path(folder), 0, 0)
        async with running(demo):
            return await walk_through(demo, say)


async def walk_through(demo: Demo, say: Say) -> bool:
    """Walk through a running demo, up to the first step that fails; whether none did."""
    timeout = ClientTimeout(total=PATIENCE_S)
    async with ClientSession(cookie_jar=CookieJar(unsafe=True), timeout=timeout) as browser:
        return await _steps(Walk(demo, browser), say)


async def _steps(way: Walk, say: Say) -> bool:
    steps = (
        ("gadget session", way.opens_the_gadget),
        ("sync", way.is_synced),
        ("board", way.sees_the_board),
        ("score", way.writes_a_score),
        ("upload", way.stores_a_file),
        ("MD804", way.is_sent_to_the_portal),
    )
    for name, step in steps:
        try:
            say(f"ok      {name:<16}{await step()}")
        except (StepFailed, TimeoutError) as failure:
            say(f"FAILED  {name:<16}{failure or 'it took too long'}")
            return False
    say("The main job works from end to end.")
    return True
