"""The whole home server beside its sandbox, over loopback, and clients that behave as browsers and gadgets do."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from aiohttp import ClientResponse, ClientSession, DummyCookieJar
from argon2 import PasswordHasher
from lxml import html
from oauthlib import oauth1
from yarl import URL

from homeserver.config import Settings, Visibility
from homeserver.demo import demo_settings, kept_secret, prepare_sandbox
from homeserver.model import Board, NowMs, Role
from homeserver.sandbox import Sandbox
from homeserver.sandbox.people import ELIZABETH
from homeserver.services.operators import Operators
from homeserver.serving import listen, serving
from homeserver.storage.database import open_database
from homeserver.storage.migrate import migrate
from homeserver.wiring import make_app, wall_clock_ms
from tests.patience import until

PASSWORD: Final = "correct horse battery"
_QUICK_HASHER: Final = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def location(self) -> str:
        return self.headers["Location"]


async def _read(response: ClientResponse) -> Reply:
    return Reply(response.status, response.headers.copy(), await response.read())


@dataclass(frozen=True, slots=True)
class StorageAnswer:
    """A form on a page of the storage's sign-in, which posts to us."""

    path: str
    fields: dict[str, str]
    origin: str


@dataclass(slots=True)
class Browser:
    """Keeps our cookies, says where its forms come from, and follows no redirect by itself."""

    http: ClientSession
    home_url: str
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.request("GET", path, headers)

    async def post(self, path: str, form: Any = None, **headers: str) -> Reply:
        said = {"Origin": self.home_url, "Sec-Fetch-Site": "same-origin"} | headers
        return await self.request("POST", path, said, form or {})

    async def request(self, method: str, path: str, headers: Mapping[str, str], data: Any = None) -> Reply:
        sent = {"Accept": "text/html", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        url = URL(path if "://" in path else self.home_url + path, encoded=True)
        async with self.http.request(method, url, headers=sent, data=data, allow_redirects=False) as response:
            for name, morsel in response.cookies.items():
                if morsel.value:
                    self.cookies[name] = morsel.value
                else:
                    self.cookies.pop(name, None)
            return await _read(response)

    async def sign_in_to_storage(self, user: str) -> None:
        """Go through the storage's sign-in as one of its people."""
        started = await self.post("/sign-in", {"back": "/files"})
        ticket = await self.bring_answer(await self.choose_at_storage(started.location, user))
        finished = await self.get(ticket.location)
        assert (finished.status, finished.location) == (303, "/files")

    async def choose_at_storage(self, address: str, user: str) -> StorageAnswer:
        """On the storage's sign-in page, be this person: the form by which its answer comes back."""
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(address))
        form = {**dict(parse_qsl(urlsplit(address).query)), "user": user}
        page = URL(address, encoded=True).with_query(None)
        async with self.http.post(page, data=form, headers={"Origin": origin}) as chosen:
            (answer,) = html.fromstring(await chosen.text()).iter("form")
        fields = {field.get("name", ""): field.get("value", "") for field in answer.iter("input")}
        return StorageAnswer(urlsplit(answer.get("action", "")).path, fields, origin)

    async def bring_answer(self, answer: StorageAnswer) -> Reply:
        """As a browser does from another site's page: without our cookie, which is SameSite=Lax."""
        sent = {"Origin": answer.origin, "Sec-Fetch-Site": "cross-site"}
        return await Browser(self.http, self.home_url).request("POST", answer.path, sent, answer.fields)

    async def sign_in_as_operator(self, name: str) -> Reply:
        return await self.post("/admin/sign-in", {"name": name, "password": PASSWORD})


@dataclass(frozen=True, slots=True)
class Gadget:
    """The gadget's own calls, with its token."""

    http: ClientSession
    home_url: str
    token: str

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        sent = {"Authorization": f"Bearer {self.token}", **headers}
        url = URL(f"{self.home_url}/gadget/v1/{path}", encoded=True)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        async with self.http.request(method, url, headers=sent, data=data) as response:
            return await _read(response)


