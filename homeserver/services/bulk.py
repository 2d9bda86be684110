"""Acts on many players of a board at once, chosen by their score: a look at who that would be, the act, and its undo.

An act goes through the list a part at a time, each in a transaction of its own that also keeps how far it is. So it is
done once for each player, whoever goes on with it after it was broken off, and nobody waits for it. Whoever comes into
the range meanwhile, ahead of where it is, is concerned too. What was decided about each player before is kept, so that
the whole act can be undone; whoever was acted on since stays as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from homeserver.domain import scores
from homeserver.domain.boards import BoardInForce
from homeserver.domain.cursors import Cursor, Cursors, Direction
from homeserver.domain.scores import INT64_MAX, INT64_MIN
from homeserver.errors import BadInput, NotFound
from homeserver.model import (
    Act,
    Action,
    Board,
    BulkAct,
    BulkPreview,
    Concerned,
    NowMs,
    Order,
    PlayerCard,
    Position,
    Task,
    TaskKind,
)
from homeserver.services import board_lists
from homeserver.services.board_lists import List
from homeserver.services.rebuilds import Progress
from homeserver.storage import board_tasks, bulk, moderation, people, rebuild, replays, standings
from homeserver.storage import leaderboards as store
from homeserver.storage.blocks import SIZES, Sizes
from homeserver.storage.bulk import Changed
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.moderation import VISIBLE, Verdict

AT_ONCE: Final = 50
"""Players in one transaction. Each is replayed, and the board's writers wait meanwhile."""
MAX_LIMIT: Final = 200
ACTIONS: Final = (Action.HIDE, Action.REMOVE, Action.RESTORE)


class _Range(NamedTuple):
    """Keys, both included."""

    first: int
    last: int

    def holds(self, key: int) -> bool:
        return self.first <= key <= self.last

    @property
    def begin(self) -> Position:
        """Before every entry in the range."""
        return Position(self.first, INT64_MIN, INT64_MIN)


