"""Hiding, removing and restoring, as everybody sees it and as the player does; and what is kept of it. Case T68."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from homeserver.domain.score_files import FileFormat
from homeserver.errors import BadInput, Conflict, NotFound
from homeserver.model import Action, Board, Change, DetailedPlace, Keep, Moderated, Order, Origin, State, Ties
from homeserver.services.board_admin import BoardAdmin
from homeserver.services.board_views import BoardViews
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.rebuilds import Rebuilds
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Transaction
from tests.clock import Clock
from tests.leaderboards_kit import KEY, Container, befriend, make_players, names, ranks
from tests.moderation_kit import WHY, Scene, lists_of
from tests.rebuild_kit import SMALL

BOARD = Board("letters", "Letters", "letters")
OTHER = Board("dense", "Dense", "letters", ties=Ties.DENSE, keep=Keep.LATEST)
COINS = Board("coins", "Coins", "coins")
ANA, BRUNO, CARLOS, DULCE = range(4)


@pytest.fixture
def leaderboards(database: Database, clock: Clock) -> Leaderboards:
    return Leaderboards(database, Container(clock), clock.now_ms, KEY)


@pytest.fixture
def views(database: Database, clock: Clock) -> BoardViews:
    return BoardViews(database, clock.now_ms)


@pytest.fixture
async def scene(database: Database, clock: Clock, leaderboards: Leaderboards) -> Scene:
    """Four players: Bruno leads by far, Ana and Carlos have the same score."""
    await leaderboards.seed([BOARD, OTHER, COINS])
    scene = Scene(database, clock, await make_players(database, "Ana", "Bruno", "Carlos", "Dulce"))
    for index, value in ((ANA, "7"), (BRUNO, "900"), (CARLOS, "7"), (DULCE, "3")):
        await scene.give(scene.players[index], value)
    await befriend(database, scene.players[ANA], [scene.players[BRUNO], scene.players[DULCE]])
    return scene


async def seen_by_others(leaderboards: Leaderboards, views: BoardViews, scene: Scene) -> list[object]:
    """Every view of a board, as Ana has it."""
    ana, bruno = scene.players[ANA], scene.players[BRUNO]
    pages = [
        await leaderboards.entries("letters", reader=ana),
        await leaderboards.around("letters", reader=ana),
        await leaderboards.friends("letters", reader=ana),
        await leaderboards.at_rank("letters", reader=ana, rank=1),
        await leaderboards.at_score("letters", reader=ana, score="1000"),
        await leaderboards.search("letters", reader=ana, text="bruno"),
    ]
    exported: list[str] = []
    admin = BoardAdmin(scene.database, Rebuilds(scene.database, scene.clock.now_ms), scene.clock.now_ms)
    await admin.export("letters", "all", FileFormat.CSV, exported.append)
    return [
        *((names(page), ranks(page), page.total) for page in pages),
        await leaderboards.places(ana),
        await leaderboards.places(bruno),
        (await views.distribution("letters", reader=ana)).classes,
        (await views.periods("letters")).periods,
        (await views.history(bruno, "letters")).scores,
        "".join(exported),
    ]


async def test_who_is_hidden_is_gone_for_others_and_comes_back_as_before(
    leaderboards: Leaderboards, views: BoardViews, scene: Scene
) -> None:
    """T68: list, total, percentile, histogram, others' ranks, export; own view; restore; audit."""
    bruno = scene.players[BRUNO]
    before = await seen_by_others(leaderboards, views, scene)
    own = await leaderboards.places(bruno, own=True)
    stored = [await lists_of(scene.database, board) for board in (BOARD, OTHER)]
    scene.clock.advance(s=1)
    assert await scene.moderation.hide(bruno, **WHY) == ("letters", "dense", "coins")
    page = await leaderboards.entries("letters", reader=scene.players[ANA])
    assert (names(page), ranks(page), page.total) == (["Ana", "Carlos", "Dulce"], ["=1", "=1", "3"], 3)
    ana = await leaderboards.place("letters", player=scene.players[ANA], own=True)
    assert (ana.rank, ana.total, ana.better_than, ana.next, ana.state) == (1, 3, Fraction(1, 2), None, State.VISIBLE)
    for search in ("bruno", "ana"):
        found = await leaderboards.search("letters", reader=None, text=search)
        assert names(found) == (["Ana"] if search == "ana" else [])
    assert names(await leaderboards.friends("letters", reader=scene.players[ANA])) == ["Ana", "Dulce"]
    assert [each.greatest for each in (await views.distribution("letters", reader=None)).classes][-1] == "7"
    assert {each.total for each in (await views.periods("letters")).periods} == {3}
    assert (await views.history(bruno, "letters")).scores == ()
    assert [past.score for past in (await views.history(bruno, "letters", own=True)).scores] == ["900"]
    assert {place.rank for place in await leaderboards.places(bruno)} == {None}
    assert "Bruno" not in str((await seen_by_others(leaderboards, views, scene))[-1])
    scores = [place for place in await leaderboards.places(bruno, own=True) if place.board != COINS]
    assert {place.state for place in scores} == {State.HIDDEN}
    assert [replace(place, state=State.VISIBLE) for place in scores] == list(own[:8])
    scene.clock.advance(s=1)
    assert await scene.moderation.restore(bruno, actor="paulo", reason="it was possible") == (
        "letters",
        "dense",
        "coins",
    )
    assert [await lists_of(scene.database, board) for board in (BOARD, OTHER)] == stored
    assert await seen_by_others(leaderboards, views, scene) == before
    assert await leaderboards.places(bruno, own=True) == own
    log = await scene.moderation.log(player=bruno, board_id="letters")
    assert [(act.action, act.actor, act.reason, act.detail) for act in log] == [
        (Action.RESTORE, "paulo", "it was possible", "letters=900"),
        (Action.HIDE, "maria", WHY["reason"], "letters=900"),
    ]
    assert log[0].at_ms == scene.clock.now_ms() == log[1].at_ms + 1_000


