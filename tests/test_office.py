"""Tasks, bulk acts, outliers, dossiers, given scores, tokens and repeated calls, on both engines."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import replace
from typing import Any

import pytest

from homeserver.domain import outliers, tables
from homeserver.domain.outliers import Usual
from homeserver.domain.score_files import FileFormat
from homeserver.errors import BadCursor, BadInput, Conflict, DatabaseUnavailable, Forbidden, NotFound, TooMany
from homeserver.model import (
    Action,
    Board,
    BulkAct,
    Counts,
    Oddity,
    Operator,
    Origin,
    Person,
    Role,
    State,
    Task,
    TaskState,
)
from homeserver.services import board_tasks, bulk, operator_tokens, operator_views, repeats
from homeserver.services.board_states import BoardStates
from homeserver.services.board_tasks import BoardTasks
from homeserver.services.board_views import BoardViews
from homeserver.services.dossiers import Dossiers
from homeserver.services.exports import Exports
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.operator_tokens import OperatorTokens
from homeserver.services.operator_views import Wanted
from homeserver.services.operators import Operators
from homeserver.services.rebuilds import Rebuilds, Rebuilt
from homeserver.services.repeats import Answer, Repeats
from homeserver.services.upkeep import Upkeep
from homeserver.storage import board_tasks as kept_tasks
from homeserver.storage import bulk as kept_changes
from homeserver.storage import rebuild, sessions
from homeserver.storage.database import Database, Transaction
from homeserver.wiring_admin import Office, office_of
from tests.at_work import at_work
from tests.clock import Clock
from tests.leaderboards_kit import KEY, Container, make_players
from tests.moderation_kit import WHY, Scene
from tests.patience import until
from tests.test_operators import CHEAP, PASSWORD
from tests.writing import observe_person

BOARD = Board("letters", "Letters", "letters")
JUDGED = Board("judged", "Judged", "letters", counts=Counts.GAINED, largest_step=500)
PLAYERS = 60


@pytest.fixture
async def scene(database: Database, clock: Clock) -> Scene:
    """Sixty players with 100 to 159, and the last of them jumped to 10,000."""
    await Leaderboards(database, Container(clock), clock.now_ms, KEY).seed([BOARD, JUDGED])
    scene = Scene(database, clock, await make_players(database, *(f"Name{number}" for number in range(PLAYERS))))
    for number, player in enumerate(scene.players):
        await scene.give(player, str(90 + number))
        await scene.give(player, str(100 + number))
    await scene.give(scene.players[-1], "10000")
    return scene


@pytest.fixture
def office(scene: Scene) -> Office:
    return office_of(scene.database, "orkut", scene.clock.now_ms, KEY)


# --- tasks and bulk acts ----------------------------------------------------------------------------------------------


async def test_a_bulk_act_is_gone_on_with_where_it_was_broken_off(
    office: Office, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 7)
    wanted = BulkAct(Action.HIDE, "all", "120", "149")
    task = await office.tasks.bulk("letters", wanted, **WHY)
    steps = 0

    def dies(done: int, total: int) -> None:
        nonlocal steps
        steps += 1
        assert done <= total == 30
        if steps == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await office.tasks.do(task.id, dies)
    assert (await office.views.entries("letters")).total == PLAYERS - 21
    assert (await office.tasks.find(task.id)).ended_ms is None
    assert await office.tasks.do_all() == 1
    ended = await office.tasks.find(task.id)
    assert (ended.state, ended.result, ended.done) == (TaskState.DONE, {"changed": 30}, 30)
    assert (await office.views.entries("letters")).total == PLAYERS - 30
    assert (await office.views.entries("judged")).total == PLAYERS
    log = await scene.moderation.log(board_id="letters", limit=50)
    assert [act.action for act in log] == [Action.HIDE] * 30 + [Action.BULK]
    assert {act.detail for act in log[:30]} == {f"task {task.id}"}


async def test_the_undo_of_a_bulk_act_leaves_whom_somebody_acted_on_since(office: Office, scene: Scene) -> None:
    task = await office.tasks.bulk("letters", BulkAct(Action.REMOVE, "all", None, "109"), **WHY)
    with pytest.raises(Conflict, match="not done yet"):
        await office.tasks.undo_bulk(task.id, **WHY)
    await office.tasks.do(task.id)
    await scene.moderation.hide(scene.players[3], board_id="letters", **WHY)
    undo = await office.tasks.undo_bulk(task.id, **WHY)
    with pytest.raises(Conflict):
        await office.tasks.undo_bulk(task.id, **WHY)
    assert (await office.tasks.do(undo.id)).result == {"restored": 9, "left": 1}
    page = await office.views.entries("letters", Wanted(limit=200))
    assert page.total == PLAYERS - 1


async def test_the_undo_of_a_bulk_act_counts_all_that_it_did_though_it_was_broken_off(
    office: Office, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 4)
    task = await office.tasks.bulk("letters", BulkAct(Action.REMOVE, "all", None, "109"), **WHY)
    await office.tasks.do(task.id)
    await scene.moderation.hide(scene.players[0], board_id="letters", **WHY)
    undo = await office.tasks.undo_bulk(task.id, **WHY)

    def dies(done: int, total: int) -> None:
        assert done <= total == 10
        if done == 8:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await office.tasks.do(undo.id, dies)
    ended = await office.tasks.do(undo.id)
    assert (ended.result, ended.done, ended.total) == ({"restored": 9, "left": 1}, 10, 10)


async def test_who_would_be_restored_is_not_counted_before(office: Office) -> None:
    task = await office.tasks.bulk("letters", BulkAct(Action.RESTORE, "all", None, None), **WHY)
    assert task.wanted["total"] is None


@pytest.mark.parametrize("database_kind", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
async def test_of_two_processes_that_hold_a_bulk_act_only_one_does_each_part(
    office: Office, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second `restore` would lift the removal, after the first has shown the player."""
    player = scene.players[0]
    await scene.moderation.remove(player, board_id="letters", **WHY)
    await scene.give(player, "120")
    await scene.moderation.hide(player, board_id="letters", **WHY)
    task = await office.tasks.bulk("letters", BulkAct(Action.RESTORE, "all", None, None), **WHY)
    alone = rebuild.alone

    async def slower(tx: Transaction, *boards: Board) -> None:
        monkeypatch.setattr(rebuild, "alone", alone)
        await office.bulk.run(task, lambda *_: None)
        await alone(tx, *boards)

    monkeypatch.setattr(rebuild, "alone", slower)
    assert (await office.tasks.do(task.id)).result == {"changed": 1}
    (removed,) = await scene.moderation.of_player(player)
    assert removed.state is State.REMOVED


