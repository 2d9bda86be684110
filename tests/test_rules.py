"""The rules of boards, case by case, as players and operators meet them; on both engines."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from homeserver.domain.replay import Replay
from homeserver.domain.score_files import FileFormat
from homeserver.errors import BadInput, StaleCursor
from homeserver.model import (
    Board,
    Counts,
    Decision,
    Doubt,
    Keep,
    Kept,
    Order,
    Origin,
    Pending,
    Placed,
    Season,
    Ties,
)
from homeserver.services.board_admin import Action, BoardAdmin
from homeserver.services.board_import import BoardImport
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.rebuilds import Rebuilds
from homeserver.services.upkeep import Upkeep
from homeserver.storage import accounts, appdata, people, rebuild
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Reader, Transaction
from tests.blocks_kit import Watching
from tests.clock import NOON_MS, Clock
from tests.leaderboards_kit import BOARD, KEY, Container, make_players, names, ranks
from tests.rebuild_kit import SLOW, SMALL, remains

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MIDNIGHT_MS = NOON_MS + 12 * HOUR_MS  # the end of 2026-11-22, a Sunday, and of week 47
GAINED = replace(BOARD, counts=Counts.GAINED)
STEP = replace(BOARD, largest_step=5)
RATE = replace(BOARD, largest_gain_per_hour=60)


@pytest.fixture
def container(clock: Clock) -> Container:
    return Container(clock)


@pytest.fixture
def leaderboards(database: Database, clock: Clock, container: Container) -> Leaderboards:
    return Leaderboards(database, container, clock.now_ms, KEY)


@pytest.fixture
def rebuilds(database: Database, clock: Clock) -> Rebuilds:
    return Rebuilds(database, clock.now_ms, pace=SLOW, sizes=SMALL)


async def observe(database: Database, player: int, value: str | None, at_ms: int, origin: Origin = Origin.READ) -> None:
    """A value of the player is seen at this moment, by a process whose clock says so."""

    async def work(tx: Transaction) -> None:
        boards = await store.begin(tx)
        changes = await appdata.observe(tx, player, {"letters": value}, observed_ms=at_ms, at_ms=at_ms, origin=origin)
        await store.record(tx, boards, changes, at_ms, SMALL)

    await database.write(work)


async def shown(leaderboards: Leaderboards, period: str, board: str = "letters") -> dict[str, str]:
    """Who has which score in this period, best first."""
    page = await leaderboards.entries(board, period=period, reader=None, limit=100)
    return {entry.player.name: entry.score for entry in page.entries}


async def rebuilt(rebuilds: Rebuilds, database: Database, board: Board) -> None:
    in_force = await database.look(lambda reader: store.board_in_force(reader, board.id))
    await rebuilds.rebuild(board, revision=in_force.revision if in_force else None, progress=lambda *_: None)


# --- periods end ------------------------------------------------------------------------------------------------------


async def test_who_played_last_week_alone_is_absent_now_and_keeps_the_final_rank(
    database: Database, leaderboards: Leaderboards, clock: Clock
) -> None:
    """T54."""
    await leaderboards.seed([BOARD])
    ana, bruno, carla = await make_players(database, "Ana", "Bruno", "Carla")
    for player, value in ((ana, "5"), (bruno, "7"), (carla, "5")):
        await observe(database, player, value, NOON_MS, Origin.SUBMITTED)
    clock.set(MIDNIGHT_MS)
    await observe(database, carla, "9", MIDNIGHT_MS)
    week = await leaderboards.entries("letters", period="week", reader=ana)
    assert (week.period.id, names(week)) == ("week:2026-W48", ["Carla"])
    last = await leaderboards.entries("letters", period="week:2026-W47", reader=ana)
    assert list(zip(ranks(last), names(last), strict=True)) == [("1", "Bruno"), ("=2", "Ana"), ("=2", "Carla")]
    place = await leaderboards.place("letters", period="week:2026-W47", player=ana)
    assert (place.rank, place.tied, place.total) == (2, True, 3)


async def test_a_cursor_of_the_week_that_ended_leads_on_in_that_week_alone(
    database: Database, leaderboards: Leaderboards, clock: Clock
) -> None:
    """T56."""
    await leaderboards.seed([BOARD])
    for number, player in enumerate(await make_players(database, *"ABCD")):
        await observe(database, player, str(9 - number), NOON_MS, Origin.SUBMITTED)
    page = await leaderboards.entries("letters", period="week", reader=None, limit=2)
    clock.set(MIDNIGHT_MS)
    with pytest.raises(StaleCursor):
        await leaderboards.entries("letters", period="week", reader=None, limit=2, cursor=page.next)
    following = await leaderboards.entries("letters", period=page.period.id, reader=None, limit=2, cursor=page.next)
    assert names(following) == ["C", "D"]


async def test_a_clock_that_is_set_back_reopens_nothing_that_has_ended(
    database: Database, leaderboards: Leaderboards, rebuilds: Rebuilds
) -> None:
    """T57. The event has the time at which it counts, so a rebuild changes nothing."""
    await leaderboards.seed([BOARD])
    ana, *others = await make_players(database, "Ana", "Bruno", "Carla", "Dora", "Eva")
    await observe(database, ana, "5", MIDNIGHT_MS - 1, Origin.SUBMITTED)
    await observe(database, ana, "6", MIDNIGHT_MS + 500, Origin.READ)
    for player, behind_ms in zip(others, (1, 60_000, HOUR_MS - 500), strict=False):
        await observe(database, player, "4", MIDNIGHT_MS - behind_ms, Origin.SUBMITTED)
    for _ in range(2):
        assert await shown(leaderboards, "day:2026-11-22") == {"Ana": "5"}
        assert list(await shown(leaderboards, "day:2026-11-23")) == ["Ana", "Bruno", "Carla", "Dora"]
        await rebuilt(rebuilds, database, BOARD)
    # By more than an hour it was set right: what it says is believed.
    await observe(database, others[-1], "8", MIDNIGHT_MS - 2 * HOUR_MS, Origin.SUBMITTED)
    assert await shown(leaderboards, "day:2026-11-22") == {"Eva": "8", "Ana": "5"}


async def test_two_processes_whose_clocks_differ_by_two_seconds_agree_at_midnight(
    database: Database, rebuilds: Rebuilds
) -> None:
    """T58. One is ahead; whoever writes by the other's clock afterwards is in the same day."""
    ahead, behind = Clock(MIDNIGHT_MS + 1_000), Clock(MIDNIGHT_MS - 1_000)
    one, other = (Leaderboards(database, Container(each), each.now_ms, KEY) for each in (ahead, behind))
    await one.seed([BOARD])
    ana, bruno, carla = await make_players(database, "Ana", "Bruno", "Carla")
    await other.submit(ana, "letters", "5")  # the last of the day
    await one.submit(bruno, "letters", "6")  # the first of the next
    await other.submit(carla, "letters", "7")  # whose clock still says the day before
    for _ in range(2):
        for each in (one, other):
            assert await shown(each, "day:2026-11-22") == {"Ana": "5"}
            assert await shown(each, "day:2026-11-23") == {"Carla": "7", "Bruno": "6"}
            assert list(await shown(each, "week:2026-W48")) == ["Carla", "Bruno"]
        await rebuilt(rebuilds, database, BOARD)


