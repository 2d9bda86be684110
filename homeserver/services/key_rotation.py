"""Sealing anew, with the secret key, what the one before it sealed; then nobody needs the old one any more.

Servers run meanwhile. All of them have the new key for a while already, so nothing is sealed with the old one any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from homeserver.errors import SealBroken
from homeserver.services.rebuilds import Progress
from homeserver.services.secret_box import SecretBox
from homeserver.storage import seals
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.seals import Place, Sealed

PURPOSES: Final[Mapping[str, Place]] = MappingProxyType(
    {
        "page sessions": Place.PAGE_SESSIONS,
        "uploads": Place.UPLOADS,
        "sign-in": Place.SIGN_IN_TICKETS,
    }
)
"""Where what was sealed for each purpose lies."""
AT_ONCE: Final = 200


@dataclass(slots=True)
class Rotated:
    """How many sealed texts were found."""

    new: int = 0
    """Sealed with the secret key already."""
    resealed: int = 0
    lost: int = 0
    """Neither key opens them: their owners have to sign in again, as they had to before."""

    @property
    def all(self) -> int:
        """So many were looked at, and there still when they were to be sealed anew."""
        return self.new + self.resealed + self.lost


async def rotate(
    database: Database, boxes: Mapping[str, SecretBox], progress: Progress = lambda _done, _all: None
) -> Rotated:
    """Seal everything with the first key of the box for its purpose.

    Args:
        boxes: One for each of `PURPOSES`.
    """
    found = Rotated()

    async def work(reader: Reader) -> int:
        return sum([await seals.count(reader, place) for place in PURPOSES.values()])

    total = await database.read(work)
    for purpose, place in PURPOSES.items():
        after = ""
        while some := await _some(database, place, after):
            after = some[-1].row
            await _reseal(database, boxes[purpose], place, some, found)
            progress(min(found.all, total), total)
    return found


async def _some(database: Database, place: Place, after: str) -> list[Sealed]:
    return await database.read(lambda reader: seals.some(reader, place, after, AT_ONCE))


async def _reseal(database: Database, box: SecretBox, place: Place, some: list[Sealed], found: Rotated) -> None:
    changed: list[tuple[Sealed, str]] = []
    for each in some:
        try:
            text = box.resealed(each.text, bound_to=each.row)
        except SealBroken:
            found.lost += 1
            continue
        if text is None:
            found.new += 1
        else:
            changed.append((each, text))

    async def work(tx: Transaction) -> int:  # who is not there any more has signed out, or was sealed by a server
        return sum([await seals.replace(tx, place, each, text) for each, text in changed])

    if changed:
        found.resealed += await database.write(work)
