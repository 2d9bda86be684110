"""Scripted faults over HTTP, what the container writes down, and whom the sandbox answers at all."""

from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime

import pytest
from aiohttp import ClientPayloadError, ServerDisconnectedError

from homeserver.sandbox import CannedReply, Fault, Sandbox
from homeserver.sandbox.people import ELIZABETH, JANE
from tests.clock import Clock
from tests.patience import reached
from tests.sandboxes import SignedClient, sandbox_settings, serve


async def test_the_log_has_no_signature(container: SignedClient) -> None:
    await container.call("GET", f"people/{ELIZABETH}/@friends", {"count": "5"}, requestor=ELIZABETH)
    (seen,) = container.sandbox.container.requests
    assert (seen.method, seen.path, seen.status) == ("GET", f"people/{ELIZABETH}/@friends", 200)
    assert (seen.query["count"], seen.requestor) == ("5", ELIZABETH)
    assert not {"oauth_signature", "oauth_nonce"} & set(seen.query)


async def test_a_canned_reply_comes_once_and_the_next_request_is_answered(container: SignedClient) -> None:
    page = CannedReply(503, b"<html>busy</html>", {"Content-Type": "text/html", "Retry-After": "7"})
    container.sandbox.faults.add(Fault("GET /social/rest/people/*", reply=page))
    first = await container.call("GET", f"people/{ELIZABETH}/@self")
    assert (first.status, first.text, first.headers["Retry-After"]) == (503, "<html>busy</html>", "7")
    assert (await container.call("GET", f"people/{ELIZABETH}/@self")).status == 200
    assert container.sandbox.faults.pending == 0
    assert len(container.sandbox.container.requests) == 1


async def test_faults_of_one_route_happen_one_after_the_other(container: SignedClient) -> None:
    faults = container.sandbox.faults
    faults.add(Fault("GET *", skip=1, times=2, reply=CannedReply(500)))
    faults.add(Fault("GET */@self", reply=CannedReply(502)))
    faults.add(Fault("PUT *", times=None, reply=CannedReply(504)))
    statuses = [(await container.call("GET", f"people/{ELIZABETH}/@self")).status for _ in range(5)]
    assert statuses == [200, 500, 500, 502, 200]


async def test_totals_lie_and_the_clock_is_wrong(container: SignedClient) -> None:
    container.sandbox.faults.add(
        Fault("GET *", members={"totalResults": 99}, headers={"Date": "Thu, 01 Jan 2026 00:00:00 GMT"})
    )
    reply = await container.call("GET", f"people/{JANE}/@friends")
    assert reply.json["totalResults"] == 99
    assert reply.headers["Date"] == "Thu, 01 Jan 2026 00:00:00 GMT"


async def test_answers_bear_the_time_of_the_sandbox(container: SignedClient, clock: Clock) -> None:
    """Refusals too: a home server reads the clock by which signatures are checked off any answer."""
    for path in ("/social/rest/people/x/@self", "/nothing/here", "/play"):
        for _ in range(2):
            clock.advance(hours=1)
            reply = await container.send("GET", str(container.http.make_url(path)))
            assert parsedate_to_datetime(reply.headers["Date"]).timestamp() == clock.now_ms() // 1000


async def test_a_body_is_malformed(container: SignedClient) -> None:
    container.sandbox.faults.add(Fault("GET *", replace=(b'{"entry"', b'{"entry')))
    assert (await container.call("GET", f"people/{JANE}/@self")).text.startswith('{"entry:')


async def test_a_body_is_cut_off(container: SignedClient) -> None:
    container.sandbox.faults.add(Fault("GET *", cut_after_bytes=10))
    with pytest.raises(ClientPayloadError):
        await container.call("GET", f"people/{JANE}/@self")


async def test_an_answer_is_lost_after_the_work_was_done(container: SignedClient) -> None:
    container.sandbox.faults.add(Fault("POST *", drop_after=True))
    container.sandbox.faults.add(Fault("POST *", drop=True))
    for value in ("1", "2"):
        with pytest.raises(ServerDisconnectedError):
            await container.call("POST", f"appdata/{ELIZABETH}/@self/@app", {"fields": "a"}, body={"a": value})
    assert container.sandbox.container.appdata_of(ELIZABETH)["a"] == "1"


async def test_work_is_done_and_something_else_is_answered(container: SignedClient) -> None:
    container.sandbox.faults.add(Fault("DELETE *", reply_after=CannedReply(500, b"oops")))
    assert (await container.call("DELETE", f"appdata/{ELIZABETH}/@self/@app")).text == "oops"
    assert container.sandbox.container.appdata_of(ELIZABETH) == {}


async def test_a_request_is_held_until_the_test_lets_go(container: SignedClient) -> None:
    held = container.sandbox.faults.add(Fault("GET *", hold=True))
    task = asyncio.create_task(container.call("GET", f"people/{JANE}/@self"))
    await reached(held)
    assert (await container.call("GET", f"people/{JANE}/@self")).status == 200
    assert not task.done()
    held.release.set()
    assert (await task).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", ""]
)
async def test_only_names_of_this_machine_are_answered(container: SignedClient, host: str) -> None:
    for path in ("/", f"/social/rest/people/{ELIZABETH}/@self", "/mesdonnees/"):
        reply = await container.send("GET", str(container.http.make_url(path)), {"Host": host})
        assert reply.status == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8081", "127.0.0.1:1", "[::1]:8081"])
async def test_all_names_of_this_machine_are_answered(container: SignedClient, host: str) -> None:
    assert (await container.send("GET", str(container.http.make_url("/")), {"Host": host})).status == 200


async def test_two_sandboxes_in_one_process_know_nothing_of_each_other(container: SignedClient, clock: Clock) -> None:
    other = Sandbox(sandbox_settings(clock.now_ms))
    http = await serve(other)
    other.container.remove_app(JANE)
    assert (await SignedClient(http, other).call("GET", f"people/{JANE}/@self")).status == 401
    assert (await container.call("GET", f"people/{JANE}/@self")).status == 200
    await http.close()


async def test_a_request_is_cut_off_while_it_is_sent(container: SignedClient) -> None:
    cut = container.sandbox.faults.add(Fault("PUT *", read_request_bytes=5, drop=True))
    with pytest.raises(ServerDisconnectedError):
        await container.call("PUT", f"appdata/{ELIZABETH}/@self/@app", {"fields": "a"}, body={"a": "1"})
    assert cut.reached.is_set()
    assert "a" not in container.sandbox.container.appdata_of(ELIZABETH)


async def test_forgetting_the_faults_lets_go_of_what_they_hold(container: SignedClient) -> None:
    held = container.sandbox.faults.add(Fault("GET *", hold=True, times=None))
    task = asyncio.create_task(container.call("GET", f"people/{JANE}/@self"))
    await reached(held)
    container.sandbox.faults.clear()
    assert (await task).status == 200
    assert (await container.call("GET", f"people/{JANE}/@self")).status == 200


async def test_a_page_that_answers_by_redirect_can_be_spoilt_too(container: SignedClient) -> None:
    container.sandbox.faults.add(Fault("POST /people/*", headers={"Location": "/elsewhere"}))
    url = str(container.http.make_url(f"/people/{JANE}/application"))
    async with container.http.session.post(url, data={"action": "add"}, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/elsewhere")
