"""Boards that are closed, opened and reset, and their archives: what counts, what is refused, what erasing leaves."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from homeserver.errors import BadInput, Conflict, NotFound
from homeserver.model import Action, Board, Counts, Keep, Ties
from homeserver.services import board_states
from homeserver.services.board_states import MAX_ARCHIVES, BoardStates
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.operator_views import OperatorViews, Wanted
from homeserver.services.rebuilds import Rebuilds
from homeserver.services.upkeep import Upkeep
from homeserver.storage import leaderboards as store
from homeserver.storage import leases, rebuild
from homeserver.storage.database import Database, Transaction
from tests.clock import Clock
from tests.leaderboards_kit import KEY, Container, make_players
from tests.moderation_kit import WHY, Scene, lists_of, traces
from tests.rebuild_kit import SLOW, SMALL

PLAIN = Board("plain", "Plain", "letters", ties=Ties.DENSE)
GAINS = Board("gains", "Gains", "letters", counts=Counts.GAINED, keep=Keep.LATEST, largest_step=50)
BOARDS = [PLAIN, GAINS]


@dataclass
class House:
    scene: Scene
    boards: Leaderboards
    states: BoardStates = field(init=False)
    views: OperatorViews = field(init=False)

    def __post_init__(self) -> None:
        database, now_ms = self.scene.database, self.scene.clock.now_ms
        self.states = BoardStates(database, Rebuilds(database, now_ms, pace=SLOW, sizes=SMALL), now_ms)
        self.views = OperatorViews(database, "orkut", now_ms, KEY)

    async def scores(self, board: Board, period: str = "all", archive: int | None = None) -> list[str]:
        page = await self.views.entries(board.id, Wanted(period=period, archive=archive))
        return [f"{each.rank} {each.player.name} {each.score}" for each in page.entries]

    async def reset(self, board: Board, name: str = "one") -> None:
        await self.states.reset(board.id, name, **WHY, progress=lambda *_: None, finished=None)

    async def undo(self, board: Board) -> None:
        archive = await self.states.check_undo_reset(board.id)
        await self.states.undo_reset(board.id, archive.id, **WHY, progress=lambda *_: None, finished=None)


@pytest.fixture
async def house(database: Database, clock: Clock) -> House:
    boards = Leaderboards(database, Container(clock), clock.now_ms, KEY)
    await boards.seed(BOARDS)
    scene = Scene(database, clock, await make_players(database, "Ana", "Bruno"))
    for player, value in zip(scene.players, ("10", "20"), strict=True):
        await scene.give(player, value)
    return House(scene, boards)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.id)
async def test_a_closed_board_shows_its_last_state_in_every_rebuild_too(house: House, board: Board) -> None:
    ana, bruno = house.scene.players
    before = await house.scores(board)
    await house.states.close(board.id, **WHY)
    await house.scene.give(ana, "40")
    await house.scene.give(bruno, None)
    assert await house.scores(board) == before
    with pytest.raises(Conflict, match="closed"):
        await house.boards.submit(ana, board.id, "41")
    rebuilds = Rebuilds(house.scene.database, house.scene.clock.now_ms, pace=SLOW, sizes=SMALL)
    await rebuilds.rebuild(board, revision=1, progress=lambda *_: None)
    assert await house.scores(board) == before
    await house.states.open(board.id, **WHY)
    assert await house.scores(board) == before
    await house.scene.give(ana, "45")
    kept = await lists_of(house.scene.database, board)
    assert kept["all"][ana][0] == 45
    await rebuilds.rebuild(board, revision=1, progress=lambda *_: None)
    assert await lists_of(house.scene.database, board) == kept


async def test_gains_go_on_from_what_a_value_became_while_the_board_was_closed(house: House) -> None:
    ana = house.scene.players[0]
    await house.states.close(GAINS.id, **WHY)
    house.scene.clock.advance(days=8)
    await house.scene.give(ana, "40")
    await house.states.open(GAINS.id, **WHY)
    house.scene.clock.advance(days=8)
    await house.scene.give(ana, "43")
    assert await house.scores(GAINS, "week") == ["1 Ana 3"]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.id)
async def test_a_reset_archives_what_there_was_and_begins_with_nothing(house: House, board: Board) -> None:
    ana, bruno = house.scene.players
    before, stored = await house.scores(board), await lists_of(house.scene.database, board)
    await house.reset(board)
    assert await house.scores(board) == []
    (archive,) = await house.states.archives(board.id)
    assert (archive.name, archive.entries, archive.actor, archive.reason) == ("one", 2, WHY["actor"], WHY["reason"])
    assert await house.scores(board, archive=archive.id) == before
    await house.scene.give(ana, "12")
    assert await house.scores(board) == ["1 Ana 12"]
    week = await house.scores(board, "week")
    assert week == (["1 Ana 2"] if board is GAINS else ["1 Ana 12"])  # gains count from the reset on
    await Upkeep(house.scene.database, house.scene.clock.now_ms).retire()
    assert await house.scores(board, archive=archive.id) == before
    await house.scene.give(bruno, "20")  # nothing new: it does not count anew either
    await house.undo(board)
    assert await house.states.archives(board.id) == ()
    now = await lists_of(house.scene.database, board)
    assert now["all"][bruno] == stored["all"][bruno]
    assert now["all"][ana][0] == 12
    with pytest.raises(NotFound):
        await house.undo(board)
    actions = [act.action for act in await house.scene.moderation.log(board_id=board.id)]
    assert actions[:2] == [Action.UNRESET, Action.RESET]


async def test_resets_are_undone_one_after_the_other(house: House) -> None:
    first = await house.scores(PLAIN)
    await house.reset(PLAIN, "one")
    await house.scene.give(house.scene.players[0], "12")
    second = await house.scores(PLAIN)
    await house.reset(PLAIN, "two")
    assert [each.name for each in await house.states.archives(PLAIN.id)] == ["two", "one"]
    await house.undo(PLAIN)
    assert await house.scores(PLAIN) == second
    await house.undo(PLAIN)
    assert await house.scores(PLAIN) == ["1 Bruno 20", "2 Ana 12"]
    assert first == ["1 Bruno 20", "2 Ana 10"]


async def test_only_the_newest_reset_is_undone(house: House) -> None:
    for name in ("one", "two"):
        await house.reset(PLAIN, name)
    two, one = await house.states.archives(PLAIN.id)
    with pytest.raises(Conflict, match="not the newest"):
        await house.states.undo_reset(PLAIN.id, one.id, **WHY, progress=lambda *_: None, finished=None)
    assert [each.id for each in await house.states.archives(PLAIN.id)] == [two.id, one.id]


async def test_closures_are_counted_from_the_last_reset_and_kept_for_its_undo(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_states, "MAX_CLOSURES", 2)
    ana, bruno = house.scene.players

    async def close_and_open() -> None:
        await house.states.close(PLAIN.id, **WHY)
        await house.scene.give(ana, str(house.scene.clock.now_ms() % 1000 + 100))
        await house.states.open(PLAIN.id, **WHY)

    for _ in range(2):
        await close_and_open()
    with pytest.raises(Conflict, match="closed too often"):
        await house.states.close(PLAIN.id, **WHY)
    await house.reset(PLAIN)
    for _ in range(2):
        await close_and_open()
    with pytest.raises(Conflict, match="closed too often"):
        await house.states.close(PLAIN.id, **WHY)
    await house.undo(PLAIN)
    assert await house.scores(PLAIN) == ["1 Bruno 20", "2 Ana 10"]
    with pytest.raises(Conflict, match="closed too often"):
        await house.states.close(PLAIN.id, **WHY)
    await house.reset(PLAIN)
    (archive,) = await house.states.archives(PLAIN.id)
    await house.states.delete_archive(PLAIN.id, archive.id, **WHY)
    await house.states.close(PLAIN.id, **WHY)
    await house.scene.give(bruno, "1000")
    (plain, _) = await house.scene.database.read(store.boards_in_force)
    assert (len(plain.closures), plain.closed_ms is None) == (1, False)
    await house.reset(PLAIN)
    await house.scene.give(bruno, "2000")
    assert await house.scores(PLAIN) == []  # it is closed still


async def test_who_is_erased_is_in_no_archive(house: House) -> None:
    bruno = house.scene.players[1]
    for board in BOARDS:
        await house.reset(board)
    assert await house.scene.moderation.erase(bruno, **WHY)
    for board in BOARDS:
        (archive,) = await house.states.archives(board.id)
        assert (archive.entries, await house.scores(board, archive=archive.id)) == (1, ["1 Ana 10"])
    assert await traces(house.scene.database, bruno) == {}


async def test_an_archive_is_deleted_for_good(house: House) -> None:
    await house.reset(PLAIN)
    (archive,) = await house.states.archives(PLAIN.id)
    with pytest.raises(NotFound):
        await house.states.delete_archive(GAINS.id, archive.id, **WHY)
    await house.states.delete_archive(PLAIN.id, archive.id, **WHY)
    assert await house.states.archives(PLAIN.id) == ()
    await Upkeep(house.scene.database, house.scene.clock.now_ms).retire()
    rows = await house.scene.database.read(
        lambda reader: reader.fetch_value("SELECT count(*) FROM lists WHERE board = $1", PLAIN.id)
    )
    assert rows == 0


async def test_what_cannot_be_done_is_refused(house: House, database: Database, clock: Clock) -> None:
    for act in (house.states.close, house.states.open):
        with pytest.raises(NotFound):
            await act("nothing", **WHY)
        with pytest.raises(BadInput, match="1 to 500"):
            await act(PLAIN.id, actor="ada", reason=" ")
    with pytest.raises(Conflict, match="open already"):
        await house.states.open(PLAIN.id, **WHY)
    for name in ("", "x" * 101, "a\nb"):
        with pytest.raises(BadInput) as refused:
            await house.states.check_reset(PLAIN.id, name)
        assert refused.value.field == "name"
    name, until_ms = f"{rebuild.LEASE}{PLAIN.id}", clock.now_ms() + 1_000
    await database.write(lambda tx: leases.acquire(tx, name, "another", now_ms=clock.now_ms(), until_ms=until_ms))
    for act in (house.states.close, house.states.open):
        with pytest.raises(Conflict, match="being rebuilt"):
            await act(PLAIN.id, **WHY)
    with pytest.raises(Conflict, match="being rebuilt"):
        await house.reset(PLAIN)


async def test_archives_have_a_limit(house: House, database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute_many(
            "INSERT INTO archives (board, name, generation, since_event, definition, actor, reason, at_ms) "
            "SELECT $1, 'a', -CAST($2 AS BIGINT), 0, '{}', 'a', 'a', 0 FROM boards WHERE board = $1",
            [(PLAIN.id, number) for number in range(1, MAX_ARCHIVES + 1)],
        )

    await database.write(work)
    with pytest.raises(Conflict, match="Delete one first"):
        await house.states.check_reset(PLAIN.id, "more")


async def test_a_rebuild_that_slept_while_the_board_was_closed_is_not_put_in_force(house: House) -> None:
    """Its lease had ended, so nobody waited for it."""
    database, clock = house.scene.database, house.scene.clock
    original = Rebuilds._switch

    async def switch(self: Rebuilds, build: object) -> object:
        clock.advance(minutes=2)
        await house.states.close(PLAIN.id, **WHY)
        return await original(self, build)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rebuilds, "_switch", switch)
        with pytest.raises(Conflict, match="closed meanwhile"):
            await Rebuilds(database, clock.now_ms, pace=SLOW, sizes=SMALL).rebuild(
                PLAIN, revision=1, progress=lambda *_: None
            )
    assert await house.scores(PLAIN) == ["1 Bruno 20", "2 Ana 10"]
