"""What is far from the others: robust standard deviations, of which a few wild values make no difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

SIGMA: Final = 1.4826
"""Median absolute deviations times this are standard deviations, where values are spread as they usually are."""
NINE_IN_TEN: Final = 1.6449
"""Standard deviations within which nine in ten values are, where they are spread as they usually are."""
FAR: Final = 5.0


@dataclass(frozen=True, slots=True)
class Usual:
    """What most have: the value in the middle, and how they are spread around it."""

    middle: float
    spread: float | None
    """A robust standard deviation; None where nine in ten have the same."""

    def distance(self, value: float) -> float | None:
        """How far a value is, in standard deviations, whichever way; None where nothing can be said to be far."""
        return None if self.spread is None else abs(value - self.middle) / self.spread


def spread(half: float, nine_in_ten: float) -> float | None:
    """A robust standard deviation, from how far from the middle half of all are at most, and nine in ten."""
    return half * SIGMA or nine_in_ten / NINE_IN_TEN or None


def usual(values: Sequence[float]) -> Usual | None:
    """Of a sample; None of an empty one."""
    if not values:
        return None
    middle = median(values)
    away = sorted(abs(value - middle) for value in values)
    return Usual(middle, spread(median(away), away[-(-len(away) * 9 // 10) - 1]))
