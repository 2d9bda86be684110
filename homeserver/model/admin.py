"""What operators see of boards, players and themselves beyond what players see. See `homeserver.model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from homeserver.model.boards import Board, Period
from homeserver.model.moderation import Action, Adjustment, Claim, Logged, Moderated
from homeserver.model.people import Origin, PlayerCard
from homeserver.model.sessions import Role
from homeserver.model.uploads import StorageLeg
from homeserver.model.views import DetailedPlace, State


class TaskKind(StrEnum):
    """What is done to a whole board, behind whoever asked for it."""

    REBUILD = "rebuild"
    VERIFY = "verify"
    RESET = "reset"
    UNRESET = "unreset"
    BULK = "bulk"
    UNDO_BULK = "undo bulk"


class TaskState(StrEnum):
    """How far a task is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """It ended with an error, or with a result that is wrong: a check that found a difference."""


@dataclass(frozen=True, slots=True)
class Task:
    """Something that is done to a whole board. `done` of `total` says how far it is; `result` depends on its kind."""

    id: int
    kind: TaskKind
    board: str
    wanted: Mapping[str, object]
    """What was asked for, by the kind."""
    actor: str
    reason: str
    state: TaskState
    done: int
    total: int
    result: Mapping[str, object]
    started_ms: int
    ended_ms: int | None


@dataclass(frozen=True, slots=True)
class Archive:
    """What a board was when it was reset: its lists, under a name. Nobody sees them but operators."""

    id: int
    board: str
    name: str
    actor: str
    reason: str
    at_ms: int
    entries: int
    """Of the list of all time."""


@dataclass(frozen=True, slots=True)
class BoardStatus:
    """A board as its operator looks after it."""

    board: Board
    definition: Mapping[str, object]
    """In plain values, as settings write it."""
    generation: int
    entries: int
    """Of the list of all time."""
    hidden: int
    """Players that an operator has hidden from it."""
    removed: int
    """Players whose score an operator has removed."""
    pending: int
    """Claims that wait to be looked at."""
    writes_per_minute: float
    """Changes of its field, over the last five minutes."""
    closed_ms: int | None
    rebuilt_ms: int | None
    """When its lists were last made anew."""
    rebuild_due: bool
    """Its lists lack scores of an import that was broken off."""
    check: Task | None
    """The last time that its lists were compared with each other."""
    at_work: Task | None
    """What is being done to it, or waits to be."""


@dataclass(frozen=True, slots=True)
class Writes:
    """How many changes of a board's field came in the minute or hour that began then."""

    at_ms: int
    count: int


@dataclass(frozen=True, slots=True)
class OperatorEntry:
    """A row of a board as operators see it. `user_id` is the container's; without a place, `rank` is None."""

    rank: int | None
    tied: bool
    player: PlayerCard
    user_id: str
    score: str
    display: str
    reached_ms: int
    state: State
    origin: Origin | None
    """How the score came; None where it was adjusted."""
    verified: bool
    """An operator vouches for the score: it was given by one, or adjusted."""
    flagged: bool
    """A better claim of the player waits."""


@dataclass(frozen=True, slots=True)
class OperatorPage:
    """A part of a list. `next` and `previous` are cursors. With a filter a page may be short, or empty, and go on."""

    board: str
    period: Period
    total: int
    """Of the whole list, whatever the filter."""
    entries: tuple[OperatorEntry, ...]
    next: str | None
    previous: str | None
    as_of_ms: int


@dataclass(frozen=True, slots=True)
class BulkAct:
    """An act on all whose score in one list lies from `least` to `greatest`, both included (None: no bound)."""

    action: Action
    period: str
    least: str | None
    greatest: str | None


@dataclass(frozen=True, slots=True)
class Concerned:
    """A player whom a bulk act would concern, with the score for which it does."""

    player: PlayerCard
    score: str
    display: str


