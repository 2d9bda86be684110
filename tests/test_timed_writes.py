"""AppData written at a time, in the sandbox: on a birthday, although the player is not there; once, come what may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from homeserver import appdata_command
from homeserver.clients.container import ContainerClient
from homeserver.errors import BadInput, Conflict, NotFound, TooMany
from homeserver.protocol.dialects import GUIDE
from homeserver.sandbox import CannedReply, Fault
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE
from homeserver.services.appdata import AppDataWriter
from homeserver.services.timed_writes import LEASE_S, MAX_WAITING, TRIES, Rule, TimedWrites
from homeserver.storage import people
from homeserver.storage.appdata_writes import State, Write
from homeserver.storage.database import Database
from tests import sync_kit
from tests.at_work import at_work
from tests.clock import Clock
from tests.demos import running_demo
from tests.patience import reached, until
from tests.sync_kit import World

WRITES = "PUT /social/rest/appdata/*"
BIRTHDAY = Rule("birthday", "greeting", "Happy birthday!", "09:00", "America/Sao_Paulo")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@dataclass
class Setting:
    world: World
    database: Database
    client: ContainerClient

    def writes(self, *, rules: tuple[Rule, ...] = (), offline: bool = True) -> TimedWrites:
        now_ms = self.world.clock.now_ms
        writer = AppDataWriter(self.database, self.client, "sandbox", now_ms, sleep=self._sleep)
        return TimedWrites(self.database, writer, "sandbox", now_ms, rules=rules, offline=offline, draw=lambda: 0.5)

    async def _sleep(self, seconds: float) -> None:
        self.world.clock.advance(ms=int(seconds * 1000) + 1)
        await asyncio.sleep(0)

    async def player(self, user_id: str) -> int:
        return await self.database.write(lambda tx: people.player_of(tx, "sandbox", user_id))

    async def know(self, *user_ids: str) -> None:
        """Learn who these are, birthdays too."""
        now_ms = self.world.clock.now_ms()
        found = {await self.player(user_id): await self.client.person(user_id) for user_id in user_ids}
        await self.database.write(lambda tx: people.observe_people(tx, found, now_ms))

    def held(self, user_id: str) -> dict[str, str]:
        return self.world.sandbox.container.appdata_of(user_id)

    def puts(self) -> int:
        return sum(request.method in {"PUT", "POST"} for request in self.world.sandbox.container.requests)


@pytest.fixture
async def setting(clock: Clock, database: Database) -> AsyncIterator[Setting]:
    """On both engines."""
    dialect = replace(GUIDE, people_fields=(*GUIDE.people_fields, "dateOfBirth"))
    async with sync_kit.world(clock) as world:
        await sync_kit.add_board(database)
        yield Setting(world, database, world.client(dialect))


async def only(writes: TimedWrites) -> Write:
    (found,) = await writes.recent()
    return found


# --- birthdays --------------------------------------------------------------------------------------------------------


async def test_a_value_is_written_on_a_birthday_although_the_player_is_not_there(setting: Setting) -> None:
    """The guide's own example. Elizabeth was born on 28 May; nine in São Paulo is twelve by our clock."""
    await setting.know(ELIZABETH, JANE, CHARLOTTE)
    writes = setting.writes(rules=(BIRTHDAY,))
    before = setting.held(ELIZABETH)
    for moment, greeted in (
        ("2027-05-27T11:00", False),
        ("2027-05-28T11:59", False),
        ("2027-05-28T12:00", True),
        ("2027-05-29T12:00", True),
    ):
        setting.world.clock.set(ms(moment))
        await writes.plan_rules()
        await writes.do_due()
        assert setting.held(ELIZABETH) == before | ({"greeting": "Happy birthday!"} if greeted else {})
    assert "greeting" not in setting.held(JANE)
    assert setting.puts() == 1

    setting.world.sandbox.container.set_appdata(ELIZABETH, before)
    setting.world.clock.set(ms("2028-05-28T12:00"))
    await writes.plan_rules()
    await writes.do_due()
    assert setting.held(ELIZABETH)["greeting"] == "Happy birthday!"
    assert [one.occasion for one in await writes.recent()] == ["2028", "2027"]


