"""People, their AppData, and what became of it. See `homeserver.model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NEUTRAL_NAME: Final = "Player"
"""Shown for a person whom the container gives no name."""


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
        """See `shown_name`."""
        return shown_name(self.given_name, self.family_name, self.display_name)


def shown_name(given_name: str, family_name: str, display_name: str) -> str:
    """Given name and family name, else the display name, else a neutral word."""
    return f"{given_name} {family_name}".strip() or display_name or NEUTRAL_NAME


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
