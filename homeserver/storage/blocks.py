"""Counted blocks: how many entries each run of a list holds, so that a rank reads a few hundred rows of any list.

About 256 consecutive entries are a *block*, about 128 blocks a *superblock*. A row of `blocks` says where one of them
begins and what it holds. Three things are true after every transaction:

1. The first block of each level begins before every entry (`boundaries.FIRST`), and is always there.
2. Where a superblock begins, a block begins.
3. `n` is the number of the list's entries from its beginning to the next one of its level. On `dense` lists, `scores`
   is the number of different scores that begin there; a score begins before the first of its entries that could be.

Nothing else has to be true: sizes are for speed alone. So `count` touches the blocks that hold what moved and no
others, and cutting and joining come afterwards, in a transaction of their own.

A list has its first blocks from the beginning. It is one block until it has twice 256 entries, and till then counting
within it is what `count(*)` over the list would be: no second way of counting is needed for small lists, and no moment
at which one takes over from the other. The price is one row to update on each level when an entry comes or goes; one
that moves within its block touches none.

Locks, in this order everywhere, so that nobody waits in a circle (SQLite, with its one writer, needs none):

1. The boards that the transaction may change, shared (`leaderboards.begin`), before any row. Whoever holds all of them
   alone, or makes one, holds the making of boards behind them.
2. AppData rows, by player and key; events.
3. New lists; entries, each under its player's AppData row; rows of `scores`, sorted.
4. Rows of `blocks`, all of the transaction at once: by level, then list, then position.
5. Rows of `list_versions`, by list. Then it commits.

Whoever cuts or joins holds the list's board alone, and nothing else: no writer may use boundaries that change. They are
read after the lock is held, in a statement of their own, as its snapshot must be younger than the wait.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Final, NamedTuple

from homeserver.model import Position
from homeserver.storage import boundaries
from homeserver.storage.boundaries import (
    BLOCKS,
    FIRST,
    LAST,
    LEVELS,
    MEMORY,
    SUPERBLOCKS,
    Layout,
    Place,
    place_of,
    start_of,
)
from homeserver.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many entries a block is meant to hold, and how many such blocks a superblock: 2 or more of both.

    What a block really holds is anything from nothing to twice that; beyond, it is cut. A rank reads half a block and
    half the blocks of a superblock on average. Reading an entry costs as much as reading a block's row, and there are
    three times as many bytes to it, so blocks are half as large as their number would have it.
    """

    block: int = 256
    fanout: int = 128

    def meant(self, level: int) -> int:
        """Entries in one block of this level."""
        return self.block if level == BLOCKS else self.block * self.fanout


SIZES: Final = Sizes()


class Move(NamedTuple):
    """One entry that changed: `old` is None for a new one, `new` for one that went. Never equal."""

    list: int
    player: int
    old: Position | None
    new: Position | None


_Block = tuple[int, int, int, int, int]
"""Which block: level, list, and where it begins. Sorted as they are locked."""


class _Held(NamedTuple):
    """What a block holds."""

    entries: int
    scores: int


def lock_name(board: str) -> str:
    """What is locked of a board: shared by who changes entries, alone by who changes boundaries."""
    return f"board:{board}"


async def make(tx: Transaction, lists: Collection[int]) -> None:
    """Give these lists, which may be new, their first blocks."""
    await tx.execute_many(
        "INSERT INTO blocks (list, level, key, reached_ms, player, n, scores) VALUES ($1, $2, $3, $4, $5, 0, 0) "
        "ON CONFLICT (list, level, key, reached_ms, player) DO NOTHING",
        [(list_, level, *FIRST) for list_ in sorted(lists) for level in LEVELS],
    )


# --- counting ---------------------------------------------------------------------------------------------------------


async def count(tx: Transaction, moves: Sequence[Move], sizes: Sizes = SIZES) -> None:
    """Let the blocks hold what these moves made of the entries. The last thing that a transaction does.

    Args:
        moves: Exactly the entries that this transaction has written, each once.

    Blocks that have grown or shrunk too much are cut or joined afterwards.
    """
    layouts = await boundaries.layouts(tx, {move.list for move in moves})
    entries: dict[_Block, int] = {}
    for move in moves:
        for position, one in ((move.old, -1), (move.new, 1)):
            if position is not None:
                for block in _holders(layouts, move.list, place_of(position)):
                    entries[block] = entries.get(block, 0) + one
    scores: dict[_Block, int] = {}
    for (list_, key), one in (await _count_scores(tx, layouts, moves)).items():
        for block in _holders(layouts, list_, start_of(key)):
            scores[block] = scores.get(block, 0) + one
    deltas = {
        block: _Held(entries.get(block, 0), scores.get(block, 0))
        for block in sorted(entries.keys() | scores.keys())
        if entries.get(block) or scores.get(block)
    }
    if deltas:
        after = await _add(tx, deltas)
        for list_, touched in _too_much(deltas, after, sizes).items():
            await tx.afterwards(partial(_tidy_alone, list_=list_, touched=touched, sizes=sizes))


