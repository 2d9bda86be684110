"""Random acts and undos among random writes and rebuilds, against a naive board that knows which events count."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.errors import Conflict, NotFound
from homeserver.model import Board, Counts, Decision, Keep, Order, State, Ties
from homeserver.services.eraser import Eraser
from homeserver.services.rebuilds import Rebuilds
from homeserver.storage import leaderboards as store
from homeserver.storage import people
from homeserver.storage.database import Database, Reader, WriteWork
from tests.clock import NOON_MS, Clock
from tests.leaderboards_kit import make_players
from tests.moderation_kit import WHY, Scene, expected, lists_of, newest_event, traces
from tests.rebuild_kit import SLOW, SMALL

T = TypeVar("T")

BOARDS: Final = [
    Board("best", "B", "letters", minimum=-3),
    Board("latest", "B", "letters", keep=Keep.LATEST, ties=Ties.DENSE, minimum=-3),
    Board("less", "B", "letters", order=Order.LESS, ties=Ties.ORDINAL, minimum=-3),
    Board("gained", "B", "letters", counts=Counts.GAINED, keep=Keep.LATEST, minimum=-3),
    Board("judged", "B", "letters", counts=Counts.GAINED, largest_step=3, largest_gain_per_hour=4, minimum=-3),
]
JUDGED: Final = BOARDS[-1]
PLAYERS: Final = 5
VALUES: Final = [*map(str, range(-4, 8)), "junk", None]
ACTS: Final = ["hide", "restore", "remove"]
SAID: Final = ["approve", "reject", "reopen"]


@dataclass
class Decided:
    """What operators decided, as a naive board has it: for each board and player, the word and up to which event."""

    database: Database
    hidden: set[tuple[str, int]] = field(default_factory=set)
    removed: dict[tuple[str, int], int] = field(default_factory=dict)
    said: dict[str, dict[int, Decision]] = field(default_factory=lambda: {board.id: {} for board in BOARDS})

    def counts(self, board: Board) -> Callable[[int, int], bool]:
        return lambda event, player: (
            (board.id, player) not in self.hidden and event > self.removed.get((board.id, player), 0)
        )

    async def act(self, scene: Scene, word: str, board: Board, player: int) -> None:
        """Do it, and have it refused exactly when it would change nothing."""
        place = (board.id, player)
        if word == "hide":
            changes = place not in self.hidden
        elif word == "restore":
            changes = place in self.hidden or place in self.removed
        else:
            newest = await newest_event(self.database, player)
            shown = Decided(self.database, set(), self.removed)
            naive = await expected(self.database, board, shown.counts(board), self.said[board.id])
            changes = any(player in entries for entries in naive.entries().values())
        act = {"hide": scene.moderation.hide, "restore": scene.moderation.restore, "remove": scene.moderation.remove}
        if not changes:
            with pytest.raises(Conflict):
                await act[word](player, board_id=board.id, **WHY)
            return
        assert await act[word](player, board_id=board.id, **WHY) == (board.id,)
        if word == "hide":
            self.hidden.add(place)
        elif word == "remove":
            self.removed[place] = newest
        elif place in self.hidden:
            self.hidden.remove(place)
        else:
            del self.removed[place]

    async def events_of(self, player: int) -> set[int]:
        rows = await self.database.read(
            lambda reader: reader.fetch("SELECT event FROM events WHERE player = $1", player)
        )
        return {row[0] for row in rows}

    async def say(self, scene: Scene, word: str, which: int) -> None:
        """Approve or reject one that waits, if any does, or take back what was said."""
        act, said = scene.moderation, self.said[JUDGED.id]
        claims = sorted(said) if word == "reopen" else [claim.event for claim in await act.review(JUDGED.id)]
        event = claims[which % len(claims)] if claims else 10**9 + which
        do = {"approve": act.approve, "reject": act.reject, "reopen": act.reopen}[word]
        if not claims:
            with pytest.raises(NotFound):
                await do(JUDGED.id, event, **WHY)
            return
        await do(JUDGED.id, event, **WHY)
        if word == "reopen":
            del said[event]
        else:
            said[event] = Decision.APPROVED if word == "approve" else Decision.REJECTED

    async def agree(self, scene: Scene) -> None:
        """Every list, and what stands about every player."""
        for board in BOARDS:
            naive = await expected(self.database, board, self.counts(board), self.said[board.id])
            assert await lists_of(self.database, board) == naive.entries()
            waiting = await scene.moderation.review(board.id, limit=200)
            found = [(each.event, each.player, int(each.score), each.at_ms, each.reason) for each in waiting]
            assert found == sorted(
                (event, p, *flag) for p, its in naive.waiting().items() for event, flag in its.items()
            )
        for player in scene.players:
            stands = {each.board: each.state for each in await scene.moderation.of_player(player)}
            removed = {board: State.REMOVED for board, its in self.removed if its == player}
            assert stands == removed | {board: State.HIDDEN for board, its in self.hidden if its == player}


async def empty(database: Database) -> None:
    async def work(tx: object) -> None:
        for table in (
            "entries",
            "blocks",
            "scores",
            "lists",
            "moderation",
            "audit",
            "events",
            "appdata",
            "boards",
            "decisions",
        ):
            await tx.execute(f"DELETE FROM {table}")  # type: ignore[attr-defined]

    await database.write(work)


STEPS: Final = st.one_of(
    st.tuples(st.just("write"), st.integers(0, PLAYERS - 1), st.sampled_from(VALUES)),
    st.tuples(st.sampled_from(ACTS), st.integers(0, PLAYERS - 1), st.sampled_from(BOARDS)),
    st.tuples(st.sampled_from(SAID), st.integers(0, 3), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([1, 3_600_000, 86_400_000]), st.none()),
    st.tuples(st.just("rebuild"), st.just(0), st.sampled_from(BOARDS)),
)


@settings(
    max_examples=max(15, settings.default.max_examples // 4) if settings.default else 15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=10, max_size=40))
async def test_any_acts_and_undos_equal_the_naive_board(
    database: Database, clock: Clock, steps: list[tuple[str, int, object]]
) -> None:
    clock.set(NOON_MS)
    await empty(database)
    await database.write(lambda tx: store.seed(tx, BOARDS))
    scene = Scene(database, clock, await make_players(database, *"ABCDE"))
    decided = Decided(database)
    for word, number, what in steps:
        if word == "write":
            assert what is None or isinstance(what, str)
            await scene.give(scene.players[number], what)
        elif word == "wait":
            clock.advance(ms=number)
        elif word in SAID:
            await decided.say(scene, word, number)
        else:
            assert isinstance(what, Board)
            if word == "rebuild":
                await rebuild(database, clock, what)
            else:
                await decided.act(scene, word, what, scene.players[number])
    await decided.agree(scene)
    for player in scene.players:  # and everything can be undone
        for board in BOARDS:
            while (board.id, player) in decided.hidden or (board.id, player) in decided.removed:
                await decided.act(scene, "restore", board, player)
    while decided.said[JUDGED.id]:
        await decided.say(scene, "reopen", 0)
    await decided.agree(scene)
    assert (decided.hidden, decided.removed) == (set(), {})


async def rebuild(database: Database, clock: Clock, board: Board) -> None:
    rebuilds = Rebuilds(database, clock.now_ms, pace=SLOW, sizes=SMALL)
    await rebuilds.rebuild(board, revision=1, progress=lambda *_: None)


# --- while a board is rebuilt -----------------------------------------------------------------------------------------


class Between:
    """A database before every use of which something else happens."""

    def __init__(self, database: Database, happens: Callable[[], Awaitable[None]]) -> None:
        self._database = database
        self._happens = happens
        self._alone = asyncio.Lock()  # a rebuild reads and writes at the same time
        self.look, self.most_together = database.look, database.most_together

    async def write(self, work: WriteWork[T]) -> T:
        async with self._alone:
            await self._happens()
        return await self._database.write(work)

    async def read(self, work: Callable[[Reader], Awaitable[T]]) -> T:
        async with self._alone:
            await self._happens()
        return await self._database.read(work)


@pytest.mark.parametrize("seed", range(6))
async def test_acts_between_any_two_steps_of_a_rebuild_are_obeyed(database: Database, clock: Clock, seed: int) -> None:
    """And writes, and people who are erased."""
    chance = random.Random(seed)
    await database.write(lambda tx: store.seed(tx, BOARDS))
    scene = Scene(database, clock, await make_players(database, *"ABCDEFGHIJ"))
    decided = Decided(database)
    erased: list[int] = []

    async def something() -> None:
        player = chance.choice(scene.players)
        if player in erased:
            return
        if chance.random() < 0.5:
            await scene.give(player, chance.choice(VALUES))
        elif chance.random() < 0.4:
            await decided.say(scene, chance.choice(SAID), chance.randrange(5))
        elif chance.random() < 0.95:
            await decided.act(scene, chance.choice(ACTS), chance.choice(BOARDS), player)
        elif len(erased) < 5:
            erased.append(player)
            decided.hidden = {place for place in decided.hidden if place[1] != player}
            events = await decided.events_of(player)
            await scene.moderation.erase(player, **WHY)
            decided.said = {
                b: {e: said for e, said in its.items() if e not in events} for b, its in decided.said.items()
            }
            decided.removed = {place: until for place, until in decided.removed.items() if place[1] != player}

    for _ in range(60):
        await something()
    pace = replace(SLOW, events=13, rows=17, replayed=2, rounds=5)
    for board in itertools.islice(itertools.cycle(BOARDS[::-1]), 4):
        rebuilds = Rebuilds(Between(database, something), clock.now_ms, pace=pace, sizes=SMALL)
        await rebuilds.rebuild(board, revision=1, progress=lambda *_: None)
        await decided.agree(scene)
    await Eraser(database, clock.now_ms).go_on()
    await decided.agree(scene)
    for player in erased:
        assert await traces(database, player) == {}
    left = await database.read(lambda reader: people.cards(reader, scene.players))
    assert set(left) == set(scene.players) - set(erased)