# --- gained -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "fallen"), [(Keep.BEST, "3"), (Keep.LATEST, "2")])
async def test_what_was_gained_in_a_period(
    database: Database, leaderboards: Leaderboards, clock: Clock, keep: Keep, fallen: str
) -> None:
    """T55: 10 before, 13 now, then 12."""
    await leaderboards.seed([replace(GAINED, keep=keep)])
    ana, bruno = await make_players(database, "Ana", "Bruno")
    await observe(database, ana, "10", NOON_MS)  # a baseline: it was reached who knows when
    await observe(database, bruno, "99", NOON_MS)
    assert await shown(leaderboards, "week") == {}
    assert await shown(leaderboards, "all") == {"Bruno": "99", "Ana": "10"}
    await observe(database, ana, "13", NOON_MS + 1)
    assert await shown(leaderboards, "week") == await shown(leaderboards, "day") == {"Ana": "3"}
    await observe(database, ana, "12", NOON_MS + 2)
    assert await shown(leaderboards, "week") == {"Ana": fallen}  # and who writes nothing is absent
    assert await shown(leaderboards, "all") == {"Bruno": "99", "Ana": "13" if keep is Keep.BEST else "12"}
    clock.set(MIDNIGHT_MS)
    await observe(database, ana, "20", MIDNIGHT_MS)
    assert await shown(leaderboards, "week") == {"Ana": "8"}
    assert await shown(leaderboards, "month") == {"Ana": "10"}
    assert await shown(leaderboards, "week:2026-W47") == {"Ana": fallen}


