"""Errors become answers in one place: the status from the class, a problem document or a page, nothing leaked."""

from __future__ import annotations

from typing import Any, Final

import pytest
from aiohttp import DummyCookieJar, web
from aiohttp.pytest_plugin import AiohttpClient
from aiohttp.test_utils import TestClient
from structlog.testing import capture_logs
from yarl import URL

from homeserver import errors
from homeserver.web import problems, setup
from homeserver.web.keys import SITE, Site
from homeserver.web.security import ADMIN_COOKIE, PAGE_COOKIE, cookie, set_cookie
from homeserver.web.statics import STATIC_FILES

Client = TestClient[web.Request, web.Application]

SECRET: Final = "hunter2"
JSON: Final = {"Accept": "application/json"}
HTML: Final = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PUBLIC_URL: Final = "https://home.example"

EXAMPLES: Final[list[tuple[errors.HomeServerError, int]]] = [
    (errors.BadInput("wrong", field="limit"), 400),
    (errors.BadCursor("not ours"), 400),
    (errors.StaleCursor("not any more"), 400),
    (errors.TooLarge("too much", limit_bytes=5), 413),
    (errors.NotSignedIn("who are you?"), 401),
    (errors.SignatureRefused(f"nonce {SECRET}"), 401),
    (errors.Forbidden("not you"), 403),
    (errors.NotFound("nothing"), 404),
    (errors.Conflict("not now"), 409),
    (errors.Locked("somebody else"), 423),
    (errors.WrongOffset("elsewhere", offset_bytes=7), 409),
    (errors.WrongNode("elsewhere"), 503),
    (errors.TooMany("slower", wait_s=1.2), 429),
    (errors.SpoolFull("no room"), 507),
    (errors.SpoolBroken("gone"), 410),
    (errors.RemoteUnavailable("silent", service="container", wait_s=7.5), 503),
    (errors.RemoteUnavailable("silent", service="mesdonnees"), 503),
    (errors.RemoteGarbage("not JSON", service="container", excerpt=SECRET), 502),
    (errors.RemoteUnauthorized("401", service="container"), 502),
    (errors.StorageRefused("MD327", "Insufficient available space"), 422),
    (errors.UploadUncertain("no answer", service="mesdonnees"), 502),
    (errors.OutdatedSchema("run migrate"), 503),
    (errors.DatabaseUnavailable("lost"), 503),
    (errors.Stopping("it ends"), 503),
    (errors.BadSettings(f"secret_key is {SECRET}"), 500),
]


def site(**changes: Any) -> Site:
    return Site(**{"public_url": PUBLIC_URL, **changes})


def failing_app() -> web.Application:
    """Routes that raise; `/gadget/v1/fail/` is for programs, `/fail/` for people."""
    app = web.Application()
    app[SITE] = site()
    setup(app)

    async def fail(request: web.Request) -> web.Response:
        raise EXAMPLES[int(request.match_info["number"])][0]

    async def bug(request: web.Request) -> web.Response:
        raise ZeroDivisionError(SECRET)

    async def broken(request: web.Request) -> web.Response:
        raise web.HTTPRequestEntityTooLarge(max_size=1, actual_size=2)

    async def fine(request: web.Request) -> web.Response:
        return web.Response(text="fine")

    for prefix in ("", "/gadget/v1"):
        app.router.add_get(f"{prefix}/fail/{{number}}", fail)
        app.router.add_get(f"{prefix}/bug", bug)
        app.router.add_get(f"{prefix}/broken", broken)
        app.router.add_post(f"{prefix}/fine", fine)
    return app


