"""What a board is: its definition, its periods, where an entry stands. See `homeserver.model`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Order(StrEnum):
    """Which score is better."""

    MORE = "more"
    LESS = "less"


class Keep(StrEnum):
    """What a player's entry is when the value changes."""

    BEST = "best"
    LATEST = "latest"


class Ties(StrEnum):
    """The number shown for equal scores: 1 1 3, 1 1 2, or 1 2 3."""

    COMPETITION = "competition"
    DENSE = "dense"
    ORDINAL = "ordinal"


class Counts(StrEnum):
    """What a score in a period is. In `all`, which never began, it is always the value itself."""

    REACHED = "reached"
    """What was reached within it."""
    GAINED = "gained"
    """How much more the value is than when the period began."""


class Span(StrEnum):
    """How long a period of a board lasts."""

    ALL = "all"
    SEASON = "season"
    """As long as its board says, one by one. A board has this span when it has seasons."""
    MONTH = "month"
    WEEK = "week"
    DAY = "day"


class Doubt(StrEnum):
    """Why a claimed score does not count until an operator has looked at it."""

    STEP = "step"
    """Better than the last one by more than the board's largest step."""
    RATE = "rate"
    """Better by more than the board allows in the time."""


class Decision(StrEnum):
    """What an operator said of a claimed score that waited."""

    APPROVED = "approved"
    REJECTED = "rejected"


class Format(StrEnum):
    """How a score is written for people."""

    INTEGER = "integer"
    DURATION = "duration"
    MONEY = "money"


@dataclass(frozen=True, slots=True)
class Season:
    """A period of a board with a beginning and an end of its own. `starts_ms` is inside, `ends_ms` outside."""

    id: str
    title: str
    starts_ms: int
    ends_ms: int


@dataclass(frozen=True, slots=True)
class Kept:
    """How many periods before the current one are kept. Seasons are, as long as the board has them; so is `all`."""

    month: int = 120
    week: int = 200
    day: int = 400


@dataclass(frozen=True, slots=True)
class Board:
    """A board's definition. Scores are integers in units of 10^-`decimals`, and so are all limits of scores."""

    id: str
    title: str
    field: str
    order: Order = Order.MORE
    keep: Keep = Keep.BEST
    ties: Ties = Ties.COMPETITION
    spans: tuple[Span, ...] = (Span.ALL, Span.MONTH, Span.WEEK, Span.DAY)
    zone: str = "UTC"
    first_weekday: int = 0
    """0 is Monday, 6 Sunday."""
    decimals: int = 0
    format: Format = Format.INTEGER
    minimum: int | None = None
    maximum: int | None = None
    counts: Counts = Counts.REACHED
    largest_step: int | None = None
    """So much better than the last accepted score may a claimed one be at once."""
    largest_gain_per_hour: int | None = None
    """By so much may claimed scores become better in an hour, and not by more at once."""
    date_field: str | None = None
    """The AppData key under which players say themselves when they reached it. Shown as theirs, and not used."""
    seasons: tuple[Season, ...] = ()
    """By their beginning. They may overlap."""
    kept: Kept = Kept()

    def __post_init__(self) -> None:
        """Whoever gives or takes seasons need not think of `spans`."""
        wanted = {*self.spans, Span.SEASON} if self.seasons else {*self.spans} - {Span.SEASON}
        if wanted != {*self.spans}:
            object.__setattr__(self, "spans", tuple(span for span in Span if span in wanted))


@dataclass(frozen=True, slots=True)
class Period:
    """One instance of a span, such as `week:2026-W47`. `starts_ms` is inside, `ends_ms` outside; None: no bound."""

    id: str
    span: Span
    starts_ms: int | None
    ends_ms: int | None
    zone: str
    title: str = ""
    """Of a season; other periods are named by their time."""


class Position(NamedTuple):
    """Where an entry stands: `key` ascends from best to worst, then who reached it first, then the player number."""

    key: int
    reached_ms: int
    player: int
