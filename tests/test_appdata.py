"""What AppData observations change, and what they never do; on both engines."""

from __future__ import annotations

import asyncio

import pytest

from homeserver.model import Change, Origin
from homeserver.storage import appdata, people
from homeserver.storage.database import Database, Reader, Transaction

ME, JANE = 1, 2


async def observe(
    database: Database,
    values: dict[str, str | None],
    *,
    observed_ms: int,
    at_ms: int = 99,
    origin: Origin = Origin.READ,
    player: int = ME,
) -> list[Change]:
    return await database.write(
        lambda tx: appdata.observe(tx, player, values, observed_ms=observed_ms, at_ms=at_ms, origin=origin)
    )


async def values(database: Database, player: int = ME) -> dict[str, str]:
    return await database.look(lambda reader: appdata.values_of(reader, player))


async def rows(database: Database) -> list[tuple[object, ...]]:
    async def work(reader: Reader) -> list[tuple[object, ...]]:
        found = await reader.fetch("SELECT player, key, value, observed_ms FROM appdata ORDER BY player, key")
        return [tuple(row) for row in found]

    return await database.read(work)


async def events(database: Database) -> list[tuple[object, ...]]:
    async def work(reader: Reader) -> list[tuple[object, ...]]:
        found = await reader.fetch("SELECT player, key, old, new, at_ms, origin FROM events ORDER BY event")
        return [tuple(row) for row in found]

    return await database.read(work)


async def test_the_first_value_that_a_read_brings_is_the_baseline(database: Database) -> None:
    assert await observe(database, {"letters": "3"}, observed_ms=10, at_ms=50) == [
        Change(ME, "letters", None, "3", 50, Origin.BASELINE)
    ]
    assert await observe(database, {"letters": "4"}, observed_ms=20, at_ms=60) == [
        Change(ME, "letters", "3", "4", 60, Origin.READ)
    ]
    assert await events(database) == [
        (ME, "letters", None, "3", 50, "baseline"),
        (ME, "letters", "3", "4", 60, "read"),
    ]
    assert await observe(database, {"letters": "1"}, observed_ms=10, player=JANE) == [
        Change(JANE, "letters", None, "1", 99, Origin.BASELINE)
    ]


async def test_a_value_that_comes_back_after_it_was_cleared_is_no_second_baseline(database: Database) -> None:
    await observe(database, {"letters": "3"}, observed_ms=10)
    assert [change.new for change in await observe(database, {"letters": None}, observed_ms=20)] == [None]
    assert await values(database) == {}
    assert await rows(database) == [(ME, "letters", None, 20)]
    [change] = await observe(database, {"letters": "9"}, observed_ms=30)
    assert (change.old, change.new, change.origin) == (None, "9", Origin.READ)


async def test_a_first_value_that_we_wrote_is_submitted(database: Database) -> None:
    assert await observe(database, {"letters": None}, observed_ms=10) == []
    [change] = await observe(database, {"letters": "1"}, observed_ms=11, origin=Origin.SUBMITTED)
    assert change.origin is Origin.SUBMITTED


async def test_what_is_unchanged_is_not_written(database: Database) -> None:
    await observe(database, {"letters": "3"}, observed_ms=10)
    before = await rows(database)
    assert await observe(database, {"letters": "3", "coins": None}, observed_ms=20) == []
    assert await rows(database) == before
    assert len(await events(database)) == 1


async def test_an_older_read_never_replaces_a_newer_value(database: Database) -> None:
    await observe(database, {"letters": "5", "coins": None}, observed_ms=20, origin=Origin.SUBMITTED)
    for observed_ms in (19, 20):  # one sent in the same millisecond may have overtaken the write
        assert await observe(database, {"letters": "4"}, observed_ms=observed_ms) == []
        assert await observe(database, {"letters": None}, observed_ms=observed_ms) == []
    assert await values(database) == {"letters": "5"}
    await observe(database, {"letters": None}, observed_ms=21)
    assert await observe(database, {"letters": "4"}, observed_ms=20) == []
    assert await values(database) == {}


