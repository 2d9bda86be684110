"""What is seen of boards: entries, places, distributions, histories. See `homeserver.model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from homeserver.model.boards import Board, Doubt, Period
from homeserver.model.people import Origin, PlayerCard


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a board as its reader sees it. `rank` is None for an entry that is not listed."""

    rank: int | None
    tied: bool
    player: PlayerCard
    score: str
    """The exact decimal, such as "9007199254740993" or "12.50"."""
    display: str
    reached_ms: int
    me: bool
    friend_rank: int | None = None
    """Among the reader and their friends, by the board's way to number ties. None where it is not friends that are
    shown."""
    friend_tied: bool = False
    claimed_date: str | None = None
    """When the player says that it was: a date or a date with a time, by ISO 8601."""


@dataclass(frozen=True, slots=True)
class EntryPage:
    """A page of a board. `next` and `previous` are cursors, or None at the ends."""

    board: Board
    period: Period
    total: int
    entries: tuple[Entry, ...]
    next: str | None
    previous: str | None
    as_of_ms: int
    friends: int | None = None
    """How many of the reader and their friends have an entry; None where it is not friends that are shown."""


class State(StrEnum):
    """Whether others see what a player has on a board."""

    VISIBLE = "visible"
    PENDING = "pending"
    """A claim waits for an operator's word."""
    HIDDEN = "hidden"
    """An operator has hidden the player, until they are restored."""
    WITHDRAWN = "withdrawn"
    """The player has hidden themselves from every board, until they show themselves again."""
    REMOVED = "removed"
    """The score was removed; one that is reached later counts."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one player stands on one board in one period. Without an entry, `rank`, `score` and `display` are None."""

    board: Board
    period: Period
    rank: int | None
    tied: bool
    total: int
    score: str | None
    display: str | None
    state: State = field(default=State.VISIBLE, kw_only=True)
    """What stands between this place and everybody's view of it: then it is the one that the player would have."""


@dataclass(frozen=True, slots=True)
class NextPlace:
    """The nearest better place: whoever reaches `score` now, stands on `rank`. `missing` is how far away it is."""

    rank: int
    score: str
    display: str
    missing: str
    missing_display: str


@dataclass(frozen=True, slots=True)
class Pending:
    """A score that its player claimed and that waits to be looked at. Nobody else sees it."""

    score: str
    display: str
    since_ms: int
    reason: Doubt


@dataclass(frozen=True, slots=True)
class DetailedPlace(Place):
    """A place among the others. Both are None without an entry.

    `better_than` is the share of the others with a strictly worse score, None where there are no others; `next` is None
    on the first place, and where the board's range ends.
    """

    better_than: Fraction | None = None
    next: NextPlace | None = None
    pending: Pending | None = None
    """What the player claimed in this period and waits to be looked at. Only they see it."""


@dataclass(frozen=True, slots=True)
class PlaceChange:
    """What one accepted score did in one period. `rank_before`, the rank that the entry would have without it, is None
    for a first entry; `is_best` says a new best."""

    place: Place
    rank_before: int | None
    is_best: bool
    overtaken: tuple[PlayerCard, ...] = ()
    """Some of those who were at least as good as this player and are now strictly worse, the best of them first."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The answer to a submitted score: what the container holds now, and what was beaten."""

    board: Board
    value: str
    changes: tuple[PlaceChange, ...]
    pending: Pending | None = None
    """The score that waits to be looked at, if one does: the one just submitted, which then has changed nothing."""


@dataclass(frozen=True, slots=True)
class ScoreClass:
    """How many entries have a score from `least` to `greatest`, both included."""

    least: str
    greatest: str
    least_display: str
    greatest_display: str
    count: int

    @property
    def display(self) -> str:
        """Both ends, as people read them; one where they are the same."""
        both = f"{self.least_display} \u2013 {self.greatest_display}"
        return self.least_display if self.least == self.greatest else both


@dataclass(frozen=True, slots=True)
class OwnClass:
    """Where the reader's entry is in a distribution: in which class, counted from 0, and better than what share."""

    index: int
    score: str
    display: str
    better_than: Fraction | None


@dataclass(frozen=True, slots=True)
class Distribution:
    """How the scores of a list are spread. `classes` ascend by score, and their counts add up to `total`."""

    board: Board
    period: Period
    total: int
    classes: tuple[ScoreClass, ...]
    mine: OwnClass | None
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class ListedPeriod:
    """A period of a board with how many entries it has, and the reader's place: the final one once it is over."""

    period: Period
    total: int
    is_current: bool
    mine: Place | None
    """None without an entry, or without a reader."""


@dataclass(frozen=True, slots=True)
class ListedPeriods:
    """Some periods of a board: the current ones, then earlier ones, newest first."""

    board: Board
    periods: tuple[ListedPeriod, ...]
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class PastScore:
    """A score that a player once had, and when and how we learned of it."""

    at_ms: int
    score: str
    display: str
    origin: Origin
    state: State = State.VISIBLE
    """Where it is not visible, only its player learns of it."""


@dataclass(frozen=True, slots=True)
class History:
    """What a player's score on a board was, newest first."""

    board: Board
    player: PlayerCard
    scores: tuple[PastScore, ...]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a page says beside the entries of a list."""

    ranks_before: Mapping[str, int] | None
    """Where these players stood at the end of the period before this one, by public id; None: there was none, or nobody
    is left in it."""
    friends: int | None
    """How many friends of the reader have the application; None without a reader."""
    read_ms: int | None
    """When the reader's scores were last asked for; None: never, or without a reader."""
    silent_since_ms: int | None
    """Since when the container has refused everybody; None: it answers."""
    closed_ms: int | None
    """Since when the board takes no scores; None: it does."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A score that somebody has reached lately, and that stands: where they are on the board by it."""

    board: Board
    player: PlayerCard
    display: str
    at_ms: int
    rank: int
    tied: bool
    me: bool
    friend: bool


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Somebody who stands near a player on a board. `is_they` says that it is that player."""

    player: PlayerCard
    rank: int
    tied: bool
    display: str
    me: bool
    is_they: bool