@pytest.mark.parametrize(
    "board", [BOARD, OTHER, replace(BOARD, ties=Ties.ORDINAL, order=Order.LESS)], ids=lambda board: board.ties
)
async def test_the_hidden_see_the_place_that_they_would_have(database: Database, clock: Clock, board: Board) -> None:
    """Everybody in turn, tied or not, first, last or alone: as it was before, but for the word."""
    leaderboards = Leaderboards(database, Container(clock), clock.now_ms, KEY)
    views = BoardViews(database, clock.now_ms)
    await leaderboards.seed([board])
    scene = Scene(database, clock, await make_players(database, *"ABCDEFGH"))
    for player, value in zip(scene.players, "31415926", strict=True):
        await scene.give(player, value)
    for player in scene.players:
        before = await leaderboards.places(player, own=True)
        mine = (await views.distribution(board.id, reader=player)).mine
        around = await leaderboards.around(board.id, reader=player, limit=5)
        await scene.moderation.hide(player, **WHY)
        after = await leaderboards.places(player, own=True)
        assert after == tuple(replace(place, state=State.HIDDEN) for place in before)
        found = (await views.distribution(board.id, reader=player)).mine
        assert found is not None
        assert mine is not None
        assert (found.score, found.better_than) == (mine.score, mine.better_than)
        others = await leaderboards.around(board.id, reader=player, limit=4)
        assert {entry.player.id for entry in others.entries} <= {
            entry.player.id for entry in (await leaderboards.entries(board.id, reader=None)).entries
        }
        near = {entry.player.id for entry in around.entries if not entry.me}
        assert len(near & {entry.player.id for entry in others.entries}) >= 3
        await scene.moderation.restore(player, **WHY)
    for player in scene.players[1:]:
        await scene.moderation.hide(player, **WHY)
    alone, *rest = scene.players
    await scene.moderation.hide(alone, **WHY)
    place = await leaderboards.place(board.id, player=alone, own=True)
    assert (place.rank, place.tied, place.total, place.better_than, place.state) == (1, False, 1, None, State.HIDDEN)
    assert (await leaderboards.place(board.id, player=rest[0])).total == 0