def _holders(layouts: Mapping[int, Layout], list_: int, place: Place) -> tuple[_Block, ...]:
    """The block of each level that holds this place of a list."""
    held = layouts[list_].boundaries
    return tuple([(level, list_, *held.holder(level, place)) for level in LEVELS])


async def _add(tx: Transaction, deltas: Mapping[_Block, _Held]) -> dict[_Block, int]:
    """Add to these blocks, which are sorted; how many entries each has now."""
    await tx.lock_rows(
        "SELECT b.n FROM each_bigints($1, $2, $3, $4, $5) AS w CROSS JOIN blocks AS b "
        "WHERE b.level = w.c1 AND b.list = w.c2 AND b.key = w.c3 AND b.reached_ms = w.c4 AND b.player = w.c5 "
        "ORDER BY b.level, b.list, b.key, b.reached_ms, b.player",
        *_columns(deltas),
    )
    rows = await tx.update_each(
        "UPDATE blocks AS b SET n = b.n + $6, scores = b.scores + $7 "
        "WHERE b.level = $1 AND b.list = $2 AND b.key = $3 AND b.reached_ms = $4 AND b.player = $5 "
        "RETURNING level, list, key, reached_ms, player, n",
        [(*block, *delta) for block, delta in deltas.items()],
    )
    if len(rows) != len(deltas):
        raise RuntimeError("blocks were cut or joined without their board's lock")
    return {(level, list_, key, reached_ms, player): n for level, list_, key, reached_ms, player, n in rows}


def _columns(rows: Iterable[tuple[int, ...]]) -> list[list[int]]:
    return [list(column) for column in zip(*rows, strict=True)]


async def _count_scores(
    tx: Transaction, layouts: Mapping[int, Layout], moves: Iterable[Move]
) -> dict[tuple[int, int], int]:
    """Keep `scores` of dense lists: entries by list and key.

    Returns:
        1 for each that has appeared, -1 for each that is gone. Its row makes those wait who change the same one, so
        only one of them sees it appear.
    """
    changes: Counter[tuple[int, int]] = Counter()
    for move in moves:
        if layouts[move.list].dense:
            if move.old:
                changes[move.list, move.old.key] -= 1
            if move.new:
                changes[move.list, move.new.key] += 1
    deltas = {score: delta for score, delta in sorted(changes.items()) if delta}
    if not deltas:
        return {}
    rows = await tx.fetch(
        "INSERT INTO scores (list, key, n) SELECT w.c1, w.c2, w.c3 FROM each_bigints($1, $2, $3) AS w WHERE TRUE "
        "ORDER BY w.c1, w.c2 ON CONFLICT (list, key) DO UPDATE SET n = scores.n + excluded.n RETURNING list, key, n",
        [list_ for list_, _ in deltas],
        [key for _, key in deltas],
        list(deltas.values()),
    )
    now = {(list_, key): n for list_, key, n in rows}
    gone = sorted(score for score, n in now.items() if n == 0)
    if gone:
        await tx.execute_many("DELETE FROM scores WHERE list = $1 AND key = $2", gone)
    appeared = {score: 1 for score, n in now.items() if n > 0 and n == deltas[score]}
    return appeared | dict.fromkeys(gone, -1)


def _too_much(
    deltas: Mapping[_Block, _Held], after: Mapping[_Block, int], sizes: Sizes
) -> dict[int, list[tuple[int, Place]]]:
    """Blocks that this transaction has made too large or too small, by list; level by level.

    Only who crosses a limit asks for it: otherwise all would who come while the block waits to be cut. Beyond the
    first limit come others, for a process may die before it cuts.
    """
    found: dict[int, list[tuple[int, Place]]] = {}
    for block, delta in deltas.items():
        level, list_, *first = block
        now, meant = after[block], sizes.meant(level)
        before = now - delta.entries
        grown = now > 2 * meant and (now - 1) // meant > (before - 1) // meant
        if grown or 2 * now < meant <= 2 * before:
            found.setdefault(list_, []).append((level, (first[0], first[1], first[2])))
    return found


# --- cutting and joining ----------------------------------------------------------------------------------------------


async def _tidy_alone(tx: Transaction, *, list_: int, touched: Sequence[tuple[int, Place]], sizes: Sizes) -> None:
    """Cut and join what needs it among these blocks, with the list's board locked."""
    board = await tx.fetch_value("SELECT board FROM lists WHERE list = $1", list_)
    if board is None:  # removed meanwhile
        return
    await tx.lock(lock_name(board))
    layout = (await boundaries.layouts(tx, [list_]))[list_]
    tidying = _Tidying(tx, list_, layout, sizes)
    for level, first in touched:
        await tidying.tidy(level, first)
    await tidying.finish()


