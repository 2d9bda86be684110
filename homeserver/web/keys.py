"""The typed keys under which wiring puts the services, and the few plain values that pages need."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web

from homeserver.errors import BadSettings
from homeserver.protocol.gadget_spec import GadgetSpec

if TYPE_CHECKING:
    from homeserver.services.board_views import BoardViews
    from homeserver.services.gadget_sessions import GadgetSessions
    from homeserver.services.health import Health
    from homeserver.services.leaderboards import Leaderboards
    from homeserver.services.operators import Operators
    from homeserver.services.page_sessions import PageSessions
    from homeserver.services.players import Players
    from homeserver.services.sign_in import SamlSignIn
    from homeserver.services.sync import Sync
    from homeserver.services.sync_report import MetricsGate, SyncReport
    from homeserver.services.uploads import Uploads

# A source of the Content-Security-Policy: scheme, host (perhaps `*.`) and port. Whatever could end a directive is out.
_SOURCE: Final = re.compile(r"https?://(\*\.)?[A-Za-z0-9.\[\]:-]+|https?:")


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages know about the site.

    `public_url` is an origin without a path. `allowed_origins` may call `/gadget/v1` from a browser, `picture_sources`
    are where people's pictures come from and `form_targets` where the answer to one of our forms may send a browser
    (portal, consent, sign-in); all three are origins, the last two may begin with `*.` or be a scheme alone (`https:`).

    Raises:
        BadSettings: One of these is no origin.
    """

    public_url: str
    title: str = "Home server"
    allowed_origins: frozenset[str] = frozenset()
    picture_sources: tuple[str, ...] = ()
    form_targets: tuple[str, ...] = ()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    boards_for_everyone: bool = False
    max_upload_bytes: int = 2 << 30
    gadget: GadgetSpec = field(default_factory=GadgetSpec)

    def __post_init__(self) -> None:
        parts = urlsplit(self.public_url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query:
            raise BadSettings(f"public_url: {self.public_url!r} is not scheme, host and port alone")
        for source in (*self.picture_sources, *self.form_targets):
            if not _SOURCE.fullmatch(source):
                raise BadSettings(f"{source!r} is not an origin that a page's policy could name")

    @property
    def is_https(self) -> bool:
        return self.public_url.startswith("https://")


SITE: Final = web.AppKey("SITE", Site)

LEADERBOARDS: Final[web.AppKey[Leaderboards]] = web.AppKey("LEADERBOARDS")
BOARD_VIEWS: Final[web.AppKey[BoardViews]] = web.AppKey("BOARD_VIEWS")
PLAYERS: Final[web.AppKey[Players]] = web.AppKey("PLAYERS")
SYNC: Final[web.AppKey[Sync]] = web.AppKey("SYNC")
SYNC_REPORT: Final[web.AppKey[SyncReport]] = web.AppKey("SYNC_REPORT")
METRICS_GATE: Final[web.AppKey[MetricsGate]] = web.AppKey("METRICS_GATE")
GADGET_SESSIONS: Final[web.AppKey[GadgetSessions]] = web.AppKey("GADGET_SESSIONS")
PAGE_SESSIONS: Final[web.AppKey[PageSessions]] = web.AppKey("PAGE_SESSIONS")
SIGN_IN: Final[web.AppKey[SamlSignIn]] = web.AppKey("SIGN_IN")
OPERATORS: Final[web.AppKey[Operators]] = web.AppKey("OPERATORS")
UPLOADS: Final[web.AppKey[Uploads]] = web.AppKey("UPLOADS")
HEALTH: Final[web.AppKey[Health]] = web.AppKey("HEALTH")