async def test_one_that_came_while_we_were_away_is_written_late_but_not_days_later(setting: Setting) -> None:
    await setting.know(ELIZABETH, JANE)
    writes = setting.writes(rules=(BIRTHDAY,))
    setting.world.clock.set(ms("2027-05-29T11:00"))
    await writes.plan_rules()
    assert await writes.do_due() == 1
    setting.world.clock.set(ms("2028-02-13T11:00"))
    await writes.plan_rules()
    assert await writes.do_due() == 0


async def has_looked(writes: TimedWrites) -> bool:
    """Whether it knows whoever is there, and waits for more."""
    return bool(writes._wake._waiters) and not writes._present


async def test_a_birthday_that_is_learned_on_the_day_is_planned_within_minutes(setting: Setting) -> None:
    """Rules are not planned at every look: that reads everybody whose birthday is near."""
    setting.world.clock.set(ms("2027-05-28T11:55"))
    writes, elizabeth = setting.writes(rules=(BIRTHDAY,), offline=False), await setting.player(ELIZABETH)

    async def look() -> list[Write]:
        await until(lambda: has_looked(writes))
        writes.arrived(elizabeth)
        await until(lambda: has_looked(writes))
        return await writes.recent()

    async with at_work(writes.run()):
        assert await look() == []
        await setting.know(ELIZABETH)
        setting.world.clock.set(ms("2027-05-28T12:04"))
        assert await look() == []
        setting.world.clock.set(ms("2027-05-28T12:05"))
        (planned,) = await look()
        assert planned.due_ms == ms("2027-05-28T12:00")


async def test_whoever_has_no_known_birthday_is_listed(setting: Setting) -> None:
    await setting.know(ELIZABETH)
    await setting.player(JANE)
    assert await setting.writes().without_birthday() == (1, [JANE])


async def test_only_the_day_of_a_birthday_is_kept(setting: Setting) -> None:
    await setting.know(ELIZABETH)
    rows = await setting.database.read(lambda reader: reader.fetch("SELECT birthday FROM players"))
    assert [tuple(row) for row in rows] == [("05-28",)]


# --- at a time --------------------------------------------------------------------------------------------------------


async def test_a_value_is_written_once_at_its_time(setting: Setting) -> None:
    writes, elizabeth = setting.writes(), await setting.player(ELIZABETH)
    due_ms = await writes.plan(elizabeth, "letters", "41", "2026-12-24T18:00")
    assert due_ms == ms("2026-12-24T18:00")
    assert await writes.do_due() == 0
    setting.world.clock.set(due_ms)
    assert await writes.do_due() == 1
    assert setting.held(ELIZABETH)["letters"] == "41"
    assert (await sync_kit.listed(setting.database))[ELIZABETH] == 41, "a board's field counts"
    assert await writes.do_due() == 0
    found = await only(writes)
    assert (found.state, found.done_ms) == (State.DONE, due_ms)


async def test_a_key_is_deleted_at_its_time(setting: Setting) -> None:
    writes, elizabeth = setting.writes(), await setting.player(ELIZABETH)
    await writes.plan(elizabeth, "last_letter_date", None, "2026-12-24T18:00")
    setting.world.clock.set(ms("2026-12-24T18:00"))
    await writes.do_due()
    assert setting.held(ELIZABETH) == {"letters": "3"}


@pytest.mark.parametrize("at", ["yearly:12-24T18:00", "birthday:T18:00"])
async def test_what_returns_every_year_is_planned_anew_when_it_is_done(setting: Setting, at: str) -> None:
    await setting.know(ELIZABETH)
    writes, elizabeth = setting.writes(), await setting.player(ELIZABETH)
    due_ms = await writes.plan(elizabeth, "greeting", "Again", at)
    assert due_ms == ms("2026-12-24T18:00" if "12" in at else "2027-05-28T18:00")
    with pytest.raises(Conflict):
        await writes.plan(elizabeth, "greeting", "Twice", at)
    setting.world.clock.set(due_ms)
    await writes.do_due()
    waits, done = await writes.recent()
    assert (waits.state, done.state) == (State.WAITING, State.DONE)
    assert datetime.fromtimestamp(waits.due_ms / 1000, UTC).year == datetime.fromtimestamp(due_ms / 1000, UTC).year + 1
    await writes.cancel(waits.id)
    assert len(await writes.recent()) == 1
    with pytest.raises(NotFound):
        await writes.cancel(done.id)