async def test_a_first_score_that_is_submitted_is_gained_whole(
    leaderboards: Leaderboards, container: Container, database: Database
) -> None:
    await leaderboards.seed([GAINED])
    ana, bruno = await make_players(database, "Ana", "Bruno")
    container.held[bruno] = {"letters": "10"}
    await leaderboards.submit(ana, "letters", "4")
    await leaderboards.submit(bruno, "letters", "12")  # what the container had is the baseline
    assert await shown(leaderboards, "day") == {"Ana": "4", "Bruno": "2"}


async def test_to_remove_a_value_and_bring_it_back_gains_nothing(
    database: Database, leaderboards: Leaderboards, clock: Clock
) -> None:
    await leaderboards.seed([replace(GAINED, keep=Keep.LATEST)])
    (ana,) = await make_players(database, "Ana")
    for number, value in enumerate(["10", "13", None, "13", "junk", "14"]):
        await observe(database, ana, value, NOON_MS + number)
    assert await shown(leaderboards, "day") == {"Ana": "4"}
    await observe(database, ana, None, NOON_MS + 10)
    clock.set(MIDNIGHT_MS)
    await observe(database, ana, "14", MIDNIGHT_MS)
    assert await shown(leaderboards, "day") == {"Ana": "0"}


async def test_less_may_be_better_of_gains_too(database: Database, leaderboards: Leaderboards) -> None:
    await leaderboards.seed([replace(GAINED, order=Order.LESS, decimals=1)])
    ana, bruno = await make_players(database, "Ana", "Bruno")
    for player, values in ((ana, ("60.0", "57.5")), (bruno, ("50.0", "49.0"))):
        for number, value in enumerate(values):
            await observe(database, player, value, NOON_MS + number)
    assert await shown(leaderboards, "day") == {"Ana": "-2.5", "Bruno": "-1.0"}
    place = await leaderboards.place("letters", period="day", player=bruno)
    assert place.next is not None
    assert (place.next.rank, place.next.missing) == (1, "1.5")


async def test_a_gain_beyond_64_bits_does_not_rank(database: Database, leaderboards: Leaderboards) -> None:
    await leaderboards.seed([GAINED])
    (ana,) = await make_players(database, "Ana")
    for number, value in enumerate([-(2**63), 2**63 - 1, 0]):
        await observe(database, ana, str(value), NOON_MS + number)
    assert await shown(leaderboards, "all") == {"Ana": str(2**63 - 1)}
    assert await shown(leaderboards, "day") == {}


async def load(importer: BoardImport, *lines: str) -> None:
    done = await importer.load(
        "letters",
        [b"player,value,time\n", *(f"{line}\n".encode() for line in lines)],
        FileFormat.CSV,
        verified=False,
        expected=0,
        progress=lambda _: None,
        rebuilding=lambda *_: None,
    )
    assert done.bad == 0


async def test_an_imported_history_says_what_was_gained_when(
    database: Database, leaderboards: Leaderboards, rebuilds: Rebuilds, clock: Clock
) -> None:
    """In its order. What is older than what is known says nothing of a gain, and counts in `all` alone."""
    await leaderboards.seed([GAINED])
    importer = BoardImport(database, rebuilds, "orkut", clock.now_ms)
    days = [f"u,{value},2026-11-{day}T12:00:00Z" for value, day in ((5, "17"), (9, "18"), (11, "20"))]
    await load(importer, *days)
    of = {day: await shown(leaderboards, f"day:2026-11-{day}") for day in ("17", "18", "20")}
    assert of == {"17": {"Player": "5"}, "18": {"Player": "4"}, "20": {"Player": "2"}}
    assert await shown(leaderboards, "week") == {"Player": "11"}
    await load(importer, "u,50,2026-11-19T12:00:00Z", "u,11,2026-11-01T00:00:00Z")
    assert await shown(leaderboards, "day:2026-11-19") == {}
    assert await shown(leaderboards, "week") == {"Player": "11"}
    assert await shown(leaderboards, "all") == {"Player": "50"}
    player = await database.read(lambda reader: people.find_player(reader, "orkut", "u"))
    assert player is not None
    await observe(database, player, "12", NOON_MS, Origin.SUBMITTED)
    assert await shown(leaderboards, "day") == {"Player": "1"}