class Bulk:
    """Looks at, does and undoes bulk acts.

    Common errors: NotFound (no such board), BadInput (field "action", "period", "least", "greatest", "limit").
    """

    def __init__(self, database: Database, now_ms: NowMs, cursor_key: bytes, *, sizes: Sizes = SIZES) -> None:
        self._database = database
        self._now_ms = now_ms
        self._cursors = Cursors(cursor_key)
        self._sizes = sizes

    async def preview(
        self, board_id: str, wanted: BulkAct, *, cursor: str | None = None, limit: int = 50
    ) -> BulkPreview:
        """Whom the act would concern, in the order in which it would go through them. Changes nothing.

        For `restore`, `total` is None: whose score would be in the range is only known by looking at everybody who is
        hidden or whose score was removed.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise BadInput(f"1 to {MAX_LIMIT} at a time", field="limit")

        async def work(reader: Reader) -> BulkPreview:
            list_, keys = await self._list(reader, board_id, wanted)
            scope = list_.scope(f"bulk {wanted.action} {keys.first} {keys.last}")
            at = keys.begin if cursor is None else self._cursors.open(scope, cursor).position
            if wanted.action is Action.RESTORE:
                found, last = await self._restorable(reader, list_, keys, at.player if cursor else 0, limit)
                total, behind = None, None if last is None else Position(0, 0, last)
            else:
                found = await bulk.listed(reader, list_.number, at, keys.last, limit)
                total = await _count(reader, list_, keys)
                behind = found[-1] if len(found) == limit else None
            cards = await people.cards(reader, [each.player for each in found])
            shown = tuple(_concerned(list_.board, each, cards[each.player]) for each in found if each.player in cards)
            more = None if behind is None else self._cursors.seal(scope, Cursor(Direction.NEXT, behind))
            return BulkPreview(total, shown, more)

        return await self._database.read(work)

    async def start(self, tx: Transaction, board_id: str, wanted: BulkAct, act: Act) -> int:
        """Keep the task of an act, to be done by `run`; its number."""
        list_, keys = await self._list(tx, board_id, wanted)
        what: dict[str, object] = {
            "action": wanted.action.value,
            "period": list_.period.id,
            "least": wanted.least,
            "greatest": wanted.greatest,
        }
        total = None if wanted.action is Action.RESTORE else await _count(tx, list_, keys)  # as in the preview
        number = await board_tasks.add(tx, TaskKind.BULK, board_id, {**what, "total": total}, act)
        words = f"{wanted.action} {wanted.least or ''}..{wanted.greatest or ''} of {list_.period.id}; task {number}"
        await moderation.log(tx, replace(act, action=Action.BULK, board=board_id, detail=words))
        return number

    async def run(self, task: Task, progress: Progress) -> dict[str, object]:
        """Do what is left of the act; how many players it has changed in all."""
        more = True
        while more:
            more, done, total = await self._database.write(lambda tx: self._some(tx, task.id))
            progress(done, max(done, total))
        return {"changed": await self._database.read(lambda reader: bulk.count_kept(reader, task.id))}

    async def _some(self, tx: Transaction, number: int) -> tuple[bool, int, int]:
        """Act on some: whether there are more, how many were looked at, and of about how many."""
        board_id = (await _task(tx, number)).board
        await rebuild.alone(tx, (await board_lists.board(tx, board_id)).board)
        task = await _task(tx, number)  # whoever held the board until now may have gone on with it
        if "done" in task.wanted and task.wanted["at"] is None:  # whoever did the last of it died before saying so
            return False, int(str(task.wanted["done"])), int(str(task.wanted.get("total") or 0))
        wanted = _act_of(task)
        list_, keys = await self._list(tx, task.board, wanted)
        at = task.wanted.get("at")
        place = Position(*at) if isinstance(at, list) else keys.begin
        if wanted.action is Action.RESTORE:
            found, last = await self._restorable(tx, list_, keys, place.player if at else 0, AT_ONCE)
            behind = None if last is None else Position(0, 0, last)
        else:
            found = await bulk.listed(tx, list_.number, place, keys.last, AT_ONCE)
            behind = found[-1] if found else None
        act = Act(wanted.action, self._now_ms(), task.actor, task.reason, task.board, None, f"task {number}")
        await self._decide(tx, list_.in_force, number, [each.player for each in found], act)
        done = int(str(task.wanted.get("done", 0))) + len(found)
        state = {**task.wanted, "done": done, "at": None if behind is None else list(behind)}
        await board_tasks.want(tx, number, state)
        return behind is not None, done, int(str(task.wanted.get("total") or 0))

    async def _decide(
        self, tx: Transaction, in_force: BoardInForce, number: int, players: Sequence[int], act: Act
    ) -> None:
        board = in_force.board
        was = await moderation.verdicts(tx, board.id, players)
        newest = await bulk.newest_events(tx, players, board.field)
        changed: list[Changed] = []
        for player in players:
            before = was.get(player, VISIBLE)
            after = _decided(act.action, before, newest.get(player))
            if after != before:
                changed.append(Changed(player, before, after))
        await bulk.keep(tx, number, changed)
        await self._apply(tx, in_force, changed, act)

    async def _apply(self, tx: Transaction, in_force: BoardInForce, changes: Sequence[Changed], act: Act) -> None:
        if not changes:
            return
        for player, was, now in changes:
            one = replace(act, player=player)
            await moderation.decide(tx, in_force.board.id, player, now, one)
            await moderation.log(tx, one, was, now)
        moves = await replays.moves(tx, in_force, [each.player for each in changes], act.at_ms)
        await store.write(tx, moves, self._sizes)

    # --- undo ---------------------------------------------------------------------------------------------------------

    async def start_undo(self, tx: Transaction, task_id: int, act: Act) -> int:
        """Keep the task of undoing an act, to be done by `run_undo`; its number.

        Raises:
            NotFound: No such act, or all of it was undone, or it ended more than a year ago.
        """
        task = await _task(tx, task_id)
        total = await bulk.count_kept(tx, task_id)
        if not total or (task.ended_ms is not None and task.ended_ms < act.at_ms - bulk.UNDONE_MS):
            raise NotFound("There is nothing of this act that could be undone.")
        what = {"task": task_id, "total": total, "restored": 0, "left": 0}
        number = await board_tasks.add(tx, TaskKind.UNDO_BULK, task.board, what, act)
        await moderation.log(tx, replace(act, action=Action.UNDO_BULK, board=task.board, detail=f"task {task_id}"))
        return number

    async def run_undo(self, task: Task, progress: Progress) -> dict[str, object]:
        """Undo what is left of the act; how many players were restored, and how many left as they are."""
        more, total = True, int(str(task.wanted["total"]))
        while more:
            more, restored, left = await self._database.write(lambda tx: self._undo_some(tx, task))
            progress(restored + left, max(restored + left, total))
        return {"restored": restored, "left": left}

    async def _undo_some(self, tx: Transaction, task: Task) -> tuple[bool, int, int]:
        """Undo some of it: whether there may be more, and how many were restored and left until now."""
        number = int(str(task.wanted["task"]))
        board = (await board_lists.board(tx, task.board)).board
        await rebuild.alone(tx, board)
        in_force = await board_lists.board(tx, task.board)
        found = await bulk.kept(tx, number, AT_ONCE)
        wanted = (await _task(tx, task.id, TaskKind.UNDO_BULK)).wanted
        restored, left = int(str(wanted["restored"])), int(str(wanted["left"]))
        if not found:
            return False, restored, left
        now = await moderation.verdicts(tx, board.id, [each.player for each in found])
        as_left = [each for each in found if now.get(each.player, VISIBLE).by_operators == each.now]
        act = Act(Action.RESTORE, self._now_ms(), task.actor, task.reason, task.board, None, f"task {task.id}")
        await self._apply(tx, in_force, [Changed(each.player, each.now, each.was) for each in as_left], act)
        await bulk.set_undone(tx, number, [each.player for each in found])
        restored, left = restored + len(as_left), left + len(found) - len(as_left)
        await board_tasks.want(tx, task.id, {**wanted, "restored": restored, "left": left})
        return True, restored, left

    # --- whom it concerns ---------------------------------------------------------------------------------------------

    async def _list(self, reader: Reader, board_id: str, wanted: BulkAct) -> tuple[List, _Range]:
        if wanted.action not in ACTIONS:
            raise BadInput(f"one of {', '.join(ACTIONS)}", field="action")
        list_ = await board_lists.named(reader, board_id, wanted.period, self._now_ms())
        return list_, _range(list_.board, wanted)

    async def _restorable(
        self, reader: Reader, list_: List, keys: _Range, after: int, limit: int
    ) -> tuple[list[Position], int | None]:
        """Those among the next `limit` about whom something was decided whose score would be in the range; and the last
        one that was looked at, None where that was the last of all."""
        players = await bulk.decided(reader, list_.board.id, after, limit)
        verdicts = await moderation.verdicts(reader, list_.board.id, players)
        then = {player: _decided(Action.RESTORE, verdicts[player], None).by_operators for player in players}
        would_have = await replays.entries_of_many(reader, list_.in_force, then, list_.now_ms)
        positions = [would_have[player].get(list_.period.id) for player in players]
        found = [position for position in positions if position is not None and keys.holds(position.key)]
        return found, players[-1] if len(players) == limit else None


def _decided(action: Action, was: Verdict, newest: int | None) -> Verdict:
    """What the act makes of what was decided; as the acts on single players do."""
    if action is Action.HIDE:
        return was._replace(hidden=True)
    if action is Action.REMOVE:
        return was._replace(until_event=newest) if newest else was
    return was._replace(hidden=False) if was.hidden else was._replace(until_event=None)


def _range(of: Board, wanted: BulkAct) -> _Range:
    bounds = []
    for name, text, unbounded in (("least", wanted.least, INT64_MIN), ("greatest", wanted.greatest, INT64_MAX)):
        try:
            bounds.append(unbounded if text is None else scores.parse(text, of.decimals))
        except BadInput as error:
            raise BadInput(str(error), field=name) from error
    least, greatest = bounds
    if least > greatest:
        raise BadInput("less than the least", field="greatest")
    ends = (greatest, least) if of.order is Order.MORE else (least, greatest)
    return _Range(scores.key_of(ends[0], of.order), scores.key_of(ends[1], of.order))


async def _count(reader: Reader, list_: List, keys: _Range) -> int:
    """How many entries are in the range."""
    if not list_.exists:
        return 0
    behind = Position(keys.last, INT64_MAX, INT64_MAX)
    return await standings.index_of(reader, list_.number, behind) - await standings.index_of(
        reader, list_.number, keys.begin
    )


def _concerned(of: Board, position: Position, card: PlayerCard) -> Concerned:
    return Concerned(card, *scores.written(of, position.key))


async def _task(reader: Reader, number: int, kind: TaskKind = TaskKind.BULK) -> Task:
    task = await board_tasks.find(reader, number)
    if task is None or task.kind is not kind:
        raise NotFound("There is no such act.")
    return task


def _act_of(task: Task) -> BulkAct:
    wanted = task.wanted
    least, greatest = wanted.get("least"), wanted.get("greatest")
    return BulkAct(
        Action(str(wanted["action"])),
        str(wanted["period"]),
        None if least is None else str(least),
        None if greatest is None else str(greatest),
    )
