"""Every address, for everybody: one table of what nobody, a stranger, the owner and each operator get there."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.web_urldispatcher import StaticResource

from homeserver.model import Role
from homeserver.web import setup
from homeserver.web.keys import SITE, Site
from tests.web.conftest import Browser, Reply, Stack

SIGN_IN: Final = "303 /sign-in?back=/files"
ADMIN: Final = "303 /admin/sign-in"

# Nobody; a stranger, who is signed in to the storage as somebody else; the owner, who is the player and has the upload;
# an operator, whatever the role, or by roles from the least to the greatest. Where a redirect leads stands behind its
# status.
TABLE: Final[dict[tuple[str, str], tuple[str, str, str, str]]] = {
    ("GET", "/"): ("200", "200", "200", "200"),
    ("GET", "/boards/{board}"): ("401", "401", "200", "401"),
    ("GET", "/boards/{board}/events"): ("401", "401", "200", "401"),
    ("GET", "/players/{player}"): ("401", "401", "200", "401"),
    ("GET", "/files"): (SIGN_IN, "200", "200", SIGN_IN),
    ("POST", "/files"): (SIGN_IN, "400", "400", SIGN_IN),
    ("OPTIONS", "/files/tus/"): ("204", "204", "204", "204"),
    ("POST", "/files/tus/"): ("401", "400", "400", "401"),
    ("PATCH", "/files/tus/{upload}"): ("401", "415", "415", "401"),
    ("POST", "/files/tus/{upload}"): ("401", "405", "405", "401"),
    ("POST", "/files/send"): (SIGN_IN, "400", "400", SIGN_IN),
    ("GET", "/files/answered"): (SIGN_IN, "303 /files", "303 /files", SIGN_IN),
    ("GET", "/files/events"): (SIGN_IN, "200", "200", SIGN_IN),
    ("GET", "/files/{upload}"): (SIGN_IN, "404", "200", SIGN_IN),
    ("POST", "/files/{upload}/send"): (SIGN_IN, "404", "303 /files", SIGN_IN),
    ("POST", "/files/{upload}/rename"): (SIGN_IN, "404", "400", SIGN_IN),
    ("POST", "/files/{upload}/cancel"): (SIGN_IN, "404", "303 /files", SIGN_IN),
    ("GET", "/sign-in"): ("200", "200", "200", "200"),
    ("GET", "/sign-in/return"): ("400", "400", "400", "400"),
    ("POST", "/sign-in/answer"): ("401", "401", "401", "401"),
    ("GET", "/sign-in/metadata"): ("200", "200", "200", "200"),
    ("GET", "/privacy"): ("200", "200", "200", "200"),
    ("GET", "/privacy/export"): ("401", "200", "200", "401"),
    ("POST", "/privacy/erase"): ("401", "400", "400", "401"),
    ("POST", "/privacy/hide"): ("401", "401", "303 /privacy?done=hidden", "401"),
    ("POST", "/privacy/show"): ("401", "401", "303 /privacy?done=shown", "401"),
    ("POST", "/privacy/sessions/end"): ("401", "404", "404", "401"),
    ("POST", "/privacy/link"): ("401", "401", "303 /privacy", "401"),
    ("POST", "/privacy/unlink"): ("401", "303 /privacy", "303 /privacy", "401"),
    ("POST", "/language"): ("400", "400", "400", "400"),
    ("GET", "/page-link/{token}"): ("200", "200", "200", "200"),
    ("GET", "/admin"): (ADMIN, ADMIN, ADMIN, "200"),
    ("GET", "/admin/account"): (ADMIN, ADMIN, ADMIN, "200"),
    ("GET", "/admin/boards/{board}"): (ADMIN, ADMIN, ADMIN, "200"),
    ("GET", "/admin/players"): (ADMIN, ADMIN, ADMIN, "200"),
    ("GET", "/admin/players/{player}"): (ADMIN, ADMIN, ADMIN, "200"),
    ("GET", "/admin/players/{player}/erase"): (ADMIN, ADMIN, ADMIN, "403 200 200"),
    # An act without a reason is refused, if not for who asks for it.
    ("POST", "/admin/players/{player}/hide"): (ADMIN, ADMIN, ADMIN, "403 400 400"),
    ("POST", "/admin/players/{player}/remove"): (ADMIN, ADMIN, ADMIN, "403 400 400"),
    ("POST", "/admin/players/{player}/restore"): (ADMIN, ADMIN, ADMIN, "403 400 400"),
    ("POST", "/admin/players/{player}/erase"): (ADMIN, ADMIN, ADMIN, "403 400 400"),
    ("GET", "/admin/review"): (ADMIN, ADMIN, ADMIN, "200"),
    ("POST", "/admin/review/{board}/{claim}/approve"): (ADMIN, ADMIN, ADMIN, "403 400 400"),
    ("POST", "/admin/review/{board}/{claim}/reject"): (ADMIN, ADMIN, ADMIN, "403 400 400"),
    ("POST", "/admin/acts/{act}/undo"): (ADMIN, ADMIN, ADMIN, "403 404 404"),
    ("POST", "/admin/account/password"): (ADMIN, ADMIN, ADMIN, "400"),
    ("POST", "/admin/account/tokens"): (ADMIN, ADMIN, ADMIN, "400"),
    ("POST", "/admin/account/tokens/{token_id}/revoke"): (ADMIN, ADMIN, ADMIN, "404"),
    ("POST", "/admin/boards/{board}/close"): (ADMIN, ADMIN, ADMIN, "403 403 400"),
    ("POST", "/admin/boards/{board}/open"): (ADMIN, ADMIN, ADMIN, "403 403 400"),
    ("POST", "/admin/boards/{board}/rebuild"): (ADMIN, ADMIN, ADMIN, "403 403 400"),
    ("POST", "/admin/boards/{board}/verify"): (ADMIN, ADMIN, ADMIN, "403 400 400"),
    ("POST", "/admin/boards/{board}/reset"): (ADMIN, ADMIN, ADMIN, "403 403 400"),
    ("POST", "/admin/boards/{board}/archives/{archive}/delete"): (ADMIN, ADMIN, ADMIN, "403 403 400"),
    ("GET", "/admin/boards/{board}/range"): (ADMIN, ADMIN, ADMIN, "403 200 200"),
    ("POST", "/admin/boards/{board}/range"): (ADMIN, ADMIN, ADMIN, "403 400 400"),
    ("GET", "/admin/tasks/{task}"): (ADMIN, ADMIN, ADMIN, "404"),
    ("POST", "/admin/tasks/{task}/undo"): (ADMIN, ADMIN, ADMIN, "403 404 404"),
    ("POST", "/admin/players/{player}/adjust"): (ADMIN, ADMIN, ADMIN, "403 400 400"),
    ("POST", "/admin/players/{player}/clear"): (ADMIN, ADMIN, ADMIN, "403 400 400"),
    ("GET", "/admin/operators"): (ADMIN, ADMIN, ADMIN, "403 403 200"),
    ("POST", "/admin/operators"): (ADMIN, ADMIN, ADMIN, "403 403 400"),
    ("POST", "/admin/operators/{operator}/role"): (ADMIN, ADMIN, ADMIN, "403 403 400"),
    ("POST", "/admin/operators/{operator}/password"): (ADMIN, ADMIN, ADMIN, "403 403 400"),
    ("POST", "/admin/operators/{operator}/remove"): (ADMIN, ADMIN, ADMIN, "403 403 404"),
    ("GET", "/admin/sync"): (ADMIN, ADMIN, ADMIN, "200"),
    ("GET", "/admin/uploads"): (ADMIN, ADMIN, ADMIN, "200"),
    ("POST", "/admin/uploads/{upload}/retry"): (ADMIN, ADMIN, ADMIN, "403 400 400"),
    ("POST", "/admin/uploads/{upload}/cancel"): (ADMIN, ADMIN, ADMIN, "403 400 400"),
    ("GET", "/admin/settings"): (ADMIN, ADMIN, ADMIN, "403 403 200"),
    ("GET", "/admin/audit"): (ADMIN, ADMIN, ADMIN, "200"),
    ("GET", "/admin/sign-in"): ("200", "200", "200", "200"),
    ("POST", "/admin/sign-in"): ("401", "401", "401", "401"),
    ("GET", "/gadget.xml"): ("200", "200", "200", "200"),
    ("GET", "/gadget.js"): ("200", "200", "200", "200"),
    ("POST", "/gadget/session"): ("401", "401", "401", "401"),
    ("GET", "/gadget/lifecycle"): ("401", "401", "401", "401"),
    ("POST", "/gadget/lifecycle"): ("401", "401", "401", "401"),
    ("GET", "/gadget/v1/boards"): ("401", "401", "401", "401"),
    ("GET", "/gadget/v1/boards/{board}/entries"): ("401", "401", "401", "401"),
    ("GET", "/gadget/v1/boards/{board}/distribution"): ("401", "401", "401", "401"),
    ("GET", "/gadget/v1/boards/{board}/periods"): ("401", "401", "401", "401"),
    ("GET", "/gadget/v1/players/{player}"): ("401", "401", "401", "401"),
    ("GET", "/gadget/v1/players/{player}/history"): ("401", "401", "401", "401"),
    ("GET", "/gadget/v1/events"): ("401", "401", "401", "401"),
    ("GET", "/gadget/v1/me"): ("401", "401", "401", "401"),
    ("POST", "/gadget/v1/scores"): ("401", "401", "401", "401"),
    ("POST", "/gadget/v1/sync"): ("401", "401", "401", "401"),
    ("POST", "/gadget/v1/page-links"): ("401", "401", "401", "401"),
    ("GET", "/healthz"): ("200", "200", "200", "200"),
    ("GET", "/readyz"): ("200", "200", "200", "200"),
    ("GET", "/openapi.json"): ("200", "200", "200", "200"),
    ("GET", "/metrics"): ("200", "200", "200", "200"),  # they are all on this machine; see test_metrics.py
    # The owner's upload is over by then.
    ("DELETE", "/files/tus/{upload}"): ("401", "404", "410", "401"),
    ("POST", "/privacy/uploads/forget"): ("401", "303 /privacy?done=forgotten", "303 /privacy?done=forgotten", "401"),
    # These end sessions or begin them, so they come last.
    ("POST", "/sign-in"): ("303 elsewhere", "303 elsewhere", "303 elsewhere", "303 elsewhere"),
    ("POST", "/page-link/{token}"): ("303 /", "303 /", "303 /", "303 /"),
    ("POST", "/privacy/gadget/end"): ("303 /privacy?done=gadget",) * 4,
    ("POST", "/sign-out"): ("303 /", "303 /", "303 /", "303 /"),
    ("POST", "/admin/account/sessions/end"): (ADMIN, ADMIN, ADMIN, "303 /admin/account"),
    ("POST", "/admin/sign-out"): (ADMIN, ADMIN, ADMIN, ADMIN),
}


def test_the_table_has_every_route() -> None:
    app = web.Application()
    app[SITE] = Site(public_url="https://home.example")
    setup(app)
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and not isinstance(route.resource, StaticResource) and route.method != "HEAD"
    }
    programs = {(method, path) for method, path in served if path.startswith("/admin/api/")}  # see test_admin_api.py
    assert served - programs == TABLE.keys()


async def test_everybody_gets_what_the_table_says(stack: Stack) -> None:
    owner = await stack.player()
    await owner.sign_in_to_storage("paul")
    stranger = stack.browser()
    await stranger.sign_in_to_storage("marie")
    operators = {role: stack.browser() for role in Role}
    for role, browser in operators.items():
        assert (await browser.sign_in_as_operator(role.value)).status == 303
    visitors = [stack.browser(), stranger, owner, *operators.values()]

    gadget = await stack.open_gadget()
    form = {"Content-Type": "multipart/form-data; boundary=b", "Accept": "application/json"}
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    upload = (await owner.post("/files", file, **form)).json["id"]
    named = {
        "{board}": "letters",
        "{player}": (await gadget.call("GET", "me")).json["me"]["id"],
        "{upload}": upload,
        "{claim}": "1",
        "{act}": "999999999",
        "{archive}": "1",
        "{task}": "1",
        "{token_id}": "1",
        "{operator}": "nobody",
    }

    wrong = []
    for (method, pattern), expected in TABLE.items():
        for column, browser in enumerate(visitors):
            path = pattern
            if "{token}" in path:
                link = urlsplit((await gadget.call("POST", "page-links")).json["url"])
                path = link.path
            for name, value in named.items():
                path = path.replace(name, value)
            got = outcome(await ask(browser, method, path))
            if got != (due := for_visitor(expected, column)):
                wrong.append((method, pattern, column, got, due))
    assert wrong == []


def for_visitor(expected: tuple[str, str, str, str], column: int) -> str:
    """What is due to one: nobody, the stranger, the owner, then the operators by their roles."""
    if column < 3:
        return expected[column]
    by_role = expected[3].split()
    return by_role[column - 3] if len(by_role) == len(Role) else expected[3]


async def ask(browser: Browser, method: str, path: str) -> Reply:
    if path.startswith("/files/tus/"):
        said = {"Origin": browser.home_url, "Tus-Resumable": "1.0.0", "Accept": "*/*"}
        return await browser.request(method, path, said)
    if path.endswith("/events"):  # it never ends by itself
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        url, sent = f"{browser.home_url}{path}", {"Cookie": cookies, "Accept": "text/html"}
        async with browser.http.get(url, headers=sent, allow_redirects=False) as response:
            return Reply(response.status, response.headers.copy(), b"")
    return await (browser.get(path) if method == "GET" else browser.post(path))


def outcome(reply: Reply) -> str:
    if reply.status != 303:
        return str(reply.status)
    return f"303 {reply.location if reply.location.startswith('/') else 'elsewhere'}"


async def test_heads_say_what_gets_would(stack: Stack) -> None:
    owner = await stack.player()
    for path in ("/", "/boards/letters", "/gadget.xml", "/gadget.js", "/healthz", "/openapi.json", "/static/site.css"):
        head, got = await owner.request("HEAD", path, {}), await owner.get(path)
        assert (head.status, head.body) == (got.status, b"")
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