class _Tidying:
    """One list being tidied, with nobody else in it."""

    def __init__(self, tx: Transaction, list_: int, layout: Layout, sizes: Sizes) -> None:
        self._tx = tx
        self._list = list_
        self._layout = layout
        self._sizes = sizes
        self._now = layout.boundaries

    async def finish(self) -> None:
        """Give changed boundaries a name of their own."""
        if self._now is self._layout.boundaries:
            return
        token = boundaries.new_token()
        await self._tx.execute("UPDATE lists SET boundaries = $2 WHERE list = $1", self._list, token)
        MEMORY.forget(self._layout.token)
        MEMORY.keep(token, self._now)

    async def tidy(self, level: int, first: Place) -> None:
        """Cut this block while it is too large; join it with a neighbour if it is too small."""
        held = await self._held(level, first)
        if held is None:
            return
        meant = self._sizes.meant(level)
        while held.entries > 2 * meant:
            cut = await (self._cut_of_block(first) if level == BLOCKS else self._cut_of_superblock(first))
            if cut is None:
                return
            middle, left = cut
            right = _Held(held.entries - left.entries, held.scores - left.scores)
            await self._set(level, first, left)
            await self._tx.execute(
                "INSERT INTO blocks (list, level, key, reached_ms, player, n, scores) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                self._list,
                level,
                *middle,
                *right,
            )
            self._now = self._now.split(level, middle)
            first, held = middle, right
        if 2 * held.entries < meant:
            await self._join(level, first, held)

    async def _cut_of_block(self, first: Place) -> tuple[Place, _Held] | None:
        """Where a block too large is cut: at the entry with as many before it as a block is meant to hold."""
        entries = self._sizes.block
        row = await self._tx.fetch_one(
            "SELECT key, reached_ms, player FROM entries WHERE list = $1 AND (key, reached_ms, player) >= ($2, $3, $4) "
            "ORDER BY key, reached_ms, player LIMIT 1 OFFSET $5",
            self._list,
            *first,
            entries,
        )
        if row is None:
            raise RuntimeError("a block holds fewer entries than it says")
        scores = 0
        if self._layout.dense:  # no more than the entries on the left, and one that goes on beyond
            scores = await self._tx.fetch_value(
                "SELECT count(*) FROM scores WHERE list = $1 AND key >= $2 AND (key > $2 OR $3) AND key <= $4",
                self._list,
                first[0],
                first == FIRST,
                row[0],
            )
        return (row[0], row[1], row[2]), _Held(entries, scores)

    async def _cut_of_superblock(self, first: Place) -> tuple[Place, _Held] | None:
        """Where a superblock too large is cut: at the first of its blocks with enough before it; None without one."""
        children = await self._children(first)
        entries = accumulate((n for *_, n, _ in children), initial=0)
        scores = accumulate((n for *_, n in children), initial=0)
        for index, (child, before, of_them) in enumerate(zip(children, entries, scores, strict=False)):
            if index and before >= self._sizes.meant(SUPERBLOCKS):
                return (child[0], child[1], child[2]), _Held(before, of_them)
        return None

    async def _children(self, first: Place) -> Sequence[Sequence[int]]:
        """The blocks of this superblock: key, time, player, entries, scores."""
        after = self._neighbour(SUPERBLOCKS, first, 1)
        return await self._tx.fetch(
            "SELECT key, reached_ms, player, n, scores FROM blocks WHERE list = $1 AND level = 1 "
            "AND (key, reached_ms, player) >= ($2, $3, $4) AND (key, reached_ms, player) < ($5, $6, $7) "
            "ORDER BY key, reached_ms, player",
            self._list,
            *first,
            *(after or LAST),
        )

    async def _join(self, level: int, first: Place, held: _Held) -> None:
        """Join this block with a neighbour, if both together are no more than one is meant to be."""
        before, after = self._neighbour(level, first, -1), self._neighbour(level, first, 1)
        for left, right in ((before, first), (first, after)):
            if left is None or right is None:
                continue
            if level == BLOCKS and self._now.holder(SUPERBLOCKS, right) == right:
                continue  # a superblock begins here
            other = await self._held(level, right if left == first else left)
            if other is None or held.entries + other.entries > self._sizes.meant(level):
                continue
            await self._tx.execute(
                "DELETE FROM blocks WHERE list = $1 AND level = $2 AND key = $3 AND reached_ms = $4 AND player = $5",
                self._list,
                level,
                *right,
            )
            await self._set(level, left, _Held(held.entries + other.entries, held.scores + other.scores))
            self._now = self._now.merged(level, right)
            if level == SUPERBLOCKS:
                await self.tidy(BLOCKS, right)  # it begins no superblock any more
            await self.tidy(level, left)  # both may have been nearly empty
            return

    def _neighbour(self, level: int, first: Place, step: int) -> Place | None:
        firsts = self._now.level(level)
        at = bisect_left(firsts, first) + step
        return firsts[at] if 0 <= at < len(firsts) else None

    async def _held(self, level: int, first: Place) -> _Held | None:
        row = await self._tx.fetch_one(
            "SELECT n, scores FROM blocks "
            "WHERE list = $1 AND level = $2 AND key = $3 AND reached_ms = $4 AND player = $5",
            self._list,
            level,
            *first,
        )
        return None if row is None else _Held(*row)

    async def _set(self, level: int, first: Place, held: _Held) -> None:
        await self._tx.execute(
            "UPDATE blocks SET n = $6, scores = $7 "
            "WHERE list = $1 AND level = $2 AND key = $3 AND reached_ms = $4 AND player = $5",
            self._list,
            level,
            *first,
            *held,
        )
