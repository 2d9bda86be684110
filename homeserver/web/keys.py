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
    from homeserver.services.board_admin import BoardAdmin
    from homeserver.services.board_states import BoardStates
    from homeserver.services.board_tasks import BoardTasks
    from homeserver.services.board_views import BoardViews
    from homeserver.services.board_watch import BoardWatch
    from homeserver.services.bulk import Bulk
    from homeserver.services.changes import Changes
    from homeserver.services.dossiers import Dossiers
    from homeserver.services.exports import Exports
    from homeserver.services.gadget_sessions import GadgetSessions
    from homeserver.services.health import Health
    from homeserver.services.leaderboards import Leaderboards
    from homeserver.services.moderation import Moderation
    from homeserver.services.operator_tokens import OperatorTokens
    from homeserver.services.operator_views import OperatorViews
    from homeserver.services.operators import Operators
    from homeserver.services.outliers import Outliers
    from homeserver.services.own_data import OwnData
    from homeserver.services.page_sessions import PageSessions
    from homeserver.services.players import Players
    from homeserver.services.repeats import Repeats
    from homeserver.services.sign_in import SamlSignIn
    from homeserver.services.surroundings import BoardSurroundings
    from homeserver.services.sync import Sync
    from homeserver.services.sync_report import MetricsGate, SyncReport
    from homeserver.services.upload_desk import UploadDesk
    from homeserver.services.uploads import Uploads
    from homeserver.services.verified_scores import VerifiedScores

# A source of the Content-Security-Policy: scheme, host (perhaps `*.`) and port. Whatever could end a directive is out.
_SOURCE: Final = re.compile(r"https?://(\*\.)?[A-Za-z0-9.\[\]:-]+|https?:")


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages know about the site.

    `public_url` is an origin without a path. `allowed_origins` may call `/gadget/v1` from a browser, `picture_sources`
    are where people's pictures come from and `form_targets` where the answer to one of our forms may send a browser
    (portal, consent, sign-in); all three are origins, the last two may begin with `*.` or be a scheme alone (`https:`).
    Scores that were read longer ago than `stale_after_ms` are said to be old.

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
    stale_after_ms: int = 7_200_000
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


@dataclass(frozen=True, slots=True)
class ShownSetting:
    """A setting in force, for operators. `value` holds no secret, and is empty where nothing is set."""

    name: str
    value: str
    description: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class ShownSection:
    """A section of the settings in force."""

    name: str
    description: str
    settings: tuple[ShownSetting, ...]


SETTINGS_SHOWN: Final = web.AppKey("SETTINGS_SHOWN", tuple)

LEADERBOARDS: Final[web.AppKey[Leaderboards]] = web.AppKey("LEADERBOARDS")
BOARD_VIEWS: Final[web.AppKey[BoardViews]] = web.AppKey("BOARD_VIEWS")
SURROUNDINGS: Final[web.AppKey[BoardSurroundings]] = web.AppKey("SURROUNDINGS")
CHANGES: Final[web.AppKey[Changes]] = web.AppKey("CHANGES")
PLAYERS: Final[web.AppKey[Players]] = web.AppKey("PLAYERS")
SYNC: Final[web.AppKey[Sync]] = web.AppKey("SYNC")
SYNC_REPORT: Final[web.AppKey[SyncReport]] = web.AppKey("SYNC_REPORT")
METRICS_GATE: Final[web.AppKey[MetricsGate]] = web.AppKey("METRICS_GATE")
GADGET_SESSIONS: Final[web.AppKey[GadgetSessions]] = web.AppKey("GADGET_SESSIONS")
PAGE_SESSIONS: Final[web.AppKey[PageSessions]] = web.AppKey("PAGE_SESSIONS")
OWN_DATA: Final[web.AppKey[OwnData]] = web.AppKey("OWN_DATA")
SIGN_IN: Final[web.AppKey[SamlSignIn]] = web.AppKey("SIGN_IN")
OPERATORS: Final[web.AppKey[Operators]] = web.AppKey("OPERATORS")
UPLOAD_DESK: Final[web.AppKey[UploadDesk]] = web.AppKey("UPLOAD_DESK")
UPLOADS: Final[web.AppKey[Uploads]] = web.AppKey("UPLOADS")
OPERATOR_TOKENS: Final[web.AppKey[OperatorTokens]] = web.AppKey("OPERATOR_TOKENS")
REPEATS: Final[web.AppKey[Repeats]] = web.AppKey("REPEATS")
OUTLIERS: Final[web.AppKey[Outliers]] = web.AppKey("OUTLIERS")
BULK: Final[web.AppKey[Bulk]] = web.AppKey("BULK")
BOARD_ADMIN: Final[web.AppKey[BoardAdmin]] = web.AppKey("BOARD_ADMIN")
BOARD_STATES: Final[web.AppKey[BoardStates]] = web.AppKey("BOARD_STATES")
BOARD_TASKS: Final[web.AppKey[BoardTasks]] = web.AppKey("BOARD_TASKS")
BOARD_WATCH: Final[web.AppKey[BoardWatch]] = web.AppKey("BOARD_WATCH")
OPERATOR_VIEWS: Final[web.AppKey[OperatorViews]] = web.AppKey("OPERATOR_VIEWS")
DOSSIERS: Final[web.AppKey[Dossiers]] = web.AppKey("DOSSIERS")
EXPORTS: Final[web.AppKey[Exports]] = web.AppKey("EXPORTS")
VERIFIED_SCORES: Final[web.AppKey[VerifiedScores]] = web.AppKey("VERIFIED_SCORES")
HEALTH: Final[web.AppKey[Health]] = web.AppKey("HEALTH")
MODERATION: Final[web.AppKey[Moderation]] = web.AppKey("MODERATION")