# --- step and rate ----------------------------------------------------------------------------------------------------


def doubts(placed: Placed) -> tuple[str, Doubt] | None:
    return None if placed.pending is None else (placed.pending.score, placed.pending.reason)


async def test_too_large_a_step_waits_and_what_stood_stands(
    database: Database, leaderboards: Leaderboards, container: Container, clock: Clock
) -> None:
    """T63. It is kept, in the container and as an event; nobody sees it in a list."""
    await leaderboards.seed([STEP])
    ana, bruno = await make_players(database, "Ana", "Bruno")
    assert doubts(await leaderboards.submit(ana, "letters", "5")) is None  # from 0
    assert doubts(await leaderboards.submit(bruno, "letters", "6")) == ("6", Doubt.STEP)
    placed = await leaderboards.submit(ana, "letters", "1000")
    assert placed.pending == Pending("1000", "1,000", clock.now_ms(), Doubt.STEP)
    assert [(change.place.score, change.rank_before, change.is_best) for change in placed.changes] == [
        ("5", 1, False)
    ] * len(BOARD.spans)
    assert container.held[ana] == {"letters": "1000"}
    assert await database.read(lambda reader: appdata.values_of(reader, ana)) == {"letters": "1000"}
    for period in BOARD.spans:
        assert await shown(leaderboards, period) == {"Ana": "5"}
    # The same again is no change, and still waits. What counts ends the waiting, and is compared with what counted.
    assert doubts(await leaderboards.submit(ana, "letters", "1000")) == ("1000", Doubt.STEP)
    assert doubts(await leaderboards.submit(ana, "letters", "10")) is None
    assert await shown(leaderboards, "day") == {"Ana": "10"}
    assert doubts(await leaderboards.submit(ana, "letters", "16")) == ("16", Doubt.STEP)
    assert doubts(await leaderboards.submit(ana, "letters", "2")) is None  # worse is always believed


async def test_latest_goes_on_to_stand_while_a_claim_waits_and_a_value_that_is_gone_waits_no_more(
    database: Database, leaderboards: Leaderboards
) -> None:
    """T64: what falls is believed, and counts."""
    await leaderboards.seed([replace(STEP, keep=Keep.LATEST)])
    (ana,) = await make_players(database, "Ana")
    for number, value in enumerate(["10", "8", "14"]):
        await observe(database, ana, value, NOON_MS + number)
    assert await shown(leaderboards, "all") == {"Ana": "8"}
    assert await waiting(database, ana) == [14]
    await observe(database, ana, None, NOON_MS + 5)
    assert await shown(leaderboards, "all") == {}
    assert await waiting(database, ana) == []


async def waiting(database: Database, player: int) -> list[int]:
    async def work(reader: Reader) -> list[int]:
        in_force = await store.board_in_force(reader, "letters")
        assert in_force is not None
        return [flag.score for _, flag in await accounts.waiting(reader, in_force, player)]

    return await database.read(work)


async def test_no_more_claims_of_a_player_wait_than_anybody_looks_at(
    database: Database, leaderboards: Leaderboards, rebuilds: Rebuilds
) -> None:
    """The newest ones; also after a rebuild."""
    await leaderboards.seed([STEP])
    (ana,) = await make_players(database, "Ana")
    for number in range(25):
        await observe(database, ana, str(100 + number), NOON_MS + number, Origin.SUBMITTED)
    for _ in range(2):
        assert await waiting(database, ana) == list(range(105, 125))
        await rebuilt(rebuilds, database, STEP)


NO_SCORES = [
    *("", " 3", "3 ", "+3", "03", "3.0", "1e3", "0x10", "1_000", "nan", "inf", "-0", "\u0663", "\u00b3", "9" * 16),
    *("1" * 1_000_000, "true", "null", "[3]", str(2**63), "21", "-11"),
]


