"""Who is signed in, and how fresh what we know of them is. See `homeserver.model`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from homeserver.model.people import PlayerCard


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
    """A fresh bearer token for the gadget's own calls, who its viewer is, and on whose page the gadget stands."""

    token: str = field(repr=False)
    expires_ms: int
    viewer: PlayerCard | None
    owner: PlayerCard | None = None


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

    def allows(self, wanted: Role) -> bool:
        """Whether who has this role may do what takes that one."""
        order = list(Role)
        return order.index(self) >= order.index(wanted)


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
