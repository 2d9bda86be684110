"""Small charts, as numbers for SVG attributes: inline styles are forbidden. Words beside them say the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from homeserver.model import Distribution, PastScore, Writes
from homeserver.web import formats
from homeserver.web.languages import gettext

WIDTH: Final = 240
HEIGHT: Final = 72
_LEAST_BAR: Final = 2
"""One player among a million is to be seen too."""
_GAP: Final = 2
_FILLED: Final = 0.8
"""How much of its room a column takes, however many there are."""
_MARGIN: Final = 3
"""So that a line at the edge is not cut."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a histogram; `is_mine` marks the reader's."""

    x: float
    y: float
    width: float
    height: float
    title: str
    is_mine: bool


def bars(spread: Distribution) -> tuple[Bar, ...]:
    """A bar for each class that is not empty, in `WIDTH` x `HEIGHT`; the highest reaches the top."""
    if not spread.classes:
        return ()
    step = WIDTH / len(spread.classes)
    most = max(each.count for each in spread.classes)
    return tuple(
        Bar(
            x=round(number * step, 2),
            y=round(HEIGHT - _bar_height(each.count, most), 2),
            width=round(step - _GAP, 2),
            height=round(_bar_height(each.count, most), 2),
            title=gettext(
                "%(scores)s: %(players)s", scores=formats.score(each.display), players=formats.players(each.count)
            ),
            is_mine=spread.mine is not None and spread.mine.index == number,
        )
        for number, each in enumerate(spread.classes)
        if each.count
    )


def _bar_height(count: int, most: int) -> float:
    return max(_LEAST_BAR, HEIGHT * count / most)


def steps(past: Sequence[PastScore]) -> str:
    """The `points` of a line through scores, newest first as they come: time to the right, more upwards.

    A score stands until the next one, so the line has steps. Empty where fewer than two moments make no line.
    """
    if len({each.at_ms for each in past}) < 2:
        return ""
    ascending = sorted(((each.at_ms, Decimal(each.score)) for each in reversed(past)), key=lambda each: each[0])
    begins_ms, ends_ms = ascending[0][0], ascending[-1][0]
    least, most = min(score for _, score in ascending), max(score for _, score in ascending)
    points: list[tuple[float, float]] = []
    for at_ms, score in ascending:
        x = _scaled((at_ms - begins_ms) / (ends_ms - begins_ms), WIDTH)
        y = HEIGHT - _scaled(float((score - least) / (most - least)) if most > least else 0.5, HEIGHT)
        if points:
            points.append((x, points[-1][1]))
        points.append((x, y))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _scaled(share: float, size: int) -> float:
    return _MARGIN + share * (size - 2 * _MARGIN)


def series(past: Sequence[PastScore]) -> str:
    """The same scores for a script, as JSON: times in seconds, ascending; the score at each; and its display."""
    ascending = list(past[::-1])
    ascending.sort(key=lambda each: each.at_ms)  # of those at one time, the later one stays behind
    times, values = [each.at_ms / 1000 for each in ascending], [float(each.score) for each in ascending]
    return json.dumps([times, values, [each.display for each in ascending]])


@dataclass(frozen=True, slots=True)
class Column:
    """A bar of something counted over time."""

    x: float
    y: float
    width: float
    height: float
    at_ms: int
    count: int


def columns(counted: Sequence[Writes]) -> tuple[Column, ...]:
    """A bar for each time in which something was counted, in `WIDTH` x `HEIGHT`; the highest reaches the top."""
    most = max((each.count for each in counted), default=0)
    step = WIDTH / max(1, len(counted))
    return tuple(
        Column(
            x=round(number * step, 2),
            y=round(HEIGHT - _bar_height(each.count, most), 2),
            width=round(step * _FILLED, 2),
            height=round(_bar_height(each.count, most), 2),
            at_ms=each.at_ms,
            count=each.count,
        )
        for number, each in enumerate(counted)
        if each.count
    )
