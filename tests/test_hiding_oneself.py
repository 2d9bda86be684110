"""Players who hide themselves and show themselves again: gone for all others, as before for themselves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Final

import pytest

from homeserver.domain.score_files import FileFormat
from homeserver.errors import Conflict, NotFound, NotSignedIn, TooMany
from homeserver.model import Action, BulkAct, PageSession, State
from homeserver.services.board_admin import BoardAdmin
from homeserver.services.board_states import BoardStates
from homeserver.services.board_tasks import BoardTasks
from homeserver.services.board_views import BoardViews
from homeserver.services.bulk import Bulk
from homeserver.services.delisting import Delisting
from homeserver.services.dossiers import Dossiers
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.limits import HIDING
from homeserver.services.operator_views import OperatorViews, Wanted
from homeserver.services.own_data import SELF, OwnData
from homeserver.services.players import Players
from homeserver.services.rebuilds import Rebuilds
from homeserver.services.surroundings import BoardSurroundings
from homeserver.storage import people
from homeserver.storage.database import Database, Transaction
from tests.clock import Clock
from tests.leaderboards_kit import KEY, names, ranks
from tests.moderation_kit import WHY, Scene, expected, lists_of
from tests.test_moderation import ANA, BOARD, BRUNO, COINS, OTHER, leaderboards, scene, seen_by_others, views
from tests.test_own_data import SESSION_MS, document

__all__ = ["leaderboards", "scene", "views"]

BOARDS: Final = (BOARD, OTHER)


@dataclass
class Switches:
    """What decides whether Bruno is seen: he, an operator, and whether he has the application."""

    scene: Scene
    own: OwnData = field(init=False)
    delisting: Delisting = field(init=False)
    by_himself: bool = False
    by_an_operator: bool = False
    without_app: bool = False

    def __post_init__(self) -> None:
        database, now_ms = self.scene.database, self.scene.clock.now_ms
        self.delisting = Delisting(database, now_ms)
        self.own = OwnData(database, self.scene.moderation, self.delisting, now_ms, session_ms=SESSION_MS)

    @property
    def bruno(self) -> int:
        return self.scene.players[BRUNO]

    @property
    def session(self) -> PageSession:
        return PageSession("his page", self.bruno, None, None, 0)

    async def hide(self, hidden: bool = True) -> None:
        """By himself, or not any more."""
        await self.own.hide(self.session, hidden=hidden)
        self.by_himself = hidden

    async def turn(self, name: str) -> None:
        """The other way round, a second later."""
        self.scene.clock.advance(s=1)
        now = not getattr(self, name)
        if name == "by_himself":
            await self.hide(now)
        elif name == "by_an_operator":
            await (self.scene.moderation.hide if now else self.scene.moderation.restore)(self.bruno, **WHY)
        else:
            now_ms = self.scene.clock.now_ms()
            await self.scene.database.write(lambda tx: people.set_has_app(tx, self.bruno, not now, now_ms))
            await self.delisting.settle()
        setattr(self, name, now)

    @property
    def state(self) -> State:
        """What Bruno is told."""
        if self.by_an_operator:
            return State.HIDDEN
        return State.WITHDRAWN if self.by_himself else State.VISIBLE


@pytest.fixture
def switches(scene: Scene) -> Switches:
    return Switches(scene)


async def stored(scene: Scene) -> list[object]:
    """Every list, whose blocks are checked."""
    return [await lists_of(scene.database, board) for board in BOARDS]


# --- what others see, and what they see themselves --------------------------------------------------------------------


async def test_who_hides_is_gone_for_others_and_comes_back_as_before(
    leaderboards: Leaderboards, views: BoardViews, scene: Scene, switches: Switches
) -> None:
    """T68, by one's own word: list, total, percentile, histogram, others' ranks, friends, search, export; own view."""
    ana, bruno = scene.players[ANA], switches.bruno
    before = await seen_by_others(leaderboards, views, scene)
    own = await leaderboards.places(bruno, own=True)
    lists = await stored(scene)
    scene.clock.advance(s=1)
    await switches.hide()
    page = await leaderboards.entries("letters", reader=ana)
    assert (names(page), ranks(page), page.total) == (["Ana", "Carlos", "Dulce"], ["=1", "=1", "3"], 3)
    assert names(await leaderboards.friends("letters", reader=ana)) == ["Ana", "Dulce"]
    assert names(await leaderboards.search("letters", reader=ana, text="bruno")) == []
    place = await leaderboards.place("letters", player=ana, own=True)
    assert (place.rank, place.total, place.next, place.state) == (1, 3, None, State.VISIBLE)
    assert [each.greatest for each in (await views.distribution("letters", reader=None)).classes][-1] == "7"
    assert (await views.history(bruno, "letters")).scores == ()
    assert [past.score for past in (await views.history(bruno, "letters", own=True)).scores] == ["900"]
    assert {each.rank for each in await leaderboards.places(bruno)} == {None}
    exported: list[str] = []
    rebuilds = Rebuilds(scene.database, scene.clock.now_ms)
    await BoardAdmin(scene.database, rebuilds, scene.clock.now_ms).export(
        "letters", "all", FileFormat.CSV, exported.append
    )
    assert "Ana" in "".join(exported)
    assert "Bruno" not in "".join(exported)
    seen = await leaderboards.places(bruno, own=True)
    assert [replace(each, state=State.VISIBLE) for each in seen] == list(own)
    assert {each.state for each in seen} == {State.WITHDRAWN}, "on the board without a score, too"
    scene.clock.advance(s=1)
    await switches.hide(hidden=False)
    assert await stored(scene) == lists
    assert await seen_by_others(leaderboards, views, scene) == before
    assert await leaderboards.places(bruno, own=True) == own


async def test_who_hides_is_found_nowhere_else(database: Database, clock: Clock, switches: Switches) -> None:
    """Not near friends, not in the news, not among last winners; their page is theirs alone."""
    scene, bruno = switches.scene, switches.bruno
    ana, players = scene.players[ANA], Players(database)
    surroundings = BoardSurroundings(database, "orkut", clock.now_ms)
    near = await surroundings.friends_near("letters", player=ana, reader=ana)
    assert [each.player.name for each in near] == ["Bruno", "Ana", "Dulce"]
    assert "Bruno" in {each.player.name for each in await surroundings.lately(ana)}
    card = await players.card(bruno)
    assert await players.find_for(ana, card.id) == bruno
    clock.advance(days=1)
    views = BoardViews(database, clock.now_ms)
    winners = await views.winners_before("letters", period="day", reader=None)
    assert winners is not None
    assert names(winners) == ["Bruno", "Ana", "Carlos"]
    await switches.hide()
    near = await surroundings.friends_near("letters", player=ana, reader=ana)
    assert [each.player.name for each in near] == ["Ana", "Dulce"]
    for reader in (None, ana, bruno):
        assert "Bruno" not in {each.player.name for each in await surroundings.lately(reader)}
    winners = await views.winners_before("letters", period="day", reader=None)
    assert winners is not None
    assert names(winners) == ["Ana", "Carlos", "Dulce"]
    for reader in (None, ana):
        with pytest.raises(NotFound):
            await players.find_for(reader, card.id)
    assert await players.find_for(bruno, card.id) == bruno
    assert await players.find(card.id) == bruno, "whom operators look for"


async def test_what_is_reached_meanwhile_counts_once_they_show_themselves(
    leaderboards: Leaderboards, switches: Switches
) -> None:
    scene, bruno = switches.scene, switches.bruno
    await switches.hide()
    scene.clock.advance(days=1)
    placed = await leaderboards.submit(bruno, "letters", "950")
    assert {(change.place.rank, change.place.state) for change in placed.changes} == {(1, State.WITHDRAWN)}
    await scene.give(scene.players[ANA], "8")
    assert names(await leaderboards.entries("letters", period="day", reader=None)) == ["Ana"]
    place = await leaderboards.place("letters", period="day", player=bruno, own=True)
    assert (place.rank, place.total, place.score, place.state) == (1, 2, "950", State.WITHDRAWN)
    await switches.hide(hidden=False)
    page = await leaderboards.entries("letters", period="day", reader=None)
    assert [(each.player.name, each.score) for each in page.entries] == [("Bruno", "950"), ("Ana", "8")]


async def test_a_score_that_was_removed_meanwhile_stays_removed(leaderboards: Leaderboards, switches: Switches) -> None:
    """And one that comes later is what they see of themselves; the operator's word stands as it was."""
    scene, bruno = switches.scene, switches.bruno
    await switches.hide()
    await scene.moderation.remove(bruno, **WHY)
    assert {each.state for each in await scene.moderation.of_player(bruno)} == {State.REMOVED}
    await scene.give(bruno, "5")
    place = await leaderboards.place("letters", player=bruno, own=True)
    assert (place.score, place.state) == ("5", State.WITHDRAWN)
    await switches.hide(hidden=False)
    place = await leaderboards.place("letters", player=bruno)
    assert (place.rank, place.score) == (3, "5")


