"""Scores: AppData text to a fixed-point integer and back, never through a float.

A score is a signed 64-bit integer in units of 10^-decimals of its board. AppData is written by clients, so a text is a
score only when it is written the one way that leaves no doubt: ASCII digits, one optional minus sign, no blank, no plus
sign, no leading zero, no exponent, no negative zero, and at most as many digits after the point as the board has. What
is not one is never rounded or cast into one.
"""

from __future__ import annotations

import re
from typing import Final

from homeserver.errors import BadInput
from homeserver.model import Board, Format, Order

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
MAX_DECIMALS: Final = 9
_MAX_CHARACTERS: Final = 1 + 19 + 1 + MAX_DECIMALS
_SHORT: Final = 10
"""With fewer digits, and as many decimals as there can be, a number is well within 64 bits."""

_SCORE: Final = re.compile(r"(?P<sign>-?)(?P<whole>0|[1-9][0-9]{0,18})(?:\.(?P<part>[0-9]{1,9}))?")


def parse(text: str, decimals: int) -> int:
    """The score that `text` says, in units of 10^-`decimals`.

    Raises:
        BadInput: `text` is no score (field "value"): not a plain number, more digits after the point than `decimals`,
            or beyond 64 bits.
    """
    if text.isdecimal() and text.isascii() and len(text) < _SHORT and (text[0] != "0" or len(text) == 1):
        return int(text) * 10**decimals if decimals else int(text)  # nearly all scores, in a third of the time
    match = _SCORE.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
    if match is None:
        raise BadInput("not a plain number, such as 12 or -3", field="value")
    part = match["part"] or ""
    if len(part) > decimals:
        raise BadInput(f"more than {decimals} digits after the decimal point", field="value")
    size = int(match["whole"] + part.ljust(decimals, "0"))
    if match["sign"] and not size:
        raise BadInput("a negative zero is no score", field="value")
    score = -size if match["sign"] else size
    if not INT64_MIN <= score <= INT64_MAX:
        raise BadInput("a number beyond what can be kept exactly", field="value")
    return score


def read(board: Board, text: str) -> int:
    """The score that `text` says on this board, within the board's range (both ends included).

    Raises:
        BadInput: It says none; see `parse`. Or it is out of range.
    """
    score = parse(text, board.decimals)
    if board.minimum is not None and score < board.minimum:
        raise BadInput(f"less than {exact(board.minimum, board.decimals)}", field="value")
    if board.maximum is not None and score > board.maximum:
        raise BadInput(f"more than {exact(board.maximum, board.decimals)}", field="value")
    return score


def is_score(board: Board, score: int) -> bool:
    """Whether the board can have this score: in its range, and in 64 bits."""
    least = INT64_MIN if board.minimum is None else board.minimum
    most = INT64_MAX if board.maximum is None else board.maximum
    return least <= score <= most


def exact(score: int, decimals: int) -> str:
    """The score as an exact decimal with all its digits, such as "9007199254740993" or "12.50"; `parse` reads it."""
    if not decimals:
        return str(score)
    sign, whole, part = _split(score, decimals)
    return f"{sign}{whole}{_point(part)}"


def display(score: int, board: Board) -> str:
    """The score as people read it, without any language's own marks.

    Integers get thousands separators ("1,032"); money at least two digits after the point ("1,234.50"); durations,
    whose unit is the second, are minutes and seconds ("0:59.95"), with the hours before them where there are any
    ("1:02:03").
    """
    if board.format is Format.INTEGER and not board.decimals:
        return f"{score:,}"  # nearly all
    sign, whole, part = _split(score, board.decimals)
    match board.format:
        case Format.INTEGER:
            return f"{sign}{whole:,}{_point(part)}"
        case Format.MONEY:
            return f"{sign}{whole:,}{_point(part.ljust(2, '0'))}"
        case Format.DURATION:
            minutes, seconds = divmod(whole, 60)
            hours, minutes = divmod(minutes, 60)
            longer = f"{hours}:{minutes:02}" if hours else f"{minutes}"
            return f"{sign}{longer}:{seconds:02}{_point(part)}"


def written(of: Board, key: int) -> tuple[str, str]:
    """The score behind a key, exactly and as it is displayed."""
    score = score_of(key, of.order)
    return exact(score, of.decimals), display(score, of)


def _split(score: int, decimals: int) -> tuple[str, int, str]:
    """Sign, whole part, and exactly `decimals` digits after the point."""
    whole, part = divmod(abs(score), 10**decimals)
    return "-" if score < 0 else "", whole, f"{part:0{decimals}}" if decimals else ""


def _point(part: str) -> str:
    return f".{part}" if part else ""


def key_of(score: int, order: Order) -> int:
    """The key by which entries are sorted, ascending from best to worst; 64 bits for any 64-bit score."""
    return score if order is Order.LESS else -1 - score  # -score would not fit for the smallest one


def score_of(key: int, order: Order) -> int:
    """The score behind a key: the inverse of `key_of`."""
    return key_of(key, order)