@pytest.mark.parametrize("at", ["soon", "yearly:31-12", "yearly:12-24T99:00", "birthday", "birthday:05-28", "yearly:"])
async def test_a_time_that_is_none_is_refused(setting: Setting, at: str) -> None:
    with pytest.raises(BadInput) as refused:
        await setting.writes().plan(await setting.player(ELIZABETH), "greeting", "x", at)
    assert refused.value.field == "at"
    assert await setting.writes().recent() == []


async def test_not_without_end_for_one_player(setting: Setting) -> None:
    writes, elizabeth = setting.writes(), await setting.player(ELIZABETH)
    for number in range(MAX_WAITING):
        await writes.plan(elizabeth, f"k{number}", "x", "2026-12-24T18:00")
    with pytest.raises(TooMany):
        await writes.plan(elizabeth, "one_more", "x", "2026-12-24T18:00")
    with pytest.raises(NotFound):
        await writes.plan(4_711, "k", "x", "2026-12-24T18:00")


# --- failures ---------------------------------------------------------------------------------------------------------

FAILURES: dict[str, Fault] = {
    "503": Fault(WRITES, reply=CannedReply(503, b"")),
    "taken, and no answer": Fault(WRITES, drop_after=True, times=2),
    "401": Fault(WRITES, reply=CannedReply(401, b"unauthorized")),
}


@pytest.mark.parametrize("fault", FAILURES.values(), ids=FAILURES.keys())
async def test_a_failure_is_tried_again_and_seen(setting: Setting, fault: Fault) -> None:
    writes, elizabeth = setting.writes(), await setting.player(ELIZABETH)
    due_ms = await writes.plan(elizabeth, "greeting", "Hello", "2026-12-24T18:00")
    setting.world.clock.set(due_ms)
    setting.world.sandbox.faults.add(fault)
    await writes.do_due()
    found = await only(writes)
    assert (found.state, found.attempts) == (State.WAITING, 1)
    assert found.due_ms > due_ms
    assert found.detail
    setting.world.clock.set(found.due_ms)
    await writes.do_due()
    assert (await only(writes)).state is State.DONE
    assert setting.held(ELIZABETH) == {"letters": "3", "last_letter_date": "2008-10-30T18:30:02Z", "greeting": "Hello"}


async def test_what_the_container_will_never_take_is_given_up_at_once(setting: Setting) -> None:
    writes, elizabeth = setting.writes(), await setting.player(ELIZABETH)
    setting.world.clock.set(await writes.plan(elizabeth, "greeting", "x" * 20_000, "2026-12-24T18:00"))
    await writes.do_due()
    found = await only(writes)
    assert found.state is State.FAILED
    assert "quota" in (found.detail or "")


async def test_it_is_not_tried_for_ever(setting: Setting) -> None:
    writes, elizabeth = setting.writes(), await setting.player(ELIZABETH)
    setting.world.clock.set(await writes.plan(elizabeth, "greeting", "x", "2026-12-24T18:00"))
    setting.world.sandbox.faults.add(Fault("*", reply=CannedReply(503, b""), times=None))
    for _ in range(TRIES):
        await writes.do_due()
        setting.world.clock.advance(hours=10)
    found = await only(writes)
    assert (found.state, found.attempts) == (State.FAILED, TRIES)


async def test_a_write_of_a_process_that_died_is_done_by_another_and_once(setting: Setting) -> None:
    dies, lives = setting.writes(), setting.writes()
    elizabeth = await setting.player(ELIZABETH)
    setting.world.clock.set(await dies.plan(elizabeth, "letters", "41", "2026-12-24T18:00"))

    async def killed(*args: object) -> None:
        raise asyncio.CancelledError

    dies._count = killed  # type: ignore[method-assign, assignment]
    with pytest.raises(asyncio.CancelledError):
        await dies.do_due()
    assert setting.held(ELIZABETH)["letters"] == "41", "the container has it, and nobody here knows"
    assert await lives.do_due() == 0, "it may still be at it"
    setting.world.clock.advance(s=int(LEASE_S) + 1)
    assert await lives.do_due() == 1
    assert setting.puts() == 1, "what is there already is not sent again"
    events = await setting.database.read(lambda reader: reader.fetch("SELECT new FROM events"))
    assert [row[0] for row in events] == ["41"]


