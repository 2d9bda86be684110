"""Boards with any rules against the naive one: all at once, one by one in the database, rebuilt; on both engines."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.domain.replay import Conditions, Event, Replay
from homeserver.domain.scores import score_of
from homeserver.model import Board, Change, Counts, Decision, Doubt, Keep, Kept, Order, Origin, Season, Span, Ties
from homeserver.services.rebuilds import Rebuilds
from homeserver.storage import accounts
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Reader, Transaction
from tests.blocks_kit import check_blocks
from tests.clock import NOON_MS, Clock
from tests.naive_rules import NaiveRules
from tests.rebuild_kit import SLOW, SMALL, stored

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SEASONS: Final = (
    Season("early", "Early", NOON_MS - 3 * DAY_MS, NOON_MS + DAY_MS),
    Season("late", "Late", NOON_MS + 5, NOON_MS + 20 * DAY_MS),
)
# A gain of 1 costs a whole number of milliseconds in each, so the naive bucket of fractions agrees to the last one.
RATES: Final = [2, 3, 4, 6, 8, 10]
BOARDS: Final = st.builds(
    Board,
    id=st.just("b"),
    title=st.just("B"),
    field=st.just("f"),
    order=st.sampled_from(Order),
    keep=st.sampled_from(Keep),
    ties=st.sampled_from(Ties),
    spans=st.sets(st.sampled_from([Span.MONTH, Span.WEEK, Span.DAY])).map(
        lambda some: tuple(span for span in Span if span in {Span.ALL, *some})
    ),
    decimals=st.just(0),
    minimum=st.none() | st.just(-3),
    maximum=st.none() | st.just(9),
    counts=st.sampled_from(Counts),
    largest_step=st.none() | st.integers(1, 4) | st.none(),
    largest_gain_per_hour=st.none() | st.sampled_from(RATES),
    seasons=st.sampled_from([(), SEASONS[:1], SEASONS]),
    kept=st.sampled_from([Kept(), Kept(month=1, week=1, day=1)]),
)
STEPS: Final = st.tuples(
    st.integers(1, 3),
    st.sampled_from(["0", "1", "2", "3", "4", "5", "7", "9", "-2", "-4", "10", "junk", None]),
    # Half an hour, a day, a few weeks; and the clock may be set back.
    st.sampled_from(
        [0, 0, 1, 600_000, HOUR_MS // 2, HOUR_MS, DAY_MS, 9 * DAY_MS, 40 * DAY_MS, -2_000, -HOUR_MS, -2 * DAY_MS]
    ),
    st.sampled_from([*Origin, Origin.READ, Origin.SUBMITTED, Origin.SUBMITTED]),
    st.sampled_from([0, 0, 0, DAY_MS, 9 * DAY_MS, 40 * DAY_MS]),  # how old an import is
)
Step = tuple[int, str | None, int, Origin, int]


def climbed(climb: Sequence[tuple[int, int]]) -> list[Step]:
    scores = itertools.accumulate(gain for gain, _ in climb)
    return [(1, str(score), wait_ms, Origin.SUBMITTED, 0) for score, (_, wait_ms) in zip(scores, climb, strict=True)]


# One player who becomes better and better: by how much, after which wait.
CLIMBS: Final = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 2, 3, 0, -1]),
        st.sampled_from([0, 1, 60_000, 600_000, HOUR_MS // 2, HOUR_MS, -2_000, -2 * DAY_MS]),
    ),
    min_size=3,
    max_size=25,
).map(climbed)
HISTORIES: Final = st.lists(STEPS, min_size=8, max_size=25) | st.lists(STEPS, max_size=6) | CLIMBS
DECISIONS: Final = st.dictionaries(st.integers(1, 25), st.sampled_from(Decision), max_size=5)

Lists = dict[str, dict[int, tuple[int, int]]]
"""By period id: player to score and time of reaching it."""


def happened(history: Sequence[Step]) -> list[Event]:
    """The steps as events, numbered from 1."""
    at_ms, events = NOON_MS, []
    for number, (player, value, wait_ms, origin, age_ms) in enumerate(history, 1):
        at_ms += wait_ms
        if origin.is_import and value is None:  # files hold scores
            value = "1"  # noqa: PLW2901
        events.append((number, player, value, at_ms - age_ms * origin.is_import, origin.value))
    return events


@given(board=BOARDS, history=HISTORIES, decisions=DECISIONS)
def test_a_replay_makes_what_the_rules_say(board: Board, history: list[Step], decisions: dict[int, Decision]) -> None:
    replay_equals_the_rules(board, history, decisions)


@given(rate=st.sampled_from(RATES), order=st.sampled_from(Order), history=CLIMBS)
def test_an_allowance_is_a_bucket_that_fills(rate: int, order: Order, history: list[Step]) -> None:
    replay_equals_the_rules(Board("b", "B", "f", order=order, largest_gain_per_hour=rate), history, {})


def replay_equals_the_rules(board: Board, history: Sequence[Step], decisions: dict[int, Decision]) -> None:
    events = happened(history)
    now_ms = max([NOON_MS, *(event[3] for event in events)])
    naive = NaiveRules(board, decisions)
    for event in events:
        naive.apply(event, now_ms)
    replay = Replay(board, now_ms, Conditions(decisions))
    replay.add(sorted(events, key=lambda event: (event[1], event[0])))
    replay.finish()
    lists: Lists = {}
    waiting: dict[int, dict[int, tuple[int, int, Doubt]]] = defaultdict(dict)
    for made in replay.take():
        if made.places:
            lists[made.period.id] = {player: (score_of(key, board.order), ms) for key, ms, player in made.places}
        for number, player, score, at_ms, reason in made.flags:
            waiting[player][number] = (score, at_ms, Doubt(reason))
    assert lists == naive.entries()
    assert waiting == naive.waiting()


Kept_ = tuple[Lists, dict[str, list[tuple[int, ...]]], list[tuple[object, ...]]]


async def kept(database: Database, board: Board) -> Kept_:
    """Everything that is kept of the board: entries, what is remembered, what waits. Its blocks are checked."""

    async def work(reader: Reader) -> Kept_:
        in_force = await store.board_in_force(reader, board.id)
        assert in_force is not None
        lists: Lists = {}
        claims: dict[str, list[tuple[int, ...]]] = {}
        flags: list[tuple[object, ...]] = []
        for period, number in await reader.fetch(
            "SELECT period, list FROM lists WHERE board = $1 AND generation = $2", board.id, in_force.generation
        ):
            found = await stored(reader, number)
            check_blocks(found)
            if found.entries:
                lists[period] = {player: (score_of(key, board.order), ms) for key, ms, player in found.entries}
            rows = await reader.fetch(
                "SELECT player, score, at_ms, full_ms FROM claims WHERE list = $1 ORDER BY player", number
            )
            if rows:
                claims[period] = [tuple(row) for row in rows]
            rows = await reader.fetch(
                "SELECT event, player, score, at_ms, reason FROM flags WHERE list = $1 ORDER BY event", number
            )
            flags += [tuple(row) for row in rows]
        return lists, claims, flags

    return await database.read(work)


async def begin_anew(database: Database, board: Board) -> None:
    """Lists are never numbered as earlier ones were, so what these held is nobody's."""

    async def work(tx: Transaction) -> None:
        for table in ("lists", "boards", "events", "decisions"):
            await tx.execute(f"DELETE FROM {table}")
        await store.seed(tx, [board])

    await database.write(work)