async def test_a_write_of_ours_counts_after_the_read_of_the_same_millisecond(database: Database) -> None:
    await observe(database, {"letters": "4"}, observed_ms=20)
    await observe(database, {"letters": "5"}, observed_ms=20, origin=Origin.SUBMITTED)
    assert await values(database) == {"letters": "5"}


async def test_a_key_that_is_left_out_says_nothing(database: Database) -> None:
    await observe(database, {"letters": "3", "coins": "7"}, observed_ms=10)
    await observe(database, {"coins": "8"}, observed_ms=20)
    assert await values(database) == {"letters": "3", "coins": "8"}


@pytest.mark.parametrize("value", ["", "0", "&lt;b&gt; & < > \" '", "é 漢 🎈", "9" * 30, "x" * 100_000])
async def test_values_come_back_exactly(database: Database, value: str) -> None:
    await observe(database, {"letters": value}, observed_ms=10)
    assert await values(database) == {"letters": value}
    assert await observe(database, {"letters": value}, observed_ms=20) == []


async def test_a_value_that_no_database_holds_harms_nobody_else(database: Database) -> None:
    observed = {ME: {"letters": "a\x00b\ud83d"}, JANE: {"letters": "2"}}
    changes = await database.write(
        lambda tx: appdata.observe_many(tx, observed, observed_ms=10, at_ms=10, origin=Origin.READ)
    )
    assert [change.new for change in changes] == ["a\ufffdb\ufffd", "2"]
    again = await database.write(
        lambda tx: appdata.observe_many(tx, observed, observed_ms=20, at_ms=20, origin=Origin.READ)
    )
    assert again == []


async def test_who_has_a_value_of_what(database: Database) -> None:
    await observe(database, {"letters": "3", "coins": "7"}, observed_ms=10)
    await observe(database, {"coins": None}, observed_ms=20)
    assert await database.look(lambda r: appdata.keys_of(r, [ME, JANE])) == {ME: {"letters"}}


async def test_observations_at_the_same_time_make_one_unbroken_chain_of_events(database: Database) -> None:
    """Whatever order they are applied in: each event's `old` is the one before's `new`, and the newest value stays."""
    await asyncio.gather(*(observe(database, {"letters": str(n)}, observed_ms=n) for n in (3, 9, 1, 12, 7, 4, 11, 2)))
    chain = await events(database)
    assert [event[2] for event in chain] == [None, *(event[3] for event in chain[:-1])]
    assert await values(database) == {"letters": "12"}
    assert [event[5] for event in chain] == ["baseline"] + ["read"] * (len(chain) - 1)


async def test_observations_of_many_at_the_same_time_in_any_order_do_not_deadlock(database: Database) -> None:
    players = list(range(1, 31))

    async def sync(n: int) -> None:
        order = players if n % 2 else players[::-1]
        observed = {player: {"b": str(n), "a": str(n)} for player in order}
        await database.write(lambda tx: appdata.observe_many(tx, observed, observed_ms=n, at_ms=n, origin=Origin.READ))

    await asyncio.gather(*(sync(n) for n in range(1, 11)))
    assert {row[2] for row in await rows(database)} == {"10"}


async def test_words_are_kept_but_their_changes_are_no_events(database: Database) -> None:
    async def observe_both(values: dict[str, str | None], at_ms: int) -> list[Change]:
        return await database.write(
            lambda tx: appdata.observe(
                tx, ME, values, observed_ms=at_ms, at_ms=at_ms, origin=Origin.READ, only_words={"date"}
            )
        )

    changed = await observe_both({"letters": "3", "date": "2008-10-30"}, 10)
    assert [change.key for change in changed] == ["letters"]
    assert await observe_both({"letters": "3", "date": "2008-10-31"}, 20) == []
    assert [event[1] for event in await events(database)] == ["letters"]
    assert await values(database) == {"letters": "3", "date": "2008-10-31"}
    await observe_both({"date": None}, 15)  # older than what is known
    assert await values(database) == {"letters": "3", "date": "2008-10-31"}