async def test_a_hidden_player_goes_on_unseen(leaderboards: Leaderboards, scene: Scene) -> None:
    """What they reach meanwhile is there when they are restored, in the periods in which it was reached."""
    bruno = scene.players[BRUNO]
    await scene.moderation.hide(bruno, board_id="letters", **WHY)
    scene.clock.advance(days=1)
    await scene.give(bruno, "950")
    reached_ms = scene.clock.now_ms()
    assert (await leaderboards.entries("letters", period="day", reader=None)).total == 0
    own = await leaderboards.place("letters", period="day", player=bruno, own=True)
    assert (own.rank, own.score, own.total, own.state) == (1, "950", 1, State.HIDDEN)
    assert names(await leaderboards.entries("dense", period="day", reader=None)) == ["Bruno"]
    await scene.moderation.restore(bruno, board_id="letters", **WHY)
    (entry,) = (await leaderboards.entries("letters", period="day", reader=None)).entries
    assert (entry.player.name, entry.score, entry.reached_ms) == ("Bruno", "950", reached_ms)


async def test_the_hidden_who_submit_see_their_own_place(database: Database, clock: Clock) -> None:
    leaderboards = Leaderboards(database, Container(clock), clock.now_ms, KEY)
    await leaderboards.seed([BOARD])
    scene = Scene(database, clock, await make_players(database, "Ana", "Bruno"))
    ana, bruno = scene.players
    await scene.give(ana, "5")
    await leaderboards.submit(bruno, "letters", "7")
    await scene.moderation.hide(bruno, **WHY)
    placed = await leaderboards.submit(bruno, "letters", "4")
    await leaderboards.submit(bruno, "letters", "9")
    assert {(change.place.rank, change.place.score, change.place.state) for change in placed.changes} == {
        (1, "7", State.HIDDEN)
    }
    assert names(await leaderboards.entries("letters", reader=ana)) == ["Ana"]
    assert (await leaderboards.place("letters", player=bruno, own=True)).score == "9"


async def test_a_removed_score_is_gone_and_a_later_one_counts(leaderboards: Leaderboards, scene: Scene) -> None:
    bruno = scene.players[BRUNO]
    before = await lists_of(scene.database, BOARD)
    assert await scene.moderation.remove(bruno, **WHY) == ("letters", "dense")  # there are no coins to remove
    assert names(await leaderboards.entries("letters", reader=None)) == ["Ana", "Carlos", "Dulce"]
    own = await leaderboards.place("letters", player=bruno, own=True)
    assert (own.rank, own.score, own.total, own.state) == (1, "900", 4, State.REMOVED)
    assert (await leaderboards.place("letters", player=bruno)).rank is None
    scene.clock.advance(days=7)
    await scene.give(bruno, "5")
    page = await leaderboards.entries("letters", reader=None)
    assert (names(page), ranks(page)) == (["Ana", "Carlos", "Bruno", "Dulce"], ["=1", "=1", "3", "4"])
    own = await leaderboards.place("letters", player=bruno, own=True)
    assert (own.rank, own.score, own.state) == (3, "5", State.VISIBLE)
    old = await leaderboards.place("letters", period="day:2026-11-22", player=bruno, own=True)
    assert (old.score, old.state) == ("900", State.REMOVED)
    await scene.moderation.restore(bruno, **WHY)
    after = await lists_of(scene.database, BOARD)
    assert {id_: after[id_] for id_ in before} == before
    assert after["day:2026-11-29"] == {bruno: (5, scene.clock.now_ms())}


async def test_hidden_and_removed_are_undone_one_after_the_other(scene: Scene) -> None:
    bruno = scene.players[BRUNO]
    everything = await lists_of(scene.database, BOARD)
    act = scene.moderation
    await act.remove(bruno, board_id="letters", **WHY)
    removed = await lists_of(scene.database, BOARD)
    await act.hide(bruno, board_id="letters", **WHY)
    await scene.give(bruno, "11")
    assert [each.state for each in await act.of_player(bruno)] == [State.HIDDEN]
    await act.restore(bruno, board_id="letters", **WHY)
    assert [each.state for each in await act.of_player(bruno)] == [State.REMOVED]
    assert (await lists_of(scene.database, BOARD))["all"] == removed["all"] | {bruno: (11, scene.clock.now_ms())}
    await act.restore(bruno, board_id="letters", **WHY)
    assert await act.of_player(bruno) == ()
    assert await lists_of(scene.database, BOARD) == everything


