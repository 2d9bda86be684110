"""`/metrics`: who may read it, and what it says, of all processes together; the sync in the operators' view; health."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from yarl import URL

from homeserver.sandbox import CannedReply, Fault
from homeserver.sandbox.people import ELIZABETH, JANE
from homeserver.services.meter import Meter
from homeserver.storage.database import open_database
from tests.patience import until
from tests.web.conftest import Stack, running_stack

TOKEN = "a-token-for-the-monitoring-of-32-letters"


@pytest.fixture
async def guarded(folder: Path) -> AsyncIterator[Stack]:
    async with running_stack(folder, server={"metrics_token": SecretStr(TOKEN)}) as running:
        yield running


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_what_it_says_after_a_sync(stack: Stack) -> None:
    await stack.open_gadget(ELIZABETH)
    reply = await stack.browser().get("/metrics")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = samples(reply.text)
    requests = len(stack.sandbox.container.requests)
    assert found["homeserver_container_requests_total", frozenset({("outcome", "2xx")})] == requests
    assert found["homeserver_sync_done_total", frozenset({("kind", "whole")})] == 1
    assert found["homeserver_sync_changed_total", frozenset()] > 0
    assert found["homeserver_players", frozenset({("state", "all")})] > 1
    assert 0 <= found["homeserver_data_age_seconds", frozenset({("what", "appdata")})] < 60
    assert found["homeserver_container_refuses_everybody", frozenset()] == 0
    assert "homeserver_container_clock_skew_seconds" in reply.text


async def test_all_processes_are_added_up(stack: Stack) -> None:
    """Another process, on the same database, counts too; what it counted stays when it is gone."""
    async with open_database(stack.settings.database_url) as database:
        other = Meter(database)
        other.add("sync_failed", "remote_garbage", 3)
        other.add("sync_failed", "remote_garbage", 4)
        other.took("container_request_seconds", 1.5)
        await other.flush()
    found = samples((await stack.browser().get("/metrics")).text)
    assert found["homeserver_sync_failed_total", frozenset({("reason", "remote_garbage")})] == 7
    assert found["homeserver_container_request_seconds_total", frozenset()] >= 1.5


@pytest.mark.parametrize(
    "headers",
    [
        {"Forwarded": "for=192.0.2.1"},
        {"X-Forwarded-For": "192.0.2.1"},
        {"X-Forwarded-Proto": "https"},
        {"Host": "letters.example.org"},
        {"Host": "localhost.example.org:80"},
        {"Host": ""},
        {"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer wrong"},
        {"X-Forwarded-For": "192.0.2.1", "Authorization": "Basic x"},
        {"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer "},
    ],
)
async def test_what_a_proxy_passes_on_is_not_from_this_machine(guarded: Stack, headers: Mapping[str, str]) -> None:
    reply = await guarded.browser().get("/metrics", **headers)
    assert reply.status == 401
    assert "homeserver_" not in reply.text


async def test_the_token_lets_in_from_anywhere(guarded: Stack) -> None:
    for host in ("letters.example.org", "localhost"):
        reply = await guarded.browser().get("/metrics", Host=host, Authorization=f"Bearer {TOKEN}")
        assert reply.status == 200


async def test_without_a_token_in_the_settings_none_lets_in(stack: Stack) -> None:
    reply = await stack.browser().get("/metrics", X_Forwarded_For="192.0.2.1", Authorization="Bearer x")
    assert reply.status == 401


async def test_operators_see_the_queue_and_what_failed(stack: Stack) -> None:
    await stack.open_gadget(ELIZABETH)
    async with open_database(stack.settings.database_url) as database:
        other = Meter(database)
        other.add("sync_failed", "remote_garbage", 7)
        await other.flush()
    operator = stack.browser()
    await operator.sign_in_as_operator("view")
    page = (await operator.get("/admin/sync")).text
    assert "<h1>Sync</h1>" in page
    assert "circles of friends" in page
    assert "failed: remote_garbage" in page
    assert "requests so far" in page
    assert "refuses everybody" not in page


async def test_a_container_that_refuses_everybody_turns_health_red(stack: Stack) -> None:
    browser = stack.browser()
    assert (await browser.get("/healthz")).status == 200
    stack.sandbox.faults.add(Fault("*", reply=CannedReply(401, b"unauthorized"), times=None))
    for viewer in (ELIZABETH, JANE):
        url = URL(stack.signed("POST", "/gadget/session", viewer=viewer), encoded=True)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        async with stack.http.post(url, headers=form, data=b"") as response:
            assert response.status == 200

    async def is_red() -> bool:
        return (await browser.get("/healthz")).status == 503

    await until(is_red)
    assert (await browser.get("/healthz")).json == {"status": "failing", "container": "refuses everybody"}
    assert (await browser.get("/readyz")).status == 200
    operator = stack.browser()
    await operator.sign_in_as_operator("view")
    for page in ("/admin", "/admin/sync"):
        assert "The container refuses everybody" in (await operator.get(page)).text
    found = samples((await browser.get("/metrics")).text)
    assert found["homeserver_container_refuses_everybody", frozenset()] == 1