@dataclass(slots=True)
class Stack:
    """A running home server with its sandbox."""

    settings: Settings
    sandbox: Sandbox
    http: ClientSession
    now_ms: NowMs = wall_clock_ms

    @property
    def home_url(self) -> str:
        return self.settings.server.public_url

    @property
    def sandbox_url(self) -> str:
        return self.sandbox.settings.public_url

    def browser(self) -> Browser:
        return Browser(self.http, self.home_url)

    def signed(
        self, method: Literal["GET", "POST"], path: str, *, owner: str = ELIZABETH, viewer: str | None, **more: str
    ) -> str:
        """The address of a call that the container signs (HMAC-SHA1), as Shindig does for an empty POST."""
        named = {"opensocial_owner_id": owner, "opensocial_viewer_id": viewer, **more}
        query = {"opensocial_app_url": self.settings.app_url, **{k: v for k, v in named.items() if v is not None}}
        signer = oauth1.Client(
            self.sandbox.settings.consumer_key,
            self.sandbox.settings.consumer_secret,
            signature_type=oauth1.SIGNATURE_TYPE_QUERY,
            timestamp=str(self.now_ms() // 1000),
        )
        target = f"{self.home_url}{path}?{urlencode(query)}"
        if method == "POST":
            url, _, _ = signer.sign(target, "POST", "", {"Content-Type": "application/x-www-form-urlencoded"})
        else:
            url, _, _ = signer.sign(target, method)
        return str(url)

    async def open_gadget(self, viewer: str | None = ELIZABETH, *, owner: str = ELIZABETH) -> Gadget:
        """Shake hands as the container would, for this viewer; wait until they are synced."""
        url = URL(self.signed("POST", "/gadget/session", owner=owner, viewer=viewer), encoded=True)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        async with self.http.post(url, headers=form, data=b"") as response:
            assert response.status == 200, await response.text()
            gadget = Gadget(self.http, self.home_url, (await response.json())["token"])
        if viewer is not None:
            await until(lambda: _is_synced(gadget))
        return gadget

    async def player(self, viewer: str = ELIZABETH) -> Browser:
        """A browser that came in by the gadget's link."""
        gadget = await self.open_gadget(viewer)
        link = (await gadget.call("POST", "page-links")).json["url"]
        browser = self.browser()
        assert (await browser.post(urlsplit(link).path)).status == 303
        return browser


async def _is_synced(gadget: Gadget) -> bool:
    return (await gadget.call("POST", "sync")).json["synced_at"] is not None


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys and a migrated database that has one operator of each role: copied for each test."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare_sandbox(folder, "http://127.0.0.1:1", 2)
    kept_secret(folder / "secret_key")
    url = f"sqlite:///{folder / 'homeserver.db'}"
    migrate(url)

    async def add_operators() -> None:
        async with open_database(url) as database:
            for role in Role:
                await Operators(database, wall_clock_ms, hasher=_QUICK_HASHER).add(role.value, PASSWORD, role)

    asyncio.run(add_operators())
    return folder


@asynccontextmanager
async def running_stack(
    folder: Path,
    *,
    now_ms: NowMs = wall_clock_ms,
    boards: Sequence[Board] | None = None,
    **changes: Mapping[str, Any],
) -> AsyncIterator[Stack]:
    """Home server and sandbox on free ports, by one clock. `changes` are to the settings, by section; `boards` instead
    of those of the demo."""
    home, box = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
    home_url = f"http://127.0.0.1:{home.getsockname()[1]}"
    sandbox, certificate = prepare_sandbox(folder, home_url, box.getsockname()[1])
    sandbox = Sandbox(dataclasses.replace(sandbox.settings, now_ms=now_ms))
    settings = demo_settings(folder, home_url, sandbox.settings, certificate)
    by_section = {"server": {"boards_visible_to": Visibility.PLAYERS}, **changes}
    sections = {name: getattr(settings, name).model_copy(update=update) for name, update in by_section.items()}
    settings = settings.model_copy(update=sections if boards is None else {**sections, "boards": tuple(boards)})
    async with (
        serving(sandbox.app, box),
        serving(make_app(settings, now_ms=now_ms), home),
        ClientSession(cookie_jar=DummyCookieJar()) as http,
    ):
        yield Stack(settings, sandbox, http, now_ms)


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    """A prepared folder of this test's own."""
    shutil.copytree(prepared, tmp_path / "stack")
    return tmp_path / "stack"


@pytest.fixture
async def stack(folder: Path) -> AsyncIterator[Stack]:
    """The whole product, boards for players only."""
    async with running_stack(folder) as running:
        yield running