async def removed(scene: Scene, player: int) -> int:
    """Remove the player's score on the board of letters; the number of that act."""
    await scene.moderation.remove(player, board_id="letters", **WHY)
    return (await scene.moderation.log(board_id="letters", player=player, limit=1))[0].id


async def test_a_removal_is_taken_back_and_nothing_else(scene: Scene) -> None:
    bruno = scene.players[BRUNO]
    before = await lists_of(scene.database, BOARD)
    await scene.moderation.hide(bruno, board_id="letters", **WHY)
    act = await removed(scene, bruno)
    await scene.moderation.unremove(act, **WHY)
    assert [each.state for each in await scene.moderation.of_player(bruno)] == [State.HIDDEN]
    assert bruno not in (await lists_of(scene.database, BOARD))["all"]
    await scene.moderation.restore(bruno, board_id="letters", **WHY)
    assert await lists_of(scene.database, BOARD) == before
    log = await scene.moderation.log(player=bruno)
    assert [(each.action, each.detail) for each in log[:2]] == [
        (Action.RESTORE, "letters=900"),
        (Action.UNREMOVE, "letters=900"),
    ]


async def test_of_two_removals_each_is_taken_back_alone_and_once(scene: Scene) -> None:
    bruno = scene.players[BRUNO]
    first = await removed(scene, bruno)
    await scene.give(bruno, "901")
    second = await removed(scene, bruno)
    with pytest.raises(Conflict):
        await scene.moderation.unremove(first, **WHY)
    await scene.moderation.unremove(second, **WHY)
    assert (await lists_of(scene.database, BOARD))["all"][bruno][0] == 901
    assert [each.state for each in await scene.moderation.of_player(bruno)] == [State.REMOVED]
    with pytest.raises(Conflict):
        await scene.moderation.unremove(second, **WHY)
    await scene.give(bruno, "899")
    assert (await lists_of(scene.database, BOARD))["all"][bruno][0] == 901
    await scene.moderation.unremove(first, **WHY)
    assert await scene.moderation.of_player(bruno) == ()
    for act in (first + 1_000, (await scene.moderation.log(limit=1))[0].id):
        with pytest.raises(NotFound):
            await scene.moderation.unremove(act, **WHY)


async def test_what_stands_says_why_since_when_and_by_whom(scene: Scene) -> None:
    bruno = scene.players[BRUNO]
    await scene.moderation.hide(bruno, board_id="dense", actor=" paulo ", reason="  see ticket 7\0 ")
    assert await scene.moderation.of_player(bruno) == (
        Moderated("dense", State.HIDDEN, "see ticket 7\ufffd", "paulo", scene.clock.now_ms()),
    )
    assert await scene.moderation.of_player(scene.players[ANA]) == ()


Acts = Callable[..., Awaitable[tuple[str, ...]]]


async def test_acts_that_change_nothing_are_refused_and_leave_no_line(scene: Scene) -> None:
    act, bruno = scene.moderation, scene.players[BRUNO]
    refused: list[tuple[Acts, int]] = [(act.restore, bruno), (act.remove, scene.players[ANA] + 10**6)]
    await act.hide(bruno, board_id="letters", **WHY)
    refused.append((act.hide, bruno))
    lines = await act.log()
    assert len(lines) == 1
    for again in (act.hide, act.restore, act.remove):
        with pytest.raises(NotFound):
            await again(bruno, board_id="nothing", **WHY)
        with pytest.raises(NotFound):
            await again(10**9, board_id="letters", **WHY)
        for wrong in ({"reason": "  "}, {"actor": ""}, {"reason": "x" * 501}, {"actor": "x" * 101}):
            with pytest.raises(BadInput) as caught:
                await again(bruno, board_id="dense", **{**WHY, **wrong})
            assert caught.value.field in wrong
    with pytest.raises(Conflict, match="hidden already"):
        await act.hide(bruno, board_id="letters", **WHY)
    with pytest.raises(Conflict, match="nothing is hidden"):
        await act.restore(bruno, board_id="dense", **WHY)
    with pytest.raises(Conflict, match="no score"):
        await act.remove(bruno, board_id="coins", **WHY)
    await act.remove(bruno, board_id="dense", **WHY)
    with pytest.raises(Conflict, match="no score"):
        await act.remove(bruno, board_id="dense", **WHY)
    assert len(await act.log()) == 2


