"""What is far from the others: robust standard deviations, of which a few wild values make no difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

SIGMA: Final = 1.4826
"""Median absolute deviations times this are standard deviations, where values are spread as they usually are."""
FAR: Final = 5.0


@dataclass(frozen=True, slots=True)
class Usual:
    """What most have: the value in the middle, and how far from it half of them are."""

    middle: float
    deviation: float

    @property
    def spread(self) -> float | None:
        """In standard deviations; None where half of them, or more, have the same."""
        return self.deviation * SIGMA or None

    def distance(self, value: float) -> float | None:
        """How far a value is, in standard deviations, whichever way; None where nothing can be said to be far."""
        spread = self.spread
        return None if spread is None else abs(value - self.middle) / spread


def usual(values: Sequence[float]) -> Usual | None:
    """Of a sample; None of an empty one."""
    if not values:
        return None
    middle = median(values)
    return Usual(middle, median([abs(value - middle) for value in values]))
