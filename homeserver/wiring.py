"""The composition root: from settings to an application. The only place that knows every part."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import structlog
from aiohttp import ClientSession, web

from homeserver import config
from homeserver import web as web_layer
from homeserver.clients.container import ContainerClient
from homeserver.clients.mesdonnees import MesDonneesClient
from homeserver.clients.transport import open_session
from homeserver.config_shown import shown
from homeserver.domain.instants import DAY_MS
from homeserver.errors import BadSettings
from homeserver.model import NowMs
from homeserver.protocol.dialects import DIALECTS
from homeserver.protocol.gadget_spec import GadgetSpec, Wording
from homeserver.protocol.oauth1 import Credentials
from homeserver.protocol.saml import Rules
from homeserver.protocol.saml_metadata import IdentityProvider, ServiceProvider, read_certificates, read_metadata
from homeserver.protocol.trusted_signers import TrustedSigner
from homeserver.services.appdata import AppDataWriter
from homeserver.services.board_views import BoardViews
from homeserver.services.changes import Changes
from homeserver.services.gadget_sessions import GadgetSessions
from homeserver.services.health import Health
from homeserver.services.jobs import Jobs
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.meter import Meter
from homeserver.services.moderation import Moderation
from homeserver.services.operators import Operators
from homeserver.services.own_data import OwnData
from homeserver.services.pace import Pace
from homeserver.services.page_sessions import PageSessions
from homeserver.services.players import Players
from homeserver.services.score_writes import ScoreWrites
from homeserver.services.secret_box import SecretBox, derive
from homeserver.services.sign_in import SamlSignIn, Wanted
from homeserver.services.step_one import StepOne
from homeserver.services.surroundings import BoardSurroundings
from homeserver.services.sync import Sync, SyncRules
from homeserver.services.sync_report import MetricsGate, SyncReport
from homeserver.services.sync_rounds import Rounds
from homeserver.services.timed_writes import Rule, TimedWrites
from homeserver.services.upkeep import Upkeep
from homeserver.services.upload_desk import UploadDesk
from homeserver.services.upload_room import RoomLimits
from homeserver.services.upload_run import Kit
from homeserver.services.upload_verdicts import PortalRule
from homeserver.services.uploads import Uploads
from homeserver.storage.database import Database, WatchedDatabase, open_database
from homeserver.storage.spool import Spool
from homeserver.web import keys
from homeserver.web.account import METADATA_PATH
from homeserver.web.files import ANSWERED_PATH
from homeserver.web.security import ANSWER_PATH
from homeserver.wiring_admin import furnish

T = TypeVar("T")

log: Final = structlog.get_logger(__name__)


def wall_clock_ms() -> int:
    """The machine's clock."""
    return time.time_ns() // 1_000_000


def make_app(settings: config.Settings, *, now_ms: NowMs = wall_clock_ms, jobs: bool = True) -> web.Application:
    """The application, ready to be served; what it holds open is opened at its start and closed at its end.

    Args:
        now_ms: The clock of everything in it.
        jobs: Whether this process tidies. It syncs those who ask it, and sends the files in its spool, all the same.

    Raises:
        BadSettings: A file that the settings name cannot be read.
    """
    app = web.Application()
    provider = identity_provider(settings.sign_in)
    app[keys.SITE] = site_of(settings, provider)
    app[keys.SETTINGS_SHOWN] = shown(settings)
    signers = trusted_signers(settings)

    async def opened(app: web.Application) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            await _open(app, settings, signers, provider, stack, now_ms=now_ms, jobs=jobs)
            yield

    async def let_go(app: web.Application) -> None:
        app[keys.UPLOADS].close()  # who listens for changes would hold up the end
        app[keys.CHANGES].close()

    app.cleanup_ctx.append(opened)
    app.on_shutdown.append(let_go)
    web_layer.setup(app)
    return app


def database_of(settings: config.Settings) -> contextlib.AbstractAsyncContextManager[WatchedDatabase]:
    """The database, to be opened; see `open_database`."""
    wanted = settings.database
    return open_database(settings.database_url, wanted.schema_name, connections=wanted.connections)


@dataclass(frozen=True, slots=True)
class Core:
    """What the server and the commands that do its work share: the database, the container, the boards, the sync."""

    database: WatchedDatabase
    session: ClientSession
    container: ContainerClient
    boards: Leaderboards
    sync: Sync
    rounds: Rounds
    timed_writes: TimedWrites
    meter: Meter


