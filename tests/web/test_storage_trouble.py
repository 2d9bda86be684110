"""The storage refuses everybody, or one person's token: what health, the pages and the sessions say."""

from __future__ import annotations

from homeserver.sandbox.faults import CannedReply, Fault
from tests.patience import until
from tests.web.conftest import Browser, Stack

STEP_ONE = "GET /mesdonnees/PersonalContent/V1"
FORM = {"Content-Type": "multipart/form-data; boundary=b", "Accept": "application/json"}
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ncontent\r\n--b--\r\n'


async def signed_in(stack: Stack, user: str) -> Browser:
    browser = stack.browser()
    await browser.sign_in_to_storage(user)
    return browser


async def test_when_nobody_is_let_in_health_is_red_and_nobody_is_sent_to_sign_in(stack: Stack) -> None:
    marie, paul = await signed_in(stack, "marie"), await signed_in(stack, "paul")
    stack.sandbox.faults.add(Fault(STEP_ONE, times=2, reply=CannedReply(403, b"no")))
    assert (await marie.post("/files", FILE, **FORM)).json["storage"] == "needs_sign_in"
    assert (await stack.browser().get("/healthz")).status == 200
    held = (await paul.post("/files", FILE, **FORM)).json
    assert (held["storage"], held["code"], held["moving"]) == ("waiting", "storage_paused", True)
    assert "the operator is told" in held["line"]
    red = await stack.browser().get("/healthz")
    assert (red.status, red.json) == (503, {"status": "failing", "storage": "HTTP 403"})
    again = await paul.post("/files", FILE, **FORM)  # their token is kept
    assert (again.status, again.json["code"]) == (201, "storage_paused")
    assert stack.sandbox.storage.urls_issued == 0


async def test_a_refused_token_is_forgotten_and_a_new_sign_in_sends_what_waits(stack: Stack) -> None:
    marie = await signed_in(stack, "marie")
    stack.sandbox.storage.expire_tokens("marie")
    waiting = (await marie.post("/files", FILE, **FORM)).json
    assert waiting["storage"] == "needs_sign_in"
    assert (await marie.post("/files", FILE, **FORM)).status == 401  # nothing is asked with that token again
    await marie.sign_in_to_storage("marie")

    async def is_stored() -> bool:
        told = await marie.get(f"/files/{waiting['id']}", Accept="application/json")
        return bool(told.json["storage"] == "stored")

    await until(is_stored)


async def test_signing_out_takes_the_token_of_what_waits(stack: Stack) -> None:
    marie, paul = await signed_in(stack, "marie"), await signed_in(stack, "paul")
    stack.sandbox.faults.add(Fault(STEP_ONE, times=2, reply=CannedReply(403, b"no")))
    await paul.post("/files", FILE, **FORM)
    held = (await marie.post("/files", FILE, **FORM)).json
    assert held["storage"] == "waiting"
    await marie.post("/sign-out")
    again = await signed_in(stack, "marie")
    told = (await again.get(f"/files/{held['id']}", Accept="application/json")).json
    assert (told["storage"], told["code"]) == ("waiting", "storage_paused")  # signing in has sent it on its way again
