"""Boards as their operator sees them: what is in force, what the settings would change, and changing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from homeserver.domain import boards as definitions
from homeserver.domain import score_files, scores
from homeserver.domain.boards import BoardInForce
from homeserver.domain.score_files import FileFormat, Row
from homeserver.errors import Conflict
from homeserver.model import Action as Acted
from homeserver.model import Board, NowMs
from homeserver.services import board_lists, reasons
from homeserver.services.rebuilds import Progress, Rebuilds, Rebuilt
from homeserver.storage import leaderboards as store
from homeserver.storage import moderation, people, rebuild, standings
from homeserver.storage.database import Database, Reader, Transaction

EXPORT_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Listed:
    """A board in force. `differences` are words about what the settings have other than it."""

    in_force: BoardInForce
    entries: int
    """Of the list of all time."""
    differences: tuple[str, ...]
    rebuild_due: bool
    """Its lists lack scores that were imported, until it is rebuilt."""


class Action(StrEnum):
    """What is to be done with a board."""

    ADD = "add"
    CHANGE = "change"
    """Only how it is shown: title or format."""
    REBUILD = "rebuild"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Step:
    """One board of a plan. `revision` is that of the definition in force, None where there is none."""

    action: Action
    board: Board
    revision: int | None
    words: tuple[str, ...] = ()
    """What changes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the database's boards become those of the settings. `order` are the ids as they will stand."""

    steps: tuple[Step, ...]
    order: tuple[str, ...]
    moved: bool
    """Whether boards that are there already change places."""

    def __bool__(self) -> bool:
        return bool(self.steps) or self.moved


