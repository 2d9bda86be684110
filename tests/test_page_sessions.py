"""Browser sessions: how a cookie comes to hold somebody, when it ends, and that a planted one opens nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest

from homeserver.errors import BadInput, Conflict, NotFound, NotSignedIn, RemoteUnavailable, TooMany
from homeserver.model import PageSession, Person, StorageIdentity
from homeserver.services.page_sessions import LIFETIME_MS, LINK_MS, SIGN_IN_MS, PageSessions, own_path
from homeserver.services.secret_box import SecretBox, derive
from homeserver.storage import people, sessions
from homeserver.storage.database import Database, Reader
from homeserver.storage.sessions import secret_hash
from tests.clock import Clock
from tests.writing import observe_person

TOKEN = "B64Zm9vYmFy/+==|sau=3|ted=1795381200|0123456789012345678901234567"
OLD_KEY, NEW_KEY = derive("the old secret", "page sessions"), derive("the new secret", "page sessions")


@dataclass
class SignInHere:
    """A sign-in service without a network: it vouches for whoever comes back with the state that it was given."""

    user: str = "user-1"
    fails: Exception | None = None
    finished: list[Mapping[str, str]] = field(default_factory=list)

    def start(self, state: str) -> str:
        return f"https://sign-in.example.org/?state={state}"

    async def finish(self, answer: Mapping[str, str], state: str) -> StorageIdentity:
        self.finished.append(answer)
        if self.fails is not None:
            raise self.fails
        if answer.get("state") != state:
            raise BadInput("not this one", field="state")
        return StorageIdentity(self.user, f"{self.user}'s name", TOKEN)


@pytest.fixture
def sign_in() -> SignInHere:
    return SignInHere()


@pytest.fixture
def pages(database: Database, sign_in: SignInHere, clock: Clock) -> PageSessions:
    return PageSessions(database, SecretBox([NEW_KEY]), sign_in, now_ms=clock.now_ms)


@pytest.fixture
async def player(database: Database) -> int:
    return await player_of(database, "15913663323317925521", "Elizabeth")


async def player_of(database: Database, user_id: str, name: str) -> int:
    player = await database.write(lambda tx: people.player_of(tx, "orkut", user_id))
    await database.write(lambda tx: observe_person(tx, player, Person(user_id, name), 1))
    return player


def state_in(url: str) -> str:
    [state] = parse_qs(urlsplit(url).query)["state"]
    return state


async def signed_in(pages: PageSessions, cookie: str | None = None, back: str = "/files") -> str:
    """A cookie of a session that holds the storage user."""
    cookie, url = await pages.start_sign_in(cookie, back)
    cookie, _ = await pages.finish_sign_in(cookie, {"state": state_in(url), "code": "C"})
    return cookie


async def session_of(pages: PageSessions, cookie: str) -> PageSession:
    session = await pages.find(cookie)
    assert session is not None
    return session


async def stored(database: Database) -> str:
    """Everything that the tables of this module hold, as text."""

    async def work(reader: Reader) -> str:
        tables = ("page_sessions", "page_links", "account_links")
        return repr([list(map(tuple, await reader.fetch(f"SELECT * FROM {table}"))) for table in tables])

    return await database.read(work)


async def test_nobody_is_found_without_a_cookie_of_ours(pages: PageSessions) -> None:
    for cookie in (None, "", "x", "\x00", "\ud800"):
        assert await pages.find(cookie) is None
        await pages.sign_out(cookie)


# --- links from the gadget --------------------------------------------------------------------------------------------


async def test_a_link_makes_a_session_hold_its_player(pages: PageSessions, player: int, clock: Clock) -> None:
    link = await pages.create_link(player)
    assert (await pages.peek_link(link)).name == "Elizabeth"
    assert (await pages.peek_link(link)).name == "Elizabeth"
    cookie = await pages.redeem_link(link, None)
    assert await session_of(pages, cookie) == PageSession(
        secret_hash(cookie), player, None, None, clock.now_ms() + LIFETIME_MS
    )


async def test_a_link_is_good_once(pages: PageSessions, player: int) -> None:
    link = await pages.create_link(player)
    results = await asyncio.gather(*(pages.redeem_link(link, None) for _ in range(5)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NotFound"] * 4 + ["str"]
    with pytest.raises(NotFound):
        await pages.peek_link(link)


async def test_a_link_is_good_for_a_minute(pages: PageSessions, player: int, clock: Clock) -> None:
    late, in_time = await pages.create_link(player), await pages.create_link(player)
    clock.advance(ms=LINK_MS - 1)
    await pages.redeem_link(in_time, None)
    clock.advance(ms=1)
    with pytest.raises(NotFound):
        await pages.peek_link(late)
    with pytest.raises(NotFound):
        await pages.redeem_link(late, None)


async def test_links_that_were_never_made(pages: PageSessions) -> None:
    for link in ("", "x", "\x00", "\ud800"):
        with pytest.raises(NotFound):
            await pages.peek_link(link)
        with pytest.raises(NotFound):
            await pages.redeem_link(link, None)


async def test_links_are_not_made_without_end(pages: PageSessions, player: int) -> None:
    for _ in range(20):
        await pages.create_link(player)
    with pytest.raises(TooMany):
        await pages.create_link(player)


async def test_another_players_link_takes_the_place_of_the_first(
    pages: PageSessions, player: int, database: Database
) -> None:
    jane = await player_of(database, "10459228050876679741", "Jane")
    first = await pages.redeem_link(await pages.create_link(player), None)
    second = await pages.redeem_link(await pages.create_link(jane), first)
    assert (await session_of(pages, second)).player == jane
    assert await pages.find(first) is None


# --- the storage's sign-in --------------------------------------------------------------------------------------------


async def test_signing_in_at_the_storage(pages: PageSessions, sign_in: SignInHere, clock: Clock) -> None:
    cookie, url = await pages.start_sign_in(None, "/files?sort=name")
    before = await session_of(pages, cookie)
    assert (before.player, before.storage_user) == (None, None)
    assert before.expires_ms == clock.now_ms() + SIGN_IN_MS
    assert url.startswith("https://sign-in.example.org/")
    fresh, back = await pages.finish_sign_in(cookie, {"state": state_in(url), "code": "C"})
    assert back == "/files?sort=name"
    session = await session_of(pages, fresh)
    assert session == PageSession(secret_hash(fresh), None, "user-1", "user-1's name", clock.now_ms() + LIFETIME_MS)
    assert await pages.storage_token(session) == TOKEN
    assert sign_in.finished == [{"state": state_in(url), "code": "C"}]


async def test_a_sign_in_that_another_browser_began_is_refused(pages: PageSessions, sign_in: SignInHere) -> None:
    """Else somebody could sign a victim's browser in as themselves, and see what it stores."""
    _, url = await pages.start_sign_in(None, "/")
    victim, _ = await pages.start_sign_in(None, "/")
    for cookie in (None, "", "x"):
        with pytest.raises(BadInput):
            await pages.finish_sign_in(cookie, {"state": state_in(url), "code": "C"})
    assert sign_in.finished == []
    with pytest.raises(BadInput):
        await pages.finish_sign_in(victim, {"state": state_in(url), "code": "C"})
    assert (await session_of(pages, victim)).storage_user is None