async def write(database: Database, events: Sequence[Event], now_ms: int) -> list[int]:
    """Let these be events, and count, in one transaction; their numbers."""

    async def work(tx: Transaction) -> list[int]:
        boards = await store.begin(tx)
        before = await tx.fetch_value("SELECT coalesce(max(event), 0) FROM events")
        await tx.execute_many(
            "INSERT INTO events (player, key, new, at_ms, origin) VALUES ($1, 'f', $2, $3, $4)",
            [event[1:] for event in events],
        )
        changes = [Change(player, "f", None, value, at_ms, Origin(word)) for _, player, value, at_ms, word in events]
        await store.record(tx, boards, changes, now_ms, SMALL)
        return [row[0] for row in await tx.fetch("SELECT event FROM events WHERE event > $1 ORDER BY event", before)]

    return await database.write(work)


@settings(
    max_examples=max(40, settings.default.max_examples // 4) if settings.default else 40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(board=BOARDS, history=HISTORIES, batch=st.integers(1, 6))
async def test_one_by_one_comes_to_the_same_as_all_at_once(
    *, database: Database, clock: Clock, board: Board, history: list[Step], batch: int
) -> None:
    """Whoever has the clock that the events came by: it never moves what they have made."""
    await begin_anew(database, board)
    events = happened(history)
    now_ms = max([NOON_MS, *(event[3] for event in events)])
    clock.set(now_ms)
    naive = NaiveRules(board)
    for begin in range(0, len(events), batch):
        some = events[begin : begin + batch]
        numbers = await write(database, some, now_ms)
        for number, event in zip(numbers, some, strict=True):
            naive.apply((number, *event[1:]), now_ms)
    before = await kept(database, board)
    lists, claims, flags = before
    assert lists == naive.entries()
    assert flags == sorted(
        (event, player, *flag) for player, waits in naive.waiting().items() for event, flag in waits.items()
    )
    remembers = board.counts is Counts.GAINED or board.largest_step or board.largest_gain_per_hour
    assert bool(claims) == bool(remembers and any(of.accepted for of in naive.players.values()))

    await Rebuilds(database, clock.now_ms, pace=SLOW, sizes=SMALL).rebuild(board, revision=1, progress=lambda *_: None)
    assert await kept(database, board) == before


@settings(
    max_examples=max(20, settings.default.max_examples // 8) if settings.default else 20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(board=BOARDS, other=BOARDS, history=HISTORIES, said=st.lists(st.sampled_from([None, *Decision]), min_size=25))
async def test_other_rules_make_of_the_events_what_they_would_have_made(
    *, database: Database, clock: Clock, board: Board, other: Board, history: list[Step], said: list[Decision | None]
) -> None:
    """A rebuild by other rules; what operators decided holds, whatever the rules."""
    await begin_anew(database, board)
    events = happened(history)
    now_ms = max([NOON_MS, *(event[3] for event in events)])
    clock.set(now_ms)
    numbers = await write(database, events, now_ms)
    naive = NaiveRules(other)

    async def decide(tx: Transaction) -> None:
        for number, event, decision in zip(numbers, events, said, strict=False):
            if decision is not None:
                naive.decisions[number] = decision
                await accounts.decide(tx, "b", event[1], number, decision)

    await database.write(decide)
    for number, event in zip(numbers, events, strict=True):
        naive.apply((number, *event[1:]), now_ms)
    await Rebuilds(database, clock.now_ms, pace=SLOW, sizes=SMALL).rebuild(other, revision=1, progress=lambda *_: None)
    lists, _, flags = await kept(database, other)
    assert lists == naive.entries()
    assert {row[0] for row in flags} == set(itertools.chain.from_iterable(naive.waiting().values()))
