"""Players who removed the application are in no list, and come back as they were; what operators said stays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from homeserver.errors import Conflict
from homeserver.model import Action, Origin
from homeserver.services.delisting import AT_ONCE, Delisting
from homeserver.services.moderation import Moderation
from homeserver.services.rebuilds import Rebuilds
from homeserver.storage import appdata, leaderboards, people
from homeserver.storage.database import Database, Transaction
from tests import sync_kit
from tests.clock import Clock
from tests.sync_kit import BOARD, listed


@dataclass
class Setting:
    database: Database
    clock: Clock
    delisting: Delisting
    moderation: Moderation

    async def player(self, user_id: str) -> int:
        return await self.database.write(lambda tx: people.player_of(tx, "sandbox", user_id))

    async def has_app(self, user_id: str, has_app: bool) -> None:
        player = await self.player(user_id)
        self.clock.advance(s=1)
        await self.database.write(lambda tx: people.set_has_app(tx, player, has_app, self.clock.now_ms()))

    async def scores(self, user_id: str, value: str) -> None:
        player = await self.player(user_id)
        self.clock.advance(s=1)
        now_ms = self.clock.now_ms()

        async def work(tx: Transaction) -> None:
            boards = await leaderboards.begin(tx)
            changes = await appdata.observe(
                tx, player, {"letters": value}, observed_ms=now_ms, at_ms=now_ms, origin=Origin.SUBMITTED
            )
            await leaderboards.record(tx, boards, changes, now_ms)

        await self.database.write(work)

    async def entries(self) -> list[tuple[object, ...]]:
        rows = await self.database.read(
            lambda reader: reader.fetch("SELECT list, key, reached_ms, player FROM entries ORDER BY list, key, player")
        )
        return [tuple(row) for row in rows]


@pytest.fixture
async def setting(database: Database, clock: Clock) -> Setting:
    """Four players with scores, on both engines."""
    await sync_kit.add_board(database)
    setting = Setting(database, clock, Delisting(database, clock.now_ms), Moderation(database, clock.now_ms))
    for number in range(1, 5):
        await setting.scores(f"p{number}", str(number))
    return setting


async def test_who_left_is_in_no_list_and_comes_back_with_score_time_and_rank(setting: Setting) -> None:
    before = await setting.entries()
    await setting.has_app("p3", False)
    assert await setting.delisting.settle() == 1
    assert set(await listed(setting.database)) == {"p1", "p2", "p4"}
    p3 = await setting.player("p3")
    assert not [row for row in await setting.entries() if row[3] == p3]
    assert await setting.delisting.settle() == 0
    setting.clock.advance(days=40)
    await setting.has_app("p3", True)
    assert await setting.delisting.settle([p3]) == 1
    assert await setting.entries() == before


async def test_what_came_meanwhile_counts_when_they_are_back(setting: Setting) -> None:
    await setting.has_app("p3", False)
    await setting.delisting.settle()
    await setting.scores("p3", "30")
    assert "p3" not in await listed(setting.database)
    await setting.has_app("p3", True)
    await setting.delisting.settle()
    assert (await listed(setting.database))["p3"] == 30


async def test_who_was_hidden_by_an_operator_stays_hidden(setting: Setting) -> None:
    p3 = await setting.player("p3")
    await setting.moderation.hide(p3, actor="ada", reason="spam")
    await setting.has_app("p3", False)
    await setting.delisting.settle()
    await setting.has_app("p3", True)
    await setting.delisting.settle()
    assert "p3" not in await listed(setting.database)
    await setting.has_app("p3", False)
    await setting.delisting.settle()
    await setting.moderation.restore(p3, actor="ada", reason="a mistake")
    assert "p3" not in await listed(setting.database), "not there is not there"
    await setting.has_app("p3", True)
    await setting.delisting.settle()
    assert (await listed(setting.database))["p3"] == 3


async def test_nothing_is_restored_of_one_who_has_only_left(setting: Setting) -> None:
    p3 = await setting.player("p3")
    await setting.has_app("p3", False)
    await setting.delisting.settle()
    with pytest.raises(Conflict):
        await setting.moderation.restore(p3, actor="ada", reason="asked for it")
    assert (await setting.moderation.log(player=p3))[0].action is Action.DELIST


async def rebuild(setting: Setting) -> None:
    (in_force,) = await setting.database.read(leaderboards.boards_in_force)
    rebuilds = Rebuilds(setting.database, setting.clock.now_ms)
    await rebuilds.rebuild(in_force.board, revision=in_force.revision, progress=lambda done, total: None)


async def test_a_rebuild_obeys_it(setting: Setting) -> None:
    before = await listed(setting.database)
    await setting.has_app("p3", False)
    await setting.delisting.settle()
    await rebuild(setting)
    assert set(await listed(setting.database)) == {"p1", "p2", "p4"}
    await setting.has_app("p3", True)
    await setting.delisting.settle()
    assert await listed(setting.database) == before
    await rebuild(setting)
    assert await listed(setting.database) == before


async def test_a_board_that_is_new_obeys_it(setting: Setting) -> None:
    await setting.has_app("p3", False)
    await setting.delisting.settle()
    await setting.database.write(lambda tx: leaderboards.seed(tx, [BOARD, replace(BOARD, id="other")]))
    await setting.scores("p3", "50")
    rows = await setting.database.read(lambda r: r.fetch("SELECT player FROM entries"))
    assert await setting.player("p3") not in {row[0] for row in rows}


async def test_it_is_in_the_log(setting: Setting) -> None:
    p3 = await setting.player("p3")
    for has_app in (False, True):
        await setting.has_app("p3", has_app)
        await setting.delisting.settle()
    acts = await setting.moderation.log(player=p3)
    assert [(act.action, act.actor, act.board) for act in acts] == [
        (Action.RELIST, "sync", "letters"),
        (Action.DELIST, "sync", "letters"),
    ]


async def test_who_was_erased_is_forgotten_here_too(setting: Setting) -> None:
    await setting.has_app("p3", False)
    await setting.delisting.settle()
    await setting.moderation.erase(await setting.player("p3"), actor="ada", reason="asked for it")
    assert await setting.delisting.settle() == 0
    rows = await setting.database.read(lambda reader: reader.fetch("SELECT player FROM delisted"))
    assert rows == []
    moderated = await setting.database.read(lambda reader: reader.fetch_value("SELECT SUM(moderated) FROM boards"))
    assert moderated == 0


async def test_many_at_once(setting: Setting) -> None:
    many = [f"q{number}" for number in range(AT_ONCE + 3)]
    for user_id in many:
        await setting.scores(user_id, "7")
        await setting.has_app(user_id, False)
    assert await setting.delisting.settle() == len(many)
    assert set(await listed(setting.database)) == {"p1", "p2", "p3", "p4"}
