"""How often is too often: counters shared by all processes, and nonces; on both engines."""

from __future__ import annotations

import asyncio

import pytest

from homeserver.errors import TooMany
from homeserver.services.limits import Limits, address_group
from homeserver.storage import limits, nonces
from homeserver.storage.database import Database, open_database
from homeserver.storage.limits import Limit
from tests.clock import Clock
from tests.conftest import Place

THRICE = Limit("thrice", 3, 60_000)


async def test_the_fourth_of_three_is_refused_until_the_window_ends(database: Database, clock: Clock) -> None:
    counter = Limits(database, clock.now_ms)
    await counter.take(THRICE, "me")
    clock.advance(s=20)
    await counter.take(THRICE, "me")
    await counter.take(THRICE, "me")
    with pytest.raises(TooMany) as refused:
        await counter.take(THRICE, "me")
    assert refused.value.wait_s == 40
    await counter.take(THRICE, "somebody else")
    await counter.take(Limit("other", 3, 60_000), "me")
    clock.advance(s=39, ms=999)
    with pytest.raises(TooMany) as refused:
        await counter.take(THRICE, "me")
    assert refused.value.wait_s == 0.001
    clock.advance(ms=1)
    for _ in range(3):
        await counter.take(THRICE, "me")
    with pytest.raises(TooMany):
        await counter.take(THRICE, "me")


async def test_what_is_given_back_does_not_count(database: Database, clock: Clock) -> None:
    counter = Limits(database, clock.now_ms)
    for _ in range(5):
        await counter.take(THRICE, "me")
        await counter.give_back(THRICE, "me")
    await counter.give_back(THRICE, "me")  # never below nothing
    for _ in range(3):
        await counter.take(THRICE, "me")
    with pytest.raises(TooMany):
        await counter.take(THRICE, "me")


async def test_processes_count_together(place: Place, clock: Clock) -> None:
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as other:
        counters = [Limits(one, clock.now_ms), Limits(other, clock.now_ms)]
        results = await asyncio.gather(*(counters[n % 2].take(THRICE, "me") for n in range(12)), return_exceptions=True)
        assert [type(result) for result in results if result is not None] == [TooMany] * 9


async def test_a_clock_that_was_set_back_locks_nobody_out_for_long(database: Database, clock: Clock) -> None:
    counter = Limits(database, clock.now_ms)
    for _ in range(3):
        await counter.take(THRICE, "me")
    clock.advance(days=-300)
    await counter.take(THRICE, "me")


async def test_texts_from_outside_do_not_grow_a_row(database: Database, clock: Clock) -> None:
    counter = Limits(database, clock.now_ms)
    for who in ("x" * 100_000, "\x00", "\ud800", ""):
        await counter.take(THRICE, who)
    lengths = await database.read(lambda reader: reader.fetch("SELECT LENGTH(name) FROM limits"))
    assert {row[0] for row in lengths} == {len("thrice:") + 32}


async def test_pruning_removes_what_is_over(database: Database, clock: Clock) -> None:
    await Limits(database, clock.now_ms).take(THRICE, "me")
    clock.advance(hours=24)
    assert await database.write(lambda tx: limits.prune(tx, clock.now_ms())) == 0
    clock.advance(ms=1)
    assert await database.write(lambda tx: limits.prune(tx, clock.now_ms())) == 1


@pytest.mark.parametrize(("allowed", "window_ms"), [(0, 1), (1, 0), (1, 24 * 3_600_000 + 1)])
def test_a_limit_that_makes_no_sense_cannot_be_made(allowed: int, window_ms: int) -> None:
    with pytest.raises(ValueError, match="within a day"):
        Limit("x", allowed, window_ms)


@pytest.mark.parametrize(
    ("remote", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unix:", "unix:"),
        ("", ""),
    ],
)
def test_whom_an_address_stands_for(remote: str, group: str) -> None:
    assert address_group(remote) == group


async def test_a_nonce_is_good_once_for_its_key_and_timestamp(place: Place) -> None:
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as other:

        async def use(n: int) -> bool:
            database = one if n % 2 else other
            return await database.write(lambda tx: nonces.use(tx, "orkut.com", 1_000, "abc"))

        assert (await asyncio.gather(*map(use, range(10)))).count(True) == 1
        assert await one.write(lambda tx: nonces.use(tx, "orkut.com", 1_001, "abc"))
        assert await one.write(lambda tx: nonces.use(tx, "example.com", 1_000, "abc"))
        assert await one.write(lambda tx: nonces.use(tx, "orkut.com", 1_000, "abd"))
        assert await one.write(lambda tx: nonces.use(tx, "orkut.com", 1_000, "a\x00\ud800"))


async def test_nonces_are_kept_far_longer_than_their_timestamps_are_accepted(database: Database, clock: Clock) -> None:
    sent_s = clock.now_ms() // 1000
    assert await database.write(lambda tx: nonces.use(tx, "orkut.com", sent_s, "abc"))
    clock.advance(minutes=59)
    assert await database.write(lambda tx: nonces.prune(tx, clock.now_ms())) == 0
    clock.advance(minutes=2)
    assert await database.write(lambda tx: nonces.prune(tx, clock.now_ms())) == 1
