"""A site that uses the storage stand-in, written straight from the guide and not from the client under test."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from yarl import URL

from homeserver.model import NowMs
from homeserver.sandbox.faults import Faults, fault_middleware
from homeserver.sandbox.mesdonnees import StorageStandIn

HOME = "http://127.0.0.1:8080"
SERVICE_ID = "HOMESERVER1234567890"
PASSWORD = "pass:word é"
API = "/mesdonnees/PersonalContent/V1"
BOUNDARY = "BPziGQhPkiFc_L0GBcrC7wBLAAoudpAFRJBc"


@dataclass(frozen=True, slots=True)
class UploadUrl:
    """What step one gave."""

    path: str
    cookie: str


class Site:
    """A site that uses the storage, written straight from the guide."""

    def __init__(
        self, client: TestClient[web.Request, web.Application], storage: StorageStandIn, faults: Faults
    ) -> None:
        self.client = client
        self.storage = storage
        self.faults = faults

    async def ask(self, user: str = "marie", name: str = "HelloWorld.jpg", size: object = 31163) -> tuple[int, str]:
        return await self.ask_raw(
            f"action=getContentUploadURL&token={quote(self.storage.token_for(user), safe='')}"
            f"&content_name={quote(name, safe='')}&content_size={size}"
        )

    async def ask_raw(
        self, query: str, *, method: str = "GET", password: str | None = PASSWORD, scheme: str = "Basic"
    ) -> tuple[int, str]:
        headers = {}
        if password is not None:
            pair = base64.b64encode(f"{SERVICE_ID}:{password}".encode()).decode()
            headers["Authorization"] = f"{scheme} {pair}"
        async with self.client.request(method, URL(f"{API}?{query}", encoded=True), headers=headers) as reply:
            return reply.status, await reply.text()

    async def code(self, user: str = "marie", name: str = "HelloWorld.jpg", size: object = 31163) -> str:
        status, body = await self.ask(user, name, size)
        assert status == 500
        match = re.search(r"<code>\s*(\S+)\s*</code>", body)
        assert match, body
        return match[1]

    async def url(self, user: str = "marie", name: str = "HelloWorld.jpg", size: int = 31163) -> UploadUrl:
        status, body = await self.ask(user, name, size)
        assert status == 200, body
        url = re.search(r"<!\[CDATA\[ (\S+) \]\]>", body)
        cookie = re.search(r"<value>(\S+)</value>", body)
        assert url
        assert cookie
        return UploadUrl(urlsplit(url[1]).path, cookie[1])

    async def upload(
        self,
        url: UploadUrl,
        body: bytes,
        *,
        method: str = "POST",
        cookie: str | None = None,
        content_type: str = f"multipart/form-data; boundary={BOUNDARY}",
    ) -> tuple[int, str]:
        headers = {
            "Content-Type": content_type,
            "Cookie": f"downloadUploadKey={url.cookie if cookie is None else cookie}",
        }
        async with self.client.request(method, url.path, data=io.BytesIO(body), headers=headers) as reply:
            return reply.status, await reply.text()

    async def get(self, path: str) -> tuple[int, str]:
        async with self.client.get(URL(path, encoded=True), allow_redirects=False) as reply:
            return reply.status, await reply.text()

    async def post(self, path: str, **form: str) -> ClientResponse:
        return await self.client.post(path, data=form, allow_redirects=False)


def envelope(content: bytes, *, head: str = "", name: str = "file_content") -> bytes:
    """The guide's upload request."""
    head = head or (
        f'Content-Disposition: form-data; name="{name}"; filename="HelloWorld.jpg"\r\n'
        "Content-Type: image/jpg\r\n"
        "Content-Transfer-Encoding: binary\r\n"
    )
    return f"--{BOUNDARY}\r\n{head}\r\n".encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def message_of(body: str) -> str:
    """The `<message>` of a refused upload whose answer has the guide's layout, blank lines and all."""
    match = re.fullmatch(
        r'<\?xml version="1\.0"\?>\n\n<mum>\n\n    <action>uploadcontent</action>\n\n'
        r"    <parameters>.*</parameters>\n\n"
        r"    <response>\n\n        <message>(.*)</message>\n\n    </response>\n\n</mum>\n",
        body,
    )
    assert match, body
    return match[1]


def storage_app(now_ms: NowMs) -> tuple[web.Application, StorageStandIn, Faults]:
    """The stand-in in an application of its own."""
    faults = Faults()
    storage = StorageStandIn(
        public_url="http://localhost:8081",
        service_id=SERVICE_ID,
        service_password=PASSWORD,
        home_url=HOME,
        token_key=b"k" * 32,
        now_ms=now_ms,
        faults=faults,
    )
    app = web.Application(middlewares=[fault_middleware(faults)])
    app.add_routes(storage.routes())
    return app, storage, faults
