"""Random acts and undos among random writes and rebuilds, against a naive board that knows which events count.

The acts: on single players, on all in a range of scores, and on whole boards (closed, opened, reset, brought back).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.errors import Conflict, NotFound
from homeserver.model import Action, Board, BulkAct, Counts, Decision, Keep, Order, State, TaskState, Ties
from homeserver.services.board_states import BoardStates
from homeserver.services.board_tasks import BoardTasks
from homeserver.services.bulk import Bulk
from homeserver.services.delisting import Delisting
from homeserver.services.eraser import Eraser
from homeserver.services.rebuilds import Rebuilds
from homeserver.storage import leaderboards as store
from homeserver.storage import people
from homeserver.storage.database import Database, Reader, Transaction, WriteWork
from homeserver.storage.moderation import Verdict
from tests.clock import NOON_MS, Clock
from tests.leaderboards_kit import KEY, make_players
from tests.moderation_kit import WHY, Scene, expected, lists_of, newest_event, traces
from tests.naive_rules import NaiveRules
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
ACTS: Final = ["hide", "restore", "remove", "unremove", "adjust", "unadjust", "withdraw", "show again"]
BULK: Final = [Action.HIDE, Action.REMOVE, Action.RESTORE]
STATES: Final = ["close", "open", "reset", "unreset"]
SAID: Final = ["approve", "reject", "reopen"]


@dataclass
class Decided:
    """What operators decided, as a naive board has it: for each board and player, the word and up to which event."""

    database: Database
    hidden: set[tuple[str, int]] = field(default_factory=set)
    withdrawn: set[int] = field(default_factory=set)
    """Players who hide themselves."""
    removed: dict[tuple[str, int], int] = field(default_factory=dict)
    removals: dict[tuple[str, int], list[tuple[int, int | None, int]]] = field(default_factory=dict)
    """Each act that removed something, and up to which event that was so before it and since."""
    said: dict[str, dict[int, Decision]] = field(default_factory=lambda: {board.id: {} for board in BOARDS})
    adjusted: dict[str, list[tuple[int, int, int]]] = field(default_factory=lambda: {board.id: [] for board in BOARDS})
    """Player, last event, score."""
    since: dict[str, list[int]] = field(default_factory=lambda: {board.id: [] for board in BOARDS})
    """The last event before each reset."""
    closed: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: {board.id: [] for board in BOARDS})
    bulk: list[tuple[int, str, dict[int, tuple[Verdict, Verdict]]]] = field(default_factory=list)
    """Task, board, and what was decided about each player before and after."""

    def counts(self, board: Board, shown: int | None = None) -> Callable[[int, int], bool]:
        """Whether an event counts, as far as `shown` sees it themselves."""
        return lambda event, player: (
            (((board.id, player) not in self.hidden and player not in self.withdrawn) or player == shown)
            and event > self.removed.get((board.id, player), 0)
            and not any(after < event <= until for after, until in self.closed[board.id])
        )

    async def naive(self, board: Board, shown: int | None = None) -> NaiveRules:
        return await expected(
            self.database,
            board,
            self.counts(board, shown),
            self.said[board.id],
            adjusted=self.adjusted[board.id],
            since=max([0, *self.since[board.id]]),
        )

    def verdict(self, board: Board, player: int) -> Verdict:
        place = (board.id, player)
        return Verdict(place in self.hidden, self.removed.get(place))

    def decide(self, board_id: str, player: int, verdict: Verdict) -> None:
        place = (board_id, player)
        self.hidden.discard(place)
        self.removed.pop(place, None)
        if verdict.hidden:
            self.hidden.add(place)
        if verdict.until_event is not None:
            self.removed[place] = verdict.until_event

    async def act(self, scene: Scene, word: str, board: Board, player: int) -> None:
        """Do it, and have it refused exactly when it would change nothing."""
        if word in {"adjust", "unadjust"}:
            await self.adjust(scene, word, board, player)
            return
        if word == "unremove":
            await self.unremove(scene, board, player)
            return
        if word in {"withdraw", "show again"}:
            await self.withdraw(scene, player, hidden=word == "withdraw")
            return
        place = (board.id, player)
        if word == "hide":
            changes = place not in self.hidden
        elif word == "restore":
            changes = place in self.hidden or place in self.removed
        else:
            newest = await newest_event(self.database, player)
            naive = await self.naive(board, player)
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
            (done,) = await scene.moderation.log(board_id=board.id, player=player, limit=1)
            self.removals.setdefault(place, []).append((done.id, self.removed.get(place), newest))
            self.removed[place] = newest
        elif place in self.hidden:
            self.hidden.remove(place)
        else:
            del self.removed[place]

    async def withdraw(self, scene: Scene, player: int, *, hidden: bool) -> None:
        """By the player's own word: on all boards, and nothing where it is so already."""
        delisting = Delisting(self.database, scene.clock.now_ms)
        assert await delisting.decide(player, hidden=hidden, **WHY) is (hidden is not (player in self.withdrawn))
        (self.withdrawn.add if hidden else self.withdrawn.discard)(player)

    async def unremove(self, scene: Scene, board: Board, player: int) -> None:
        """The last one that was not taken back, unless that is no longer what is removed."""
        place = (board.id, player)
        if not self.removals.get(place):
            with pytest.raises(NotFound):
                await scene.moderation.unremove(10**9, **WHY)
            return
        act, was, now = self.removals[place].pop()
        if self.removed.get(place) != now:
            with pytest.raises(Conflict):
                await scene.moderation.unremove(act, **WHY)
            return
        await scene.moderation.unremove(act, **WHY)
        self.decide(board.id, player, Verdict(place in self.hidden, was))

    async def adjust(self, scene: Scene, word: str, board: Board, player: int) -> None:
        its = [each for each in self.adjusted[board.id] if each[0] == player]
        if word == "unadjust":
            if not its:
                with pytest.raises(Conflict):
                    await scene.moderation.unadjust(player, board.id, **WHY)
                return
            await scene.moderation.unadjust(player, board.id, **WHY)
            self.adjusted[board.id].remove(its[-1])  # the first that is equal: they are the same
            return
        score, newest = len(its) - 2, await newest_event(self.database, player)
        before = {period: each.get(player) for period, each in (await self.naive(board, player)).entries().items()}
        self.adjusted[board.id].append((player, newest, score))
        after = {period: each.get(player) for period, each in (await self.naive(board, player)).entries().items()}
        if before == after:
            self.adjusted[board.id].pop()
            with pytest.raises(Conflict):
                await scene.moderation.adjust(player, board.id, str(score), **WHY)
            return
        await scene.moderation.adjust(player, board.id, str(score), **WHY)

    async def change_state(self, desk: Desk, word: str, board: Board) -> None:
        """Close, open, reset, or bring back; refused where it would change nothing."""
        last, newest = self.closed[board.id][-1:], await max_event(self.database)
        is_closed = bool(last) and last[0][1] == math.inf
        if word in {"close", "open"}:
            do = desk.states.close if word == "close" else desk.states.open
            if is_closed is (word == "close"):
                with pytest.raises(Conflict):
                    await do(board.id, **WHY)
                return
            await do(board.id, **WHY)
            if word == "close":
                self.closed[board.id].append((newest, math.inf))
            else:
                self.closed[board.id][-1] = (self.closed[board.id][-1][0], newest)
        elif word == "reset":
            entries = len((await self.naive(board)).entries().get("all", {}))
            task = await desk.tasks.reset(board.id, "another", **WHY)
            assert (await desk.tasks.do(task.id)).state is TaskState.DONE
            self.since[board.id].append(newest)
            assert (await desk.states.archives(board.id))[0].entries == entries
        elif not self.since[board.id]:
            with pytest.raises(NotFound):
                await desk.tasks.undo_reset(board.id, **WHY)
        else:
            task = await desk.tasks.undo_reset(board.id, **WHY)
            assert (await desk.tasks.do(task.id)).state is TaskState.DONE
            self.since[board.id].pop()

    async def act_on_many(self, desk: Desk, action: Action, board: Board, least: int) -> None:
        """On all from this score to one that is 3 more, of all time."""
        wanted = BulkAct(action, "all", str(least), str(least + 3))
        changed: dict[int, tuple[Verdict, Verdict]] = {}
        listed = (await self.naive(board)).entries().get("all", {})
        for player in desk.scene.players:
            was = self.verdict(board, player)
            now = was._replace(hidden=True)
            if action is Action.REMOVE:
                now = was._replace(until_event=await newest_event(self.database, player))
            entries = listed
            if action is Action.RESTORE:
                now = was._replace(hidden=False) if was.hidden else Verdict()
                self.decide(board.id, player, now)
                entries = (await self.naive(board, player)).entries().get("all", {})
                self.decide(board.id, player, was)
            if now != was and player in entries and least <= entries[player][0] <= least + 3:
                changed[player] = (was, now)
        preview = await desk.bulk.preview(board.id, wanted)
        assert len(preview.concerned) == len(changed)
        assert preview.total in {len(changed), None}
        task = await desk.tasks.bulk(board.id, wanted, **WHY)
        assert (await desk.tasks.do(task.id)).result == {"changed": len(changed)}
        for player, (_, now) in changed.items():
            self.decide(board.id, player, now)
        if changed:
            self.bulk.append((task.id, board.id, changed))

    async def undo_bulk(self, desk: Desk) -> None:
        """The last one, as far as nobody was acted on since."""
        if not self.bulk:
            return
        number, board_id, changed = self.bulk.pop()
        (board,) = (each for each in BOARDS if each.id == board_id)
        task = await desk.tasks.undo_bulk(number, **WHY)
        left = [player for player, (_, now) in changed.items() if self.verdict(board, player) == now]
        assert (await desk.tasks.do(task.id)).result == {"restored": len(left), "left": len(changed) - len(left)}
        for player in left:
            self.decide(board_id, player, changed[player][0])
        with pytest.raises(NotFound):
            await desk.tasks.undo_bulk(number, **WHY)

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
            naive = await self.naive(board)
            assert await lists_of(self.database, board) == naive.entries()
            waiting = await scene.moderation.review(board.id, limit=200)
            found = [(each.event, each.player, int(each.score), each.at_ms, each.reason) for each in waiting]
            assert found == sorted(
                (event, p, *flag) for p, its in naive.waiting().items() for event, flag in its.items()
            )
        for player in scene.players:
            adjusted = [(each.board, int(each.score)) for each in await scene.moderation.adjusted(player)]
            assert adjusted == [
                (board, score)
                for board in sorted(self.adjusted)
                for its, _, score in self.adjusted[board]
                if its == player
            ]
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
            "adjustments",
            "archives",
            "board_tasks",
            "bulk_changes",
        ):
            await tx.execute(f"DELETE FROM {table}")  # type: ignore[attr-defined]

    await database.write(work)


