"""What operators do to boards and players from the command line, beyond `boards_command` and `players_command`.

The acts are those of `/admin/api/`, done here and now.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from homeserver import config
from homeserver.domain import instants
from homeserver.errors import BadInput
from homeserver.model import BulkAct, NewToken, Role, Task, TaskState
from homeserver.progress import Bar
from homeserver.services.dossiers import Dossiers
from homeserver.services.operator_views import Wanted
from homeserver.services.secret_box import derive
from homeserver.serving import Say
from homeserver.wiring import database_of, open_core, wall_clock_ms
from homeserver.wiring_admin import Office, office_of

SHOWN: Final = 50


class OfficeCommand:
    """What the commands do. `actor` and `reason` are who does it and why, where anything is changed."""

    def __init__(self, settings: config.Settings, say: Say, actor: str = "-", reason: str = "-") -> None:
        self._settings = settings
        self._say = say
        self._why = {"actor": actor, "reason": reason}

    @asynccontextmanager
    async def _office(self) -> AsyncIterator[Office]:
        settings = self._settings
        key = derive(settings.server.secret_key.get_secret_value(), "operators' cursors")
        async with database_of(settings) as database:
            yield office_of(database, settings.container.name, wall_clock_ms, key)

    async def _player(self, office: Office, id_: str) -> int:
        return await office.players.player(id_)

    # --- boards -------------------------------------------------------------------------------------------------------

    async def status(self) -> bool:
        """`boards status`."""
        async with self._office() as office:
            self._say(f"{'board':<20} {'entries':>12} {'a minute':>9} {'hidden':>7} {'removed':>8} {'wait':>6}  state")
            for each in await office.watch.statuses():
                state = f"closed since {_time(each.closed_ms)}" if each.closed_ms else "open"
                check = "" if each.check is None else f"; {_check(each.check)}"
                work = "" if each.at_work is None else f"; {each.at_work.kind}: {each.at_work.state}"
                self._say(
                    f"{each.board.id:<20} {each.entries:>12,} {each.writes_per_minute:>9,.1f} {each.hidden:>7,} "
                    f"{each.removed:>8,} {each.pending:>6,}  {state}{check}{work}"
                )
        return True

    async def close(self, board: str) -> bool:
        """`boards close`."""
        async with self._office() as office:
            await office.states.close(board, **self._why)
        self._say(f"{board} is closed: it takes no scores, and shows its last state.")
        return True

    async def open(self, board: str) -> bool:
        """`boards open`."""
        async with self._office() as office:
            await office.states.open(board, **self._why)
        self._say(f"{board} is open.")
        return True

    async def reset(self, board: str, name: str, agreed: Callable[[], bool]) -> bool:
        """`boards reset`: say what goes, ask, do it."""
        async with self._office() as office:
            status = await office.watch.status(board)
            self._say(
                f"RESET {board}: its {status.entries:,} entries go into the archive {name}; it begins with nothing."
            )
            if not agreed():
                self._say("Nothing was changed.")
                return False
            return await self._done(office, await office.tasks.reset(board, name, **self._why))

    async def undo_reset(self, board: str) -> bool:
        """`boards undo-reset`."""
        async with self._office() as office:
            return await self._done(office, await office.tasks.undo_reset(board, **self._why))

    async def verify(self, board: str) -> bool:
        """`boards verify`: whether its lists agree with themselves."""
        async with self._office() as office:
            return await self._done(office, await office.tasks.verify(board, **self._why))

    async def archives(self, board: str) -> bool:
        """`boards archives`."""
        async with self._office() as office:
            for each in await office.states.archives(board):
                why = f"({each.actor}: {each.reason})"
                self._say(f"{each.id:>6} {_time(each.at_ms)} {each.entries:>12,} entries  {each.name}  {why}")
        return True

    async def delete_archive(self, board: str, archive: int) -> bool:
        """`boards delete-archive`."""
        async with self._office() as office:
            await office.states.delete_archive(board, archive, **self._why)
        self._say("The archive is deleted.")
        return True

    async def tasks(self, board: str) -> bool:
        """`boards tasks`: what was done to the board."""
        async with self._office() as office:
            for task in await office.tasks.of_board(board):
                self._say(f"{task.id:>6} {_time(task.started_ms)} {task.kind}: {task.state}, {_result(task)}")
        return True

    async def bulk(self, board: str, wanted: BulkAct, *, dry_run: bool, agreed: Callable[[], bool]) -> bool:
        """`boards bulk`: say whom it concerns, ask, do it."""
        async with self._office() as office:
            preview = await office.bulk.preview(board, wanted, limit=SHOWN)
            total = "" if preview.total is None else f"{preview.total:,} "
            self._say(f"{wanted.action.value.upper()} {total}players of {board}:")
            for each in preview.concerned:
                self._say(f"  {each.display:>16}  {each.player.name}")
            if preview.next is not None:
                self._say("  and more")
            if dry_run or not agreed():
                self._say("Nothing was changed.")
                return dry_run
            return await self._done(office, await office.tasks.bulk(board, wanted, **self._why))

    async def undo_bulk(self, task: int) -> bool:
        """`boards undo-bulk`."""
        async with self._office() as office:
            return await self._done(office, await office.tasks.undo_bulk(task, **self._why))

    async def suspects(self, board: str, period: str, far: float) -> bool:
        """`boards suspects`: scores and jumps that are far from the others."""
        async with self._office() as office:
            found = await office.outliers.scores(board, period=period, far=far, limit=SHOWN)
            jumps = await office.outliers.jumps(board, far=far, limit=SHOWN)
            if found.usual is not None:
                self._say(f"Usual is {found.usual}.")
            for each in (*found.suspects, *jumps.suspects):
                self._say(f"{each.display:>16} {each.oddity:<6} {each.distance:>9,.1f}  {each.player.name}")
            if not found.suspects and not jumps.suspects:
                self._say("Nothing is far from the others.")
        return True

    async def search(self, board: str, text: str, period: str) -> bool:
        """`boards search`: entries by an id or a name."""
        async with self._office() as office:
            page = await office.views.entries(board, Wanted(period=period, search=text))
            for each in page.entries:
                rank = f"{'=' * each.tied}{each.rank}"
                self._say(f"{rank:>12} {each.display:>16}  {each.player.name}  {each.user_id}")
            if not page.entries:
                self._say("Nobody is found.")
        return True

    async def _done(self, office: Office, task: Task) -> bool:
        """Do a task here and now, and say what came of it; whether that is good."""
        bar = Bar("players")
        try:
            ended = await office.tasks.do(task.id, bar.show)
            while ended.ended_ms is None:  # a server was quicker
                await asyncio.sleep(0.2)
                ended = await office.tasks.find(task.id)
                bar.show(ended.done, max(ended.total, 1))
        finally:
            bar.end()
        self._say(f"{ended.board}: {ended.kind}, task {ended.id}: {ended.state}, {_result(ended)}")
        return ended.state is TaskState.DONE

    # --- players ------------------------------------------------------------------------------------------------------

    async def adjust(self, id_: str, board: str, score: str) -> bool:
        """`players adjust`."""
        async with self._office() as office:
            await office.moderation.adjust(await self._player(office, id_), board, score, **self._why)
        self._say(f"The score on {board} is {score} until AppData says another.")
        return True

    async def unadjust(self, id_: str, board: str) -> bool:
        """`players unadjust`."""
        async with self._office() as office:
            await office.moderation.unadjust(await self._player(office, id_), board, **self._why)
        self._say(f"The last adjustment on {board} is undone.")
        return True

    async def clear(self, id_: str, board: str) -> bool:
        """`players clear`."""
        async with self._office() as office:
            await office.outliers.clear(await self._player(office, id_), board, **self._why)
        self._say(f"The score on {board} is right: it is no suspect any more.")
        return True

    async def unclear(self, id_: str, board: str) -> bool:
        """`players unclear`."""
        async with self._office() as office:
            await office.outliers.unclear(await self._player(office, id_), board, **self._why)
        self._say(f"That the score on {board} is right is taken back.")
        return True

    async def score(self, id_: str, board: str, value: str, time: str | None) -> bool:
        """`players score`: one that the operator vouches for."""
        at_ms = None if time is None else instants.parse(time)
        if time is not None and at_ms is None:
            raise BadInput("--time: ISO 8601 with a zone, such as 2026-11-22T12:00:00Z", field="time")
        async with self._office() as office:
            await office.scores.give(await self._player(office, id_), board, value, at_ms=at_ms, **self._why)
        self._say(f"{value} counts on {board}.")
        return True

    async def find(self, text: str) -> bool:
        """`players find`."""
        async with self._office() as office:
            found = await office.players.search(text)
            for each in found:
                self._say(f"{each.user_id:<24} {each.card.id:<24} {each.card.name}")
            if not found:
                self._say("Nobody is found.")
        return True

    async def dossier(self, id_: str) -> bool:
        """`players dossier`: what is held of a player, and what boards make of it."""
        async with open_core(self._settings) as core:
            dossiers = Dossiers(core.database, core.boards, self._settings.container.name)
            found = await dossiers.show(await dossiers.player(id_))
        synced = "never" if found.synced_ms is None else _time(found.synced_ms)
        self._say(f"{found.card.name}, {found.container} {found.user_id}, public id {found.card.id}")
        self._say(f"  friends {found.friends:,}, synced {synced}, uploads {len(found.uploads)}")
        for value in found.values:
            self._say(f"  {value.key} = {value.value if value.value is not None else '(gone)'}")
            for reading in value.readings:
                self._say(f"    {reading.board}: {reading.display if reading.refused is None else reading.refused}")
        for each in found.adjusted:
            self._say(f"  {each.board}: adjusted to {each.score} at {_time(each.at_ms)} by {each.actor}: {each.reason}")
        for change in found.changes:
            self._say(f"  {_time(change.at_ms)} {change.key}: {change.old} -> {change.new} ({change.origin})")
        return True

    # --- tokens -------------------------------------------------------------------------------------------------------

    async def add_token(self, owner: str, name: str, role: Role, days: int) -> bool:
        """`admin token`: the token is shown this once."""
        async with self._office() as office:
            made: NewToken = await office.tokens.add(owner, name, role, days=days, actor=self._why["actor"])
        self._say(f"{made.token}\nGood until {_time(made.listed.expires_ms)}, to {role.value}. It is not shown again.")
        return True

    async def tokens(self, owner: str) -> bool:
        """`admin tokens`."""
        async with self._office() as office:
            for each in await office.tokens.listed(owner):
                used = "never used" if each.used_ms is None else f"used {_time(each.used_ms)}"
                self._say(f"{each.id} {each.role:<10} until {_time(each.expires_ms)}, {used}  {each.name}")
        return True

    async def revoke(self, owner: str, token: str) -> bool:
        """`admin revoke`."""
        async with self._office() as office:
            await office.tokens.revoke(owner, token, actor=self._why["actor"])
        self._say("The token is worth nothing any more.")
        return True


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _check(task: Task) -> str:
    return f"checked {_time(task.ended_ms or task.started_ms)}: {task.state}"


def _result(task: Task) -> str:
    return ", ".join(f"{name} {value}" for name, value in task.result.items()) or "no result yet"
