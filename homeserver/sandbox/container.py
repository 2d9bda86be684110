"""The container stand-in: a social network with one application, as tests and the sandbox's pages see it.

`rest.py` puts it on the wire for the home server, `gadgets.py` for browsers. What the Remote API guide leaves open is
settled in one place, `Quirks`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from homeserver.sandbox.oauth import FORM, ContainerSigner, HttpMethod, make_certificate_pem
from homeserver.sandbox.people import SandboxPerson, populate
from homeserver.sandbox.settings import SandboxSettings

MAX_RECORDED: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """How this container differs from another that is just as right. The defaults are the guide's."""

    collection: str = "entry"
    """The member that holds a list of people: `entry`, or `list` from OpenSocial 1.0 on."""
    first_index: int = 1
    """What `startIndex` counts from in requests. Answers count from 0."""
    max_count: int = 100
    """The most people on one page, whatever was asked for."""
    filters_has_app: bool = True
    """False ignores the filter, and says nothing about it."""
    escapes_appdata: bool = True
    """HTML-escape AppData on read."""
    flat_writes_merge: bool = False
    """True stores a flat PUT or POST without `fields` key by key. False: POST creates, a flat PUT is 501."""
    empty_items: bool = False
    """List friends without AppData as `{}` in a collection, instead of leaving them out."""


SHINDIG: Final = Quirks(
    first_index=0, filters_has_app=False, escapes_appdata=False, flat_writes_merge=True, empty_items=True
)
"""The choices of Apache Shindig 2.0."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request that arrived at the REST service, and the status that it got. Signatures and nonces are left out."""

    method: str
    path: str
    """Decoded, from `people/` or `appdata/` on."""
    query: Mapping[str, str]
    """Decoded; of a repeated parameter the last."""
    status: int
    body: bytes = field(default=b"", repr=False)

    @property
    def requestor(self) -> str | None:
        return self.query.get("xoauth_requestor_id")


class ContainerStandIn:
    """Everybody in the sandbox, and the application that some of them have.

    Attributes:
        people, friends, contacts, appdata: Who is there, as `Society` has it; AppData is raw, never escaped. Tests may
            read and change them at any time.
        offline: Whether the home server may act for people who are not running the application.
        quirks: What to do where the guide leaves a choice.
        requests: What arrived at the REST service, oldest first, the last `MAX_RECORDED` of it.
        certificate_pem: The certificate of the key that signs makeRequest calls.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.society = populate(settings.seed)
        self.people = self.society.people
        self.friends = self.society.friends
        self.contacts = self.society.contacts
        self.appdata = self.society.appdata
        self.offline = settings.offline
        self.quirks = Quirks()
        self.requests: deque[Recorded] = deque(maxlen=MAX_RECORDED)
        self.certificate_pem = make_certificate_pem(settings)
        self._signer = ContainerSigner(settings)
        self._opened_ms: dict[str, int] = {}

    def add_person(
        self,
        person_id: str,
        given_name: str = "",
        family_name: str = "",
        *,
        display_name: str = "",
        has_app: bool = True,
    ) -> SandboxPerson:
        """Let somebody in, without friends and AppData. Raises ValueError for an id that is taken or cannot be one."""
        person = SandboxPerson(person_id, given_name, family_name, display_name, has_app=has_app)
        self.society.add(person)
        return person

    def befriend(self, one: str, other: str) -> None:
        """Make two people friends; they come last in each other's lists."""
        self.society.befriend(one, other)

    def unfriend(self, one: str, other: str) -> None:
        """End a friendship."""
        self.society.unfriend(one, other)

    def has_app(self, person_id: str) -> bool:
        """Whether somebody has the application; False for people who do not exist."""
        person = self.people.get(person_id)
        return person is not None and person.has_app

    def add_app(self, person_id: str) -> None:
        """Give somebody the application, without telling the home server."""
        self.people[person_id].has_app = True

    def remove_app(self, person_id: str) -> None:
        """Take the application from somebody, without telling the home server. Their AppData stays, out of reach."""
        self.people[person_id].has_app = False
        self._opened_ms.pop(person_id, None)

    def appdata_of(self, person_id: str) -> dict[str, str]:
        """Somebody's AppData as it is stored, raw; a copy, empty where there is none."""
        return dict(self.appdata.get(person_id, {}))

    def set_appdata(self, person_id: str, values: Mapping[str, str]) -> None:
        """Replace somebody's AppData, as the gadget's own JavaScript would; an empty mapping removes it."""
        if values:
            self.appdata[person_id] = dict(values)
        else:
            self.appdata.pop(person_id, None)

    def open_gadget(self, person_id: str) -> None:
        """Somebody runs the application from now on, for `SandboxSettings.online_for_ms`."""
        self._opened_ms[person_id] = self.settings.now_ms()

    def close_gadget(self, person_id: str) -> None:
        """Somebody no longer runs the application."""
        self._opened_ms.pop(person_id, None)

    def is_online(self, person_id: str) -> bool:
        """Whether somebody opened the gadget lately."""
        opened_ms = self._opened_ms.get(person_id)
        return opened_ms is not None and self.settings.now_ms() - opened_ms < self.settings.online_for_ms

    def picture_url(self, person: SandboxPerson) -> str:
        """Where a person's picture is, whether they show it or not."""
        return f"{self.settings.public_url}/pictures/{quote(person.id, safe='')}.svg"

    def sign_request(
        self,
        http_method: HttpMethod,
        url: str,
        *,
        owner: str | None,
        viewer: str | None,
        signature_method: str = "RSA-SHA1",
        body: bytes = b"",
        content_type: str = "",
        app_url: str | None = None,
        app_id: str | None = None,
    ) -> tuple[str, dict[str, str]]:
        """What makeRequest would send: the signed URL, to be called exactly as it is, and the headers to send with it.

        See `ContainerSigner.sign` for the parameters and errors. A POST or PUT without `content_type` is a form.
        """
        if not content_type and http_method in ("POST", "PUT"):
            content_type = FORM
        signed = self._signer.sign(
            http_method, url, owner=owner, viewer=viewer, signature_method=signature_method, body=body,
            content_type=content_type, app_url=app_url, app_id=app_id,
        )  # fmt: skip
        return signed, {"Content-Type": content_type} if content_type else {}
