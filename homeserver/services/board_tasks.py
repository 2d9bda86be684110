"""What is done to a whole board and may take long: kept as a task, done behind whoever asked, and told how far it is.

A task is done by any one process, which holds it by a lease. One that was broken off is taken up by another: a bulk act
where it was, a rebuild, a check or a reset from its beginning. A rebuild, a reset and its undo end in the very
transaction that puts them in force, so none of them is done twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Final, NamedTuple

import structlog

from homeserver.errors import BadInput, Conflict, DatabaseUnavailable, HomeServerError, NotFound
from homeserver.model import Act, Action, BulkAct, NowMs, Task, TaskKind, TaskState
from homeserver.services import board_checks, board_lists, reasons
from homeserver.services.board_states import BoardStates
from homeserver.services.bulk import Bulk
from homeserver.services.rebuilds import Finished, Progress, Rebuilds, Rebuilt
from homeserver.services.turns import Sleep, to_the_end
from homeserver.storage import board_tasks as store
from homeserver.storage import moderation
from homeserver.storage.database import Database, Reader, Transaction

LEASE_MS: Final = 70_000
"""Longer than a rebuild's: whoever takes up the task of one that died finds the board free."""
TOLD_EVERY_S: Final = 1.0
LOOK_EVERY_S: Final = 5.0
MAX_LIMIT: Final = 100
MAX_OPEN: Final = 50
"""Tasks that wait or run, of all boards."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Outcome:
    result: Mapping[str, object]
    is_good: bool = True


class _Doing(NamedTuple):
    """A task under way."""

    task: Task
    progress: Progress
    finished: Finished
    """Ends the task in the transaction that does what it is for. Conflict where another process has taken it up."""


_Work = Callable[[_Doing], Awaitable[_Outcome]]


def _quiet(done: int, total: int) -> None:
    del done, total


class BoardTasks:
    """Keeps tasks and does them.

    Common to what starts one: `actor` is who asks for it, `reason` why. It is answered at once, with the task as it
    waits. `find` says later what became of it.

    Common errors: NotFound (no such board), BadInput (field "actor" or "reason"), Conflict (the same is being done to
    the board already, or there are too many tasks).
    """

    def __init__(
        self,
        database: Database,
        rebuilds: Rebuilds,
        states: BoardStates,
        bulk: Bulk,
        now_ms: NowMs,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._database = database
        self._rebuilds = rebuilds
        self._states = states
        self._bulk = bulk
        self._now_ms = now_ms
        self._sleep = sleep
        self._new = asyncio.Event()
        self._works: Mapping[TaskKind, _Work] = {
            TaskKind.REBUILD: self._rebuild,
            TaskKind.VERIFY: self._verify,
            TaskKind.RESET: self._reset,
            TaskKind.UNRESET: self._undo_reset,
            TaskKind.BULK: self._run_bulk,
            TaskKind.UNDO_BULK: self._undo_bulk,
        }

    # --- asking for one -----------------------------------------------------------------------------------------------

    async def rebuild(self, board_id: str, *, actor: str, reason: str) -> Task:
        """Make the board's lists anew from all changes. The result says how many entries there were before and are."""
        return await self._start(TaskKind.REBUILD, self._act(Action.REBUILD, actor, reason, board_id), {})

    async def verify(self, board_id: str, *, actor: str, reason: str) -> Task:
        """Compare what the board's lists hold with itself; see `board_checks`. A difference makes the task fail."""
        return await self._start(TaskKind.VERIFY, self._act(Action.VERIFY, actor, reason, board_id), {})

    async def reset(self, board_id: str, name: str, *, actor: str, reason: str) -> Task:
        """Archive what the board has under this name, and let it begin with nothing; see `BoardStates.reset`."""
        await self._states.check_reset(board_id, name)
        act = self._act(Action.RESET, actor, reason, board_id)
        return await self._start(TaskKind.RESET, act, {"name": name.strip()}, logged=False)

    async def undo_reset(self, board_id: str, *, actor: str, reason: str) -> Task:
        """Undo the last reset of the board; see `BoardStates.undo_reset`."""
        archive = await self._states.check_undo_reset(board_id)
        act = self._act(Action.UNRESET, actor, reason, board_id)
        return await self._start(TaskKind.UNRESET, act, {"archive": archive.id}, logged=False)

    async def bulk(self, board_id: str, wanted: BulkAct, *, actor: str, reason: str) -> Task:
        """Do something about all players whose score is in a range; see `Bulk`.

        Raises:
            BadInput: Not such an act (fields "action", "period", "least", "greatest").
        """
        act = self._act(Action.BULK, actor, reason, board_id)

        async def work(tx: Transaction) -> Task:
            await self._check_open(tx)
            return await _found(tx, await self._bulk.start(tx, board_id, wanted, act))

        return self._told(await self._database.write(work))

    async def undo_bulk(self, task_id: int, *, actor: str, reason: str) -> Task:
        """Undo a whole bulk act. Whoever was acted on since stays as they are.

        Raises:
            NotFound: No such act, or nothing is left of it.
            Conflict: It is not done yet, or is being undone.
        """
        act = self._act(Action.UNDO_BULK, actor, reason, None)

        async def work(tx: Transaction) -> Task:
            await self._check_open(tx)
            task = await _found(tx, task_id)
            if task.ended_ms is None or any(
                each.kind is TaskKind.UNDO_BULK and each.wanted.get("task") == task_id
                for each in await store.unfinished(tx)
            ):
                raise Conflict("This act is not done yet, or is being undone already.")
            return await _found(tx, await self._bulk.start_undo(tx, task_id, act))

        return self._told(await self._database.write(work))

    def _act(self, action: Action, actor: str, reason: str, board_id: str | None) -> Act:
        return reasons.act(action, self._now_ms(), actor, reason, board_id)

    async def _start(self, kind: TaskKind, act: Act, wanted: Mapping[str, object], *, logged: bool = True) -> Task:
        board_id = str(act.board)

        async def work(tx: Transaction) -> Task:
            await board_lists.board(tx, board_id)
            await self._check_open(tx)
            if any(each.kind is kind and each.board == board_id for each in await store.unfinished(tx)):
                raise Conflict("That is being done to the board already.")
            number = await store.add(tx, kind, board_id, wanted, act)
            if logged:
                await moderation.log(tx, replace(act, detail=f"task {number}"))
            return await _found(tx, number)

        return self._told(await self._database.write(work))

    async def _check_open(self, tx: Transaction) -> None:
        await tx.lock("board tasks")
        if len(await store.unfinished(tx)) >= MAX_OPEN:
            raise Conflict("Too much is being done already. Try again later.")

    def _told(self, task: Task) -> Task:
        self._new.set()
        return task

    # --- how far it is ------------------------------------------------------------------------------------------------

    async def find(self, task_id: int) -> Task:
        """A task as it is now.

        Raises:
            NotFound: There is none of this number (any more).
        """
        return await self._database.look(lambda reader: _found(reader, task_id))

    async def of_board(self, board_id: str, *, limit: int = 20, before: int | None = None) -> tuple[Task, ...]:
        """What was done to a board, newest first, before the task of this number.

        Raises:
            BadInput: `limit` is not 1 to 100 (field "limit").
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise BadInput(f"1 to {MAX_LIMIT} at a time", field="limit")
        return tuple(await self._database.look(lambda reader: store.of_board(reader, board_id, limit, before)))

    # --- doing it -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Do what waits, here and from other processes, one after the other, without end."""
        while True:
            self._new.clear()
            try:
                await self.do_all()
            except Exception:
                _log.exception("board_tasks_not_done")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._new.wait()

    async def do_all(self) -> int:
        """Do what waits; how many tasks that were."""
        done = 0
        for task in await self._database.look(store.unfinished):
            try:
                done += await self._try(task.id, _quiet)
            except DatabaseUnavailable as error:
                _log.warning("board_task_let_go", task=task.id, error=str(error))
        return done

    async def do(self, task_id: int, progress: Progress = _quiet) -> Task:
        """Do a task here and now, unless somebody else does it already; the task afterwards.

        Raises:
            DatabaseUnavailable: The database was lost on the way. The task goes on, here or elsewhere, when it is back.
        """
        await self._try(task_id, progress)
        return await self.find(task_id)

    async def _try(self, task_id: int, progress: Progress) -> bool:
        holder = secrets.token_hex(8)
        now_ms = self._now_ms()
        if not await self._database.write(
            lambda tx: store.claim(tx, task_id, holder, now_ms, until_ms=now_ms + LEASE_MS)
        ):
            return False
        task = await self.find(task_id)

        async def finished(tx: Transaction, rebuilt: Rebuilt) -> None:
            if not await store.end(tx, task_id, holder, TaskState.DONE, result=asdict(rebuilt), now_ms=self._now_ms()):
                raise Conflict("Another process has taken this up meanwhile.")

        try:
            async with self._telling(task_id, holder) as tell:
                outcome = await self._works[task.kind](_Doing(task, partial(_both, progress, tell), finished))
        except DatabaseUnavailable:
            with contextlib.suppress(DatabaseUnavailable):  # then its lease ends
                await self._let_go(task_id, holder)
            raise
        except HomeServerError as error:
            outcome = _Outcome({"error": str(error)}, is_good=False)
        except Exception:
            _log.exception("board_task_failed", task=task_id, kind=task.kind, board=task.board)
            outcome = _Outcome({"error": "Something went wrong here. It has been noted."}, is_good=False)
        except BaseException:
            await self._let_go(task_id, holder)
            raise
        state = TaskState.DONE if outcome.is_good else TaskState.FAILED
        ended_ms = self._now_ms()
        await self._database.write(
            lambda tx: store.end(tx, task_id, holder, state, result=outcome.result, now_ms=ended_ms)
        )
        return True

    async def _let_go(self, task_id: int, holder: str) -> None:
        await to_the_end(self._database.write(lambda tx: store.let_go(tx, task_id, holder)))

    @contextlib.asynccontextmanager
    async def _telling(self, task_id: int, holder: str) -> AsyncIterator[Progress]:
        """Keep how far it is, now and then, and hold the task meanwhile."""
        state = (0, 0)

        def tell(done: int, total: int) -> None:
            nonlocal state
            state = (done, total)

        async def keep() -> None:
            until_ms = self._now_ms() + LEASE_MS
            try:
                await self._database.write(
                    lambda tx: store.progress(tx, task_id, holder, until_ms, done=state[0], total=state[1])
                )
            except Exception:  # a database that is away comes back, and the work is not worse for it
                _log.warning("board_task_not_told", task=task_id, exc_info=True)

        async def go_on() -> None:
            while True:
                await self._sleep(TOLD_EVERY_S)
                await keep()

        telling = asyncio.ensure_future(go_on())
        try:
            yield tell
        finally:
            telling.cancel()
            await asyncio.wait({telling})
        await keep()

    async def _rebuild(self, doing: _Doing) -> _Outcome:
        in_force = await self._database.look(lambda reader: board_lists.board(reader, doing.task.board))
        rebuilt = await self._rebuilds.rebuild(
            in_force.board, revision=in_force.revision, progress=doing.progress, finished=doing.finished
        )
        return _Outcome(asdict(rebuilt))

    async def _verify(self, doing: _Doing) -> _Outcome:
        found = await board_checks.check(self._database, doing.task.board, doing.progress)
        return _Outcome({**asdict(found), "wrong": list(found.wrong)}, is_good=not found.wrong)

    async def _reset(self, doing: _Doing) -> _Outcome:
        task = doing.task
        rebuilt = await self._states.reset(
            task.board,
            str(task.wanted["name"]),
            actor=task.actor,
            reason=task.reason,
            progress=doing.progress,
            finished=doing.finished,
        )
        return _Outcome(asdict(rebuilt))

    async def _undo_reset(self, doing: _Doing) -> _Outcome:
        task = doing.task
        rebuilt = await self._states.undo_reset(
            task.board,
            int(str(task.wanted["archive"])),
            actor=task.actor,
            reason=task.reason,
            progress=doing.progress,
            finished=doing.finished,
        )
        return _Outcome(asdict(rebuilt))

    async def _run_bulk(self, doing: _Doing) -> _Outcome:
        return _Outcome(await self._bulk.run(doing.task, doing.progress))

    async def _undo_bulk(self, doing: _Doing) -> _Outcome:
        return _Outcome(await self._bulk.run_undo(doing.task, doing.progress))


def _both(one: Progress, other: Progress, done: int, total: int) -> None:
    one(done, total)
    other(done, total)


async def _found(reader: Reader, task_id: int) -> Task:
    task = await store.find(reader, task_id)
    if task is None:
        raise NotFound("There is no such task.")
    return task