@dataclass(frozen=True, slots=True)
class BulkPreview:
    """Whom a bulk act would concern: how many in all (None: not counted), and some of them. `next` goes on."""

    total: int | None
    concerned: tuple[Concerned, ...]
    next: str | None


class Oddity(StrEnum):
    """Why a score is looked at."""

    SCORE = "score"
    """It is far from what most have."""
    JUMP = "jump"
    """The player's last change is far from what changes of this board are."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A score that is far from the others. `distance` is in robust standard deviations."""

    player: PlayerCard
    score: str
    display: str
    oddity: Oddity
    distance: float
    at_ms: int
    rank: int | None


@dataclass(frozen=True, slots=True)
class Suspects:
    """The scores that are far from the others, farthest first. `usual` and `spread` say what most have.

    `spread` is None where most have the same: then nothing is far.
    """

    usual: str | None
    spread: float | None
    suspects: tuple[Suspect, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a board makes of an AppData value: a score, or why it is none."""

    board: str
    score: str | None
    display: str | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class HeldValue:
    """An AppData value as it was last seen; None where the key was gone. `observed_ms` is None: never seen."""

    key: str
    value: str | None
    observed_ms: int | None
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class PastChange:
    """A change of an AppData value, as it was kept. `id` grows with time."""

    id: int
    key: str
    old: str | None
    new: str | None
    at_ms: int
    origin: Origin
    readings: tuple[Reading, ...]
    """What the boards of this field make of the new value."""


@dataclass(frozen=True, slots=True)
class FoundPlayer:
    """A player who was looked for."""

    card: PlayerCard
    user_id: str


@dataclass(frozen=True, slots=True)
class UploadLine:
    """A file of the storage account that the player has linked, without its name: that is the account's."""

    id: str
    size_bytes: int
    state: StorageLeg
    code: str | None
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class UploadPage:
    """Some uploads, the newest first; `counts` are all that are needed still, by group."""

    uploads: tuple[UploadLine, ...]
    next: str | None
    counts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Dossier:
    """All that is known of one player, but for what only they may know."""

    card: PlayerCard
    container: str
    user_id: str
    has_app: bool | None
    withdrawn_ms: int | None
    """Since when they have hidden themselves; None: they have not."""
    friends: int
    synced_ms: int | None
    """When they were last synced whole."""
    places: tuple[DetailedPlace, ...]
    """As the player sees them."""
    moderated: tuple[Moderated, ...]
    adjusted: tuple[Adjustment, ...]
    waiting: tuple[Claim, ...]
    values: tuple[HeldValue, ...]
    changes: tuple[PastChange, ...]
    """The newest."""
    uploads: tuple[UploadLine, ...]
    acts: tuple[Logged, ...]
    """The newest that concern them."""


@dataclass(frozen=True, slots=True)
class SyncHealth:
    """How the sync with the container does, of all processes together."""

    players: int
    synced: int
    """Of them, those who were ever synced whole."""
    oldest_ms: int | None
    newest_ms: int | None
    """Of the ages of what is known of players."""
    waiting: Mapping[str, object]
    """By what: how many questions wait."""
    running: int
    requests: int
    failed: Mapping[str, object]
    """Attempts since the database was made, by reason."""
    failures: int
    """In a row: what the breaker goes by."""
    closed_ms: int | None
    """Until then the container is left alone."""
    refused_ms: int | None
    """Since then it refuses everybody."""
    skew_s: float


@dataclass(frozen=True, slots=True)
class OperatorAccount:
    """An operator's account as other operators see it."""

    name: str
    role: Role
    tokens: int


@dataclass(frozen=True, slots=True)
class OperatorSession:
    """A browser in which an operator is signed in."""

    expires_ms: int
    is_this: bool


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A personal token of an operator, as it is listed: never the token itself."""

    id: str
    name: str
    role: Role
    created_ms: int
    expires_ms: int
    used_ms: int | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was made just now, and the only time that it is shown."""

    token: str = field(repr=False)
    listed: AccessToken