@pytest.fixture
async def client(aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(failing_app())


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
async def test_each_error_is_a_problem_document_for_programs(client: Client, number: int) -> None:
    error, status = EXAMPLES[number]
    answer = await client.get(f"/gadget/v1/fail/{number}")
    assert answer.status == status
    assert answer.content_type == "application/problem+json"
    document = await answer.json(content_type=None)
    assert document["status"] == status
    assert document["code"] == error.code
    assert {"type", "title", "detail"} <= document.keys()
    assert document.get("field") == getattr(error, "field", None)
    assert SECRET not in await answer.text()


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
async def test_each_error_is_a_page_in_words_for_people(client: Client, number: int) -> None:
    error, status = EXAMPLES[number]
    answer = await client.get(f"/fail/{number}", headers=HTML)
    assert (answer.status, answer.content_type) == (status, "text/html")
    page = await answer.text()
    assert error.code in page
    assert SECRET not in page


def test_only_what_is_meant_is_a_fault_of_this_server() -> None:
    """A class that is added without a line in the table becomes a 500, unless its parent has one."""

    def all_below(kind: type[errors.HomeServerError]) -> set[type[errors.HomeServerError]]:
        return {kind}.union(*(all_below(child) for child in kind.__subclasses__()))

    named = {kind for kind in all_below(errors.HomeServerError) if kind.__module__ == errors.__name__}
    ours = {kind.__name__ for kind in named if problems.status_of(kind) == 500}
    assert ours == {"HomeServerError", "BackupBroken", "BadSettings", "SealBroken"}


async def test_when_to_come_back(client: Client) -> None:
    waits = {}
    for number, (error, _) in enumerate(EXAMPLES):
        answer = await client.get(f"/gadget/v1/fail/{number}")
        if "Retry-After" in answer.headers:
            waits[str(error)] = answer.headers["Retry-After"]
    assert waits == {"slower": "2", "lost": "5", "it ends": "5", "silent": "30"}


async def test_a_401_says_how_to_sign_in(client: Client) -> None:
    numbers = {type(error): number for number, (error, _) in enumerate(EXAMPLES)}
    nobody = await client.get(f"/gadget/v1/fail/{numbers[errors.NotSignedIn]}")
    assert nobody.headers["WWW-Authenticate"] == "Bearer"


async def test_a_bug_says_nothing_but_an_id_that_is_in_the_log(client: Client) -> None:
    with capture_logs() as logs:
        answer = await client.get("/gadget/v1/bug")
    assert answer.status == 500
    document = await answer.json(content_type=None)
    assert document["code"] == "internal"
    assert SECRET not in str(document)
    assert [entry["error_id"] for entry in logs] == [document["error_id"]]

    with capture_logs() as logs:
        page = await (await client.get("/bug", headers=HTML)).text()
    assert logs[0]["error_id"] in page
    assert SECRET not in page
    assert "ZeroDivisionError" not in page


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/gadget/v1/nowhere", 404, "not_found"),
        ("DELETE", "/gadget/v1/fine", 405, "method_not_allowed"),
        ("GET", "/broken", 413, "too_large"),
        ("GET", "/gadget/v1/broken", 413, "too_large"),
    ],
)
async def test_what_aiohttp_itself_refuses(client: Client, method: str, path: str, status: int, code: str) -> None:
    answer = await client.request(method, path)
    assert answer.status == status
    assert code in await answer.text()
    if status == 405:
        assert answer.headers["Allow"] == "POST"
    as_json = await client.request(method, path, headers=JSON)
    assert (await as_json.json(content_type=None))["code"] == code