@contextlib.asynccontextmanager
async def open_core(settings: config.Settings, now_ms: NowMs = wall_clock_ms) -> AsyncIterator[Core]:
    """Open the database and the way to the container; store the boards that the database lacks.

    Raises:
        OutdatedSchema: The database is not migrated.
    """
    name = settings.container.name
    async with (
        database_of(settings) as database,
        open_session(max_connections=settings.container.max_connections) as session,
    ):
        container = container_client(settings, session, now_ms)
        meter = Meter(database)
        pace = pace_of(settings, database, meter, now_ms=now_ms)
        writer = AppDataWriter(database, container.gated(pace.once), name, now_ms)
        boards = Leaderboards(
            database,
            writer,
            now_ms,
            derive(settings.server.secret_key.get_secret_value(), "cursors"),
            writes=ScoreWrites(database),
        )
        for difference in await boards.seed(settings.boards):
            log.warning("board_differs", difference=difference)
        sync = sync_of(settings, database, container, boards, meter, pace=pace, now_ms=now_ms)
        timed = TimedWrites(
            database,
            AppDataWriter(database, container.gated(pace.in_turn), name, now_ms),
            name,
            now_ms,
            rules=[Rule(rule.id, rule.key, rule.value, rule.at, rule.zone) for rule in settings.appdata_rules],
            offline=settings.container.offline == "allowed",
        )
        rounds = Rounds(database, sync, name, now_ms)
        yield Core(database, session, container, boards, sync, rounds, timed, meter)


async def _open(
    app: web.Application,
    settings: config.Settings,
    signers: Sequence[TrustedSigner],
    provider: IdentityProvider,
    stack: contextlib.AsyncExitStack,
    *,
    now_ms: NowMs,
    jobs: bool,
) -> None:
    """Make the services and start the jobs; the stack closes everything in reverse order."""
    core = await stack.enter_async_context(open_core(settings, now_ms))
    spool = spool_of(settings)
    await spool.prepare()
    sign_in = SamlSignIn(
        core.database,
        provider,
        service_provider(settings),
        Wanted(settings.sign_in.parameters, settings.sign_in.token_attribute, settings.sign_in.name_attribute),
        rules=Rules(settings.sign_in.skew_s * 1000, settings.sign_in.allow_sha1),
        secret_box=secret_box(settings, "sign-in"),
        now_ms=now_ms,
    )
    session_ms = settings.retention.session_days * DAY_MS
    page_sessions = PageSessions(
        core.database,
        secret_box(settings, "page sessions"),
        sign_in,
        now_ms=now_ms,
        lifetime_ms=session_ms,
    )
    storage = storage_client(settings, core.session)
    step_one = StepOne(core.database, storage, now_ms, page_sessions.forget_token)
    kit = Kit(
        core.database,
        spool,
        storage,
        step_one,
        secret_box(settings, "uploads"),
        now_ms,
        node=settings.server.node,
        user_sending=settings.mesdonnees.max_sending_per_user,
        max_send_ms=settings.mesdonnees.max_send_s * 1000,
    )
    uploads = Uploads(kit, portal_rule(settings), upload_limits(settings), max_sending=settings.mesdonnees.max_sending)
    running = Jobs()

    async def arrived(player: int) -> None:
        core.timed_writes.arrived(player)
        await core.sync.arrived(player)

    app[keys.LEADERBOARDS] = core.boards
    app[keys.BOARD_VIEWS] = BoardViews(core.database, now_ms)
    app[keys.SURROUNDINGS] = BoardSurroundings(core.database, settings.container.name, now_ms)
    app[keys.CHANGES] = changes = Changes(core.database, now_ms)
    app[keys.PLAYERS] = Players(core.database)
    app[keys.SYNC] = core.sync
    app[keys.UPLOADS] = uploads
    app[keys.UPLOAD_DESK] = UploadDesk(core.database, uploads, page_sessions.token_of, now_ms)
    app[keys.OPERATORS] = Operators(core.database, now_ms, session_s=settings.admin.session_hours * 3600)
    moderation = Moderation(core.database, now_ms)
    app[keys.OWN_DATA] = OwnData(core.database, moderation, core.sync.delisting, now_ms, session_ms=session_ms)
    cursor_key = derive(settings.server.secret_key.get_secret_value(), "operators' cursors")
    office = furnish(app, core.database, core.boards, settings.container.name, now_ms, cursor_key=cursor_key)
    app[keys.SIGN_IN] = sign_in
    app[keys.PAGE_SESSIONS] = page_sessions
    app[keys.GADGET_SESSIONS] = GadgetSessions(
        core.database,
        signers,
        settings.server.public_url,
        settings.app_url,
        settings.gadget.app_id,
        now_ms=now_ms,
        on_open=arrived,
        on_removed=core.sync.left,
        allow_missing_body_hash=settings.gadget.allow_missing_body_hash,
        stamp=core.database.stamp,
    )
    app[keys.HEALTH] = Health(core.database, running, step_one, refused_ms=lambda: core.sync.pace.halted_ms)
    app[keys.SYNC_REPORT] = SyncReport(
        core.database, settings.container.name, now_ms, core.meter, lambda: core.container.skew_s
    )
    token = settings.server.metrics_token
    app[keys.METRICS_GATE] = MetricsGate(token.get_secret_value() if token else None)
    # A queue and a spool belong to their process and machine, so their workers always run here.
    await stack.enter_async_context(running.running("counters", core.meter.run))  # the last to end: others count
    await stack.enter_async_context(running.running("uploads", uploads.run))
    await stack.enter_async_context(running.running("sync", core.sync.run))
    await stack.enter_async_context(running.running("changes", changes.run))
    await stack.enter_async_context(running.running("timed writes", core.timed_writes.run))
    await stack.enter_async_context(running.running("board tasks", office.tasks.run))
    if jobs:
        await stack.enter_async_context(running.running("writes over time", office.watch.run))
        await stack.enter_async_context(running.running("sync schedule", core.rounds.run))
        await stack.enter_async_context(running.running("upkeep", upkeep_of(settings, core, now_ms).run))