async def test_who_hides_among_many_who_write_is_not_lost(switches: Switches) -> None:
    """Everybody at once: none waits for another for ever, and in the end it is as if one had come after another."""
    scene, delisting = switches.scene, switches.delisting

    async def one(index: int, player: int) -> None:
        for number in range(6):
            await delisting.decide(player, hidden=number % 2 == 0, actor=SELF, reason="their own")
            await asyncio.gather(scene.give(player, str(10 * number + index)), delisting.settle([player]))
        if index % 2:
            await delisting.decide(player, hidden=True, actor=SELF, reason="their own")

    await asyncio.gather(*(one(index, player) for index, player in enumerate(scene.players)))
    hiding = set(scene.players[1::2])
    for board in BOARDS:
        naive = await expected(scene.database, board, lambda _, player: player not in hiding)
        assert await lists_of(scene.database, board) == naive.entries()


# --- with operators and the container ---------------------------------------------------------------------------------


async def test_every_decision_from_every_state(leaderboards: Leaderboards, switches: Switches) -> None:
    """His own, an operator's, the application's: seen only where none hides him, and then as in the beginning."""
    scene, bruno = switches.scene, switches.bruno
    lists = await stored(scene)
    three = ("by_himself", "by_an_operator", "without_app")
    for wanted in product((False, True), repeat=3):
        for name, value in zip(three, wanted, strict=True):
            if getattr(switches, name) is not value:
                await switches.turn(name)
        for name in three:
            for _ in range(2):
                await switches.turn(name)
                is_seen = not any(getattr(switches, each) for each in three)
                page = await leaderboards.entries("letters", reader=None)
                assert ("Bruno" in names(page)) is is_seen, switches
                if is_seen:
                    assert await stored(scene) == lists
                place = await leaderboards.place("letters", player=bruno, own=True)
                assert (place.rank, place.score, place.state) == (1, "900", switches.state)
        scene.clock.advance(s=HIDING.window_ms // 1000)


async def test_an_operators_restore_does_not_show_who_hides(switches: Switches) -> None:
    scene, bruno = switches.scene, switches.bruno
    await switches.hide()
    with pytest.raises(Conflict):
        await scene.moderation.restore(bruno, **WHY)
    await scene.moderation.hide(bruno, **WHY)
    await scene.moderation.restore(bruno, **WHY)
    assert await switches.delisting.settle() == 0
    assert bruno not in (await lists_of(scene.database, BOARD))["all"]


async def test_an_act_on_many_is_undone_for_who_hides_meanwhile(clock: Clock, switches: Switches) -> None:
    """Their own decision is nobody's act on them since; a range that is restored has them in it all the same."""
    scene, bruno = switches.scene, switches.bruno
    rebuilds, bulk = Rebuilds(scene.database, clock.now_ms), Bulk(scene.database, clock.now_ms, KEY)
    tasks = BoardTasks(
        scene.database, rebuilds, BoardStates(scene.database, rebuilds, clock.now_ms), bulk, clock.now_ms
    )
    many = await tasks.bulk("letters", BulkAct(Action.HIDE, "all", "800", "1000"), **WHY)
    assert (await tasks.do(many.id)).result == {"changed": 1}
    await switches.hide()
    restored = BulkAct(Action.RESTORE, "all", "800", "1000")
    assert [each.player.name for each in (await bulk.preview("letters", restored)).concerned] == ["Bruno"]
    undone = await tasks.undo_bulk(many.id, **WHY)
    assert (await tasks.do(undone.id)).result == {"restored": 1, "left": 0}
    assert await scene.moderation.of_player(bruno) == ()
    again = await tasks.bulk("letters", BulkAct(Action.HIDE, "all", "800", "1000"), **WHY)
    assert (await tasks.do(again.id)).result == {"changed": 0}, "they are in no list"


async def test_operators_see_that_they_hide_and_since_when(
    leaderboards: Leaderboards, clock: Clock, switches: Switches
) -> None:
    database, scene, bruno = switches.scene.database, switches.scene, switches.bruno
    dossiers = Dossiers(database, leaderboards, "orkut")
    operators = OperatorViews(database, "orkut", clock.now_ms, KEY)
    wanted = Wanted(state=State.WITHDRAWN)
    assert (await dossiers.show(bruno)).withdrawn_ms is None
    assert (await operators.entries("letters", wanted)).entries == ()
    clock.advance(s=7)
    since_ms = clock.now_ms()
    await switches.hide()
    clock.advance(s=7)
    await switches.hide()  # once more is nothing new
    dossier = await dossiers.show(bruno)
    assert dossier.withdrawn_ms == since_ms
    assert {place.state for place in dossier.places} == {State.WITHDRAWN}
    assert dossier.moderated == ()
    (entry,) = (await operators.entries("letters", wanted)).entries
    assert (entry.player.name, entry.score, entry.state) == ("Bruno", "900", State.WITHDRAWN)
    await switches.turn("without_app")
    await scene.moderation.remove(scene.players[ANA], **WHY)
    assert [each.player.name for each in (await operators.entries("letters", wanted)).entries] == ["Bruno"]
    await switches.turn("without_app")
    await switches.hide(hidden=False)
    assert (await operators.entries("letters", wanted)).entries == ()
    log = await scene.moderation.log(player=bruno, board_id="letters")
    assert [(act.action, act.actor) for act in log] == [(Action.SHOW_AGAIN, SELF), (Action.WITHDRAW, SELF)]
    assert len(await scene.moderation.log(player=bruno)) == 6, "of each board"


# --- rebuilds, erasing, what is kept ----------------------------------------------------------------------------------


async def test_a_rebuild_and_a_new_board_obey_it(leaderboards: Leaderboards, clock: Clock, switches: Switches) -> None:
    scene = switches.scene
    lists = await stored(scene)
    rebuilds = Rebuilds(scene.database, clock.now_ms)
    for hidden in (True, False):
        await switches.hide(hidden=hidden)
        await rebuilds.rebuild(BOARD, revision=1, progress=lambda done, total: None)
        assert (switches.bruno in (await lists_of(scene.database, BOARD))["all"]) is not hidden
    assert await stored(scene) == lists
    await switches.hide()
    await leaderboards.seed([BOARD, OTHER, COINS, replace(BOARD, id="new")])
    await scene.give(switches.bruno, "9999")
    assert await lists_of(scene.database, replace(BOARD, id="new")) == {}


@pytest.mark.parametrize("hidden", [True, False])
async def test_a_board_that_is_being_made_obeys_it_too(
    switches: Switches, monkeypatch: pytest.MonkeyPatch, hidden: bool
) -> None:
    """It is not in force yet, so no act on it is in the log."""
    load, made = Rebuilds._load, replace(BOARD, id="made")

    async def meanwhile(self: Rebuilds, *rest: Any) -> None:
        await load(self, *rest)
        await switches.hide(hidden)

    if not hidden:
        await switches.hide()
    monkeypatch.setattr(Rebuilds, "_load", meanwhile)
    rebuilds = Rebuilds(switches.scene.database, switches.scene.clock.now_ms)
    await rebuilds.rebuild(made, revision=None, progress=lambda done, total: None)
    naive = await expected(switches.scene.database, made, lambda _, player: not hidden or player != switches.bruno)
    assert await lists_of(switches.scene.database, made) == naive.entries()


async def test_who_was_erased_and_comes_back_is_not_hidden(leaderboards: Leaderboards, switches: Switches) -> None:
    scene, bruno = switches.scene, switches.bruno
    container, user_id = await scene.database.read(lambda reader: people.user_of(reader, bruno))
    await switches.hide()
    await switches.own.erase(switches.session)
    with pytest.raises(NotFound):
        await switches.delisting.decide(bruno, hidden=True, actor=SELF, reason="by then nobody")
    assert await switches.delisting.settle() == 0

    async def come(tx: Transaction) -> int:
        return (await people.players_of(tx, container, [user_id], came=[user_id]))[user_id]

    again = await scene.database.write(come)
    await scene.give(again, "11")
    assert (await leaderboards.place("letters", player=again)).score == "11"
    moderated = await scene.database.read(lambda reader: reader.fetch_value("SELECT SUM(moderated) FROM boards"))
    assert moderated == 0


async def test_the_decision_is_kept_and_given_out(clock: Clock, switches: Switches) -> None:
    own, session = switches.own, switches.session
    assert (await own.kept(session)).withdrawn_ms is None
    assert (await document(own, session))["player"]["profile"][0]["withdrawn"] is None
    since_ms = clock.now_ms()
    await switches.hide()
    assert (await own.kept(session)).withdrawn_ms == since_ms
    player = (await document(own, session))["player"]
    assert player["profile"][0]["withdrawn"] == player["delisted"][0]["at"]
    assert {act["action"] for act in player["acts"]} == {"withdraw"}


async def test_it_is_for_a_player_and_not_all_the_time(clock: Clock, switches: Switches) -> None:
    with pytest.raises(NotSignedIn):
        await switches.own.hide(PageSession("none", None, "marie", "Marie", 0), hidden=True)
    for number in range(HIDING.allowed):
        await switches.hide(hidden=number % 2 == 0)
    with pytest.raises(TooMany):
        await switches.hide()
    clock.advance(ms=HIDING.window_ms)
    await switches.hide()