async def test_what_a_process_leaves_that_is_told_to_stop_another_does_at_once(setting: Setting) -> None:
    """No lease has to end first."""
    player = await setting.player(ELIZABETH)
    first, second = setting.writes(), setting.writes()
    await first.plan(player, "greeting", "hello", "2026-11-22T12:01")
    setting.world.clock.advance(minutes=2)
    hold = setting.world.sandbox.faults.add(Fault(WRITES, hold=True))
    async with at_work(first.run()):
        await reached(hold)
        assert await second.do_due() == 0
    hold.release.set()
    assert await second.do_due() == 1
    assert setting.held(ELIZABETH)["greeting"] == "hello"


async def test_two_processes_do_each_write_once(setting: Setting) -> None:
    both = setting.writes(), setting.writes()
    for user_id in (ELIZABETH, JANE, CHARLOTTE):
        await both[0].plan(await setting.player(user_id), "greeting", "Hello", "2026-12-24T18:00")
    setting.world.clock.set(ms("2026-12-24T18:00"))
    assert sum(await asyncio.gather(*(one.do_due() for one in both))) == 3
    assert setting.puts() == 3


async def test_where_the_absent_cannot_be_written_a_due_write_waits_for_their_next_call(setting: Setting) -> None:
    writes, elizabeth = setting.writes(offline=False), await setting.player(ELIZABETH)
    setting.world.sandbox.container.offline = False
    setting.world.clock.set(await writes.plan(elizabeth, "greeting", "Hello", "2026-12-24T18:00"))
    async with at_work(writes.run()):
        await until(lambda: has_looked(writes))
        assert "greeting" not in setting.held(ELIZABETH)
        assert (await only(writes)).attempts == 0
        setting.world.sandbox.container.open_gadget(ELIZABETH)
        writes.arrived(elizabeth)
        await until(lambda: only(writes), lambda write: write.state is State.DONE)
        assert setting.held(ELIZABETH)["greeting"] == "Hello"


# --- by command -------------------------------------------------------------------------------------------------------


async def test_the_commands(tmp_path: Path) -> None:
    async with running_demo(tmp_path) as demo:
        said: list[str] = []
        say: Callable[[str], None] = said.append
        await appdata_command.get(demo.settings, JANE, "letters", say)
        await appdata_command.get(demo.settings, JANE, None, say)
        assert said == ["2", "last_letter_date=2008-10-15T10:01:00Z", "letters=2"]
        with pytest.raises(NotFound):
            await appdata_command.get(demo.settings, JANE, "nothing", say)
        with pytest.raises(NotFound, match="sync --player"):
            await appdata_command.write(demo.settings, JANE, "greeting", "Hello", say)
        from homeserver.sync_command import sync_one

        await sync_one(demo.settings, JANE, lambda _: None)
        await appdata_command.write(demo.settings, JANE, "greeting", "Hello", say)
        assert demo.sandbox.container.appdata_of(JANE)["greeting"] == "Hello"
        await appdata_command.write(demo.settings, JANE, "greeting", None, say)
        assert "greeting" not in demo.sandbox.container.appdata_of(JANE)
        said.clear()
        await appdata_command.write(demo.settings, JANE, "greeting", "Hello", say, at="2099-12-24T18:00")
        await appdata_command.show(demo.settings, say)
        assert said[0] == "Planned for 2099-12-24 18:00 UTC."
        assert said[1].split() == ["1", "2099-12-24", "18:00", "UTC", "waiting", JANE, "greeting=Hello"]
        await appdata_command.cancel(demo.settings, 1, say)
        said.clear()
        await appdata_command.show(demo.settings, say)
        assert said == []


def test_a_pair() -> None:
    assert appdata_command.parse_pair("a=b=c") == ("a", "b=c")
    with pytest.raises(BadInput):
        appdata_command.parse_pair("a")