STEPS: Final = st.one_of(
    st.tuples(st.just("write"), st.integers(0, PLAYERS - 1), st.sampled_from(VALUES)),
    st.tuples(st.sampled_from(ACTS), st.integers(0, PLAYERS - 1), st.sampled_from(BOARDS)),
    st.tuples(st.sampled_from(SAID), st.integers(0, 3), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([1, 3_600_000, 86_400_000]), st.none()),
    st.tuples(st.just("rebuild"), st.just(0), st.sampled_from(BOARDS)),
    st.tuples(st.sampled_from(STATES), st.just(0), st.sampled_from(BOARDS)),
    st.tuples(st.sampled_from(BULK), st.integers(-3, 5), st.sampled_from(BOARDS)),
    st.tuples(st.just("undo bulk"), st.just(0), st.none()),
)


@dataclass
class Desk:
    """What operators work with."""

    scene: Scene
    states: BoardStates = field(init=False)
    bulk: Bulk = field(init=False)
    tasks: BoardTasks = field(init=False)

    def __post_init__(self) -> None:
        database, now_ms = self.scene.database, self.scene.clock.now_ms
        rebuilds = Rebuilds(database, now_ms, pace=SLOW, sizes=SMALL)
        self.states = BoardStates(database, rebuilds, now_ms)
        self.bulk = Bulk(database, now_ms, KEY, sizes=SMALL)
        self.tasks = BoardTasks(database, rebuilds, self.states, self.bulk, now_ms)