async def test_what_several_players_have_under_some_keys(database: Database) -> None:
    await observe(database, {"letters": "3", "date": "2008-10-30", "other": "x"}, observed_ms=10)
    await observe(database, {"letters": None, "date": "2008-10-29"}, observed_ms=10, player=JANE)
    held = await database.read(lambda reader: appdata.held(reader, [ME, JANE, 3], ["letters", "date"]))
    assert held == {ME: {"letters": "3", "date": "2008-10-30"}, JANE: {"date": "2008-10-29"}}


async def test_what_is_unchanged_beside_what_changes_stays_unchanged(database: Database) -> None:
    await observe(database, {"letters": "3", "best_time": "21.5"}, observed_ms=10)
    assert await observe(database, {"letters": "3", "best_time": "20.0"}, observed_ms=20) == [
        Change(ME, "best_time", "21.5", "20.0", 99, Origin.READ)
    ]
    both = {ME: {"letters": "3"}, JANE: {"letters": "2"}}
    changed = await database.write(
        lambda tx: appdata.observe_many(tx, both, observed_ms=30, at_ms=99, origin=Origin.READ)
    )
    assert changed == [Change(JANE, "letters", None, "2", 99, Origin.BASELINE)]
    assert len(await events(database)) == 4
    assert await values(database) == {"letters": "3", "best_time": "20.0"}


async def test_what_is_unchanged_beside_something_that_changed_is_no_change(database: Database) -> None:
    """Two players observed together, of whom one has a new value, and keys of one player."""
    first = {ME: {"letters": "3", "level": "1"}, JANE: {"letters": "2"}}
    second = {ME: {"letters": "3", "level": "1"}, JANE: {"letters": "7"}}
    for observed_ms, observed in ((10, first), (20, second)):
        changed = await database.write(
            lambda tx, at=observed_ms, what=observed: appdata.observe_many(  # type: ignore[misc]
                tx, what, observed_ms=at, at_ms=at, origin=Origin.READ
            )
        )
    assert changed == [Change(JANE, "letters", "2", "7", 20, Origin.READ)]
    assert len(await events(database)) == 4


async def test_what_is_known_of_friends_is_everybody_by_user_id_with_or_without_values(database: Database) -> None:
    names = ["me", "jane", 'l"ydia', "mary", "kitty"]

    async def prepare(tx: Transaction) -> None:
        numbers = await people.players_of(tx, "orkut", names)
        assert len(numbers) == len(names)
        everybody.update(numbers)
        await people.observe_friends(tx, numbers["me"], [numbers[name] for name in names[1:]], 1)
        await people.observe_friends(tx, numbers["kitty"], [numbers["me"], numbers["jane"]], 1)

    everybody: dict[str, int] = {}
    await database.write(prepare)
    await observe(
        database, {"letters": "3", "level": "7", "said": "a, \\ \u2028 é"}, observed_ms=1, player=everybody["jane"]
    )
    await observe(database, {"letters": "4"}, observed_ms=1, player=everybody['l"ydia'])
    await observe(database, {"letters": "5", "level": "8"}, observed_ms=1, player=everybody["mary"])
    await observe(database, {"letters": None, "level": None}, observed_ms=2, player=everybody["mary"])
    players = [everybody["me"], everybody["kitty"], everybody["jane"]]
    found = await database.look(lambda reader: appdata.of_friends(reader, players))
    jane = {"letters": "3", "level": "7", "said": "a, \\ \u2028 é"}
    assert found == {
        everybody["me"]: {"jane": jane, 'l"ydia': {"letters": "4"}, "mary": {}, "kitty": {}},
        everybody["kitty"]: {"me": {}, "jane": jane},
        everybody["jane"]: {},
    }
