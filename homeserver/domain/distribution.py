"""How the scores of a list are spread: the classes of a histogram, and what share of the others a score beats."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, count
from typing import Final, NamedTuple

from homeserver.domain.scores import INT64_MAX, INT64_MIN
from homeserver.model import Board, Format

MAX_CLASSES: Final = 20

_SECONDS: Final = (1, 2, 5, 10, 15, 30)
_SECONDS_A_MINUTE: Final = 60
_SECONDS_AN_HOUR: Final = 3_600


class Bounds(NamedTuple):
    """The scores of one class, in units of 10^-decimals; both ends belong to it."""

    least: int
    greatest: int


def classes(board: Board, least: int, greatest: int) -> tuple[Bounds, ...]:
    """Neighbouring classes, ascending, of which the first holds `least` and the last `greatest`.

    All have the same width, the smallest of the round ones (see `_widths`) with which there are at most `MAX_CLASSES`,
    and begin at multiples of it. Only where that would leave 64 bits is a class at the end narrower.
    """
    for width in _widths(board):
        first, last = least // width, greatest // width
        if last - first < MAX_CLASSES:
            break
    return tuple(
        Bounds(max(number * width, INT64_MIN), min((number + 1) * width - 1, INT64_MAX))
        for number in range(first, last + 1)
    )


def _widths(board: Board) -> Iterator[int]:
    """Ascending widths that people find round: 1, 2, 5, 10, 20, ...; for durations parts of a minute and an hour."""
    if board.format is not Format.DURATION:
        return _round(1)
    second = 10**board.decimals
    below = (second // 10**power // part for power in range(board.decimals) for part in (2, 5, 10))
    return chain(
        sorted(below),
        (second * some for some in _SECONDS),
        (second * _SECONDS_A_MINUTE * some for some in _SECONDS),
        _round(second * _SECONDS_AN_HOUR),
    )


def _round(unit: int) -> Iterator[int]:
    return (unit * some * 10**power for power in count() for some in (1, 2, 5))


def better_than(worse: int, total: int) -> Fraction | None:
    """The share of all other entries that is strictly worse: 0 to 1, the same for equal scores.

    Args:
        worse: How many entries of the list have a worse score than the one in question.
        total: How many entries the list has, that one among them.

    Returns:
        `worse / (total - 1)`; None where there is no other entry.
    """
    return Fraction(worse, total - 1) if total > 1 else None