# --- what every answer carries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthy", "/fail/0", "/bug", "/static/site.css", "/gadget.xml", "/gadget/v1/bug"])
async def test_security_headers_are_on_every_answer(client: Client, path: str) -> None:
    headers = (await client.get(path)).headers
    directives = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert directives == {
        "default-src": "'self'",
        "img-src": "'self' data: blob:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    cached = path in {"/static/site.css", "/gadget.xml"}
    assert (headers["Cache-Control"] == "no-store") is not cached


async def test_the_policy_names_pictures_and_forms_of_the_settings(aiohttp_client: AiohttpClient) -> None:
    app = web.Application()
    app[SITE] = site(
        public_url="http://127.0.0.1:8080",
        picture_sources=("http://localhost:8081",),
        form_targets=("https://*.orange.fr", "http://localhost:8081"),
    )
    setup(app)
    headers = (await (await aiohttp_client(app)).get("/gadget.xml")).headers
    assert "img-src 'self' data: blob: http://localhost:8081;" in headers["Content-Security-Policy"]
    assert "form-action 'self' https://*.orange.fr http://localhost:8081;" in headers["Content-Security-Policy"]
    assert "Strict-Transport-Security" not in headers


@pytest.mark.parametrize(
    "changes",
    [
        {"public_url": "https://home.example/path"},
        {"public_url": "home.example"},
        {"picture_sources": ("https://a.example; script-src *",)},
        {"form_targets": ("'unsafe-inline'",)},
        {"form_targets": ("https://a.example https://b.example",)},
    ],
)
def test_a_site_whose_policy_could_be_broken_out_of_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(errors.BadSettings):
        site(**changes)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": PUBLIC_URL}, 200),
        ({"Origin": PUBLIC_URL, "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Origin": f"{PUBLIC_URL}.evil.example"}, 403),
        ({"Origin": f"{PUBLIC_URL}:8443"}, 403),
        ({"Origin": PUBLIC_URL.replace("https", "http")}, 403),
    ],
)
async def test_an_unsafe_request_must_come_from_our_own_pages(
    client: Client, headers: dict[str, str], status: int
) -> None:
    assert (await client.post("/fine", headers=headers)).status == status


async def test_calls_with_a_token_or_signature_need_no_origin(client: Client) -> None:
    assert (await client.post("/gadget/v1/fine", headers={"Origin": "https://evil.example"})).status == 200


async def test_options_names_the_methods(client: Client) -> None:
    answer = await client.options("/fine")
    assert (answer.status, answer.headers["Allow"]) == (204, "OPTIONS, POST")
    assert (await client.options("/nowhere")).status == 404


# --- static files ---------------------------------------------------------------------------------------------------


async def test_only_the_address_with_the_right_hash_is_kept_for_long(client: Client) -> None:
    assert client.app is not None
    address = client.app[STATIC_FILES].path("gadget.css")
    right = await client.get(address)
    assert right.status == 200
    assert right.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "css" in right.headers["Content-Type"]
    for other in ("/static/gadget.css", "/static/gadget.css?v=0000000000000000"):
        assert (await client.get(other)).headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", ["/static/", "/static/../pyproject.toml", "/static/%2e%2e/pyproject.toml"])
async def test_nothing_but_static_files_is_served_there(client: Client, path: str) -> None:
    answer = await client.session.get(URL(str(client.make_url("/")) + path[1:], encoded=True))
    assert answer.status in {403, 404}
    assert "[project]" not in await answer.text()


@pytest.mark.parametrize(
    ("public_url", "name", "set_"),
    [
        ("https://home.example", PAGE_COOKIE, "__Host-hs=new; HttpOnly; Path=/; SameSite=Lax; Secure"),
        ("https://home.example", ADMIN_COOKIE, "__Secure-hs_admin=new; HttpOnly; Path=/admin; SameSite=Lax; Secure"),
        ("http://127.0.0.1:8080", PAGE_COOKIE, "hs=new; HttpOnly; Path=/; SameSite=Lax"),
    ],
)
async def test_by_https_a_cookie_planted_by_another_host_is_not_ours(
    aiohttp_client: AiohttpClient, public_url: str, name: str, set_: str
) -> None:
    app = web.Application()
    app[SITE] = site(public_url=public_url)

    async def echo(request: web.Request) -> web.Response:
        response = web.Response(text=cookie(request, name) or "none")
        set_cookie(response, request.app[SITE], name, "new")
        return response

    app.router.add_get("/", echo)
    client = await aiohttp_client(app, cookie_jar=DummyCookieJar())
    ours = set_.partition("=")[0]
    answer = await client.get("/", headers={"Cookie": f"{name}=planted; {ours}=ours"})
    assert (await answer.text(), answer.headers["Set-Cookie"]) == ("ours" if ours != name else "planted", set_)
    answer = await client.get("/", headers={"Cookie": f"{name}=planted"})
    assert await answer.text() == ("none" if ours != name else "planted")