def upkeep_of(settings: config.Settings, core: Core, now_ms: NowMs) -> Upkeep:
    """What throws away what is kept for long enough."""
    return Upkeep(core.database, now_ms, audit_ms=settings.retention.audit_days * DAY_MS)


# --- parts ------------------------------------------------------------------------------------------------------------


def site_of(settings: config.Settings, provider: IdentityProvider) -> keys.Site:
    """What the pages know about the site."""
    storage, gadget = settings.mesdonnees, settings.gadget
    return keys.Site(
        public_url=settings.server.public_url,
        title=gadget.title,
        allowed_origins=frozenset(gadget.allowed_origins),
        picture_sources=settings.container.picture_hosts,
        form_targets=form_targets(storage, provider),
        trusted_proxies=tuple(map(ip_network, settings.server.trusted_proxies)),
        boards_for_everyone=settings.server.boards_visible_to is config.Visibility.EVERYONE,
        max_upload_bytes=storage.max_file_bytes,
        stale_after_ms=2 * settings.sync.appdata_max_age_minutes * 60_000,
        gadget=GadgetSpec(
            title=gadget.title,
            description=gadget.description,
            author=gadget.author,
            author_email=gadget.author_email,
            action=gadget.action,
            translations={
                tag: Wording(said.title, said.description, said.action) for tag, said in gadget.translations.items()
            },
        ),
    )


def form_targets(storage: config.MesDonnees, provider: IdentityProvider) -> tuple[str, ...]:
    """Where an answer to one of our forms may send a browser: the sign-in, and the portal's and consent's hosts."""
    sign_in = urlsplit(provider.sso_url)
    targets = {f"{sign_in.scheme}://{sign_in.netloc}"}
    for host in storage.portal_hosts:
        named = f"*{host}" if host.startswith(".") else host
        targets |= {f"https://{named}", f"http://{named}"}  # a consent page from life is plain http
    if storage.portal_url:
        portal = urlsplit(storage.portal_url)
        targets.add(f"{portal.scheme}://{portal.netloc}")
    return tuple(sorted(targets))


def trusted_signers(settings: config.Settings) -> tuple[TrustedSigner, ...]:
    """Whose signed calls are believed.

    Raises:
        BadSettings: A certificate's file is missing or holds no key; the message names it.
    """
    return tuple(_signer(signer) for signer in settings.gadget.trusted_signers)


def _signer(signer: config.TrustedSignerSettings) -> TrustedSigner:
    if signer.secret is not None:
        return TrustedSigner.from_secret(
            signer.consumer_key,
            signer.secret.get_secret_value(),
            container=signer.container,
            key_name=signer.key_name,
            own_app_only=signer.own_app_only,
        )
    try:
        key = Path(signer.certificate or "").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"gadget.trusted_signers: {signer.certificate} cannot be read: {error}") from error
    return TrustedSigner.from_key(
        signer.consumer_key,
        key,
        container=signer.container,
        key_name=signer.key_name,
        own_app_only=signer.own_app_only,
    )


