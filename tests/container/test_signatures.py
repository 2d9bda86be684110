"""What the container client signs with, and by whose clock."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from homeserver import config, config_example
from homeserver.clients.transport import open_session
from homeserver.errors import (
    RemoteUnauthorized,
)
from homeserver.protocol.oauth1 import Credentials
from homeserver.protocol.opensocial import DIALECTS, GUIDE
from homeserver.wiring import container_client
from tests.container.stand_in import (
    KEY,
    LYDIA,
    NOW_S,
    SECRET,
    World,
)


async def test_wrong_credentials(world: World) -> None:
    for credentials, problem in (
        (Credentials(KEY, "wrong"), "signature_invalid"),
        (Credentials("unknown", SECRET), "consumer_key_unknown"),
    ):
        client = world.make(credentials=credentials)
        with pytest.raises(RemoteUnauthorized) as refused:
            await client.person(LYDIA)
        assert problem in str(refused.value)
        assert client.requests_sent == 1  # the clock was right: asking again would not help


@pytest.mark.parametrize("ahead_s", [-5000, -400, 400, 5000])
async def test_a_wrong_clock_is_corrected(world: World, ahead_s: int) -> None:
    """At the first refusal, for reads and writes, and from then on without one."""
    world.container.clock_s = NOW_S + ahead_s
    assert (await world.client.person(LYDIA)).id == LYDIA
    assert world.client.requests_sent == 2
    assert abs(world.client.skew_s - ahead_s) <= 1
    await world.client.update_appdata(LYDIA, {"a": "1"})
    assert world.client.requests_sent == 4
    world.now_s += ahead_s  # somebody sets our clock
    await world.client.person(LYDIA)
    await world.client.person(LYDIA)
    assert world.client.skew_s == 0.0


async def test_a_small_difference_is_none(world: World) -> None:
    world.container.clock_s = NOW_S + 1.5
    await world.client.person(LYDIA)
    assert world.client.skew_s == 0.0
    world.container.clock_s = NOW_S + 30
    await world.client.person(LYDIA)
    assert world.client.skew_s == 30.0
    world.container.dates = False
    await world.client.person(LYDIA)
    assert world.client.skew_s == 30.0


async def test_a_clock_that_is_not_corrected(world: World) -> None:
    """By setting, or because a day apart is nobody's clock; seen and told all the same."""
    for client, ahead_s in ((world.make(correct_skew=False), 400), (world.make(), 100_000)):
        world.container.clock_s = NOW_S + ahead_s
        with pytest.raises(RemoteUnauthorized) as refused:
            await client.person(LYDIA)
        assert "timestamp_refused" in str(refused.value)
        assert (client.skew_s, client.requests_sent) == (ahead_s, 1)


async def test_an_old_answer_says_nothing_of_the_clock(world: World) -> None:
    def before_answer(request: web.Request) -> web.Response:
        return web.json_response({"entry": {"id": LYDIA}}, headers={"Age": "5000"})

    world.container.before_answer = before_answer
    world.container.clock_s = NOW_S - 200
    await world.client.person(LYDIA)
    assert world.client.skew_s == 0.0


async def test_every_request_has_a_nonce_of_its_own(world: World) -> None:
    await asyncio.gather(*[world.client.person(LYDIA) for _ in range(30)])
    assert len(world.container.nonces) == 30


async def test_counts(world: World) -> None:
    one, other = world.client.counted(), world.client.counted()
    await one.person(LYDIA)
    await other.update_appdata(LYDIA, {"a": "1"})
    assert (one.requests_sent, other.requests_sent, world.client.requests_sent) == (1, 2, 0)
    world.container.clock_s = NOW_S + 100
    await one.person(LYDIA)
    assert other.skew_s == one.skew_s == 100.0


@pytest.mark.parametrize(("body_hash", "hashed"), [("auto", False), ("always", True), ("never", False)])
@pytest.mark.parametrize("override", [False, True])
async def test_settings_reach_the_wire(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, body_hash: str, hashed: bool, override: bool
) -> None:
    (tmp_path / "homeserver.toml").write_text(config_example.example())
    for key, value in {
        "base_url": world.base_url,
        "consumer_key": KEY,
        "consumer_secret": SECRET,
        "body_hash": body_hash,
        "override_methods": str(override),
    }.items():
        monkeypatch.setenv(f"HOMESERVER_CONTAINER__{key.upper()}", value)
    settings = config.load(tmp_path / "homeserver.toml")
    world.container.items[LYDIA] = {"letters": "3"}
    async with open_session() as session:
        client = container_client(settings, session, lambda: NOW_S * 1000)
        await client.update_appdata(LYDIA, {"letters": "4"})
    assert world.container.items[LYDIA] == {"letters": "4"}
    put = world.container.requests[-1]
    assert (put.method, "X-HTTP-Method-Override" in put.headers) == (("POST", True) if override else ("PUT", False))
    assert ("oauth_body_hash" in put.query) is hashed


def test_dialects_are_told_apart_by_name(world: World) -> None:
    assert {name: dialect.name for name, dialect in DIALECTS.items()} == {name: name for name in DIALECTS}
    assert world.client.dialect == replace(GUIDE)
