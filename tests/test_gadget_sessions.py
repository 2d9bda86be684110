"""The way in for the gadget, with calls that the sandbox's container signed; on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from structlog.testing import capture_logs

from homeserver.errors import BadInput, NotSignedIn, SignatureRefused, TooMany
from homeserver.model import GadgetSession, HttpRequest, OpenedGadget
from homeserver.protocol.trusted_signers import TrustedSigner
from homeserver.sandbox import ContainerStandIn
from homeserver.sandbox.oauth import FORM
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE
from homeserver.services.gadget_sessions import LIFETIME_S, GadgetSessions
from homeserver.storage import people, sessions
from homeserver.storage.database import Database, Reader, open_database
from homeserver.storage.sessions import secret_hash
from tests.clock import Clock
from tests.conftest import Place
from tests.sandboxes import sandbox_settings

HOME = "https://games.example.org"
APP_URL = f"{HOME}/gadget.xml"
SESSION, LIFECYCLE = f"{HOME}/gadget/session", f"{HOME}/gadget/lifecycle"


@dataclass
class Heard:
    """What the callback was told."""

    players: list[int] = field(default_factory=list)
    refuses: bool = False

    async def __call__(self, player: int) -> None:
        self.players.append(player)
        if self.refuses:
            raise TooMany("not now", wait_s=1)


@pytest.fixture
def container(clock: Clock) -> ContainerStandIn:
    return ContainerStandIn(sandbox_settings(clock.now_ms, gadget_url=APP_URL))


@pytest.fixture
def heard() -> Heard:
    return Heard()


Make = Callable[[Database], GadgetSessions]


@pytest.fixture
def make(container: ContainerStandIn, heard: Heard, clock: Clock) -> Make:
    settings = container.settings
    signers = [
        TrustedSigner.from_key(
            settings.container_domain, container.certificate_pem, container="sandbox", key_name=settings.key_name
        ),
        TrustedSigner.from_secret(
            settings.consumer_key, settings.consumer_secret, container="sandbox", own_app_only=True
        ),
    ]

    def gadget_sessions(database: Database) -> GadgetSessions:
        return GadgetSessions(database, signers, HOME, APP_URL, settings.app_id, now_ms=clock.now_ms, on_open=heard)

    return gadget_sessions


@pytest.fixture
def gadgets(make: Make, database: Database) -> GadgetSessions:
    return make(database)


def signed(
    container: ContainerStandIn,
    viewer: str | None = ELIZABETH,
    owner: str | None = ELIZABETH,
    *,
    url: str = SESSION,
    form: list[tuple[str, str]] | None = None,
    **more: Any,
) -> HttpRequest:
    """A call as it arrives here."""
    body = urlencode(form or []).encode()
    address, headers = container.sign_request(
        "POST", url, owner=owner, viewer=viewer, body=body, content_type=FORM, **more
    )
    parts = urlsplit(address)
    return HttpRequest(
        "POST", f"{parts.path}?{parts.query}", {name.lower(): value for name, value in headers.items()}, body
    )


async def user_ids(database: Database) -> dict[str, int | None]:
    """Every player's user id, and whether they have the application."""

    async def work(reader: Reader) -> dict[str, int | None]:
        return {row[0]: row[1] for row in await reader.fetch("SELECT user_id, has_app FROM players")}

    return await database.read(work)


async def player(database: Database, user_id: str) -> int:
    found = await database.look(lambda reader: people.find_player(reader, "sandbox", user_id))
    assert found is not None
    return found


# --- opening ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["RSA-SHA1", "HMAC-SHA1"])
@pytest.mark.parametrize("viewer", [ELIZABETH, JANE, CHARLOTTE])
async def test_a_signed_call_opens_a_session_of_its_viewer(
    gadgets: GadgetSessions,
    container: ContainerStandIn,
    database: Database,
    *,
    heard: Heard,
    clock: Clock,
    method: str,
    viewer: str,
) -> None:
    """The guide's three ids: two above 2^63, one with a leading 0."""
    opened = await gadgets.open(signed(container, viewer, viewer, signature_method=method))
    number = await player(database, viewer)
    expires_ms = clock.now_ms() + LIFETIME_S * 1000
    assert await gadgets.check(opened.token) == GadgetSession(number, number, expires_ms)
    assert opened.expires_ms == expires_ms
    assert opened.viewer == await database.look(lambda reader: people.card(reader, number))
    assert await user_ids(database) == {viewer: 1}
    assert heard.players == [number]


async def test_owner_and_viewer_are_told_apart(
    gadgets: GadgetSessions, container: ContainerStandIn, database: Database, heard: Heard
) -> None:
    opened = await gadgets.open(signed(container, viewer=JANE, owner=ELIZABETH))
    session = await gadgets.check(opened.token)
    jane, elizabeth = await player(database, JANE), await player(database, ELIZABETH)
    assert (session.owner, session.viewer) == (elizabeth, jane)
    assert heard.players == [jane]


