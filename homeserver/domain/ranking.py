"""Ranks from counts, and what a change does to an entry. No storage here: counts and entries come in as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise

from homeserver.domain import scores
from homeserver.errors import BadInput
from homeserver.model import Board, Keep, Position, Ties


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a list holds before one of its entries."""

    better: int
    """Entries with a better score."""
    earlier: int
    """Entries with the same score that come before it: reached before, or at the same time by a lower player number."""
    distinct: int = 0
    """Different better scores. Counted for boards with dense ranks only."""

    @property
    def entries(self) -> int:
        """All entries before it: its own index, counted from 0."""
        return self.better + self.earlier


def rank(ties: Ties, ahead: Ahead) -> int:
    """The number shown. Every rank that anybody sees is made here, or continued from here by `consecutive`."""
    match ties:
        case Ties.COMPETITION:
            return 1 + ahead.better
        case Ties.DENSE:
            return 1 + ahead.distinct
        case Ties.ORDINAL:
            return 1 + ahead.entries


def consecutive(ties: Ties, keys: Sequence[int], first: Ahead) -> list[tuple[int, bool]]:
    """The places of entries that follow each other: of each the number shown, and whether it is tied.

    Args:
        keys: Of each, in the order of their list. Of the last one is not seen whether others are tied with it behind.
        first: What is before the first.
    """
    if not keys:
        return []
    numbers, same = [rank(ties, first)], [first.earlier > 0]
    entries = first.entries
    for before, key in pairwise(keys):
        entries += 1
        same.append(before == key)
        if ties is Ties.ORDINAL or not same[-1]:
            numbers.append(1 + entries if ties is Ties.COMPETITION else numbers[-1] + 1)
        else:
            numbers.append(numbers[-1])
    same.append(False)
    return [(number, same[index] or same[index + 1]) for index, number in enumerate(numbers)]


def among(ties: Ties, keys: Sequence[int]) -> list[tuple[int, bool]]:
    """The places of these entries among each other, as `consecutive` gives them.

    Args:
        keys: Of all of them, in the order of their list.
    """
    return consecutive(ties, keys, Ahead(0, 0))


class NoScore(Enum):
    """Why a changed value gives no key."""

    GONE = auto()
    """The AppData key was removed: the player (or the container for them) took the claim back."""
    REFUSED = auto()
    """There is a value, but it is no score, or out of the board's range."""


def claim(board: Board, value: str | None) -> int | NoScore:
    """The key that a changed value claims on this board, or why it claims none."""
    if value is None:
        return NoScore.GONE
    try:
        return scores.key_of(scores.read(board, value), board.order)
    except BadInput:
        return NoScore.REFUSED


def settle(
    keep: Keep,
    entry: Position | None,
    claim: int | NoScore,
    player: int,
    at_ms: int,
    *,
    imported: bool = False,
) -> Position | None:
    """What the player's entry in one list is after a change; the same object when nothing changes.

    Args:
        entry: What it was, or None.
        claim: The key of the new value, or why there is none.
        at_ms: When the change was seen: the time at which a new key counts as reached.
        imported: The change came with a time of its own, so it may be older than what was seen before it. Under
            `latest` it then changes nothing. (Times of our own clock say no such thing: clocks are set back.)

    A value that is gone takes the entry with it, under `best` too. A refused one never ranks: under `latest` the entry,
    no longer the latest, goes; under `best` what was reached before stands. An equal score changes nothing, the time at
    which it was reached included, so writing it again does not cost the place among ties.
    """
    if imported and keep is Keep.LATEST and entry is not None and at_ms < entry.reached_ms:
        return entry
    if isinstance(claim, int):  # first, and no `match`: a rebuild asks for millions, nearly all of them numbers
        unchanged = entry is not None and (entry.key <= claim if keep is Keep.BEST else entry.key == claim)
        return entry if unchanged else Position(claim, at_ms, player)
    return entry if claim is NoScore.REFUSED and keep is Keep.BEST else None