def secret_box(settings: config.Settings, purpose: str) -> SecretBox:
    """Seals with the secret key, opens with the one before it too."""
    server = settings.server
    secrets = [server.secret_key, *([server.old_secret_key] if server.old_secret_key else [])]
    return SecretBox([derive(secret.get_secret_value(), purpose) for secret in secrets])


def container_client(settings: config.Settings, session: ClientSession, now_ms: NowMs) -> ContainerClient:
    """The container's signed REST API."""
    container = settings.container
    dialect = DIALECTS[container.dialect]
    if container.birthday_field != "none":
        dialect = replace(dialect, people_fields=(*dialect.people_fields, container.birthday_field))
    return ContainerClient(
        session,
        container.base_url,
        dialect,
        Credentials(container.consumer_key, container.consumer_secret.get_secret_value()),
        now_ms=now_ms,
        body_hash={"auto": None, "always": True, "never": False}[container.body_hash],
        override_methods=container.override_methods,
    )


def sync_of(
    settings: config.Settings,
    database: Database,
    client: ContainerClient,
    boards: Leaderboards,
    meter: Meter,
    *,
    pace: Pace,
    now_ms: NowMs,
) -> Sync:
    """The sync of the container's players, at the container's pace."""
    container, rules = settings.container, settings.sync
    return Sync(
        database,
        client,
        container.name,
        boards.fields,
        now_ms,
        # What one waits for the database, another uses to ask.
        concurrency=2 * container.max_connections,
        pace=pace,
        meter=meter,
        rules=SyncRules(
            offline=container.offline == "allowed",
            appdata_max_age_ms=rules.appdata_max_age_minutes * 60_000,
            friends_max_age_ms=rules.friends_max_age_hours * 3_600_000,
            grace_ms=rules.delist_after_days * DAY_MS,
        ),
    )


def pace_of(settings: config.Settings, database: Database, meter: Meter, *, now_ms: NowMs) -> Pace:
    """How the container is called, by the sync and by whoever writes a score."""
    return Pace(
        database,
        settings.container.name,
        now_ms,
        meter=meter,
        concurrency=settings.container.max_connections,
        per_s=settings.sync.requests_per_second,
    )


def storage_client(settings: config.Settings, session: ClientSession) -> MesDonneesClient:
    """The storage's two steps."""
    storage = settings.mesdonnees
    return MesDonneesClient(
        session,
        storage.base_url,
        storage.service_id,
        storage.service_password.get_secret_value(),
        upload_hosts=storage.upload_hosts,
        allow_http_loopback=storage.allow_http_loopback,
        basic_auth=storage.basic_auth,
    )


def spool_of(settings: config.Settings) -> Spool:
    """Where files wait."""
    storage = settings.mesdonnees
    return Spool(
        storage.spool_dir,
        quota_bytes=storage.max_spool_bytes,
        file_limit_bytes=storage.max_file_bytes,
        free_floor_bytes=storage.free_floor_bytes,
    )


def upload_limits(settings: config.Settings) -> RoomLimits:
    """How much is kept, and how long."""
    storage = settings.mesdonnees
    return RoomLimits(
        user_bytes=storage.max_user_bytes,
        keep_ms=storage.keep_hours * 3_600_000,
        history_ms=storage.history_days * DAY_MS,
    )


def portal_rule(settings: config.Settings) -> PortalRule:
    """Where the storage's word may send a browser."""
    storage = settings.mesdonnees
    return PortalRule(
        storage.portal_hosts,
        storage.portal_url,
        http_loopback=storage.allow_http_loopback,
        return_url=f"{settings.server.public_url}{ANSWERED_PATH}",
    )


def identity_provider(settings: config.SignIn) -> IdentityProvider:
    """Who vouches for the storage's people.

    Raises:
        BadSettings: A file is missing or is not what it should be; the message names it.
    """
    provider = _read(settings.metadata, lambda content: read_metadata(content, settings.identity_provider))
    if not settings.certificates:
        return provider
    pinned = tuple(each for path in settings.certificates for each in _read(path, read_certificates))
    return IdentityProvider(provider.entity_id, provider.sso_url, pinned)


def _read(path: Path, reader: Callable[[bytes], T]) -> T:
    try:
        return reader(path.read_bytes())
    except OSError as error:
        raise BadSettings(f"sign_in: {path} cannot be read: {error}") from error
    except BadSettings as error:
        raise BadSettings(f"sign_in: {path}: {error}") from error


def service_provider(settings: config.Settings) -> ServiceProvider:
    """This site, as the identity provider knows it."""
    public_url = settings.server.public_url
    return ServiceProvider(settings.sign_in.entity_id or f"{public_url}{METADATA_PATH}", f"{public_url}{ANSWER_PATH}")
