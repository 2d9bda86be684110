"""The words that everybody shares: plain values without I/O.

Times are integers: milliseconds since the epoch, UTC (`_ms`). A container's person id is text everywhere: the guide's
own ids exceed 63 bits and one begins with 0. A `player` is our internal number and never leaves the house; what leaves
is the opaque `PlayerCard.id`.
"""

from __future__ import annotations

from collections.abc import Callable

from homeserver.model.boards import (
    Board,
    Counts,
    Decision,
    Doubt,
    Format,
    Keep,
    Kept,
    Order,
    Period,
    Position,
    Season,
    Span,
    Ties,
)
from homeserver.model.http import HttpReply, HttpRequest
from homeserver.model.moderation import Act, Action, Claim, Moderated
from homeserver.model.people import NEUTRAL_NAME, AppData, Change, KnownPlayer, Origin, Person, PlayerCard
from homeserver.model.sessions import (
    GadgetSession,
    OpenedGadget,
    Operator,
    PageSession,
    Role,
    SignedCall,
    StorageIdentity,
    SyncResult,
    SyncState,
)
from homeserver.model.uploads import BrowserLeg, StorageLeg, Upload
from homeserver.model.views import (
    DetailedPlace,
    Distribution,
    Entry,
    EntryPage,
    History,
    ListedPeriod,
    ListedPeriods,
    NextPlace,
    OwnClass,
    PastScore,
    Pending,
    Place,
    PlaceChange,
    Placed,
    ScoreClass,
    State,
)

NowMs = Callable[[], int]
"""The wall clock, in milliseconds since the epoch: a parameter wherever time matters, so that a test can move it."""

__all__ = [
    "NEUTRAL_NAME",
    "Act",
    "Action",
    "AppData",
    "Board",
    "BrowserLeg",
    "Change",
    "Claim",
    "Counts",
    "Decision",
    "DetailedPlace",
    "Distribution",
    "Doubt",
    "Entry",
    "EntryPage",
    "Format",
    "GadgetSession",
    "History",
    "HttpReply",
    "HttpRequest",
    "Keep",
    "Kept",
    "KnownPlayer",
    "ListedPeriod",
    "ListedPeriods",
    "Moderated",
    "NextPlace",
    "NowMs",
    "OpenedGadget",
    "Operator",
    "Order",
    "Origin",
    "OwnClass",
    "PageSession",
    "PastScore",
    "Pending",
    "Period",
    "Person",
    "Place",
    "PlaceChange",
    "Placed",
    "PlayerCard",
    "Position",
    "Role",
    "ScoreClass",
    "Season",
    "SignedCall",
    "Span",
    "State",
    "StorageIdentity",
    "StorageLeg",
    "SyncResult",
    "SyncState",
    "Ties",
    "Upload",
]
