"""What is kept of a person, for themselves: all of it, nothing of others, nothing that lets anybody in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import pytest

from homeserver.errors import NotFound, NotSignedIn, TooMany
from homeserver.model import Action, Decision, PageSession, StorageLeg
from homeserver.services import own_data
from homeserver.services.delisting import Delisting
from homeserver.services.own_data import SELF, OwnData
from homeserver.storage import accounts, appdata_writes, people, personal, sessions, uploads
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.sessions import PageRow
from tests.clock import Clock
from tests.moderation_kit import Scene, traces
from tests.test_erasing import leaderboards, scene
from tests.uploads.test_rows import UPLOAD

__all__ = ["leaderboards", "scene"]

# Columns that name a player or a user and are in no kind: what another kind says already, and what is gone in moments.
_SAID_ELSEWHERE: Final = {
    ("blocks", "player"),  # a position, copied from an entry
    ("entries", "player"),  # as entries_by_player
    ("gadget_sessions", "owner"),  # whose page somebody else looks at
    ("page_sessions", "storage_user"),  # listed by itself
    ("account_links", "storage_user"),  # as by player
    ("step_one", "refused_user"),  # of whom the storage refused last; one row for the whole site
}
_PERSONS: Final = frozenset({"player", "friend", "viewer", "owner", "storage_user", "refused_user"})


SESSION_MS: Final = 3 * 86_400_000


@pytest.fixture
def own(database: Database, scene: Scene, clock: Clock) -> OwnData:
    delisting = Delisting(database, clock.now_ms)
    return OwnData(database, scene.moderation, delisting, clock.now_ms, session_ms=SESSION_MS)


async def session_of(database: Database, key: str, now_ms: int) -> PageSession:
    row = await database.look(lambda reader: sessions.find_page_session(reader, key, now_ms))
    assert row is not None
    return PageSession(row.token_hash, row.player, row.storage_user, row.storage_name, row.expires_ms)


async def document(own: OwnData, session: PageSession) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b"".join([part async for part in own.export(session)]))
    return found


async def test_every_column_that_names_a_person_is_counted_and_given_out(database: Database) -> None:
    async def columns(reader: Reader) -> set[tuple[str, str]]:
        found = set()
        tables = [
            row[0]
            for row in await reader.fetch(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
                if type(database).__name__.startswith("Sqlite")
                else "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
            )
        ]
        for table in tables:
            names = (
                await reader.fetch(f"SELECT name FROM pragma_table_info('{table}')")
                if type(database).__name__.startswith("Sqlite")
                else await reader.fetch(
                    "SELECT column_name FROM information_schema.columns "
                    "WHERE table_name = $1 AND table_schema = current_schema()",
                    table,
                )
            )
            found |= {(table, row[0]) for row in names if row[0] in _PERSONS}
        return found

    kinds = {
        (kind.source.split()[0], condition.strip().split()[0].split(".")[-1])
        for kind in (*personal.KINDS, personal.UPLOADS)
        for condition in kind.source.partition("WHERE")[2].split("AND")
        if "$1" in condition
    }
    named = await database.read(columns)
    assert named
    assert named - kinds == _SAID_ELSEWHERE
    assert kinds <= named


async def test_all_of_a_player_is_given_out_and_nothing_that_lets_anybody_in(
    database: Database, clock: Clock, scene: Scene, own: OwnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana, bruno, _ = scene.players

    async def more(tx: Transaction) -> None:
        await appdata_writes.add(tx, bruno, "gift", "1", due_ms=clock.now_ms())
        await tx.execute("INSERT INTO delisted (player, at_ms) VALUES ($1, $2)", bruno, clock.now_ms())

    await database.write(more)
    session = await session_of(database, "his page", clock.now_ms())
    kept = await own.kept(session)
    whole = await document(own, session)
    assert whole.keys() == {"made", "player"}
    player = whole["player"]
    counts = {name: rows if isinstance(rows, int) else len(rows) for name, rows in player.items()}
    assert counts == dict(kept.player)
    assert counts == dict.fromkeys(
        ("accepted", "doubted", "decided", "sync_tasks", "adjusted", "found_right", "bulk_acts"), 0
    ) | dict.fromkeys(
        ("profile", "appdata", "moderated", "delisted", "friend_of", "timed_writes", "page_links", "linked"), 1
    ) | {"changes": 3, "acts": 3, "friends": 2, "gadget_sessions": 1, "sessions": 2, "places": counts["places"]}
    assert [change["new"] for change in player["changes"]] == ["3", "13", "23"]
    (profile,) = player["profile"]
    card = await database.look(lambda reader: people.card(reader, bruno))
    assert (profile["given_name"], profile["public_id"]) == (card.name, card.id)
    assert {friend["given_name"] for friend in player["friends"]} == {"Ana", "Carlos"}
    assert {(place["board"], place["period"], place["score"]) for place in player["places"]} >= {
        ("letters", "all", "23")
    }
    assert {act["action"] for act in player["acts"]} == {"hide", "restore", "remove"}

    text = json.dumps(whole)
    for secret in ("his page", '"his"', 'link"', "maria", "cheats", "marie", "token"):
        assert secret not in text.replace("page_links", "").replace('"linked"', ""), secret
    # However small the parts, it is the same.
    monkeypatch.setattr(own_data, "_ROWS", 1)
    assert (await document(own, session))["player"] == player
    assert (await traces(database, ana))["events"] == 3


async def test_both_halves_are_given_out_each_by_itself(database: Database, clock: Clock, own: OwnData) -> None:
    files = [replace(UPLOAD, id=f"n~{number:022}", storage_user="marie", name=f"{number}.txt") for number in range(3)]
    others = replace(UPLOAD, id=f"n~{9:022}", storage_user="paul", name="not hers")

    async def add(tx: Transaction) -> None:
        for upload in (*files, others):
            await uploads.add(tx, upload, "the sealed token")

    await database.write(add)
    whole = await document(own, await session_of(database, "both", clock.now_ms()))
    assert whole.keys() == {"made", "player", "storage_user", "storage"}
    assert whole["storage_user"] == {"user": "marie", "name": "Marie"}
    assert [upload["name"] for upload in whole["storage"]["uploads"]] == ["0.txt", "1.txt", "2.txt"]
    assert "sealed" not in json.dumps(whole)
    assert "not hers" not in json.dumps(whole)
    storage_alone = PageSession("none", None, "marie", "Marie", 0)
    assert (await document(own, storage_alone)).keys() == {"made", "storage_user", "storage"}
    kept = await own.kept(storage_alone)
    assert (kept.player, kept.uploads, kept.open_files, kept.open_bytes) == ({}, 3, 3, 3 * UPLOAD.size_bytes)


async def test_scores_are_as_their_board_writes_them(
    database: Database, clock: Clock, own: OwnData, scene: Scene
) -> None:
    async def doubt(tx: Transaction) -> None:
        number = await tx.fetch_value("SELECT list FROM lists WHERE board = 'letters' AND period = 'all'")
        await tx.execute(
            "INSERT INTO flags (list, event, player, score, at_ms, reason) VALUES ($1, 1, $2, 4711, $3, 'step')",
            number,
            scene.players[1],
            clock.now_ms(),
        )
        await accounts.decide(tx, "letters", scene.players[1], 1, Decision.REJECTED)

    await database.write(doubt)
    player = (await document(own, await session_of(database, "his page", clock.now_ms())))["player"]
    assert [(each["board"], each["score"], each["reason"]) for each in player["doubted"]] == [
        ("letters", "4711", "step")
    ]
    assert [each["decision"] for each in player["decided"]] == ["rejected"]


async def test_a_session_of_nobody_gets_nothing_and_nobody_asks_all_the_time(
    database: Database, clock: Clock, own: OwnData
) -> None:
    nobody = PageSession("none", None, None, None, 0)
    with pytest.raises(NotSignedIn):
        await document(own, nobody)
    with pytest.raises(NotSignedIn):
        await own.erase(nobody)
    with pytest.raises(NotSignedIn):
        await own.forget_uploads(nobody)
    session = await session_of(database, "his page", clock.now_ms())
    for _ in range(10):
        await document(own, session)
    with pytest.raises(TooMany):
        await document(own, session)
    clock.advance(s=3600)
    await document(own, PageSession("hers", session.player, None, None, 0))


async def test_a_storage_user_may_be_called_as_a_player_is_numbered(own: OwnData, scene: Scene) -> None:
    player = scene.players[0]
    for _ in range(10):
        await document(own, PageSession("his", player, None, None, 0))
    await document(own, PageSession("theirs", None, str(player), None, 0))


# --- where they are signed in ---------------------------------------------------------------------------------------


async def test_browsers_are_listed_and_ended_one_by_one(
    database: Database, clock: Clock, own: OwnData, scene: Scene
) -> None:
    ana, bruno, _ = scene.players
    later_ms = clock.now_ms() + SESSION_MS

    async def more(tx: Transaction) -> None:
        await sessions.add_page_session(tx, PageRow("c" * 64, later_ms, bruno))
        await sessions.add_page_session(tx, PageRow("d" * 64, later_ms, ana))
        await sessions.add_page_session(tx, PageRow("e" * 64, later_ms, ana, "marie", "Marie"))
        await sessions.add_page_session(tx, PageRow("f" * 64, clock.now_ms(), bruno))  # over

    await database.write(more)
    both = await session_of(database, "both", clock.now_ms())
    browsers = await own.browsers(both)
    assert [(each.id, each.is_this, each.as_player, each.in_storage) for each in browsers] == [
        ("both", True, True, True),
        ("c" * 16, False, True, False),
        ("e" * 16, False, False, True),
        ("his page", False, True, False),
    ]
    assert browsers[1].since_ms == clock.now_ms()
    await own.end(both, "c" * 16)
    for unknown in ("c" * 16, "d" * 16, "", "e" * 15):
        with pytest.raises(NotFound):
            await own.end(both, unknown)
    assert [each.id for each in await own.browsers(both)] == ["both", "e" * 16, "his page"]
    assert await database.look(lambda reader: sessions.find_page_session(reader, "d" * 64, clock.now_ms()))


async def test_ending_a_browser_of_the_storage_stops_what_waited_with_its_token(
    database: Database, clock: Clock, own: OwnData
) -> None:
    waiting = replace(UPLOAD, storage_user="marie", storage=StorageLeg.WAITING)
    await database.write(lambda tx: uploads.add(tx, waiting, "sealed"))
    player_alone = await session_of(database, "his page", clock.now_ms())
    await own.end(player_alone, "both")
    found = await database.look(lambda reader: uploads.find(reader, waiting.id))
    assert found is not None
    assert found.storage is StorageLeg.NEEDS_SIGN_IN


async def test_the_gadget_is_signed_out(database: Database, clock: Clock, own: OwnData) -> None:
    await own.end_gadget(await session_of(database, "his page", clock.now_ms()))
    now_ms = clock.now_ms()
    assert await database.look(lambda reader: sessions.find_gadget_session(reader, "his", now_ms)) is None
    assert await database.look(lambda reader: sessions.find_gadget_session(reader, "her", now_ms)) is not None


# --- the end --------------------------------------------------------------------------------------------------------


async def test_who_erases_themselves_is_gone_and_keeps_the_storage_half(
    database: Database, clock: Clock, own: OwnData, scene: Scene
) -> None:
    bruno = scene.players[1]
    await own.erase(await session_of(database, "both", clock.now_ms()))
    assert await traces(database, bruno) == {}
    left = await session_of(database, "both", clock.now_ms())
    assert (left.player, left.storage_user) == (None, "marie")
    (act, *_) = await scene.moderation.log()
    assert (act.action, act.actor, act.player) == (Action.ERASE, SELF, None)
    with pytest.raises(NotSignedIn):
        await own.erase(left)


async def test_the_list_of_finished_uploads_is_forgotten_and_no_other(
    database: Database, clock: Clock, own: OwnData
) -> None:
    legs = [StorageLeg.STORED, StorageLeg.CANCELLED, StorageLeg.WAITING, StorageLeg.FAILED, StorageLeg.UNKNOWN]
    rows = [replace(UPLOAD, id=f"n~{n:022}", storage_user="marie", storage=leg) for n, leg in enumerate(legs)]
    pauls = replace(UPLOAD, id=f"n~{9:022}", storage_user="paul", storage=StorageLeg.STORED)

    async def add(tx: Transaction) -> None:
        for upload in (*rows, pauls):
            await uploads.add(tx, upload, None)

    await database.write(add)
    assert await own.forget_uploads(PageSession("none", None, "marie", "Marie", 0)) == 2
    for row in (*rows, pauls):
        left = await database.look(lambda reader, row=row: uploads.find(reader, row.id))  # type: ignore[misc]
        assert (left is None) == (row in rows[:2])