@pytest.mark.parametrize("keep", Keep)
async def test_what_is_no_score_is_kept_as_it_is_and_ranks_nowhere(
    database: Database, leaderboards: Leaderboards, container: Container, keep: Keep
) -> None:
    """T60 to T62. It is no claim either: nothing waits. The score after it is compared with the one before."""
    await leaderboards.seed([replace(STEP, keep=keep, minimum=-10, maximum=20)])
    players = await make_players(database, *map(str, range(len(NO_SCORES))))
    for number, (player, text) in enumerate(zip(players, NO_SCORES, strict=True)):
        await observe(database, player, "4", NOON_MS + 10 * number)
        await observe(database, player, text, NOON_MS + 10 * number + 1)
        assert await database.read(lambda db, p=player: appdata.values_of(db, p)) == {"letters": text}  # type: ignore[misc]
        assert await waiting(database, player) == []
        with pytest.raises(BadInput):
            await leaderboards.submit(player, "letters", text)
    assert container.held == {}
    assert set((await shown(leaderboards, "all")).values()) == ({"4"} if keep is Keep.BEST else set())
    assert await shown(leaderboards, "day") == {}
    for player in players:
        await observe(database, player, "9", NOON_MS + 1_000)
    assert list((await shown(leaderboards, "day")).values()) == ["9"] * len(players)


async def test_baselines_and_imports_are_not_judged(
    database: Database, leaderboards: Leaderboards, rebuilds: Rebuilds, clock: Clock
) -> None:
    await leaderboards.seed([replace(STEP, largest_gain_per_hour=1)])
    (ana,) = await make_players(database, "Ana")
    await observe(database, ana, "500", NOON_MS)
    await load(BoardImport(database, rebuilds, "orkut", clock.now_ms), "00,900,2026-11-22T12:00:00Z")
    assert await shown(leaderboards, "all") == {"Ana": "900"}
    await observe(database, ana, "901", NOON_MS + 1)
    assert await shown(leaderboards, "day") == {"Ana": "901"}


async def test_where_less_is_better_a_first_score_is_not_judged(leaderboards: Leaderboards, database: Database) -> None:
    await leaderboards.seed([replace(STEP, order=Order.LESS)])
    (ana,) = await make_players(database, "Ana")
    assert doubts(await leaderboards.submit(ana, "letters", "300")) is None
    assert doubts(await leaderboards.submit(ana, "letters", "294")) == ("294", Doubt.STEP)
    assert doubts(await leaderboards.submit(ana, "letters", "295")) is None


async def test_an_allowance_fills_by_the_hour(database: Database, leaderboards: Leaderboards, clock: Clock) -> None:
    """T63: 60 an hour, so 1 a minute, and never more than 60 at once."""
    await leaderboards.seed([RATE])
    (ana,) = await make_players(database, "Ana")

    async def submit(score: int, minutes: int = 0, ms: int = 0) -> Doubt | None:
        clock.advance(minutes=minutes, ms=ms)
        doubted = doubts(await leaderboards.submit(ana, "letters", str(score)))
        return None if doubted is None else doubted[1]

    assert await submit(61) is Doubt.RATE
    assert await submit(60) is None
    assert await submit(62) is Doubt.RATE
    assert await submit(62, minutes=2) is Doubt.RATE  # no change, so it waits for an operator still
    assert await submit(61) is None
    assert await submit(93, minutes=30) is Doubt.RATE
    assert await submit(92) is None
    assert await submit(153, minutes=500) is Doubt.RATE
    assert await submit(152) is None


@pytest.mark.parametrize(
    ("minutes", "score", "counts"),
    [
        (0, 71, False),
        (10, 71, False),
        (10, 70, True),
        (-10, 61, False),  # another process, whose clock is behind: it is as late as it was
        (-60, 61, False),
        (-3 * 24 * 60, 61, False),  # set back by days: nothing is left, as it was
    ],
)
def test_a_moved_clock_gives_no_allowance(minutes: int, score: int, counts: bool) -> None:
    """T63. 60 were used up at noon."""
    assert accepted((0, 60), (minutes, score)) == (score if counts else 60)


def test_a_clock_that_is_set_back_takes_no_allowance_away() -> None:
    """Three days back, it fills by the minute as it did before; also after a score that was worse."""
    back = -3 * 24 * 60
    assert accepted((0, 50), (back, 60)) == 60
    assert accepted((0, 60), (back, 50), (back + 1, 52)) == 50
    assert accepted((0, 60), (back, 50), (back + 1, 51)) == 51


def accepted(*claims: tuple[int, int]) -> int:
    """The last accepted score after claims at these minutes from noon."""
    replay = Replay(replace(RATE, keep=Keep.LATEST), NOON_MS, any_time=True)
    replay.add(
        (number, 1, str(score), NOON_MS + 60_000 * minutes, "submitted")
        for number, (minutes, score) in enumerate(claims)
    )
    replay.finish()
    (made,) = (made for made in replay.take() if made.period.id == "all")
    ((_, score, *_),) = made.claims
    return score