async def test_the_log_is_paged_newest_first(scene: Scene) -> None:
    ana, bruno = scene.players[:2]
    act = scene.moderation
    for player in (ana, bruno):
        await act.hide(player, board_id="letters", **WHY)
        await act.restore(player, board_id="letters", **WHY)
    everything = await act.log()
    assert [(line.player, line.action) for line in everything] == [
        (bruno, Action.RESTORE),
        (bruno, Action.HIDE),
        (ana, Action.RESTORE),
        (ana, Action.HIDE),
    ]
    assert await act.log(limit=2) + await act.log(limit=2, before=everything[1].id) == everything
    assert await act.log(player=ana, before=everything[2].id) == everything[3:]
    assert await act.log(board_id="dense") == ()
    for limit in (0, 201):
        with pytest.raises(BadInput):
            await act.log(limit=limit)


async def test_a_board_that_is_dropped_and_made_again_remembers_who_is_hidden(
    leaderboards: Leaderboards, scene: Scene
) -> None:
    bruno = scene.players[BRUNO]
    await scene.moderation.hide(bruno, board_id="letters", **WHY)
    admin = BoardAdmin(scene.database, Rebuilds(scene.database, scene.clock.now_ms, sizes=SMALL), scene.clock.now_ms)
    for wanted in ([OTHER, COINS], [OTHER, COINS, BOARD]):
        await admin.apply(await admin.plan(wanted), lambda _: None, lambda *_: None)
    assert names(await leaderboards.entries("letters", reader=None)) == ["Ana", "Carlos", "Dulce"]
    await scene.give(bruno, "901")
    assert names(await leaderboards.entries("letters", reader=None)) == ["Ana", "Carlos", "Dulce"]
    await scene.moderation.restore(bruno, board_id="letters", **WHY)
    assert names(await leaderboards.entries("letters", reader=None))[0] == "Bruno"


async def test_a_value_that_goes_while_hidden_stays_gone(leaderboards: Leaderboards, scene: Scene) -> None:
    """T70: the AppData key is deleted, hidden or not."""
    bruno = scene.players[BRUNO]
    await scene.moderation.hide(bruno, board_id="letters", **WHY)
    await scene.give(bruno, None, origin=Origin.READ)
    own: DetailedPlace = await leaderboards.place("letters", player=bruno, own=True)
    assert (own.rank, own.score, own.state, own.total) == (None, None, State.HIDDEN, 3)
    await scene.moderation.restore(bruno, board_id="letters", **WHY)
    assert names(await leaderboards.entries("letters", reader=None)) == ["Ana", "Carlos", "Dulce"]


class Spy:
    """A transaction that remembers what it was asked."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> object:
        found = getattr(self._tx, name)
        if name not in {"fetch", "fetch_one", "fetch_value", "execute", "execute_many", "update_each"}:
            return found

        async def asking(sql: str, *values: object) -> object:
            self.asked.append(sql)
            return await found(sql, *values)

        return asking


async def test_boards_where_nothing_was_decided_ask_for_nothing(scene: Scene) -> None:
    """One small read for all players of a transaction where something was."""
    now_ms = scene.clock.now_ms()

    async def asked(tx: Transaction) -> int:
        spy: Any = Spy(tx)
        boards = await store.begin(spy, ["letters"])
        changes = [Change(player, "letters", None, "8", now_ms, Origin.SUBMITTED) for player in scene.players]
        await store.record(spy, boards, changes, now_ms)
        return sum("moderation" in sql for sql in spy.asked)

    assert await scene.database.write(asked) == 0
    await scene.moderation.hide(scene.players[BRUNO], board_id="dense", **WHY)
    assert await scene.database.write(asked) == 1
    await scene.moderation.restore(scene.players[BRUNO], board_id="dense", **WHY)
    assert await scene.database.write(asked) == 0
