"""A sandbox for tests: its settings, and a client that signs for it with oauthlib as a home server would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast
from urllib.parse import urlencode

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from cryptography.hazmat.primitives.asymmetric import rsa
from oauthlib import oauth1
from yarl import URL

from homeserver.model import NowMs
from homeserver.sandbox import Sandbox, SandboxSettings
from homeserver.sandbox.oauth import HttpMethod
from homeserver.sandbox.settings import new_signing_key

Client = TestClient[Request, Application]


@cache
def signing_key() -> rsa.RSAPrivateKey:
    """One key for all sandboxes of a test run: making one takes longer than most tests."""
    return new_signing_key()


def sandbox_settings(now_ms: NowMs, **changes: Any) -> SandboxSettings:
    """Settings of a sandbox under a clock that the test moves."""
    return SandboxSettings(**{"now_ms": now_ms, "signing_key": signing_key(), **changes})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the sandbox, read whole."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"].startswith("application/json"), self.headers
        return json.loads(self.text)


@dataclass(frozen=True, slots=True)
class SignedClient:
    """Calls the REST service of a running sandbox, parameters in the query."""

    http: Client
    sandbox: Sandbox

    def sign(self, method: str, path: str, **oauth: Any) -> str:
        """The signed URL of a request without a body."""
        return self._sign(method, path, None, {}, oauth)[0]

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        requestor: str | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        **oauth: Any,
    ) -> Reply:
        """One signed request. `body` is sent as JSON, bytes as they are; `oauth` goes to oauthlib's client."""
        parameters = dict(query or {})
        if requestor is not None:
            parameters["xoauth_requestor_id"] = requestor
        more = dict(headers or {})
        content: str | None = None
        if body is not None:
            content = body.decode() if isinstance(body, bytes) else json.dumps(body)
            more.setdefault("Content-Type", "application/json")
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        url, sent = self._sign(method, target, content, more, oauth)
        return await self.send(method, url, sent, content)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, content: str | None = None
    ) -> Reply:
        """One request exactly as given."""
        data = None if content is None else content.encode()
        response: ClientResponse
        async with self.http.session.request(method, URL(url, encoded=True), headers=headers, data=data) as response:
            return Reply(response.status, dict(response.headers), await response.text())

    def _sign(
        self, method: str, target: str, content: str | None, headers: dict[str, str], oauth: dict[str, Any]
    ) -> tuple[str, dict[str, str]]:
        settings = self.sandbox.settings
        arguments = {
            "client_key": settings.consumer_key,
            "client_secret": settings.consumer_secret,
            "signature_type": oauth1.SIGNATURE_TYPE_QUERY,
            "timestamp": str(settings.now_ms() // 1000),
            **oauth,
        }
        signer = oauth1.Client(**arguments)
        base = str(self.http.make_url("/social/rest/"))
        url, sent, _ = signer.sign(base + target, http_method=cast("HttpMethod", method), body=content, headers=headers)
        return url, sent


async def serve(sandbox: Sandbox, port: int | None = None) -> Client:
    """A client of the sandbox, served on `port` or a free port of this machine. Close it when done."""
    client = TestClient(TestServer(sandbox.app, port=port))
    await client.start_server()
    return client