async def test_an_act_can_be_undone_for_a_year_and_then_what_it_changed_is_forgotten(
    office: Office, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was undone is forgotten at once."""
    monkeypatch.setattr(kept_changes, "FORGOTTEN_AT_ONCE", 4)
    upkeep = Upkeep(scene.database, scene.clock.now_ms)

    async def kept() -> int:
        return await scene.database.read(lambda reader: reader.fetch_value("SELECT count(*) FROM bulk_changes"))

    first, last = [
        await office.tasks.do((await office.tasks.bulk("letters", BulkAct(Action.HIDE, "all", None, most), **WHY)).id)
        for most in ("104", "109")
    ]
    assert await kept() == 10
    scene.clock.advance(days=365)
    undo = await office.tasks.undo_bulk(last.id, **WHY)
    await office.tasks.do(undo.id)
    assert await kept() == 5
    scene.clock.advance(ms=1)
    with pytest.raises(NotFound, match="nothing of this act"):
        await office.tasks.undo_bulk(first.id, **WHY)
    await upkeep.tidy()
    assert await kept() == 5  # it may be at work still that was begun in time
    scene.clock.advance(days=1)
    monkeypatch.setattr(kept_tasks, "KEPT", 1)
    for left, is_there in ((1, True), (0, False)):
        await upkeep.tidy()
        assert await kept() == left
        assert (first.id in [task.id for task in await office.tasks.of_board("letters")]) is is_there


async def test_a_dry_run_says_who_a_page_at_a_time_and_changes_nothing(office: Office) -> None:
    wanted = BulkAct(Action.HIDE, "week", "130", "139")
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await office.bulk.preview("letters", wanted, cursor=cursor, limit=4)
        assert page.total == 10
        seen += [each.score for each in page.concerned]
        cursor = page.next
        if cursor is None:
            break
    assert seen == [str(score) for score in range(139, 129, -1)]
    assert (await office.views.entries("letters")).total == PLAYERS
    first = await office.bulk.preview("letters", wanted, limit=4)
    with pytest.raises(BadCursor):
        await office.bulk.preview("letters", replace(wanted, least="131"), cursor=first.next)


async def test_tasks_fail_in_words_and_are_not_asked_for_twice(
    office: Office, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await office.tasks.verify("letters", **WHY)
    with pytest.raises(Conflict, match="already"):
        await office.tasks.verify("letters", **WHY)

    async def broken(tx: Transaction) -> None:
        await tx.execute(
            "DELETE FROM entries_by_player WHERE player = $1 AND list = (SELECT list FROM lists "
            "WHERE board = 'letters' AND period = 'all')",
            scene.players[0],
        )

    await scene.database.write(broken)
    ended = await office.tasks.do(task.id)
    assert ended.state is TaskState.FAILED
    assert re.search(r"all: 60 entries in order .* 59 by player", str(ended.result["wrong"]))
    assert (await office.watch.status("letters")).check == ended
    task = await office.tasks.rebuild("letters", **WHY)

    async def conflict(*_: object, **__: object) -> None:
        raise Conflict("It is being rebuilt by another process.")

    with monkeypatch.context() as patch:
        patch.setattr(Rebuilds, "rebuild", conflict)
        ended = await office.tasks.do(task.id)
    assert (ended.state, ended.result) == (TaskState.FAILED, {"error": "It is being rebuilt by another process."})
    task = await office.tasks.rebuild("letters", **WHY)
    assert (await office.tasks.do(task.id)).result["entries_before"] == 240
    assert (await office.tasks.do((await office.tasks.verify("letters", **WHY)).id)).state is TaskState.DONE
    assert [each.id for each in await office.tasks.of_board("letters", limit=2)] == [4, 3] or scene.players[0] > 60
    for too in (0, 101):
        with pytest.raises(BadInput):
            await office.tasks.of_board("letters", limit=too)
    monkeypatch.setattr(board_tasks, "MAX_OPEN", 1)
    await office.tasks.verify("letters", **WHY)
    with pytest.raises(Conflict, match="Too much"):
        await office.tasks.verify("judged", **WHY)


@pytest.mark.parametrize("broken", [asyncio.CancelledError, DatabaseUnavailable], ids=["stop", "database"])
@pytest.mark.parametrize("board", ["letters", "judged"])
async def test_a_reset_or_its_undo_that_was_broken_off_behind_its_switch_is_not_done_twice(
    office: Office, scene: Scene, monkeypatch: pytest.MonkeyPatch, board: str, broken: type[BaseException]
) -> None:
    async def sweep(_: Rebuilds) -> None:
        raise broken("while old lists are deleted")

    async def done(task: Task) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Rebuilds, "sweep", sweep)
            with contextlib.suppress(asyncio.CancelledError):
                await office.tasks.do(task.id)
        assert (await office.tasks.find(task.id)).state is TaskState.DONE
        assert await office.tasks.do_all() == 0

    await done(await office.tasks.reset(board, "one", **WHY))
    await scene.give(scene.players[0], "300")
    await done(await office.tasks.reset(board, "two", **WHY))
    assert [each.name for each in await office.states.archives(board)] == ["two", "one"]
    undo = await office.tasks.undo_reset(board, **WHY)
    await done(undo)
    assert (await office.tasks.find(undo.id)).result["entries_before"] == 0
    assert [each.name for each in await office.states.archives(board)] == ["one"]
    assert (await office.views.entries(board)).total == 1


@pytest.mark.parametrize("board", ["letters", "judged"])
async def test_whoever_lost_a_task_to_another_process_does_not_do_it(office: Office, scene: Scene, board: str) -> None:
    task = await office.tasks.reset(board, "one", **WHY)

    async def taken(self: BoardStates, *args: Any, **kwargs: Any) -> Rebuilt:
        with monkeypatch.context() as other:
            other.setattr(BoardStates, "reset", original)
            scene.clock.advance(minutes=2)
            await office.tasks.do(task.id)
            await scene.give(scene.players[0], "300")
        return await original(self, *args, **kwargs)

    original = BoardStates.reset
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(BoardStates, "reset", taken)
        ended = await office.tasks.do(task.id)
    assert ended.state is TaskState.DONE
    assert [each.name for each in await office.states.archives(board)] == ["one"]
    assert (await office.views.entries(board)).total == 1


async def test_a_task_goes_on_when_a_database_that_was_away_is_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("It does not answer.")

    first, second = await office.tasks.rebuild("letters", **WHY), await office.tasks.verify("letters", **WHY)
    with monkeypatch.context() as patch:
        patch.setattr(Rebuilds, "rebuild", away)
        assert await office.tasks.do_all() == 1  # nobody else's has to wait for it
        with pytest.raises(DatabaseUnavailable):
            await office.tasks.do(first.id)
    assert (await office.tasks.find(second.id)).state is TaskState.DONE
    assert await office.tasks.do_all() == 1
    assert (await office.tasks.find(first.id)).state is TaskState.DONE


async def test_work_that_is_done_is_done_where_only_the_telling_fails(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = 0

    async def progress(*_: object, **__: object) -> None:
        nonlocal told
        told += 1
        raise RuntimeError("not told")

    monkeypatch.setattr(kept_tasks, "progress", progress)
    task = await office.tasks.verify("letters", **WHY)
    assert (await office.tasks.do(task.id)).state is TaskState.DONE
    assert told


async def ended(tasks: BoardTasks, task: int) -> None:
    """Another task of this process does it: nothing here could be waited for but its row."""
    await until(lambda: tasks.find(task), lambda found: found.ended_ms is not None)


async def test_a_server_does_what_waits_and_wakes_for_what_is_new(office: Office) -> None:
    tasks: BoardTasks = office.tasks
    first = await tasks.verify("letters", **WHY)
    async with at_work(tasks.run()):
        await ended(tasks, first.id)
        await ended(tasks, (await tasks.verify("judged", **WHY)).id)


# --- outliers ---------------------------------------------------------------------------------------------------------


def test_a_few_wild_values_change_nothing_of_what_is_usual() -> None:
    usual = outliers.usual([1, 2, 3, 4, 5, 6, 1e9])
    assert usual == Usual(4, 2 * outliers.SIGMA)
    assert usual.distance(4 + 2 * outliers.SIGMA * 7) == pytest.approx(7)
    assert outliers.usual([]) is None
    assert outliers.usual([3] * 19 + [1e9]) == Usual(3, None)
    assert Usual(3, None).distance(1e9) is None
    few = outliers.usual([3] * 12 + [7] * 6 + [1e9])
    assert few == Usual(3, 4 / outliers.NINE_IN_TEN)


async def test_what_is_far_from_the_others_is_found_and_can_be_cleared(office: Office, scene: Scene) -> None:
    wild = scene.players[-1]
    found = await office.outliers.scores("letters")
    assert [(each.score, each.rank, each.oddity) for each in found.suspects] == [("10000", 1, Oddity.SCORE)]
    values = sorted([*range(100, 159), 10_000])
    middle = values[-1 - len(values) // 2]  # from the best on
    assert found.usual == str(middle)
    deviation = sorted(abs(value - middle) for value in values)[len(values) // 2 - 1]
    assert found.spread == pytest.approx(deviation * outliers.SIGMA)
    jumps = await office.outliers.jumps("letters")
    assert [(each.score, each.oddity) for each in jumps.suspects] == []  # all changes but one were of 10
    await office.outliers.clear(wild, "letters", **WHY)
    assert (await office.outliers.scores("letters")).suspects == ()
    await scene.give(wild, "20000")  # a better one is looked at again
    assert [each.score for each in (await office.outliers.scores("letters")).suspects] == ["20000"]
    await office.outliers.clear(wild, "letters", **WHY)
    await office.outliers.unclear(wild, "letters", **WHY)
    assert len((await office.outliers.scores("letters")).suspects) == 1
    with pytest.raises(Conflict):
        await office.outliers.unclear(wild, "letters", **WHY)
    for far in (0.5, float("nan")):
        with pytest.raises(BadInput):
            await office.outliers.scores("letters", far=far)


async def test_jumps_are_compared_with_the_changes_of_the_board(office: Office, scene: Scene) -> None:
    for number, player in enumerate(scene.players[:30]):
        await scene.give(player, str(200 + 3 * number))
    await scene.give(scene.players[5], "9000")
    await scene.give(scene.players[6], "8000")
    await scene.give(scene.players[6], None)
    found = (await office.outliers.jumps("letters")).suspects
    assert [each.score for each in found] == ["10000", "9000"]
    await office.outliers.clear(scene.players[-1], "letters", **WHY)
    found = (await office.outliers.jumps("letters", limit=1)).suspects
    assert [each.score for each in found] == ["9000"]  # who was cleared leaves room for the next


async def test_where_nearly_all_have_the_same_nine_in_ten_are_usual(
    database: Database, clock: Clock, office: Office, scene: Scene
) -> None:
    for player in scene.players:
        await scene.give(player, "100")
        await scene.moderation.remove(player, board_id="letters", **WHY)
    for number, player in enumerate(scene.players):
        await scene.give(player, "107" if number < 40 else str(100 + number % 14))
    await scene.give(scene.players[0], "5000")
    found = (await office.outliers.scores("letters")).suspects
    assert [each.score for each in found] == ["5000"]


# --- what operators see -----------------------------------------------------------------------------------------------


async def test_pages_filters_and_searches_of_operators(office: Office, scene: Scene) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        page = await office.views.entries("letters", Wanted(cursor=cursor, limit=25))
        seen += [each.user_id for each in page.entries]
        cursor = page.next
        if cursor is None:
            break
    assert len(set(seen)) == PLAYERS
    back = await office.views.entries("letters", Wanted(cursor=page.previous, limit=25))
    assert [each.user_id for each in back.entries] == seen[25:50]
    assert (await office.views.entries("letters", Wanted(rank=60))).entries[0].score == "100"
    assert (await office.views.entries("letters", Wanted(score="1"))).entries[-1].score == "100"
    assert (await office.views.entries("letters", Wanted(score="150", limit=1))).entries[0].score == "150"
    by_id = (await office.views.entries("letters", Wanted(search="012"))).entries
    assert [each.player.name for each in by_id] == ["Name12"]
    by_name = (await office.views.entries("letters", Wanted(search="náme5"))).entries
    assert {each.player.name for each in by_name} == {"Name5", *(f"Name5{digit}" for digit in range(10))}
    await office.scores.give(scene.players[2], "letters", "500", actor="ada", reason="seen")
    await scene.moderation.adjust(scene.players[4], "letters", "400", **WHY)
    verified = (await office.views.entries("letters", Wanted(verified=True))).entries
    assert [(each.score, each.origin) for each in verified] == [("500", Origin.VERIFIED), ("400", None)]
    claimed = await office.views.entries("letters", Wanted(verified=False, limit=10))
    assert (len(claimed.entries), claimed.entries[0].score) == (10, "10000")
    rest = await office.views.entries("letters", Wanted(verified=False, limit=200, cursor=claimed.next))
    assert len(rest.entries) == PLAYERS - 12
    (waiting,) = (await office.views.entries("judged", Wanted(state=State.PENDING))).entries
    assert (waiting.score, waiting.rank, waiting.flagged) == ("10000", None, True)
    for wrong in (Wanted(limit=0), Wanted(rank=0), Wanted(search=" "), Wanted(rank=1, score="1")):
        with pytest.raises(BadInput):
            await office.views.entries("letters", wrong)


async def test_a_filter_that_finds_nothing_soon_says_where_to_go_on(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_views, "LOOKED_AT", 20)
    monkeypatch.setattr(operator_views, "MAX_LIMIT", 20)
    wanted = Wanted(verified=True, limit=5)
    pages = 0
    while True:
        page = await office.views.entries("letters", wanted)
        pages += 1
        assert page.entries == ()
        if page.next is None:
            break
        wanted = replace(wanted, cursor=page.next)
    assert pages == 3


async def test_a_dossier_says_what_was_held_and_what_boards_made_of_it(
    database: Database, clock: Clock, scene: Scene
) -> None:
    ana = scene.players[0]
    await scene.give(ana, "1e3")
    boards = Leaderboards(database, Container(clock), clock.now_ms, KEY)
    dossiers = Dossiers(database, boards, "orkut")
    await database.write(lambda tx: observe_person(tx, ana, Person(str(ana), given_name="Ana"), 10**13))
    await database.write(lambda tx: sessions.link_accounts(tx, ana, "storage-user"))
    found = await dossiers.show(await dossiers.player("00"))
    assert (found.card.name, found.user_id, found.uploads) == ("Ana", "00", ())
    (held,) = found.values
    assert held.value == "1e3"
    assert {reading.board: reading.refused is None for reading in held.readings} == {"letters": False, "judged": False}
    assert [change.new for change in found.changes] == ["1e3", "100", "90"]
    assert [change.new for change in await dossiers.changes(ana, before=found.changes[0].id, limit=1)] == ["100"]
    assert [each.card.name for each in await dossiers.search("ana")] == ["Ana"]
    assert await dossiers.player(found.card.id) == ana
    await scene.moderation.erase(ana, **WHY)
    for ask in (dossiers.show(ana), dossiers.player(found.card.id), dossiers.changes(ana)):
        with pytest.raises(NotFound):
            await ask
    (erased,) = [act for act in await dossiers.log() if act.action is Action.ERASE]
    assert (erased.card, erased.reason) == (None, WHY["reason"])


async def test_what_players_said_of_dates_is_among_the_changes_of_a_board(
    database: Database, clock: Clock, scene: Scene
) -> None:
    boards = Leaderboards(database, Container(clock), clock.now_ms, KEY)
    await boards.seed([replace(BOARD, id="dated", date_field="since")])
    ana = scene.players[0]
    await scene.give(ana, "2026-11-01", key="since")
    dossiers = Dossiers(database, boards, "orkut")
    for found in (await dossiers.changes(ana), await dossiers.changes(ana, board_id="dated")):
        assert [change.new for change in found] == ["2026-11-01", "100", "90"]
    assert [change.new for change in await dossiers.changes(ana, board_id="letters")] == ["100", "90"]


async def test_what_an_adjustment_replaced_is_in_nobody_elses_history(
    database: Database, clock: Clock, scene: Scene
) -> None:
    views, wild = BoardViews(database, clock.now_ms), scene.players[-1]
    await scene.moderation.adjust(wild, "letters", "155", **WHY)
    await scene.give(wild, "300")
    assert [past.score for past in (await views.history(wild, "letters")).scores] == ["300", "149"]
    own = (await views.history(wild, "letters", own=True)).scores
    assert [(past.score, past.state) for past in own] == [
        ("300", State.VISIBLE),
        ("10000", State.REMOVED),
        ("159", State.REMOVED),
        ("149", State.VISIBLE),
    ]


def test_a_table_is_no_formula_and_a_number_stays_one() -> None:
    text = tables.written(FileFormat.CSV, ("a", "b", "c"), [("=1+1", "-5", None), ("-x", "-1.50", True)])
    assert text == "'=1+1,-5,\n'-x,-1.50,True\n"
    assert tables.written(FileFormat.NDJSON, ("a",), [("=é",)]) == '{"a": "=é"}\n'


async def test_exports_are_read_a_page_at_a_time(
    office: Office, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_views, "MAX_LIMIT", 25)
    boards = Leaderboards(database, Container(clock), clock.now_ms, KEY)
    exports = Exports(office.views, office.moderation, office.outliers, Dossiers(database, boards, "orkut"))
    pieces = [text async for text in exports.entries("letters", Wanted(), "csv")]
    assert len(pieces) == 3
    assert len("".join(pieces).splitlines()) == PLAYERS + 1
    with pytest.raises(BadInput):
        await anext(exports.log("xml"))


# --- writes over time -------------------------------------------------------------------------------------------------


async def test_writes_are_counted_once_by_minute_and_hour(office: Office, scene: Scene) -> None:
    clock = scene.clock
    clock.advance(s=30)
    await office.watch.count()
    await office.watch.count()
    assert sum(each.count for each in await office.watch.writes("letters", span="hour")) == 2 * PLAYERS + 1
    clock.advance(minutes=2)
    minutes = await office.watch.writes("letters", span="minute", from_ms=clock.now_ms() - 300_000)
    assert (sum(each.count for each in minutes), len(minutes)) == (2 * PLAYERS + 1, 6)
    assert (await office.watch.status("letters")).writes_per_minute == (2 * PLAYERS + 1) / 5
    with pytest.raises(BadInput):
        await office.watch.writes("letters", span="day")
    with pytest.raises(BadInput):
        await office.watch.writes("letters", span="minute", from_ms=0)


async def test_writes_that_are_counted_late_are_of_the_hour_in_which_they_came(office: Office, scene: Scene) -> None:
    """Their minutes are not known any more; they are none of the minute in which they are counted."""
    clock = scene.clock
    came_ms = clock.now_ms()
    clock.advance(days=3)
    await office.watch.count()
    hours = await office.watch.writes("letters", span="hour", from_ms=came_ms - 3_600_000, until_ms=clock.now_ms() + 1)
    assert [each.at_ms for each in hours if each.count] == [came_ms // 3_600_000 * 3_600_000]
    minutes = await office.watch.writes("letters", span="minute", from_ms=clock.now_ms() - 60_000)
    assert not any(each.count for each in minutes)


# --- tokens and repeated calls ----------------------------------------------------------------------------------------


async def test_a_token_may_what_both_it_and_its_owner_may(database: Database, clock: Clock) -> None:
    operators = Operators(database, clock.now_ms, hasher=CHEAP)
    tokens = OperatorTokens(database, clock.now_ms)
    await operators.add("ada", PASSWORD, Role.MODERATE, actor="root")
    with pytest.raises(Forbidden):
        await tokens.add("ada", "nightly", Role.CONFIGURE)
    made = await tokens.add("ada", "nightly", Role.MODERATE, days=2)
    found = await tokens.find(made.token)
    assert found == Operator(found.id if found else 0, "ada", Role.MODERATE)
    assert made.token not in repr(made)
    (listed,) = await tokens.listed("ada")
    assert listed.used_ms == clock.now_ms()
    clock.advance(s=59)
    await tokens.find(made.token)
    assert (await tokens.listed("ada"))[0].used_ms == listed.used_ms  # known to the minute
    await operators.set_role("ada", Role.VIEW)
    found = await tokens.find(made.token)
    assert found is not None
    assert found.role is Role.VIEW
    rows = await database.read(lambda reader: reader.fetch("SELECT token_hash FROM operator_tokens"))
    assert made.token not in str(rows)
    clock.advance(days=2)
    assert await tokens.find(made.token) is None
    assert await tokens.listed("ada") == ()
    for wrong in ("", "hsa_", "hsa_x", made.token[4:]):
        assert await tokens.find(wrong) is None


async def test_tokens_go_with_their_owner_and_have_a_limit(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    operators = Operators(database, clock.now_ms, hasher=CHEAP)
    tokens = OperatorTokens(database, clock.now_ms)
    await operators.add("ada", PASSWORD, Role.MODERATE)
    made = await tokens.add("ada", "one", Role.VIEW)
    monkeypatch.setattr(operator_tokens, "MAX_TOKENS", 1)
    with pytest.raises(Conflict):
        await tokens.add("ada", "two", Role.VIEW)
    for name, days in (("", 1), ("x" * 65, 1), ("x", 0), ("x", 367)):
        with pytest.raises(BadInput):
            await tokens.add("ada", name, Role.VIEW, days=days)
    assert [(each.name, each.tokens) for each in await operators.accounts()] == [("ada", 1)]
    await operators.remove("ada")
    assert await tokens.find(made.token) is None


async def test_a_call_under_a_key_is_done_once(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Repeats(database, clock.now_ms)
    done: list[int] = []

    async def act() -> Answer:
        done.append(1)
        return Answer(202, b'{"n":1}')

    for _ in range(3):
        assert await calls.once(1, "k", b"POST /a", act) == Answer(202, b'{"n":1}')
    assert await calls.once(2, "k", b"POST /a", act) == Answer(202, b'{"n":1}')
    assert len(done) == 2
    with pytest.raises(BadInput, match="another call"):
        await calls.once(1, "k", b"POST /b", act)
    await calls.once(1, None, b"POST /a", act)
    assert len(done) == 3

    async def dies() -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await calls.once(1, "d", b"POST /d", dies)
    with pytest.raises(Conflict, match="not answered"):
        await calls.once(1, "d", b"POST /d", act)

    async def is_away() -> Answer:
        raise DatabaseUnavailable("away")

    async def may_have_been_done() -> Answer:
        raise DatabaseUnavailable("away", uncertain=True)

    with pytest.raises(DatabaseUnavailable):
        await calls.once(1, "e", b"POST /e", is_away)
    assert await calls.once(1, "e", b"POST /e", act) == Answer(202, b'{"n":1}')
    with pytest.raises(DatabaseUnavailable):
        await calls.once(1, "f", b"POST /f", may_have_been_done)
    with pytest.raises(Conflict, match="not answered"):
        await calls.once(1, "f", b"POST /f", act)
    for name in ("", "a b", "x" * 101):
        with pytest.raises(BadInput):
            await calls.once(1, name, b"", act)
    monkeypatch.setattr(repeats, "MAX_KEPT", 2)
    with pytest.raises(TooMany):
        await calls.once(1, "more", b"", act)
    assert await calls.once(1, "k", b"POST /a", act) == Answer(202, b'{"n":1}')  # what was done is told all the same
