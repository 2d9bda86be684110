"""Comparing what the lists of a board hold in three ways: in order, by player, and as their blocks count them.

Each list is read in one snapshot, so nobody who plays meanwhile makes a difference.
"""

from __future__ import annotations

from dataclasses import dataclass

from homeserver.domain.replay import PRIME, Tally
from homeserver.services import board_lists
from homeserver.services.rebuilds import Progress
from homeserver.storage import rebuild
from homeserver.storage.database import Database, Reader


@dataclass(frozen=True, slots=True)
class Check:
    """What came of it. `wrong` are sentences, one for each list that does not agree with itself."""

    lists: int
    entries: int
    checksum: int
    """Of all entries of all lists; see `domain/replay.checksum`."""
    wrong: tuple[str, ...]


async def check(database: Database, board_id: str, progress: Progress) -> Check:
    """Compare all lists of a board.

    Raises:
        NotFound: No such board.

    Cost: reads all entries of the board twice.
    """

    async def names(reader: Reader) -> dict[str, int]:
        return await rebuild.lists_of(reader, await board_lists.board(reader, board_id))

    lists = await database.read(names)
    entries, checksum, wrong = 0, 0, []
    for done, (period, number) in enumerate(lists.items()):
        progress(done, len(lists))
        held = await database.read(lambda reader, number=number: _held(reader, number))  # type: ignore[misc]
        if held is None:  # retired, or replaced by a rebuild meanwhile
            continue
        in_order, by_player, levels = held
        entries += in_order.entries
        checksum = (checksum + in_order.checksum) % PRIME
        if in_order != by_player:
            wrong.append(
                f"{period}: {in_order.entries} entries in order (checksum {in_order.checksum}), {by_player.entries} by "
                f"player (checksum {by_player.checksum})"
            )
        if set(levels) != {in_order.entries}:
            wrong.append(f"{period}: {in_order.entries} entries, counted as {' and '.join(map(str, levels))}")
    progress(len(lists), len(lists))
    return Check(len(lists), entries, checksum, tuple(wrong))


async def _held(reader: Reader, number: int) -> tuple[Tally, Tally, tuple[int, ...]] | None:
    in_order, by_player = await rebuild.tallies(reader, [number])
    counted = await rebuild.counted(reader, [number])
    if number not in counted:
        return None
    return in_order[number], by_player[number], counted[number]