async def do(desk: Desk, decided: Decided, word: str, number: int, what: object) -> None:
    """One step."""
    scene = desk.scene
    if word == "write":
        assert what is None or isinstance(what, str)
        await scene.give(scene.players[number], what)
    elif word == "wait":
        scene.clock.advance(ms=number)
    elif word in SAID:
        await decided.say(scene, word, number)
    elif word == "undo bulk":
        await decided.undo_bulk(desk)
    else:
        assert isinstance(what, Board)
        if word == "rebuild":
            await rebuild(scene.database, scene.clock, what)
        elif word in STATES:
            await decided.change_state(desk, word, what)
        elif isinstance(word, Action):
            await decided.act_on_many(desk, word, what, number)
        else:
            await decided.act(scene, word, what, scene.players[number])


async def undo_everything(desk: Desk, decided: Decided) -> None:
    scene = desk.scene
    while decided.bulk:
        await decided.undo_bulk(desk)
    for board in BOARDS:
        while decided.since[board.id]:
            await decided.change_state(desk, "unreset", board)
        if decided.closed[board.id] and decided.closed[board.id][-1][1] == math.inf:
            await decided.change_state(desk, "open", board)
        for player in scene.players:
            await decided.withdraw(scene, player, hidden=False)
            while any(each[0] == player for each in decided.adjusted[board.id]):
                await decided.act(scene, "unadjust", board, player)
            while (board.id, player) in decided.hidden or (board.id, player) in decided.removed:
                await decided.act(scene, "restore", board, player)
    while decided.said[JUDGED.id]:
        await decided.say(scene, "reopen", 0)


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
    decided, desk = Decided(database), Desk(scene)
    for word, number, what in steps:
        await do(desk, decided, word, number, what)
    await decided.agree(scene)
    await undo_everything(desk, decided)
    await decided.agree(scene)
    assert (decided.hidden, decided.removed, decided.withdrawn) == (set(), {}, set())