async def test_what_an_operator_decides_holds_in_every_rebuild(
    database: Database, leaderboards: Leaderboards, rebuilds: Rebuilds, clock: Clock
) -> None:
    """An approved claim counts at its own time, in its own day; what was doubted after it is compared with it."""
    await leaderboards.seed([STEP])
    (ana,) = await make_players(database, "Ana")
    await leaderboards.submit(ana, "letters", "3")
    await leaderboards.submit(ana, "letters", "50")
    claimed_ms = clock.now_ms()
    clock.advance(days=1)
    for score in ("54", "90"):
        assert (await leaderboards.submit(ana, "letters", score)).pending is not None
    assert await waiting(database, ana) == [50, 54, 90]

    async def decide(tx: Transaction) -> None:
        (fifty, _), _, (ninety, _) = await accounts.waiting(tx, (await store.begin(tx))[0], ana)
        await accounts.decide(tx, "letters", ana, fifty, Decision.APPROVED)
        await accounts.decide(tx, "letters", ana, ninety, Decision.REJECTED)

    await database.write(decide)
    for _ in range(2):
        await rebuilt(rebuilds, database, STEP)
        page = await leaderboards.entries("letters", period="day:2026-11-22", reader=None)
        assert [(entry.score, entry.reached_ms) for entry in page.entries] == [("50", claimed_ms)]
        assert await shown(leaderboards, "day") == {"Ana": "54"}
        assert await waiting(database, ana) == []
    assert doubts(await leaderboards.submit(ana, "letters", "59")) is None


# --- seasons ----------------------------------------------------------------------------------------------------------

SPRING = Season("spring", "Spring", NOON_MS - 30 * DAY_MS, NOON_MS + DAY_MS)
CUP = Season("cup", "The Cup", NOON_MS, NOON_MS + 2 * DAY_MS)


async def test_a_change_belongs_to_every_season_that_holds_its_time(
    database: Database, leaderboards: Leaderboards, rebuilds: Rebuilds, clock: Clock
) -> None:
    """And a season that is added later is filled from what is known."""
    await leaderboards.seed([replace(BOARD, seasons=(SPRING,))])
    (ana,) = await make_players(database, "Ana")
    for value, at_ms in (("1", NOON_MS - 1), ("2", NOON_MS), ("3", SPRING.ends_ms), ("4", CUP.ends_ms)):
        await observe(database, ana, value, at_ms, Origin.SUBMITTED)
    assert await shown(leaderboards, "season:spring") == {"Ana": "2"}
    clock.set(CUP.starts_ms)
    both = replace(BOARD, seasons=(SPRING, CUP))
    admin = BoardAdmin(database, rebuilds, clock.now_ms)
    plan = await admin.plan([both])
    assert [step.action for step in plan.steps] == [Action.REBUILD]
    await admin.apply(plan, lambda _: None, lambda *_: None)
    assert await shown(leaderboards, "season:spring") == {"Ana": "2"}
    assert await shown(leaderboards, "season:cup") == await shown(leaderboards, "season") == {"Ana": "3"}
    assert [place.period.id for place in await leaderboards.places(ana)] == [
        "all",
        "season:spring",
        "season:cup",
        "month:2026-11",
        "week:2026-W47",
        "day:2026-11-22",
    ]
    renamed = replace(both, seasons=(replace(SPRING, title="Renamed"), CUP), kept=Kept(day=9), date_field="when")
    assert [step.action for step in (await admin.plan([renamed])).steps] == [Action.CHANGE]


async def test_what_was_gained_in_a_season(database: Database, leaderboards: Leaderboards) -> None:
    await leaderboards.seed([replace(GAINED, seasons=(SPRING, CUP))])
    (ana,) = await make_players(database, "Ana")
    for value, at_ms in (("10", SPRING.starts_ms), ("12", NOON_MS - 1), ("17", NOON_MS), ("20", SPRING.ends_ms)):
        await observe(database, ana, value, at_ms)
    assert await shown(leaderboards, "season:spring") == {"Ana": "7"}
    assert await shown(leaderboards, "season:cup") == {"Ana": "8"}


# --- retention --------------------------------------------------------------------------------------------------------

