"""What operators decide about players and claims. See `homeserver.model`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from homeserver.model.boards import Doubt
from homeserver.model.people import PlayerCard
from homeserver.model.views import State


class Action(StrEnum):
    """What stands in the log: what operators do, what happens to those who remove the application and return, and
    that players hide and show themselves."""

    HIDE = "hide"
    RESTORE = "restore"
    REMOVE = "remove"
    UNREMOVE = "unremove"
    """Take one removal back."""
    APPROVE = "approve"
    REJECT = "reject"
    REOPEN = "reopen"
    """Take back what was said of a claim."""
    ERASE = "erase"
    RETRY_UPLOAD = "retry upload"
    CANCEL_UPLOAD = "cancel upload"
    DELIST = "delist"
    RELIST = "relist"
    WITHDRAW = "withdraw"
    """Hide themselves: no operator's doing."""
    SHOW_AGAIN = "show again"
    ADJUST = "adjust"
    """Put a score in the place of what the player has."""
    UNADJUST = "unadjust"
    CLEAR = "clear"
    """Say that an outlier is none."""
    UNCLEAR = "unclear"
    SCORE = "score"
    """Give a player a score that the operator vouches for."""
    RESET = "reset"
    UNRESET = "unreset"
    """Take a reset back."""
    DELETE_ARCHIVE = "delete archive"
    CLOSE = "close"
    OPEN = "open"
    REBUILD = "rebuild"
    VERIFY = "verify"
    BULK = "bulk"
    UNDO_BULK = "undo bulk"
    CHANGE_BOARD = "change board"
    """Add, change or drop a board, as the settings say."""
    IMPORT = "import"
    ADD_OPERATOR = "add operator"
    SET_ROLE = "set role"
    SET_PASSWORD = "set password"  # noqa: S105 - a word
    REMOVE_OPERATOR = "remove operator"
    ADD_TOKEN = "add token"  # noqa: S105 - a word
    REVOKE_TOKEN = "revoke token"  # noqa: S105 - a word


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
class Logged:
    """An act as operators see it in the log. `player` is None where it concerned nobody, or somebody who was erased."""

    id: int
    at_ms: int
    actor: str
    action: Action
    board: str | None
    card: PlayerCard | None
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Moderated:
    """What was decided about a player on one board, and stands."""

    board: str
    state: State
    reason: str
    actor: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A score that an operator put in the place of what a player had on a board, and that was not undone."""

    board: str
    score: str
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
