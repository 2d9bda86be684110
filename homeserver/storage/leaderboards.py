"""Boards in force, their lists, and the entries that accepted changes make. What is read from them: `standings.py`.

A *list* is one board in one period and one generation, with a number; it is made when its first entry comes. A player
has at most one entry in a list. The primary key of `entries` is their order: key ascending from best to worst, then who
reached it first, then the player's number. `entries_by_player` has the same entries, to be found by their player.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from homeserver.domain import boards as definitions
from homeserver.domain import periods, ranking, rules
from homeserver.domain.boards import BoardInForce, Closure
from homeserver.domain.ranking import NoScore
from homeserver.domain.rules import Account, Claimed, Effect
from homeserver.model import Board, Change, Decision, Origin, Period, Position, Ties
from homeserver.storage import accounts, blocks, boundaries, moderation, versions
from homeserver.storage.accounts import Accounts, Holder, Kept
from homeserver.storage.blocks import SIZES, Move, Sizes
from homeserver.storage.database import LostRaceError, Reader, Row, Transaction

FIRST_REVISION = 1
FIRST_GENERATION = 1
MAKING = "boards"
"""What is locked by who makes a board, and by who holds all that there are, behind the locks of boards."""
_IN_FORCE = "definition, revision, generation, moderated, since_event, closures, rebuilt_ms"


# --- boards ---------------------------------------------------------------------------------------------------------


async def boards_in_force(reader: Reader) -> tuple[BoardInForce, ...]:
    """All boards, in their order."""
    rows = await reader.fetch(f"SELECT {_IN_FORCE} FROM boards ORDER BY position, board")  # noqa: S608 - columns of ours
    return tuple(_in_force(row) for row in rows)


async def board_in_force(reader: Reader, board_id: str) -> BoardInForce | None:
    """One board, or None if there is none of this id, which may be any text from outside."""
    if "\0" in board_id:  # PostgreSQL does not even compare it
        return None
    row = await reader.fetch_one(f"SELECT {_IN_FORCE} FROM boards WHERE board = $1", board_id)  # noqa: S608
    return None if row is None else _in_force(row)


def _in_force(row: Row) -> BoardInForce:
    definition, revision, generation, moderated, since_event, closures, rebuilt_ms = row
    return BoardInForce(
        _read(definition), revision, generation, bool(moderated), since_event, _closures(closures), rebuilt_ms
    )


@lru_cache(maxsize=256)
def _closures(text: str) -> tuple[Closure, ...]:
    return tuple(Closure(*each) for each in json.loads(text))


@lru_cache(maxsize=256)
def _read(definition: str) -> Board:
    """Kept: every transaction reads the boards, and they hardly ever change."""
    return definitions.board_from(json.loads(definition))


async def seed(tx: Transaction, wanted: Sequence[Board]) -> tuple[str, ...]:
    """Store the definitions that the database does not have yet. Those that it has stay as they are.

    Returns:
        What the settings have other than the database, which is what is served: one sentence for each board.

    Raises:
        BadInput: A definition is not right; nothing is stored.
    """
    await tx.lock(MAKING)  # or somebody goes off all lists just now, and the new board does not know
    await tx.execute_many(
        "INSERT INTO boards (board, position, definition, revision, generation, moderated) "
        "VALUES ($1, $2, $3, $4, $5, CASE WHEN EXISTS (SELECT 1 FROM moderation WHERE board = $1) "
        "OR EXISTS (SELECT 1 FROM delisted) THEN 1 ELSE 0 END) "
        "ON CONFLICT (board) DO NOTHING",
        # In sorted order: two servers that start at once wait for each other instead of deadlocking.
        sorted(
            (board.id, position, _definition(board), FIRST_REVISION, FIRST_GENERATION)
            for position, board in enumerate(wanted)
        ),
    )
    return _differences(wanted, await boards_in_force(tx))


def _definition(board: Board) -> str:
    return json.dumps(definitions.board_to(definitions.checked(board)), ensure_ascii=False)


def _differences(wanted: Iterable[Board], served: Iterable[BoardInForce]) -> tuple[str, ...]:
    asked = {board.id: board for board in wanted}
    said: list[str] = []
    for in_force in served:
        board = in_force.board
        if board.id not in asked:
            said.append(f"board {board.id}: not in the settings any more; it is still served")
        elif found := definitions.differences(board, asked[board.id]):
            said.append(f"board {board.id}: {'; '.join(found)}")
    return tuple(said)


# --- lists ----------------------------------------------------------------------------------------------------------

ListName = versions.ListName


async def find_lists(reader: Reader, names: Iterable[ListName]) -> dict[ListName, int]:
    """The numbers of those lists that exist."""
    wanted = set(names)
    rows = await reader.fetch(
        "SELECT board, period, generation, list FROM lists "
        "WHERE board IN (SELECT b.value FROM each_text($1) AS b) "
        "AND period IN (SELECT p.value FROM each_text($2) AS p)",
        sorted({name.board for name in wanted}),
        sorted({name.period for name in wanted}),
    )
    found = {ListName(board, period, generation): number for board, period, generation, number in rows}
    return {name: found[name] for name in wanted & found.keys()}


class NewList(NamedTuple):
    """What a list has from its beginning to its end."""

    period: Period
    dense: bool


async def make_lists(tx: Transaction, wanted: dict[ListName, NewList]) -> dict[ListName, int]:
    """The numbers of these lists; those that do not exist are made."""
    found = await find_lists(tx, wanted)
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        # In sorted order, as in `seed`. Whoever comes second waits for the first and then finds the list.
        await tx.execute_many(
            "INSERT INTO lists (board, period, generation, starts_ms, ends_ms, dense, boundaries) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (board, period, generation) DO NOTHING",
            [
                (*name, new.period.starts_ms, new.period.ends_ms, int(new.dense), boundaries.new_token())
                for name, new in ((name, wanted[name]) for name in missing)
            ],
        )
        made = await find_lists(tx, missing)
        await blocks.make(tx, made.values())
        found |= made
    return found


# --- entries --------------------------------------------------------------------------------------------------------


class _Work(NamedTuple):
    """What one change may do on one board: in the lists of these periods, which are named by their ids."""

    in_force: BoardInForce
    claim: int | NoScore
    change: Change
    at_ms: int
    periods: tuple[str, ...]


async def begin(
    tx: Transaction, fields: Iterable[str] | None = None, likely: Iterable[str] = ()
) -> tuple[BoardInForce, ...]:
    """What a transaction begins with that may `record` changes: the boards, held until its end.

    Nothing else may have been locked before, no row either: see `blocks.py` for the order of locks.

    Args:
        fields: What may change. Boards of other fields are left out; None leaves out none.
        likely: The ids of those that they were last time, if that is known. They are read once then, not twice.
    """
    wanted = None if fields is None else frozenset(fields)
    held = set(likely)
    if held:
        await tx.lock(*(blocks.lock_name(id_) for id_ in sorted(held)), shared=True)
    while True:
        found = await boards_in_force(tx)
        found = tuple(each for each in found if wanted is None or each.board.field in wanted)
        ids = {in_force.board.id for in_force in found}
        if ids <= held:  # read after they were locked, so this is what they are until the end
            return found
        await tx.lock(*(blocks.lock_name(id_) for id_ in sorted(ids - held)), shared=True)
        held |= ids


async def record(
    tx: Transaction,
    boards: Sequence[BoardInForce],
    changes: Sequence[Change],
    now_ms: int,
    sizes: Sizes = SIZES,
    *,
    besides: Sequence[Move] = (),
) -> Sequence[Move]:
    """Let accepted changes take effect on every board whose field they are of, in every period that they concern.

    The last thing that a transaction does, and only once in it, lest two transactions wait for each other's blocks:
    that costs a second until the database notices, and undoes one of them.

    Args:
        boards: As `begin` returned them at the beginning of this transaction.
        changes: As `appdata.observe` returned them *in this transaction*, in the order in which they happened. The rows
            that it locked make writers of the same player and field wait for each other.
        now_ms: What is much later counts as now; see `periods.counts_at`.
        sizes: Of blocks. Any are right, at any time.
        besides: What else moves in this transaction (`replays.moves`): entries of players who have no change here.

    Returns:
        The entries that moved.

    Whoever is hidden from a board enters none of its lists, and nobody enters those of a closed one; what is remembered
    of them goes on. See `moderation.py`.

    A baseline concerns `all` alone, any other change all periods of `at_ms`; what it claims there says `rules.apply`,
    and what that does to the entry `ranking.settle`. A value that is gone, or that `latest` cannot rank, therefore
    leaves `all` and the periods then current, while closed periods keep their final result.
    """
    floors = await moderation.floors(tx, boards, {change.player for change in changes})
    work: list[_Work] = []
    concerned: dict[ListName, NewList] = {}
    known: dict[tuple[str, int, Origin], tuple[str, ...]] = {}  # most come at the same time
    for change in changes:
        at_ms = periods.counts_at(change.at_ms, now_ms)
        for in_force in boards:
            if in_force.board.field != change.key:
                continue
            board, when = in_force.board, (in_force.board.id, at_ms, change.origin)
            if when not in known:
                found = periods.concerned(board, at_ms, change.origin, now_ms)
                known[when] = tuple(period.id for period in found)
                concerned |= {
                    ListName(board.id, period.id, in_force.generation): NewList(period, board.ties is Ties.DENSE)
                    for period in found
                }
            work.append(_Work(in_force, ranking.claim(board, change.new), change, at_ms, known[when]))
    if not work:
        await write(tx, besides, sizes)
        return besides
    lists = await find_lists(tx, concerned)
    before = await _positions(tx, lists.values(), {each.change.player for each in work})
    remembered = await _Remembered.load(tx, lists, work)
    # A list that does not exist has a number below 0 until it is clear that it is needed.
    numbers = {name: lists.get(name, -index) for index, name in enumerate(concerned, 1)}
    after = dict(before)
    for each in work:
        board, player = each.in_force.board, each.change.player
        effects = remembered.effects(each)
        if each.in_force.closed_ms is not None:
            continue
        if floors and not moderation.counts(floors.get((board.id, player)), each.change.event):
            continue
        for period_id, claim in effects:
            place = (numbers[ListName(board.id, period_id, each.in_force.generation)], player)
            after[place] = ranking.settle(
                board.keep, after.get(place), claim, player, each.at_ms, imported=each.change.origin.is_import
            )
    needed = {number for (number, _), position in after.items() if number < 0 and position is not None}
    needed |= {numbers[name] for name in remembered.changed_lists() if numbers[name] < 0}
    if needed:
        missing = {number: name for name, number in numbers.items() if number in needed}
        made = await make_lists(tx, {name: concerned[name] for name in missing.values()})
        numbers |= made
        after = {
            (made[missing[number]] if number in missing else number, player): position
            for (number, player), position in after.items()
        }
    moves = [Move(*place, before.get(place), new) for place, new in after.items() if new != before.get(place)]
    moves += besides
    await remembered.write(tx, numbers)
    await write(tx, moves, sizes)
    return moves


class _Remembered:
    """The accounts of those boards that have any, of the players who are concerned; see `accounts.py`."""

    def __init__(
        self, before: Accounts, decisions: dict[str, dict[int, Decision]], generations: dict[str, int]
    ) -> None:
        self._before = before
        self._after = accounts.copied(before)
        self._decisions = decisions
        self._generations = generations
        self._unnumbered: dict[int, Change] = {}
        """Changes that were flagged and whose numbers are not known, by a number below 0 for the time being."""

    @classmethod
    async def load(cls, tx: Transaction, lists: Mapping[ListName, int], work: Sequence[_Work]) -> _Remembered:
        """Reads nothing where no board remembers anything."""
        remembering = {each.in_force.board.id: each.in_force for each in work if rules.remembers(each.in_force.board)}
        if not remembering:
            return cls({}, {}, {})
        kept = {
            number: Kept(remembering[name.board].board, name.period)
            for name, number in lists.items()
            if name.board in remembering
        }
        holders = {
            Holder(each.in_force.board.id, each.change.player) for each in work if each.in_force.board.id in remembering
        }
        # Nobody has decided on what has only just become an event.
        known = {each.change.player for each in work if each.change.event is not None}
        return cls(
            await accounts.load(tx, kept, holders),
            {id_: await accounts.decisions_on(tx, each.board, known) for id_, each in remembering.items() if known},
            {id_: each.generation for id_, each in remembering.items()},
        )

    def effects(self, each: _Work) -> Iterable[Effect]:
        """What the change does in which list, by `rules.apply`."""
        board, change = each.in_force.board, each.change
        account = self._after.get(Holder(board.id, change.player))
        if account is None:
            return ((id_, each.claim) for id_ in each.periods)
        event = change.event
        if event is None:
            event = -1 - len(self._unnumbered)
            self._unnumbered[event] = change
        decision = self._decisions.get(board.id, {}).get(event)
        return rules.apply(
            board, account, Claimed(event, each.claim, each.at_ms, change.origin, decision), each.periods
        )

    def changed_lists(self) -> Iterable[ListName]:
        """The lists that there have to be for `write`."""
        changed = accounts.changed_lists(self._before, self._after)
        return [ListName(board, period, self._generations[board]) for board, period in changed]

    async def write(self, tx: Transaction, numbers: Mapping[ListName, int]) -> None:
        """Keep what has changed."""
        for account in self._after.values():
            await self._number(tx, account)
        by_name = {(name.board, name.period): number for name, number in numbers.items()}
        await accounts.write(tx, by_name, self._before, self._after)

    async def _number(self, tx: Transaction, account: Account) -> None:
        """Find out the numbers of events that were flagged. Whoever claims the same twice at once has two events."""
        alike: dict[Change, list[int]] = {}
        for event in account.flags:
            if event < 0:
                alike.setdefault(self._unnumbered[event], []).append(event)
        for change, unnumbered in alike.items():
            for event, number in zip(unnumbered, await accounts.events_of(tx, [change] * len(unnumbered)), strict=True):
                account.flags[number] = account.flags.pop(event)


async def write(tx: Transaction, moves: Sequence[Move], sizes: Sizes = SIZES) -> None:
    """Write entries and count them: the last thing that a transaction does, and once; see `record`."""
    if moves:
        await _write(tx, moves)
        await blocks.count(tx, moves, sizes)
        await versions.grow(tx, {move.list for move in moves})


async def _positions(
    reader: Reader, lists: Iterable[int], players: Iterable[int]
) -> dict[tuple[int, int], Position | None]:
    """The entries of these players in these lists, by (list, player)."""
    # CROSS JOIN: SQLite keeps this order of the tables, which finds each player by the primary key.
    rows = await reader.fetch(
        "SELECT e.list, e.key, e.reached_ms, e.player FROM each_bigint($1) AS w CROSS JOIN entries_by_player AS e "
        "WHERE e.player = w.value AND e.list IN (SELECT l.value FROM each_bigint($2) AS l)",
        sorted(players),
        sorted(lists),
    )
    return {(list_, player): Position(key, reached_ms, player) for list_, key, reached_ms, player in rows}


async def _write(tx: Transaction, moves: Collection[Move]) -> None:
    """The one place where entries are written. Sorted: fewer pages touched, and one order for everybody.

    Raises:
        LostRaceError: Somebody else changed one of them, who did not hold the player's AppData row.
    """
    old = sorted((move.list, move.old.key, move.old.reached_ms, move.player) for move in moves if move.old)
    new = sorted((move.list, move.new.key, move.new.reached_ms, move.player) for move in moves if move.new)
    if old:
        deleted = await tx.change_each(
            "DELETE FROM entries WHERE list = $1 AND key = $2 AND reached_ms = $3 AND player = $4", old
        )
        if deleted != len(old):
            raise LostRaceError
    if new:
        await tx.change_each("INSERT INTO entries (list, key, reached_ms, player) VALUES ($1, $2, $3, $4)", new)
    await _write_by_player(tx, moves)


async def _write_by_player(tx: Transaction, moves: Collection[Move]) -> None:
    """The same entries by player. A table, not an index: lists that are built anew fill each of the two in its order.

    Whoever is new is inserted, so who lost a race learns it by the primary key.
    """
    gone = sorted((move.player, move.list) for move in moves if not move.new)
    came, moved = (
        sorted(
            (move.player, move.list, move.new.key, move.new.reached_ms)
            for move in moves
            if move.new and bool(move.old) is was_there
        )
        for was_there in (False, True)
    )
    if gone:
        await tx.change_each("DELETE FROM entries_by_player WHERE player = $1 AND list = $2", gone)
    if came:
        await tx.change_each(
            "INSERT INTO entries_by_player (player, list, key, reached_ms) VALUES ($1, $2, $3, $4)", came
        )
    if moved:
        await tx.change_each(
            "UPDATE entries_by_player SET key = $3, reached_ms = $4 WHERE player = $1 AND list = $2", moved
        )