@pytest.mark.parametrize("owner", [ELIZABETH, None])
async def test_without_a_viewer_a_token_only_reads(
    gadgets: GadgetSessions, container: ContainerStandIn, heard: Heard, owner: str | None
) -> None:
    opened = await gadgets.open(signed(container, viewer=None, owner=owner))
    assert opened.viewer is None
    assert (await gadgets.check(opened.token)).viewer is None
    assert heard.players == []


async def test_every_opening_gives_another_token_and_the_database_holds_none(
    gadgets: GadgetSessions, container: ContainerStandIn, database: Database
) -> None:
    tokens = {(await gadgets.open(signed(container))).token for _ in range(3)}
    rows = await database.read(lambda reader: reader.fetch("SELECT token_hash FROM gadget_sessions"))
    assert {row[0] for row in rows} == {secret_hash(token) for token in tokens}
    assert all(len(token) >= 43 for token in tokens)
    for row in rows:
        with pytest.raises(NotSignedIn):
            await gadgets.check(row[0])


async def test_a_token_is_in_no_repr(gadgets: GadgetSessions, container: ContainerStandIn) -> None:
    opened = await gadgets.open(signed(container))
    assert opened.token not in repr(opened)
    assert isinstance(opened, OpenedGadget)


async def test_a_token_ends_after_an_hour(
    gadgets: GadgetSessions, container: ContainerStandIn, database: Database, clock: Clock
) -> None:
    token = (await gadgets.open(signed(container))).token
    clock.advance(hours=1, ms=-1)
    await gadgets.check(token)
    clock.advance(ms=1)
    with pytest.raises(NotSignedIn):
        await gadgets.check(token)
    assert await database.write(lambda tx: sessions.prune(tx, clock.now_ms())) == 1


@pytest.mark.parametrize("token", ["", "x", "\x00", "\ud800", "é"])
async def test_junk_is_no_token(gadgets: GadgetSessions, token: str) -> None:
    with pytest.raises(NotSignedIn):
        await gadgets.check(token)


async def test_a_session_is_opened_even_if_the_sync_cannot_be_asked_for(
    gadgets: GadgetSessions, container: ContainerStandIn, heard: Heard
) -> None:
    heard.refuses = True
    await gadgets.check((await gadgets.open(signed(container))).token)
    assert len(heard.players) == 1