BRIEF = replace(GAINED, kept=Kept(month=1, week=1, day=2), largest_step=100, ties=Ties.DENSE, seasons=(SPRING,))


async def periods_of(database: Database, board: str = "letters") -> set[str]:
    rows = await database.read(
        lambda reader: reader.fetch("SELECT period FROM lists WHERE board = $1 AND generation > 0", board)
    )
    return {row[0] for row in rows}


async def test_what_a_board_does_not_keep_is_deleted_and_does_not_come_back(
    database: Database, leaderboards: Leaderboards, rebuilds: Rebuilds, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeserver.services.upkeep.DELETED_AT_ONCE", 2)
    await leaderboards.seed([BRIEF, replace(BOARD, id="other")])
    players = await make_players(database, *"ABCDE")
    for day in range(5):
        for number, player in enumerate(players):
            await observe(database, player, str(10 * day + number), NOON_MS + day * DAY_MS, Origin.SUBMITTED)
    await observe(database, players[0], "900", NOON_MS + 4 * DAY_MS, Origin.SUBMITTED)
    upkeep = Upkeep(database, clock.now_ms)
    clock.set(NOON_MS + 4 * DAY_MS)
    expected = {"all", "season:spring", "month:2026-11", "week:2026-W47", "week:2026-W48"}
    assert await upkeep.retire() == 2
    assert await periods_of(database) == expected | {f"day:2026-11-{day}" for day in (24, 25, 26)}
    assert await upkeep.retire() == 0
    assert await remains(database, "letters") == 0
    assert len(await periods_of(database, "other")) == 9
    # A late change and a rebuild do not make them; what is current, or kept, is as it was.
    before = [await shown(leaderboards, period) for period in ("all", "week:2026-W47", "day:2026-11-24", "day")]
    importer = BoardImport(database, rebuilds, "orkut", clock.now_ms)
    await load(importer, "00,4,2026-11-22T13:00:00Z", "09,1,2026-11-22T13:00:00Z", "09,1,2026-01-01T13:00:00Z")
    await rebuilt(rebuilds, database, BRIEF)
    assert await periods_of(database) == expected | {f"day:2026-11-{day}" for day in (24, 25, 26)}
    after = [await shown(leaderboards, period) for period in ("all", "week:2026-W47", "day:2026-11-24", "day")]
    assert after[1:] == [before[1] | {"Player": "1"}, *before[2:]]
    assert await waiting(database, players[0]) == [900]
    # Who wants them back keeps more, and rebuilds.
    await rebuilt(rebuilds, database, replace(BRIEF, kept=Kept()))
    assert {"day:2026-11-22", "day:2026-11-23"} <= await periods_of(database)


async def test_a_writer_who_comes_while_lists_are_retired_is_not_lost(
    database: Database, leaderboards: Leaderboards, clock: Clock
) -> None:
    """Their transaction ends first, or finds that its period is not kept; a list that goes takes all of its rows."""
    await leaderboards.seed([BRIEF])
    (ana,) = await make_players(database, "Ana")
    await observe(database, ana, "1", NOON_MS, Origin.SUBMITTED)
    clock.set(NOON_MS + 7 * DAY_MS)
    assert await database.write(lambda tx: rebuild.retire(tx, "letters", clock.now_ms())) == 1
    await observe(database, ana, "2", NOON_MS + 1)  # by a process whose clock is seven days behind
    assert "day:2026-11-22" in await periods_of(database)
    await Upkeep(database, clock.now_ms).retire()
    assert await remains(database, "letters") == 0
    assert await shown(leaderboards, "all") == {"Ana": "2"}


# --- boards without any of this ---------------------------------------------------------------------------------------


async def test_plain_boards_pay_nothing(database: Database, leaderboards: Leaderboards) -> None:
    await leaderboards.seed([BOARD])
    (ana,) = await make_players(database, "Ana")

    async def work(tx: Transaction) -> list[str]:
        watching = Watching(tx)
        boards = await store.begin(tx)
        changes = await appdata.observe(
            tx, ana, {"letters": "5"}, observed_ms=NOON_MS, at_ms=NOON_MS, origin=Origin.SUBMITTED
        )
        await store.record(cast("Transaction", watching), boards, changes, NOON_MS)
        return watching.statements

    statements = await database.write(work)
    assert any("entries" in statement for statement in statements)
    assert not [each for each in statements if any(table in each for table in ("claims", "flags", "decisions"))]
