"""Erasing a person: nothing is left anywhere, nobody brings them back but they, what breaks off is finished. T70."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from homeserver.domain.score_files import FileFormat
from homeserver.errors import Conflict, DatabaseUnavailable, NotFound
from homeserver.model import Act, Action, Board, GadgetSession, HttpRequest, Keep, Ties
from homeserver.protocol.trusted_signers import TrustedSigner
from homeserver.sandbox import Fault
from homeserver.sandbox.people import ELIZABETH, JANE
from homeserver.services.board_import import BoardImport
from homeserver.services.eraser import Eraser
from homeserver.services.gadget_sessions import ADDED, GadgetSessions
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.moderation import Moderation
from homeserver.services.outliers import Outliers
from homeserver.services.rebuilds import Rebuilds
from homeserver.services.timed_writes import TimedWrites
from homeserver.services.upkeep import Upkeep
from homeserver.storage import appdata, erasing, leases, people, rebuild, sessions
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Reader, Transaction, WriteWork
from homeserver.storage.sessions import PageRow
from tests.clock import Clock
from tests.leaderboards_kit import KEY, Container, befriend, make_players, names
from tests.moderation_kit import WHY, Scene, lists_of, player_of, traces
from tests.patience import reached
from tests.rebuild_kit import SLOW, SMALL
from tests.test_gadget_sessions import APP_URL, HOME, LIFECYCLE, signed
from tests.test_sync import APPDATA, PEOPLE, Setting, setting

__all__ = ["setting"]

BOARD = Board("letters", "Letters", "letters")
DENSE = Board("dense", "Dense", "letters", ties=Ties.DENSE, keep=Keep.LATEST)
T = TypeVar("T")
LATER = "a player again when they open the gadget"


@pytest.fixture
def leaderboards(database: Database, clock: Clock) -> Leaderboards:
    return Leaderboards(database, Container(clock), clock.now_ms, KEY)


@pytest.fixture
async def scene(database: Database, clock: Clock, leaderboards: Leaderboards) -> Scene:
    """Three players who have played on three days. Bruno is everywhere where a player may be."""
    await leaderboards.seed([BOARD, DENSE])
    scene = Scene(database, clock, await make_players(database, "Ana", "Bruno", "Carlos"))
    for day in range(3):
        for index, player in enumerate(scene.players):
            await scene.give(player, str(10 * day + 3 * index))
        clock.advance(days=1)
    ana, bruno, carlos = scene.players
    await befriend(database, bruno, [ana, carlos])
    await befriend(database, ana, [bruno])
    expires_ms = clock.now_ms() + 3_600_000

    async def sign_in(tx: Transaction) -> None:
        await sessions.add_gadget_session(tx, "his", GadgetSession(bruno, bruno, expires_ms))
        await sessions.add_gadget_session(tx, "her", GadgetSession(bruno, ana, expires_ms))
        await sessions.add_page_session(tx, PageRow("his page", expires_ms, bruno))
        await sessions.add_page_session(tx, PageRow("both", expires_ms, bruno, "marie", "Marie"))
        await sessions.add_page_link(tx, "link", bruno, expires_ms)
        assert await sessions.link_accounts(tx, bruno, "marie")

    await database.write(sign_in)
    await scene.moderation.hide(carlos, board_id="dense", **WHY)
    await scene.moderation.hide(bruno, board_id="letters", actor="maria", reason="Bruno cheats")
    await scene.moderation.restore(bruno, board_id="letters", actor="maria", reason="Bruno does not cheat")
    await scene.moderation.remove(bruno, board_id="dense", actor="maria", reason="Bruno again")
    return scene


async def dump(database: Database) -> str:
    """Every row of every table, as text."""
    tables = (
        "players",
        "friendships",
        "appdata",
        "events",
        "entries",
        "lists",
        "boards",
        "moderation",
        "audit",
        "erased",
    )
    others = ("gadget_sessions", "page_sessions", "page_links", "account_links")

    async def work(reader: Reader) -> str:
        return "\n".join(
            [str([tuple(row) for row in await reader.fetch(f"SELECT * FROM {t}")]) for t in tables + others]
        )

    return await database.read(work)


async def test_nothing_is_left_of_who_was_erased(
    database: Database, clock: Clock, leaderboards: Leaderboards, scene: Scene
) -> None:
    """Lists of all days, events, friends, sessions, links, words in the log. Of others nothing is missing."""
    ana, bruno, carlos = scene.players
    assert set(await traces(database, bruno)) >= {"players", "entries", "events", "friendships", "moderation", "audit"}
    card = await database.look(lambda reader: people.card(reader, bruno))
    before = {board.id: await lists_of(database, board) for board in (BOARD, DENSE)}
    clock.advance(s=1)
    assert await scene.moderation.erase(bruno, actor="maria", reason="they asked for it")
    assert await traces(database, bruno) == {}
    for board in (BOARD, DENSE):
        left = {id_: {p: e for p, e in entries.items() if p != bruno} for id_, entries in before[board.id].items()}
        assert await lists_of(database, board) == {id_: entries for id_, entries in left.items() if entries}
    assert names(await leaderboards.entries("letters", reader=ana)) == ["Carlos", "Ana"]
    assert names(await leaderboards.friends("letters", reader=ana)) == ["Ana"]
    everything = await dump(database)
    for word in ("Bruno", card.id, "'01'"):
        assert word not in everything
    log = await scene.moderation.log()
    assert [(act.action, act.actor, act.player, act.reason) for act in log] == [
        (Action.ERASE, "maria", None, "they asked for it"),
        (Action.REMOVE, "maria", None, ""),
        (Action.RESTORE, "maria", None, ""),
        (Action.HIDE, "maria", None, ""),
        (Action.HIDE, "maria", carlos, WHY["reason"]),
    ]
    assert log[0].at_ms == clock.now_ms()
    now_ms = clock.now_ms()
    assert await database.look(lambda r: sessions.find_gadget_session(r, "his", now_ms)) is None
    hers = await database.look(lambda r: sessions.find_gadget_session(r, "her", now_ms))
    assert hers is not None
    assert (hers.owner, hers.viewer) == (None, ana)
    assert await database.look(lambda r: sessions.find_page_session(r, "his page", now_ms)) is None
    both = await database.look(lambda r: sessions.find_page_session(r, "both", now_ms))
    assert both is not None
    assert (both.player, both.storage_user) == (None, "marie")
    with pytest.raises(NotFound):
        await scene.moderation.erase(bruno, **WHY)
    with pytest.raises(NotFound):
        await scene.moderation.hide(bruno, **WHY)


async def test_a_mark_tells_only_those_who_know_the_id(database: Database, scene: Scene) -> None:
    await scene.moderation.erase(scene.players[1], **WHY)

    async def marks(reader: Reader) -> list[str]:
        return [row[0] for row in await reader.fetch("SELECT mark FROM erased")]

    (mark,) = await database.read(marks)
    assert len(mark) == 64
    with pytest.raises(NotFound, match=LATER):
        await player_of(database, "01")
    assert await player_of(database, "01", "another container")
    assert await player_of(database, "001")
    found = await database.write(lambda tx: people.players_of(tx, "orkut", ["00", "01", "02"]))
    assert found == {"00": scene.players[0], "02": scene.players[2]}


# --- who might bring them back ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [PEOPLE, APPDATA])
async def test_a_walk_of_a_friend_that_was_under_way_brings_nobody_back(setting: Setting, moment: str) -> None:
    database, clock = setting.database, setting.clock
    await database.write(lambda tx: store.seed(tx, [BOARD]))
    await setting.synced(ELIZABETH)
    elizabeth, jane = await setting.player(ELIZABETH), await setting.player(JANE)
    assert jane in await database.read(lambda reader: people.friends_of(reader, elizabeth))
    values = await setting.letters()
    held = setting.sandbox.faults.add(Fault(moment, hold=True))
    clock.advance(s=1)
    setting.sandbox.container.set_appdata(JANE, {"letters": "77"})
    syncing = asyncio.create_task(setting.sync.sync_player(elizabeth))
    await reached(held)
    moderation = Moderation(database, clock.now_ms)
    assert await moderation.erase(jane, **WHY)
    held.release.set()
    await syncing
    await setting.synced(ELIZABETH)
    assert await traces(database, jane) == {}
    assert await database.look(lambda reader: people.find_player(reader, "sandbox", JANE)) is None
    del values[JANE]
    assert await setting.letters() == values  # and hers did not become somebody else's
    assert jane not in (await lists_of(database, BOARD))["all"]


async def test_a_sync_of_their_own_that_was_under_way_brings_nothing_back(setting: Setting) -> None:
    await setting.database.write(lambda tx: store.seed(tx, [BOARD]))
    await setting.synced(ELIZABETH)
    elizabeth = await setting.player(ELIZABETH)
    held = setting.sandbox.faults.add(Fault(APPDATA, hold=True))
    setting.clock.advance(s=1)
    syncing = asyncio.create_task(setting.sync.sync_player(elizabeth))
    await reached(held)
    assert await Moderation(setting.database, setting.clock.now_ms).erase(elizabeth, **WHY)
    held.release.set()
    with pytest.raises(NotFound, match="erased meanwhile"):
        await syncing
    assert await traces(setting.database, elizabeth) == {}
    with pytest.raises(NotFound):
        await setting.player(ELIZABETH)


@pytest.mark.parametrize("database_kind", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
@pytest.mark.parametrize("said", ["clear", "unclear", "plan"])
async def test_what_is_said_of_somebody_just_then_waits_for_the_erasing_and_is_refused(
    database: Database, clock: Clock, scene: Scene, said: str
) -> None:
    """Where there is more than one writer at a time. What was kept of them in between would stay for ever."""
    bruno = scene.players[1]
    outliers = Outliers(database, clock.now_ms, KEY)
    nothing_is_written: Any = None
    writes = TimedWrites(database, nothing_is_written, "orkut", clock.now_ms)
    if said == "unclear":
        await outliers.clear(bruno, BOARD.id, **WHY)
    acts: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "clear": lambda: outliers.clear(bruno, BOARD.id, **WHY),
        "unclear": lambda: outliers.unclear(bruno, BOARD.id, **WHY),
        "plan": lambda: writes.plan(bruno, "letters", "7", "2030-01-01T12:00"),
    }
    doing: list[asyncio.Task[object]] = []

    async def strip(tx: Transaction) -> None:
        await erasing.strip(tx, bruno, Act(Action.ERASE, clock.now_ms(), "maria", "asked", None, None))
        doing.append(asyncio.create_task(acts[said]()))
        while not doing[0].done() and not await database.look(
            lambda reader: reader.fetch_value("SELECT count(*) FROM pg_locks WHERE NOT granted")
        ):
            pass

    await database.write(strip)
    with pytest.raises(NotFound):
        await doing[0]
    assert not {"cleared", "appdata_writes", "audit"} & (await traces(database, bruno)).keys()


@pytest.mark.parametrize("finished", [True, False], ids=["to the end", "half way"])
@pytest.mark.parametrize("write", [1, 2], ids=["before what was read counts", "before the score counts"])
async def test_a_score_that_was_being_written_is_not_kept(
    database: Database, clock: Clock, scene: Scene, *, write: int, finished: bool
) -> None:
    """The container has taken it, and the person was erased before it could count."""
    bruno = scene.players[1]

    class Erasing:
        """Erases the person before one of the writes."""

        def __init__(self) -> None:
            self.read, self.look, self.glance = database.read, database.look, database.glance
            self.most_together = database.most_together
            self.writes = 0

        async def write(self, work: WriteWork[T]) -> T:
            self.writes += 1
            if self.writes == write:
                if finished:
                    await scene.moderation.erase(bruno, **WHY)
                else:
                    with pytest.raises(Stop):
                        await Moderation(Stopping(database, 1), clock.now_ms).erase(bruno, **WHY)
            return await database.write(work)

    container = Container(clock, held={bruno: {"letters": "450"}})
    leaderboards = Leaderboards(Erasing(), container, clock.now_ms, KEY)
    with pytest.raises(NotFound):
        await leaderboards.submit(bruno, "letters", "500")
    assert await database.read(lambda reader: appdata.values_of(reader, bruno)) == {}
    await Eraser(database, clock.now_ms).go_on()
    assert await traces(database, bruno) == {}


@pytest.mark.parametrize("many", [False, True], ids=["one by one", "by a rebuild"])
async def test_an_import_says_who_was_erased_and_takes_the_rest(
    database: Database, clock: Clock, scene: Scene, *, many: bool
) -> None:
    await scene.moderation.erase(scene.players[1], **WHY)
    importer = BoardImport(database, Rebuilds(database, clock.now_ms), "orkut", clock.now_ms)
    lines = [b"player,value", b"01,700", b"02,701", b"new,702"]
    result = await importer.load(
        "letters",
        lines,
        FileFormat.CSV,
        verified=False,
        expected=10**6 if many else 3,
        progress=lambda _: None,
        rebuilding=lambda *_: None,
    )
    assert (result.new, result.known, result.bad) == (2, 0, 1)
    assert result.bad_lines[0].line == 2
    assert "was erased" in result.bad_lines[0].reason
    assert await database.look(lambda reader: people.find_player(reader, "orkut", "01")) is None
    entries = (await lists_of(database, BOARD))["all"]
    assert sorted(score for score, _ in entries.values()) == [20, 701, 702]


# --- and who may ------------------------------------------------------------------------------------------------------


@pytest.fixture
def gadgets(setting: Setting) -> GadgetSessions:
    """The way in for the gadget, of the container that the sync asks."""
    settings, container = setting.sandbox.settings, setting.sandbox.container
    signer = TrustedSigner.from_key(
        settings.container_domain, container.certificate_pem, container="sandbox", key_name=settings.key_name
    )
    return GadgetSessions(setting.database, [signer], HOME, APP_URL, settings.app_id, now_ms=setting.clock.now_ms)


def call(setting: Setting, viewer: str | None, owner: str | None, **more: object) -> HttpRequest:
    return signed(setting.sandbox.container, viewer, owner, **more)  # type: ignore[arg-type]


async def test_only_they_themselves_come_back_and_begin_anew(setting: Setting, gadgets: GadgetSessions) -> None:
    database = setting.database
    await database.write(lambda tx: store.seed(tx, [BOARD]))
    await setting.synced(ELIZABETH)
    elizabeth, jane = await setting.player(ELIZABETH), await setting.player(JANE)
    await Moderation(database, setting.clock.now_ms).erase(jane, **WHY)
    opened = await gadgets.open(call(setting, ELIZABETH, JANE))  # somebody looks at her page
    session = await gadgets.check(opened.token)
    assert (session.viewer, session.owner) == (elizabeth, None)
    await gadgets.lifecycle(
        call(setting, None, None, url=LIFECYCLE, form=[("eventtype", ADDED), ("id", JANE), ("id", ELIZABETH)])
    )
    with pytest.raises(NotFound):
        await setting.player(JANE)
    await gadgets.open(call(setting, JANE, ELIZABETH))
    again = await setting.player(JANE)
    assert again != jane
    assert set(await traces(database, again)) == {"players", "gadget_sessions"}
    await setting.synced(JANE)
    entries = (await lists_of(database, BOARD))["all"]
    assert again in entries
    assert jane not in entries
    assert await database.read(lambda reader: reader.fetch("SELECT * FROM erased")) == []


# --- what breaks off --------------------------------------------------------------------------------------------------


class Stop(Exception):
    """Somebody pulled the plug."""


class Stopping:
    """A database that is gone after so many writes."""

    def __init__(self, database: Database, writes: int, error: Exception | None = None) -> None:
        self._database = database
        self.writes = writes
        self._error = error or Stop()
        self.read, self.look, self.glance = database.read, database.look, database.glance
        self.most_together = database.most_together

    async def write(self, work: WriteWork[T]) -> T:
        if self.writes == 0:
            raise self._error
        self.writes -= 1
        return await self._database.write(work)


async def test_what_was_broken_off_at_any_moment_is_finished_by_the_upkeep(
    database: Database, clock: Clock, leaderboards: Leaderboards, scene: Scene
) -> None:
    """After each transaction, of one row: nobody sees who it was, and no count is ever wrong."""
    ana, bruno, _ = scene.players
    with pytest.raises(Stop):
        await Moderation(Stopping(database, 1), clock.now_ms).erase(bruno, **WHY)
    stops = 0
    while stops < 200:
        for board in (BOARD, DENSE):
            await lists_of(database, board)  # checks its blocks
        page = await leaderboards.entries("letters", reader=ana)
        assert "Bruno" not in names(page)
        assert "Bruno" not in await dump(database)
        with pytest.raises(NotFound):
            await player_of(database, "01")
        assert await database.look(lambda reader: people.find_player(reader, "orkut", "01")) is None
        try:
            assert await Eraser(Stopping(database, 2), clock.now_ms, rows=1).go_on() == 0
            break
        except Stop:
            stops += 1
            assert await traces(database, bruno)
    assert 5 < stops < 200
    assert await traces(database, bruno) == {}


async def test_the_upkeep_goes_on_with_it(database: Database, clock: Clock, scene: Scene) -> None:
    with pytest.raises(Stop):
        await Moderation(Stopping(database, 1), clock.now_ms).erase(scene.players[1], **WHY)

    async def once(_: float) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Upkeep(database, clock.now_ms, sleep=once).run()
    assert await traces(database, scene.players[1]) == {}


async def test_several_may_erase_at_once(database: Database, clock: Clock, scene: Scene) -> None:
    ana, bruno, carlos = scene.players
    for player in (ana, bruno):
        with pytest.raises(Stop):
            await Moderation(Stopping(database, 1), clock.now_ms).erase(player, **WHY)
    erasers = [Eraser(database, clock.now_ms, rows=2) for _ in range(4)]
    await asyncio.gather(*(eraser.go_on() for eraser in erasers))
    assert (await traces(database, ana), await traces(database, bruno)) == ({}, {})
    for board in (BOARD, DENSE):
        assert {player for entries in (await lists_of(database, board)).values() for player in entries} <= {carlos}


# --- while boards are rebuilt -----------------------------------------------------------------------------------------


async def test_who_is_erased_while_a_board_is_rebuilt_is_not_in_it_and_goes_when_it_is_done(
    database: Database, clock: Clock, scene: Scene
) -> None:
    """At every moment at which the rebuild reads events: what was read is not deleted with them."""
    ana, bruno, carlos = scene.players
    latest = replace(BOARD, keep=Keep.LATEST)
    original = rebuild.events
    finished: list[bool] = []

    async def events(reader: Reader, *rest: object, **named: object) -> object:
        found = await original(reader, *rest, **named)  # type: ignore[arg-type]
        reads.append(len(found))
        return found

    reads: list[int] = []

    class Between:
        """Erases somebody before the first write behind the first read of events."""

        def __init__(self) -> None:
            self.read, self.look, self.glance = database.read, database.look, database.glance
            self.most_together = database.most_together

        async def write(self, work: WriteWork[T]) -> T:
            if reads and not finished:
                finished.append(await scene.moderation.erase(bruno, **WHY))
            return await database.write(work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild, "events", events)
        await Rebuilds(Between(), clock.now_ms, pace=replace(SLOW, events=2, rows=1), sizes=SMALL).rebuild(
            latest, revision=1, progress=lambda *_: None
        )
    assert finished == [False]
    lists = await lists_of(database, latest)
    assert {player for entries in lists.values() for player in entries} == {ana, carlos}
    assert set(await traces(database, bruno)) == {"players"}
    assert await Eraser(database, clock.now_ms).go_on() == 0
    assert await traces(database, bruno) == {}


async def test_who_is_stripped_is_erased_though_the_database_was_lost_then(
    database: Database, clock: Clock, scene: Scene
) -> None:
    """Whoever asked must not be told that nothing was kept."""
    bruno = scene.players[1]
    lost = Stopping(database, 1, DatabaseUnavailable("lost"))
    assert not await Moderation(lost, clock.now_ms).erase(bruno, **WHY)
    assert await Eraser(database, clock.now_ms).go_on() == 0
    assert await traces(database, bruno) == {}


async def test_a_rebuild_takes_out_whoever_is_half_erased(database: Database, clock: Clock, scene: Scene) -> None:
    """Their events are still there when it reads them."""
    ana, bruno, carlos = scene.players
    with pytest.raises(Stop):
        await Moderation(Stopping(database, 1), clock.now_ms).erase(bruno, **WHY)
    await Rebuilds(database, clock.now_ms, pace=SLOW, sizes=SMALL).rebuild(BOARD, revision=1, progress=lambda *_: None)
    assert (await traces(database, bruno))["events"] > 0
    lists = await lists_of(database, BOARD)
    assert {player for entries in lists.values() for player in entries} == {ana, carlos}


@pytest.mark.parametrize(("writes", "left"), [(4, {"entries_by_player"}), (24, {"entries_by_player", "entries"})])
async def test_what_a_rebuild_left_that_was_killed_does_not_keep_it_from_ending(
    database: Database, clock: Clock, scene: Scene, *, writes: int, left: set[str]
) -> None:
    """Its half built lists hold entries of theirs; they wait for its lease, not for another rebuild."""
    bruno = scene.players[1]

    class Killed:
        def __init__(self) -> None:
            self.read, self.look, self.glance = database.read, database.look, database.glance
            self.most_together = database.most_together
            self.writes = 0

        async def write(self, work: WriteWork[T]) -> T:
            self.writes += 1
            if self.writes > writes:
                raise Stop
            return await database.write(work)

    with pytest.raises(Stop):
        await Rebuilds(Killed(), clock.now_ms, pace=replace(SLOW, rows=1, events=1), sizes=SMALL).rebuild(
            BOARD, revision=1, progress=lambda *_: None
        )
    assert not await scene.moderation.erase(bruno, **WHY)
    assert set(await traces(database, bruno)) == {"players"} | left
    clock.advance(minutes=2)
    assert await Eraser(database, clock.now_ms).go_on() == 0
    assert await traces(database, bruno) == {}
    await Rebuilds(database, clock.now_ms, pace=SLOW, sizes=SMALL).rebuild(BOARD, revision=1, progress=lambda *_: None)
    assert bruno not in (await lists_of(database, BOARD))["all"]


async def test_a_rebuild_that_slept_while_somebody_was_erased_is_not_put_in_force(
    database: Database, clock: Clock, scene: Scene
) -> None:
    """Its lease had ended, so nobody waited for it."""
    bruno = scene.players[1]
    before = await lists_of(database, BOARD)
    original = Rebuilds._switch

    async def switch(self: Rebuilds, build: object) -> object:
        clock.advance(minutes=2)
        assert await scene.moderation.erase(bruno, **WHY)
        return await original(self, build)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rebuilds, "_switch", switch)
        with pytest.raises(Conflict, match="stood still"):
            await Rebuilds(database, clock.now_ms, pace=SLOW, sizes=SMALL).rebuild(
                BOARD, revision=1, progress=lambda *_: None
            )
    left = {id_: {p: e for p, e in entries.items() if p != bruno} for id_, entries in before.items()}
    assert await lists_of(database, BOARD) == left
    assert await traces(database, bruno) == {}


async def test_a_lease_of_a_rebuild_keeps_the_row_alone(database: Database, clock: Clock, scene: Scene) -> None:
    name, until_ms = f"{rebuild.LEASE}letters", clock.now_ms() + 1_000
    await database.write(lambda tx: leases.acquire(tx, name, "another", now_ms=clock.now_ms(), until_ms=until_ms))
    assert not await scene.moderation.erase(scene.players[1], **WHY)
    assert await traces(database, scene.players[1]) == {"players": 1}
    assert await Eraser(database, clock.now_ms).go_on() == 1
    clock.set(until_ms)
    assert await Eraser(database, clock.now_ms).go_on() == 0
    assert await traces(database, scene.players[1]) == {}
