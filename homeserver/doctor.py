"""`homeserver doctor`: does this set-up work with the real services? Each check says what it found and what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, cast

from aiohttp import ClientSession
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from homeserver import config
from homeserver.clients.container import ContainerClient
from homeserver.clients.dialect_probe import observe
from homeserver.clients.transport import open_session
from homeserver.errors import (
    HomeServerError,
    RemoteError,
    RemoteUnauthorized,
    RemoteUnavailable,
    StorageRefused,
    TokenRefused,
)
from homeserver.protocol.mesdonnees import parse_upload_url
from homeserver.serving import Say
from homeserver.storage.database import ping
from homeserver.wiring import (
    container_client,
    database_of,
    identity_provider,
    storage_client,
    trusted_signers,
    wall_clock_ms,
)

WORRYING_SKEW_S: Final = 60.0
"""Containers refuse a signature that is older than a few minutes."""

NOBODY: Final = "0"
"""Asked for where no player is named: the answer to it tells a wrong key from a right one just as well."""


_NAME_SOMEBODY: Final = (
    "Perhaps because nobody was named: try again with --player ID, of somebody who has the application."
)
_WHY_REFUSED: Final = (
    "Either the key and secret are not those of the Developer Page, or this person does not have the application."
)


class Trouble(Exception):
    """A check failed: what was found, and what to do about it."""


async def examine(settings: config.Settings, player: str | None, say: Say) -> bool:
    """Run every check, whatever the others say; whether all went well."""
    async with open_session() as session:
        client = container_client(settings, session, wall_clock_ms)

        answered = True

        async def signed_call() -> str:
            nonlocal answered
            try:
                return await _signed_call(client, player, settings.container.base_url)
            except Trouble as trouble:
                answered = not isinstance(trouble.__cause__, RemoteUnavailable)
                raise

        async def dialect() -> str:
            return await _dialect(client, player)

        async def clock() -> str:
            return _clock(client, answered=answered)

        async def storage() -> str:
            return await _storage(settings, session)

        checks: tuple[tuple[str, Callable[[], Awaitable[str]]], ...] = (
            ("database", lambda: _database(settings)),
            ("trusted signers", lambda: _signers(settings)),
            ("signed call", signed_call),
            ("clock", clock),
            ("dialect", dialect),
            ("sign-in", lambda: _sign_in(settings)),
            ("storage", storage),
        )
        results = [await _check(name, check, say) for name, check in checks]
    return all(results)


async def _check(name: str, check: Callable[[], Awaitable[str]], say: Say) -> bool:
    try:
        say(f"ok      {name:<16}{await check()}")
    except (Trouble, HomeServerError) as trouble:
        say(f"TROUBLE {name:<16}{trouble}")
        return False
    return True


async def _database(settings: config.Settings) -> str:
    async with database_of(settings) as database:
        await database.read(ping)
    return f"{settings.database_url.partition(':')[0]} answers, its tables are up to date"


async def _signers(settings: config.Settings) -> str:
    signers = trusted_signers(settings)
    if not signers:
        raise Trouble(
            "none, so no gadget can open a session. gadget.trusted_signers wants the container's certificate."
        )
    strangers = {signer.container for signer in signers} - {settings.container.name}
    if strangers:
        raise Trouble(
            f"they speak for {', '.join(sorted(strangers))}, but container.name is {settings.container.name!r}: "
            "those players could not be synced"
        )
    return ", ".join(f"{signer.consumer_key} by {signer.method}" for signer in signers)


async def _signed_call(client: ContainerClient, player: str | None, base_url: str) -> str:
    try:
        person = await client.person(player or NOBODY)
    except RemoteUnauthorized as error:
        raise Trouble(f"{base_url} refused it: {error}. {_WHY_REFUSED if player else _NAME_SOMEBODY}") from error
    except RemoteUnavailable as error:
        raise Trouble(f"{base_url}: {error}. Is container.base_url right, and reachable from here?") from error
    except RemoteError as error:
        if player is None:
            return f"accepted; nobody was named, so it answered: {error}"
        raise Trouble(f"{base_url}: {error}") from error
    return f"accepted; {person.id} is {person.name}"


async def _dialect(client: ContainerClient, player: str | None) -> str:
    configured = client.dialect.name
    if player is None:
        return f"{configured} by container.dialect; --player ID, of somebody with friends, shows whether it fits"
    try:
        observed = await observe(client, player)
    except RemoteError as error:
        raise Trouble(f"{configured} by container.dialect; whether it fits cannot be seen: {error}") from error
    fitting = [dialect.name for dialect in observed.fitting()]
    if configured in fitting:
        others = [
            f"{name} would fit too: they differ in what reads do not show" for name in fitting if name != configured
        ]
        return "; ".join([f"{configured} fits ({observed})", *others])
    found = f"{' or '.join(fitting)} fits" if fitting else "none that is known fits"
    raise Trouble(f"container.dialect is {configured!r}, but {found}: {observed}")


def _clock(client: ContainerClient, *, answered: bool) -> str:
    skew_s = client.skew_s
    if not answered and not skew_s:
        raise Trouble("not measured: the signed call brought no answer")
    if abs(skew_s) > WORRYING_SKEW_S:
        raise Trouble(
            f"the container's is {skew_s:+.0f} s from ours. Outgoing calls are corrected; "
            "calls that it signs for the gadget may be refused as stale. Set this machine's clock (chrony, ntpd)."
        )
    return f"the container's is {skew_s:+.0f} s from ours"


async def _sign_in(settings: config.Settings) -> str:
    """Whom the sign-in believes. An ended certificate is no trouble: its key is what is trusted."""
    provider = identity_provider(settings.sign_in)
    now = datetime.fromtimestamp(wall_clock_ms() / 1000, UTC)
    keys = []
    for certificate in provider.certificates:
        ends, begins = certificate.not_valid_after_utc, certificate.not_valid_before_utc
        size_bits = cast("RSAPublicKey", certificate.public_key()).key_size
        if begins > now:
            dates = f"its certificate begins only on {begins:%Y-%m-%d}"
        elif ends < now:
            dates = f"its certificate ended on {ends:%Y-%m-%d}, which does not matter here"
        else:
            dates = f"its certificate ends on {ends:%Y-%m-%d}"
        keys.append(f"RSA of {size_bits} bits, {dates}")
    asks = ", ".join(settings.sign_in.parameters) or "nothing: without the parameter that asks for it no token comes"
    return f"{provider.entity_id} at {provider.sso_url}; {'; '.join(keys)}; each request also carries {asks}"


async def _storage(settings: config.Settings, session: ClientSession) -> str:
    """Ask for a place with a token that nobody has: what refuses it is the service, and it does so by its own words."""
    url = settings.mesdonnees.base_url
    try:
        reply = await storage_client(settings, session).call(
            "getContentUploadURL", "homeserver-doctor", {"content_name": "doctor.txt", "content_size": "1"}
        )
        if reply.headers.get("www-authenticate", "").lower().startswith("basic"):
            raise Trouble(f"{url} refuses mesdonnees.service_id and service_password. They come with the subscription.")
        parse_upload_url(reply, hide=())
    except RemoteUnavailable as error:
        raise Trouble(f"{url}: {error}. Is mesdonnees.base_url right, and reachable from here?") from error
    except (StorageRefused, TokenRefused):
        return f"{url} answers, and knows the site; it refuses a made-up token, as it should"
    return f"{url} answers"
