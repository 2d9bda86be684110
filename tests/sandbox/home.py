"""A home server that the sandbox calls, and what tests ask of the container's browser side."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from oauthlib.common import Request
from oauthlib.oauth1.rfc5849 import signature as rfc5849

from homeserver.sandbox import Sandbox
from homeserver.sandbox.gadgets import UNPARSEABLE_PREFIX
from homeserver.sandbox.settings import SandboxSettings
from tests.sandboxes import Client

EMPTY_HASH = "2jmj7l5rSw0yVb/vlWAYkK/YBwk="
FORM = "application/x-www-form-urlencoded"

SPEC = """<?xml version="1.0" encoding="UTF-8"?>
<Module>
  <ModulePrefs title="Letters &amp; Co">
    <Require feature="opensocial-0.8"/>
    <Require feature="dynamic-height"/>
    <Locale><msg name="hello">Hello</msg></Locale>
    <Locale lang="pt" country="BR"><msg name="hello">Olá</msg></Locale>
    %LINKS%
  </ModulePrefs>
  <UserPref name="colour" default_value="&lt;red&gt;"/>
  <Content type="html" view="profile, home"><![CDATA[<p id="small">small</p>]]></Content>
  <Content type="html"><![CDATA[<p id="big">__MSG_hello__ __UP_colour__ __MODULE_ID__</p>]]></Content>
</Module>
"""


@dataclass(slots=True)
class Home:
    """A home server that writes down what it is asked. Set `spec` and `answer` to choose what it says."""

    server: TestServer
    spec: bytes = SPEC.replace("%LINKS%", "").encode()
    spec_status: int = 200
    spec_asked: int = 0
    answer: web.Response | None = None
    calls: list[tuple[str, str, Mapping[str, str], bytes]] = field(default_factory=list)
    """Method, raw target, headers, body."""

    @property
    def origin(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    async def give_spec(self, request: web.Request) -> web.Response:
        self.spec_asked += 1
        return web.Response(status=self.spec_status, body=self.spec, content_type="text/xml")

    async def write_down(self, request: web.Request) -> web.Response:
        self.calls.append((request.method, request.raw_path, request.headers, await request.read()))
        answer, self.answer = self.answer, None
        return answer or web.json_response({"ok": True})


def frame_path(sandbox: Sandbox, token: str, **more: str) -> str:
    return "/gadgets/ifr?" + urlencode({"url": sandbox.settings.gadget_url, "st": token, "view": "canvas", **more})


async def text_of(response: ClientResponse) -> str:
    async with response:
        return await response.text()


async def make_request(browser: Client, token: str, url: str, **parameters: str) -> dict[str, Any]:
    """What gadgets.io.makeRequest posts, and what the container answers about `url`."""
    response = await browser.post("/gadgets/makeRequest", data={"st": token, "url": url, **parameters})
    text = await text_of(response)
    assert response.status == 200, text
    assert text.startswith(UNPARSEABLE_PREFIX)
    answer: dict[str, Any] = json.loads(text.removeprefix(UNPARSEABLE_PREFIX))[url]
    return answer


def query_of(target: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))


def verify(home: Home, settings: SandboxSettings, certificate_pem: str) -> dict[str, str]:
    """Check the signature of the last call that arrived, with oauthlib, from what travelled; return its query."""
    method, target, headers, body = home.calls[-1]
    is_form = headers.get("Content-Type", "") == FORM
    query = query_of(target)
    parameters = rfc5849.collect_parameters(urlsplit(target).query, body=body.decode() if is_form else None)
    uri = rfc5849.base_string_uri(home.origin + target.partition("?")[0])
    normalized = rfc5849.normalize_parameters(parameters)  # type: ignore[arg-type]  # the stub says dict
    base_string = rfc5849.signature_base_string(method, uri, normalized)  # type: ignore[arg-type]  # any method
    if query["oauth_signature_method"] == "RSA-SHA1":
        assert query["oauth_consumer_key"] == settings.container_domain
        key = x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == 2048
        key.verify(base64.b64decode(query["oauth_signature"]), base_string.encode(), padding.PKCS1v15(), hashes.SHA1())
    else:
        assert query["oauth_consumer_key"] == settings.consumer_key
        request: Any = Request(home.origin + target.partition("?")[0], method)  # type: ignore[arg-type]
        request.params, request.signature = parameters, query["oauth_signature"]
        assert rfc5849.verify_hmac_sha1(request, settings.consumer_secret, "")
    return query