async def test_a_sign_in_is_finished_once(pages: PageSessions, sign_in: SignInHere) -> None:
    cookie, url = await pages.start_sign_in(None, "/")
    answer = {"state": state_in(url), "code": "C"}
    results = await asyncio.gather(*(pages.finish_sign_in(cookie, answer) for _ in range(4)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["BadInput"] * 3 + ["tuple"]
    assert len(sign_in.finished) == 1


async def test_a_failed_attempt_uses_its_state_up(pages: PageSessions, sign_in: SignInHere) -> None:
    cookie, url = await pages.start_sign_in(None, "/")
    sign_in.fails = RemoteUnavailable("no answer", service="sign-in")
    with pytest.raises(RemoteUnavailable):
        await pages.finish_sign_in(cookie, {"state": state_in(url), "code": "C"})
    sign_in.fails = None
    with pytest.raises(BadInput):
        await pages.finish_sign_in(cookie, {"state": state_in(url), "code": "C"})
    assert (await session_of(pages, await signed_in(pages, cookie))).storage_user == "user-1"


async def test_only_the_last_sign_in_that_was_begun_counts(pages: PageSessions) -> None:
    cookie, first = await pages.start_sign_in(None, "/")
    again, second = await pages.start_sign_in(cookie, "/files")
    assert again == cookie
    assert state_in(first) != state_in(second)
    with pytest.raises(BadInput):
        await pages.finish_sign_in(cookie, {"state": state_in(first), "code": "C"})


async def test_a_session_that_holds_nobody_ends_soon(pages: PageSessions, clock: Clock) -> None:
    cookie, url = await pages.start_sign_in(None, "/")
    clock.advance(ms=SIGN_IN_MS)
    assert await pages.find(cookie) is None
    with pytest.raises(BadInput):
        await pages.finish_sign_in(cookie, {"state": state_in(url), "code": "C"})


async def test_whoever_begins_to_sign_in_again_has_the_whole_time_again(pages: PageSessions, clock: Clock) -> None:
    cookie, _ = await pages.start_sign_in(None, "/")
    clock.advance(ms=SIGN_IN_MS - 1)
    cookie, url = await pages.start_sign_in(cookie, "/")
    clock.advance(ms=SIGN_IN_MS - 1)
    await pages.finish_sign_in(cookie, {"state": state_in(url), "code": "C"})


async def test_beginning_to_sign_in_prolongs_nobodys_session(pages: PageSessions, player: int, clock: Clock) -> None:
    cookie = await pages.redeem_link(await pages.create_link(player), None)
    clock.advance(ms=LIFETIME_MS - 1)
    await pages.start_sign_in(cookie, "/")
    clock.advance(ms=1)
    assert await pages.find(cookie) is None


@pytest.mark.parametrize(
    "back", ["/", "/files", "/boards/letters?period=week%3A2026-W47&cursor=a-b_c", "/é", "/a//b", "/.", "/@x", "/a:b"]
)
def test_paths_of_ours(back: str) -> None:
    assert own_path(back) == back


@pytest.mark.parametrize(
    "back",
    [
        "",
        "files",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/a\\b",
        "https://evil.example",
        "javascript:alert(1)",
        " /files",
        "/files\r\nSet-Cookie: hs=x",
        "/files\n",
        "/a b",
        "/\x00",
        "/\x85",
        "/" + "x" * 2_001,
    ],
)
def test_paths_that_may_lead_elsewhere(back: str) -> None:
    assert own_path(back) == "/"


async def test_back_never_leads_to_another_site(pages: PageSessions) -> None:
    cookie, url = await pages.start_sign_in(None, "//evil.example")
    assert (await pages.finish_sign_in(cookie, {"state": state_in(url)}))[1] == "/"


# --- what grows, and what ends ----------------------------------------------------------------------------------------


async def test_whatever_a_session_gains_it_gains_under_a_new_cookie(pages: PageSessions, player: int) -> None:
    """A cookie that somebody planted in the browser beforehand is worth nothing afterwards."""
    planted, _ = await pages.start_sign_in(None, "/")
    with_user = await signed_in(pages, planted)
    assert await pages.find(planted) is None
    with_both = await pages.redeem_link(await pages.create_link(player), with_user)
    assert await pages.find(with_user) is None
    assert len({planted, with_user, with_both}) == 3
    invented = "made-up-by-somebody-else"
    assert invented not in {
        (await pages.start_sign_in(invented, "/"))[0],
        await pages.redeem_link(await pages.create_link(player), invented),
    }


async def test_a_session_comes_to_hold_both_in_either_order(pages: PageSessions, player: int) -> None:
    first = await pages.redeem_link(await pages.create_link(player), await signed_in(pages))
    second = await signed_in(pages, await pages.redeem_link(await pages.create_link(player), None))
    for cookie in (first, second):
        session = await session_of(pages, cookie)
        assert (session.player, session.storage_user, session.storage_name) == (player, "user-1", "user-1's name")
        assert await pages.storage_token(session) == TOKEN


async def test_another_storage_user_brings_their_own_token(pages: PageSessions, sign_in: SignInHere) -> None:
    first = await signed_in(pages)
    sign_in.user = "user-2"
    session = await session_of(pages, await signed_in(pages, first))
    assert session.storage_user == "user-2"
    assert await pages.find(first) is None


async def test_signing_out_stops_a_copied_cookie(pages: PageSessions, player: int, database: Database) -> None:
    cookie = await pages.redeem_link(await pages.create_link(player), await signed_in(pages))
    session = await session_of(pages, cookie)
    await pages.sign_out(cookie)
    assert await pages.find(cookie) is None
    with pytest.raises(NotSignedIn):
        await pages.storage_token(session)
    assert await stored(database) == "[[], [], []]"


async def test_a_session_ends_two_weeks_after_it_began(
    pages: PageSessions, player: int, clock: Clock, database: Database
) -> None:
    cookie = await pages.redeem_link(await pages.create_link(player), None)
    clock.advance(ms=LIFETIME_MS - 1)
    assert await pages.find(cookie) is not None
    assert await database.write(lambda tx: sessions.prune(tx, clock.now_ms())) == 0
    clock.advance(ms=1)
    assert await pages.find(cookie) is None
    assert await database.write(lambda tx: sessions.prune(tx, clock.now_ms())) == 1


async def test_pruning_removes_links_that_ended(
    pages: PageSessions, player: int, clock: Clock, database: Database
) -> None:
    await pages.create_link(player)
    clock.advance(ms=LINK_MS)
    assert await database.write(lambda tx: sessions.prune(tx, clock.now_ms())) == 1


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_whoever_reads_the_database_cannot_sign_in(pages: PageSessions, player: int, database: Database) -> None:
    link = await pages.create_link(player)
    cookie = await signed_in(pages)
    text = await stored(database)
    for secret in (link, cookie, TOKEN, "B64Zm9v"):
        assert secret not in text
    assert secret_hash(cookie) in text
    assert await pages.find(secret_hash(cookie)) is None


async def test_a_token_moved_to_another_session_does_not_open(pages: PageSessions, database: Database) -> None:
    mine, yours = await signed_in(pages), await signed_in(pages)
    await database.write(
        lambda tx: tx.execute(
            "UPDATE page_sessions SET sealed_token = "
            "(SELECT sealed_token FROM page_sessions WHERE token_hash = $1) WHERE token_hash = $2",
            secret_hash(yours),
            secret_hash(mine),
        )
    )
    with pytest.raises(NotSignedIn):
        await pages.storage_token(await session_of(pages, mine))
    assert await pages.storage_token(await session_of(pages, yours)) == TOKEN


async def test_replacing_the_secret_key(database: Database, sign_in: SignInHere, clock: Clock, player: int) -> None:
    old = PageSessions(database, SecretBox([OLD_KEY]), sign_in, now_ms=clock.now_ms)
    both = PageSessions(database, SecretBox([NEW_KEY, OLD_KEY]), sign_in, now_ms=clock.now_ms)
    new = PageSessions(database, SecretBox([NEW_KEY]), sign_in, now_ms=clock.now_ms)
    cookie = await signed_in(old)
    assert await both.storage_token(await session_of(both, cookie)) == TOKEN
    with pytest.raises(NotSignedIn):
        await new.storage_token(await session_of(new, cookie))
    kept = await both.redeem_link(await both.create_link(player), cookie)
    assert await new.storage_token(await session_of(new, kept)) == TOKEN
    lost = await new.redeem_link(await new.create_link(player), await signed_in(old))
    assert (await session_of(new, lost)).player == player
    with pytest.raises(NotSignedIn):
        await new.storage_token(await session_of(new, lost))


# --- linked accounts --------------------------------------------------------------------------------------------------


async def with_both(pages: PageSessions, player: int) -> PageSession:
    return await session_of(pages, await pages.redeem_link(await pages.create_link(player), await signed_in(pages)))


async def test_linking_and_unlinking(pages: PageSessions, player: int) -> None:
    session = await with_both(pages, player)
    assert not await pages.linked(session)
    await pages.link(session)
    await pages.link(session)
    assert await pages.linked(session)
    await pages.unlink(session)
    assert not await pages.linked(session)


async def test_linking_needs_both(pages: PageSessions, player: int) -> None:
    only_player = await session_of(pages, await pages.redeem_link(await pages.create_link(player), None))
    only_user = await session_of(pages, await signed_in(pages))
    for session in (only_player, only_user):
        with pytest.raises(NotSignedIn):
            await pages.link(session)
        assert not await pages.linked(session)


async def test_a_link_opens_nothing(pages: PageSessions, player: int) -> None:
    await pages.link(await with_both(pages, player))
    session = await session_of(pages, await pages.redeem_link(await pages.create_link(player), None))
    assert session.storage_user is None
    with pytest.raises(NotSignedIn):
        await pages.storage_token(session)


async def test_nobody_takes_over_a_linked_account(
    pages: PageSessions, player: int, database: Database, sign_in: SignInHere
) -> None:
    await pages.link(await with_both(pages, player))
    jane = await player_of(database, "10459228050876679741", "Jane")
    with pytest.raises(Conflict):
        await pages.link(await with_both(pages, jane))
    sign_in.user = "user-2"
    other = await with_both(pages, player)
    with pytest.raises(Conflict):
        await pages.link(other)
    await pages.unlink(other)  # the player's own link goes, whoever it was to
    await pages.link(other)
    assert await pages.linked(other)