async def test_sessions_are_not_opened_without_end(gadgets: GadgetSessions, container: ContainerStandIn) -> None:
    for _ in range(60):
        await gadgets.open(signed(container))
    with pytest.raises(TooMany):
        await gadgets.open(signed(container))
    await gadgets.open(signed(container, viewer=JANE))


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_a_call_is_good_once_among_all_processes(
    place: Place, make: Make, container: ContainerStandIn, clock: Clock
) -> None:
    async with open_database(place.url, place.schema) as one, open_database(place.url, place.schema) as two:
        processes = [make(one), make(two)]
        call = signed(container)
        results = await asyncio.gather(*(processes[n % 2].open(call) for n in range(6)), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["OpenedGadget"] + ["SignatureRefused"] * 5
        clock.advance(minutes=4)
        with pytest.raises(SignatureRefused):
            await processes[1].open(call)


def tampered(call: HttpRequest, old: str, new: str) -> HttpRequest:
    assert old in call.target
    return HttpRequest(call.method, call.target.replace(old, new), call.headers, call.body)


REFUSED: dict[str, Callable[[ContainerStandIn], HttpRequest]] = {
    "another viewer": lambda c: tampered(signed(c), f"viewer_id={ELIZABETH}", f"viewer_id={JANE}"),
    "another path": lambda c: tampered(signed(c, url=LIFECYCLE), "/gadget/lifecycle", "/gadget/session"),
    "another gadget": lambda c: signed(c, app_url="https://evil.example/gadget.xml", app_id="1"),
    "no application named": lambda c: signed(c, app_url="", app_id=""),
    "no signature": lambda c: HttpRequest("POST", f"/gadget/session?opensocial_viewer_id={ELIZABETH}", {}),
    "an id that cannot be": lambda c: signed(c, viewer="@me"),
    "two people in one id": lambda c: signed(c, viewer=f"{ELIZABETH},{JANE}"),
    "an id beyond all measure": lambda c: signed(c, owner="1" * 256),
}


@pytest.mark.parametrize("make_call", REFUSED.values(), ids=REFUSED.keys())
async def test_refused_calls_leave_nothing_behind_but_a_line_in_the_log(
    gadgets: GadgetSessions,
    container: ContainerStandIn,
    database: Database,
    heard: Heard,
    make_call: Callable[[ContainerStandIn], HttpRequest],
) -> None:
    call = make_call(container)
    with capture_logs() as logs, pytest.raises(SignatureRefused, match=r"^the signed request was refused$"):
        await gadgets.open(call)
    [line] = logs
    assert line["event"] == "signed_call_refused"
    assert line["step"]
    assert await user_ids(database) == {}
    assert await database.read(lambda reader: reader.fetch("SELECT * FROM nonces")) == []
    assert heard.players == []


async def test_a_stale_call_is_refused(gadgets: GadgetSessions, container: ContainerStandIn, clock: Clock) -> None:
    call = signed(container)
    clock.advance(s=301)
    with pytest.raises(SignatureRefused):
        await gadgets.open(call)


async def test_the_log_holds_no_secret(gadgets: GadgetSessions, container: ContainerStandIn, clock: Clock) -> None:
    call = signed(container)
    await gadgets.open(call)
    with capture_logs() as logs, pytest.raises(SignatureRefused):
        await gadgets.open(call)
    assert [line["step"] for line in logs] == ["replayed"]
    assert "oauth_signature" not in repr(logs)


# --- the application comes and goes -----------------------------------------------------------------------------------


def lifecycle(container: ContainerStandIn, event_type: str, *ids: str, method: str = "RSA-SHA1") -> HttpRequest:
    form = [("eventtype", event_type), *(("id", user_id) for user_id in ids)]
    return signed(container, None, None, url=LIFECYCLE, form=form, signature_method=method)


async def test_whoever_adds_the_application_becomes_a_player(
    gadgets: GadgetSessions, container: ContainerStandIn, database: Database, heard: Heard
) -> None:
    await gadgets.lifecycle(lifecycle(container, "event.addapp", ELIZABETH, CHARLOTTE, ELIZABETH))
    assert await user_ids(database) == {ELIZABETH: 1, CHARLOTTE: 1}
    assert sorted(heard.players) == sorted([await player(database, ELIZABETH), await player(database, CHARLOTTE)])


async def test_whoever_removes_it_loses_their_tokens_and_nobody_elses(
    gadgets: GadgetSessions, container: ContainerStandIn, database: Database
) -> None:
    elizabeths = (await gadgets.open(signed(container))).token
    janes = (await gadgets.open(signed(container, viewer=JANE))).token
    await gadgets.lifecycle(lifecycle(container, "event.removeapp", ELIZABETH, "999"))
    assert await user_ids(database) == {ELIZABETH: 0, JANE: 1}
    with pytest.raises(NotSignedIn):
        await gadgets.check(elizabeths)
    await gadgets.check(janes)
    await gadgets.open(signed(container))
    assert (await user_ids(database))[ELIZABETH] == 1


async def test_an_event_that_we_do_not_know_changes_nothing(
    gadgets: GadgetSessions, container: ContainerStandIn, database: Database
) -> None:
    with capture_logs() as logs:
        await gadgets.lifecycle(lifecycle(container, "event.other", ELIZABETH))
    assert [line["event"] for line in logs] == ["lifecycle_event_ignored"]
    assert await user_ids(database) == {}


@pytest.mark.parametrize("ids", [[], [""], ["@me"], [ELIZABETH, "a,b"]])
async def test_an_event_that_names_nobody_is_bad(
    gadgets: GadgetSessions, container: ContainerStandIn, database: Database, ids: list[str]
) -> None:
    with pytest.raises(BadInput):
        await gadgets.lifecycle(lifecycle(container, "event.addapp", *ids))
    assert await user_ids(database) == {}


async def test_an_event_is_signed_fresh_and_ours(
    gadgets: GadgetSessions, container: ContainerStandIn, database: Database
) -> None:
    call = lifecycle(container, "event.removeapp", ELIZABETH)
    await gadgets.open(signed(container))
    await gadgets.lifecycle(call)
    with pytest.raises(SignatureRefused):
        await gadgets.lifecycle(call)
    other = [("eventtype", "event.removeapp"), ("id", ELIZABETH)]
    with pytest.raises(SignatureRefused):
        await gadgets.lifecycle(
            signed(container, None, None, url=LIFECYCLE, form=other, app_url="https://evil.example/g.xml", app_id="1")
        )
    forged = HttpRequest(call.method, call.target, call.headers, call.body.replace(b"removeapp", b"addapp"))
    with pytest.raises(SignatureRefused):
        await gadgets.lifecycle(forged)


async def test_a_key_that_is_ours_alone_need_not_name_the_application(
    gadgets: GadgetSessions, container: ContainerStandIn, database: Database
) -> None:
    form = [("eventtype", "event.addapp"), ("id", ELIZABETH)]
    await gadgets.lifecycle(
        signed(container, None, None, url=LIFECYCLE, form=form, app_url="", app_id="", signature_method="HMAC-SHA1")
    )
    assert await user_ids(database) == {ELIZABETH: 1}
