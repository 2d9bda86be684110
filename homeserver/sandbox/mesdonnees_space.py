"""The storage's own rules, without HTTP: who has a space, what may be stored there, one-time tickets for uploads."""

from __future__ import annotations

import base64
import re
import secrets
import unicodedata
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from homeserver.model import NowMs

MAX_NAME_CHARACTERS: Final = 255
MAX_FILES_LISTED: Final = 1000
MAX_OPEN_TICKETS: Final = 10_000

_SIZE: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_NOT_IN_XML: Final = re.compile("[\ufffe\uffff]")


class Standing(StrEnum):
    """How the storage sees a person."""

    ACTIVE = "active"
    NOT_ACTIVATED = "not activated"
    DEACTIVATED = "deactivated"
    SUSPENDED = "suspended"


class Consent(StrEnum):
    """Whether the site may add files to a person's space."""

    ALWAYS = "always"
    ONCE = "once"
    ASK = "ask"
    REFUSED = "refused"


@dataclass(slots=True)
class StorageUser:
    """A person with, or without yet, a space. Tests change the fields at will."""

    id: str
    name: str
    about: str
    """One line for the sign-in page: what this person is there to show."""
    folder_id: str
    standing: Standing = Standing.ACTIVE
    consent: Consent = Consent.ALWAYS
    quota_bytes: int = 0
    used_bytes: int = 0

    @property
    def free_bytes(self) -> int:
        """What still fits, never negative."""
        return max(0, self.quota_bytes - self.used_bytes)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that arrived whole. `name` was announced in step one, `filename` came with the part in step two."""

    name: str
    size_bytes: int
    sha256: str
    media_type: str
    user: str
    content_id: str
    received_ms: int
    filename: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a one-time upload URL is good for."""

    id: str = field(repr=False)
    cookie: str = field(repr=False)
    user: StorageUser
    name: str
    size_bytes: int
    expires_ms: int


def seeded_users(quota_bytes: int) -> dict[str, StorageUser]:
    """The people who can sign in, one for each way in which the storage answers; by id."""
    people = (
        StorageUser("marie", "Marie Dupont", "An ordinary space with plenty of room", "3449"),
        StorageUser("paul", "Paul Martin", "Has not activated Mes Données yet", "3450", Standing.NOT_ACTIVATED),
        StorageUser("chloe", "Chloé Bernard", "Is asked before a site may add files", "3451", consent=Consent.ASK),
        StorageUser("luc", "Luc Petit", "A space with one kilobyte left", "3452", used_bytes=quota_bytes - 1024),
        StorageUser("ines", "Inès Moreau", "Her service was deactivated", "3453", Standing.DEACTIVATED),
        StorageUser("hugo", "Hugo Lefèvre", "Is suspended", "3454", Standing.SUSPENDED),
    )
    for person in people:
        person.quota_bytes = quota_bytes
    return {person.id: person for person in people}


class StorageSpace:
    """Everybody's files, and the tickets that are out.

    Attributes:
        users: Id to person.
        files: Name to the file that arrived last under it, the newest `MAX_FILES_LISTED` names.
        received: Everything that arrived, oldest first, the newest `MAX_FILES_LISTED`.
        urls_issued: How many tickets have been given out.
        url_lifetime_ms: How long after its issue an upload may begin.
    """

    def __init__(self, *, now_ms: NowMs, quota_bytes: int, url_lifetime_ms: int) -> None:
        self._now_ms = now_ms
        self.url_lifetime_ms = url_lifetime_ms
        self.users = seeded_users(quota_bytes)
        self.files: dict[str, StoredFile] = {}
        self.received: deque[StoredFile] = deque(maxlen=MAX_FILES_LISTED)
        self.urls_issued = 0
        self._tickets: dict[str, Ticket] = {}
        self._next_content_id = 6174  # the guide's sample

    def refusal(self, user: StorageUser, name: str, size_text: str) -> str | None:
        """The error code that step one answers, or None. Consent first, then the parameters, then the space."""
        if user.consent in {Consent.ASK, Consent.REFUSED}:
            return "-3"
        if not _is_name(name):
            return "PA003"
        if not _SIZE.fullmatch(size_text) or int(size_text) == 0:
            return "PA004"
        match user.standing:
            case Standing.NOT_ACTIVATED:
                return "MD804"
            case Standing.DEACTIVATED:
                return "MD113"
            case Standing.SUSPENDED:
                return "MD803"
            case Standing.ACTIVE:
                return "MD327" if int(size_text) > user.free_bytes else None

    def issue(self, user: StorageUser, name: str, size_bytes: int) -> Ticket:
        """A new ticket. A consent given once is used up by it."""
        now = self._now_ms()
        for old in [ticket for ticket in self._tickets.values() if ticket.expires_ms <= now]:
            del self._tickets[old.id]
        while len(self._tickets) >= MAX_OPEN_TICKETS:
            del self._tickets[next(iter(self._tickets))]
        ticket = Ticket(
            id=secrets.token_urlsafe(24),
            # "/", "+" and "=" are legal in a cookie and make a cookie library quote the value: a trap worth setting
            cookie=f"{base64.b64encode(secrets.token_bytes(18)).decode()}/+=",
            user=user,
            name=name,
            size_bytes=size_bytes,
            expires_ms=now + self.url_lifetime_ms,
        )
        self._tickets[ticket.id] = ticket
        self.urls_issued += 1
        if user.consent is Consent.ONCE:
            user.consent = Consent.ASK
        return ticket

    def take(self, ticket_id: str) -> Ticket | None:
        """Use up a ticket. None when it is unknown, used, or past its time."""
        ticket = self._tickets.pop(ticket_id, None)
        return ticket if ticket is not None and self._now_ms() < ticket.expires_ms else None

    def peek_name(self, ticket_id: str) -> str:
        """The announced name of a ticket that is still out, empty for any other."""
        ticket = self._tickets.get(ticket_id)
        return "" if ticket is None else ticket.name

    def store(self, ticket: Ticket, *, sha256: str, media_type: str, filename: str) -> StoredFile | None:
        """Keep the file that `ticket` announced. None when it no longer fits or its owner may store no more."""
        user = ticket.user
        if user.standing is not Standing.ACTIVE or ticket.size_bytes > user.free_bytes:
            return None
        file = StoredFile(
            name=ticket.name,
            size_bytes=ticket.size_bytes,
            sha256=sha256,
            media_type=media_type,
            user=user.id,
            content_id=str(self._next_content_id),
            received_ms=self._now_ms(),
            filename=filename,
        )
        self._next_content_id += 1
        user.used_bytes += file.size_bytes
        self.files.pop(file.name, None)
        self.files[file.name] = file
        if len(self.files) > MAX_FILES_LISTED:
            del self.files[next(iter(self.files))]
        self.received.append(file)
        return file


def _is_name(name: str) -> bool:
    """1 to 255 characters, none of them a slash, a control character, or one that XML cannot carry."""
    return (
        0 < len(name) <= MAX_NAME_CHARACTERS
        and "/" not in name
        and not _NOT_IN_XML.search(name)
        and not any(unicodedata.category(character) in {"Cc", "Cs"} for character in name)
    )