@pytest.mark.parametrize(
    "steps", [pytest.param(80, id="short"), pytest.param(1_000, id="long", marks=pytest.mark.long)]
)
async def test_a_thousand_acts_and_undos(database: Database, database_kind: str, clock: Clock, steps: int) -> None:
    """There are as many writes among them. On PostgreSQL 300: it says the same, and takes three times as long."""
    chance = random.Random(steps)
    steps = min(steps, 300) if database_kind == "postgresql" else steps
    await database.write(lambda tx: store.seed(tx, BOARDS))
    scene = Scene(database, clock, await make_players(database, *"ABCDE"))
    decided, desk = Decided(database), Desk(scene)
    for step in range(steps):
        for _ in range(chance.randrange(3)):
            await do(desk, decided, "write", chance.randrange(PLAYERS), chance.choice(VALUES))
        clock.advance(ms=chance.choice([1, 3_600_000, 86_400_000]))
        word = chance.choice([*ACTS * 2, *SAID, *BULK, "undo bulk", "close", "open"])
        if chance.random() < 0.05:
            word = chance.choice(["reset", "unreset", "rebuild"])
        await do(desk, decided, word, chance.randrange(PLAYERS), chance.choice(BOARDS))
        if step % 100 == 99 or step == steps - 1:
            await decided.agree(scene)
    await undo_everything(desk, decided)
    await decided.agree(scene)


async def max_event(database: Database) -> int:
    return await database.read(lambda reader: reader.fetch_value("SELECT coalesce(max(event), 0) FROM events"))


async def rebuild(database: Database, clock: Clock, board: Board) -> None:
    rebuilds = Rebuilds(database, clock.now_ms, pace=SLOW, sizes=SMALL)
    await rebuilds.rebuild(board, revision=1, progress=lambda *_: None)


# --- while a board is rebuilt -----------------------------------------------------------------------------------------


class Between:
    """A database before every use of which something else happens, and where everybody loses one race."""

    def __init__(self, database: Database, happens: Callable[[], Awaitable[None]]) -> None:
        self._database = database
        self._happens = happens
        self._alone = asyncio.Lock()  # a rebuild reads and writes at the same time
        self.look, self.glance, self.most_together = database.look, database.glance, database.most_together

    async def write(self, work: WriteWork[T]) -> T:
        async with self._alone:
            await self._happens()
        with contextlib.suppress(_LostError):
            await self._database.write(lambda tx: _lose(tx, work))
        return await self._database.write(work)

    async def read(self, work: Callable[[Reader], Awaitable[T]]) -> T:
        async with self._alone:
            await self._happens()
        return await self._database.read(work)


class _LostError(Exception):
    pass


async def _lose(tx: Transaction, work: WriteWork[Any]) -> None:
    await work(tx)
    raise _LostError


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
            decided.withdrawn.discard(player)
            decided.hidden = {place for place in decided.hidden if place[1] != player}
            events = await decided.events_of(player)
            await scene.moderation.erase(player, **WHY)
            decided.said = {
                b: {e: said for e, said in its.items() if e not in events} for b, its in decided.said.items()
            }
            decided.removed = {place: until for place, until in decided.removed.items() if place[1] != player}
            for act, *_ in (each for place, its in decided.removals.items() if place[1] == player for each in its):
                with pytest.raises(NotFound):
                    await scene.moderation.unremove(act, **WHY)
            decided.adjusted = {b: [each for each in its if each[0] != player] for b, its in decided.adjusted.items()}

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