class BoardAdmin:
    """Lists, changes, rebuilds and exports boards."""

    def __init__(self, database: Database, rebuilds: Rebuilds, now_ms: NowMs) -> None:
        self._database = database
        self._rebuilds = rebuilds
        self._now_ms = now_ms

    async def listed(self, wanted: Sequence[Board]) -> tuple[Listed, ...]:
        """The boards in force, in their order. `wanted` are those of the settings."""
        asked = {board.id: board for board in wanted}

        async def work(reader: Reader) -> tuple[Listed, ...]:
            due = await rebuild.due(reader)
            found = []
            for in_force in await store.boards_in_force(reader):
                board = in_force.board
                words: tuple[str, ...] = ("not in the settings",)
                if board.id in asked:
                    words = definitions.differences(board, asked[board.id])
                entries = await rebuild.entries_of_all(reader, in_force)
                found.append(Listed(in_force, entries, words, board.id in due))
            return tuple(found)

        return await self._database.read(work)

    # --- the settings' boards -----------------------------------------------------------------------------------------

    async def plan(self, wanted: Sequence[Board]) -> Plan:
        """What has to be done for these to be the boards in force. Nothing is changed."""
        served = {each.board.id: each for each in await self._database.look(store.boards_in_force)}
        steps = []
        for board in wanted:
            in_force = served.get(board.id)
            if in_force is None:
                steps.append(Step(Action.ADD, board, None))
            elif words := definitions.differences(in_force.board, board):
                same = definitions.digest(in_force.board) == definitions.digest(board)
                action = Action.CHANGE if same else Action.REBUILD
                steps.append(Step(action, board, in_force.revision, words))
        order = tuple(board.id for board in wanted)
        gone = [each for id_, each in served.items() if id_ not in order]
        steps += [Step(Action.DROP, each.board, each.revision) for each in gone]
        stay = [id_ for id_ in served if id_ in order]
        return Plan(tuple(steps), order, moved=stay != [id_ for id_ in order if id_ in served])

    async def apply(
        self, plan: Plan, started: Callable[[Step], None], progress: Progress, *, actor: str = "-"
    ) -> tuple[Rebuilt, ...]:
        """Do what was planned, a board at a time: each is served as it was until it is done.

        Args:
            started: Told which step begins.
            progress: Told how far a board is that is built from events.
            actor: Who does it, for the log.

        Returns:
            What was built, in the order of the plan.

        Raises:
            Conflict: A board has been changed by somebody else since, or is being rebuilt. What was done before it in
                the plan stays done.
        """
        built = []
        for step in plan.steps:
            started(step)
            match step.action:
                case Action.ADD | Action.REBUILD:
                    built.append(await self._rebuilds.rebuild(step.board, revision=step.revision, progress=progress))
                case Action.CHANGE:
                    await self._database.write(lambda tx, step=step: _change(tx, step))  # type: ignore[misc]
                case Action.DROP:
                    await self._database.write(lambda tx, step=step: _drop(tx, step, self._now_ms()))  # type: ignore[misc]
            await self._log(Acted.CHANGE_BOARD, step.board.id, actor, f"{step.action}: {'; '.join(step.words)}")
        positions = {id_: position for position, id_ in enumerate(plan.order)}
        await self._database.write(lambda tx: rebuild.arrange(tx, positions))
        await self._rebuilds.sweep()
        return tuple(built)

    async def rebuild(self, board_id: str, progress: Progress, *, actor: str = "-") -> Rebuilt:
        """Build a board's lists anew from its events, by the definition in force.

        Raises:
            NotFound: No such board.
            Conflict: It is being rebuilt already.
        """
        in_force = await self._database.look(lambda reader: board_lists.board(reader, board_id))
        rebuilt = await self._rebuilds.rebuild(in_force.board, revision=in_force.revision, progress=progress)
        await self._log(Acted.REBUILD, board_id, actor, f"entries {rebuilt.entries}, before {rebuilt.entries_before}")
        return rebuilt

    async def _log(self, action: Acted, board_id: str, actor: str, detail: str) -> None:
        act = reasons.unexplained(action, self._now_ms(), actor, board_id, detail)
        await self._database.write(lambda tx: moderation.log(tx, act))

    # --- a list as a file ---------------------------------------------------------------------------------------------

    async def export(self, board_id: str, period: str, form: FileFormat, write: Callable[[str], None]) -> int:
        """Write a whole list, best first, as it is at this moment; how many entries that are.

        One snapshot of the database, read in pages: memory does not grow with the list. On SQLite the write-ahead log
        cannot be shortened meanwhile.

        Args:
            period: An id or a span's word, as in the views.
            write: Is given the text piece by piece. It may wait; the list does not change under it.

        Raises:
            NotFound: No such board.
            BadInput: No such period (field "period").
        """
        now_ms = self._now_ms()

        async def work(reader: Reader) -> int:
            list_ = await board_lists.named(reader, board_id, period, now_ms)
            board = list_.board
            write(score_files.head(form))
            entries = 0
            place, more = standings.BEGINNING, True
            while more:
                run = await standings.run_after(reader, list_.number, board.ties, place, EXPORT_PAGE)
                cards = await people.cards(reader, [each.position.player for each in run.standings])
                rows = []
                for each in run.standings:
                    position = each.position
                    card = cards[position.player]
                    score, _ = scores.written(board, position.key)
                    rows.append(Row(each.rank, card.id, card.name, score, position.reached_ms))
                    place = position
                write(score_files.written(form, rows))
                entries += len(rows)
                more = run.more_behind
            return entries

        return await self._database.read(work)


async def _change(tx: Transaction, step: Step) -> None:
    await rebuild.alone(tx, step.board)
    found = await _as_planned(tx, step)
    await rebuild.redefine(tx, step.board, found.revision + 1)


async def _drop(tx: Transaction, step: Step, now_ms: int) -> None:
    await rebuild.alone(tx, step.board)
    await _as_planned(tx, step)
    if await rebuild.under_way(tx, now_ms, step.board.id):
        raise Conflict(f"The board {step.board.id} is being rebuilt. Try again when it is done.")
    await rebuild.drop(tx, step.board)


async def _as_planned(tx: Transaction, step: Step) -> BoardInForce:
    found = await store.board_in_force(tx, step.board.id)
    if found is None or found.revision != step.revision:
        raise Conflict(
            f"The board {step.board.id} was changed by somebody else meanwhile. Look again what is to be done."
        )
    return found
