"""What operators decide about players and claims. See `homeserver.model`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from homeserver.model.boards import Doubt
from homeserver.model.people import PlayerCard
from homeserver.model.views import State


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
    RETRY_UPLOAD = "retry upload"
    CANCEL_UPLOAD = "cancel upload"
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
