"""The words that everybody shares: plain values without I/O.

Times are integers: milliseconds since the epoch, UTC (`_ms`). A container's person id is text everywhere: the guide's
own ids exceed 63 bits and one begins with 0. A `player` is our internal number and never leaves the house; what leaves
is the opaque `PlayerCard.id`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple

NowMs = Callable[[], int]
"""The wall clock, in milliseconds since the epoch: a parameter wherever time matters, so that a test can move it."""

NEUTRAL_NAME: Final = "Player"
"""Shown for a person whom the container gives no name."""


# --- HTTP, as it travelled ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it arrived: `target` is the raw path and query, nothing decoded or normalised."""

    method: str
    target: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer read whole (size-capped by the transport)."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = field(default=b"", repr=False)


# --- people ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    """A person as the container describes them. Empty text where it says nothing; `has_app` is None where unknown."""

    id: str
    given_name: str = ""
    family_name: str = ""
    display_name: str = ""
    thumbnail_url: str = ""
    has_app: bool | None = None
    birthday: str = ""
    """As `05-28`; the year is left out."""

    @property
    def name(self) -> str:
        """Given name and family name, else the display name, else a neutral word."""
        full = f"{self.given_name} {self.family_name}".strip()
        return full or self.display_name or NEUTRAL_NAME


AppData = Mapping[str, str]
"""One person's AppData: key to value, after the dialect's one unescaping and nothing else."""


@dataclass(frozen=True, slots=True)
class PlayerCard:
    """What others may see of a player. `id` is opaque and public."""

    id: str
    name: str
    thumbnail_url: str


class Origin(StrEnum):
    """How a changed AppData value came to us."""

    BASELINE = "baseline"
    """The first value that a read brought: it may have been reached long ago, so it counts in `all` only."""
    READ = "read"
    SUBMITTED = "submitted"
    IMPORTED = "imported"
    """From a file of an operator, with a time of its own: what was reached then, not what AppData holds now."""
    VERIFIED = "verified"
    """As IMPORTED, and the operator vouches for it."""

    @property
    def is_import(self) -> bool:
        """Whether it came with a time of its own, in any order."""
        return self in {Origin.IMPORTED, Origin.VERIFIED}


@dataclass(frozen=True, slots=True)
class Change:
    """One accepted change of one AppData value. `new` is None when the key is gone; `at_ms` is when we saw it."""

    player: int
    key: str
    old: str | None
    new: str | None
    at_ms: int
    origin: Origin
    event: int | None = None
    """The number under which it was kept; None where nobody asked for it."""


# --- boards ---------------------------------------------------------------------------------------------------------


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
    """The player is hidden until they are restored."""
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
    """What one accepted score did in one period. `rank_before` is None for a first entry; `is_best` says a new best."""

    place: Place
    rank_before: int | None
    is_best: bool


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


# --- moderation -----------------------------------------------------------------------------------------------------


class Action(StrEnum):
    """What an operator may do about a player, and what happens to those who remove the application and return."""

    HIDE = "hide"
    RESTORE = "restore"
    REMOVE = "remove"
    APPROVE = "approve"
    REJECT = "reject"
    REOPEN = "reopen"
    """Take back what was said of a claim."""
    ERASE = "erase"
    DELIST = "delist"
    RELIST = "relist"


@dataclass(frozen=True, slots=True)
class Act:
    """What was done, when, by whom and why. `player` and `reason` are gone once the person was erased."""

    action: Action
    at_ms: int
    actor: str
    reason: str
    board: str | None
    player: int | None
    detail: str = ""
    """What else belongs to it, such as the score that was removed."""
    id: int = 0
    """Grows with time; 0 before it is kept."""


@dataclass(frozen=True, slots=True)
class Moderated:
    """What was decided about a player on one board, and stands."""

    board: str
    state: State
    reason: str
    actor: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed score that waits to be looked at. `event` names it, and is newer the greater it is."""

    board: str
    event: int
    player: int
    card: PlayerCard
    score: str
    display: str
    at_ms: int
    reason: Doubt


# --- uploads --------------------------------------------------------------------------------------------------------


class BrowserLeg(StrEnum):
    """How far the file has come from the browser."""

    DECLARED = "declared"
    RECEIVING = "receiving"
    RECEIVED = "received"


class StorageLeg(StrEnum):
    """How far the file has come into the storage."""

    ASKING = "asking"
    WAITING = "waiting"
    SENDING = "sending"
    CLOSING = "closing"
    STORED = "stored"
    NEEDS_CONSENT = "needs_consent"
    NEEDS_ACTIVATION = "needs_activation"
    NEEDS_SIGN_IN = "needs_sign_in"
    OUT_OF_SPACE = "out_of_space"
    NEEDS_NAME = "needs_name"
    """The storage refuses the file's name; it may have another, and the file is kept."""
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """It waited longer than files are kept here."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One file on its way. `code` and `detail` are the storage's last error; `portal_url` has been checked."""

    id: str
    storage_user: str
    name: str
    media_type: str
    size_bytes: int
    received_bytes: int
    sent_bytes: int
    browser: BrowserLeg
    storage: StorageLeg
    attempts: int
    code: str | None
    detail: str | None
    portal_url: str | None
    content_id: str | None
    folder_id: str | None
    created_ms: int
    updated_ms: int


# --- sessions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignedCall:
    """Who a verified call of a container speaks of. Only what the signature covered."""

    container: str
    owner_id: str | None
    viewer_id: str | None
    app_url: str | None
    app_id: str | None


@dataclass(frozen=True, slots=True)
class GadgetSession:
    """Who holds a gadget's bearer token: player numbers. Without a viewer the token only reads."""

    owner: int | None
    viewer: int | None
    expires_ms: int


@dataclass(frozen=True, slots=True)
class OpenedGadget:
    """A fresh bearer token for the gadget's own calls, and who its viewer is."""

    token: str = field(repr=False)
    expires_ms: int
    viewer: PlayerCard | None


@dataclass(frozen=True, slots=True)
class PageSession:
    """A browser session. It may hold a player, a storage user, or both; neither implies the other."""

    key: str
    """The hash that names the row."""
    player: int | None
    storage_user: str | None
    storage_name: str | None
    expires_ms: int


class Role(StrEnum):
    """What an operator may do; each role may do all that those before it may."""

    VIEW = "view"
    MODERATE = "moderate"
    CONFIGURE = "configure"


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator who is signed in."""

    id: int
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class StorageIdentity:
    """Whom the storage's sign-in vouches for. `user` is opaque and per site; `token` goes into every call for them."""

    user: str
    name: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SyncState:
    """When a player was last synced whole (None: never), and whether a sync of them waits or runs."""

    synced_ms: int | None
    queued: bool


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What one sync of one player did."""

    friends: int
    values: int
    changed: int
    requests: int
