"""The container's people and AppData, for whoever has the application.

Every call names the person it is about, and is signed on that person's behalf (`xoauth_requestor_id`). AppData is
written for one person at a time; two writers of one person's item would undo each other, so the caller lets only one in
at a time, across processes too.

Reads may be repeated freely. No call here retries, but for one: a 401 that came with the news that our clock is wrong
is asked again by the right time.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

from aiohttp import ClientSession
from yarl import URL

from homeserver.clients.transport import Signer, exchange
from homeserver.errors import BadInput, RemoteConflict, RemoteGarbage
from homeserver.model import AppData, HttpReply, NowMs, Person
from homeserver.protocol import opensocial
from homeserver.protocol.oauth1 import Credentials
from homeserver.protocol.opensocial import Call, Dialect, Page, Selector
from homeserver.protocol.replies import date_s

SERVICE: Final = "container"
DEFAULT_PAGE_SIZE: Final = 100

_LIMIT_BYTES: Final = 16 * 1024 * 1024  # a thousand friends with full quotas
_SMALLEST_SKEW_S: Final = 2.0  # `Date` has whole seconds, and the answer was under way
_LARGEST_SKEW_S: Final = 24 * 3600.0  # beyond, one of the two clocks is nonsense, and that needs a person
_SKEW_WORTH_ASKING_AGAIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Updated:
    """Somebody's whole AppData item, before and after a change of some of its keys."""

    before: AppData
    after: AppData


class ContainerClient:
    """One container, called in the name of one application.

    Attributes:
        requests_sent: Attempts so far, repetitions by aiohttp included. See `counted`.
    """

    def __init__(
        self,
        session: ClientSession,
        base_url: str,
        dialect: Dialect,
        credentials: Credentials,
        *,
        now_ms: NowMs,
        body_hash: bool | None = None,
        override_methods: bool = False,
        correct_skew: bool = True,
        max_pages: int = 500,
        max_people: int = 20_000,
    ) -> None:
        """Take a session of `transport.open_session`; nothing is sent yet.

        Args:
            base_url: What stands before `/people`, such as `http://www.orkut.com/social/rest`.
            body_hash: Whether writes carry `oauth_body_hash`; None for what the dialect says.
            override_methods: Send PUT and DELETE as POST, for a network that forbids them.
            correct_skew: Sign by the container's clock, as its answers show it.
            max_pages: The most pages of one person's list; a container that shows more is not believed.
            max_people: The same for people.
        """
        self._session = session
        self._base_url = str(URL(base_url))
        self._dialect = dialect
        self._signer = Signer(credentials, now_ms=now_ms)
        self._now_ms = now_ms
        self._body_hash = dialect.body_hash if body_hash is None else body_hash
        self._override = override_methods
        self._correct_skew = correct_skew
        self._max_pages = max_pages
        self._max_people = max_people
        self.requests_sent = 0

    @property
    def dialect(self) -> Dialect:
        return self._dialect

    @property
    def skew_s(self) -> float:
        """How far the container's clock is ahead of ours, as its last answer showed it; 0 while within two seconds."""
        return self._signer.seen_skew_s

    def counted(self) -> Self:
        """The same client with a count of its own, for one job's share among many."""
        view = copy.copy(self)
        view.requests_sent = 0
        return view

    # --- people -----------------------------------------------------------------------------------------------------

    async def person(
        self, user_id: str, *, fields: Sequence[str] | None = None, requestor_id: str | None = None
    ) -> Person:
        """One person's profile. `@me` is whoever `requestor_id` names.

        Raises:
            BadInput: Not the id of one person, or `@me` without a requestor.
            RemoteError: See `opensocial.raise_for` and `transport.exchange`.
        """
        call = opensocial.get_person(self._dialect, user_id, fields=fields, requestor_id=requestor_id)
        return opensocial.parse_person(await self._send(call, requestor_id or user_id))

    def friends(
        self,
        user_id: str,
        *,
        has_app: bool = True,
        fields: Sequence[str] | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        requestor_id: str | None = None,
    ) -> AsyncIterator[Person]:
        """Every friend once, in the container's order.

        With `has_app`, only those who have the application: the container is asked to choose, and where it does not,
        whoever says of themselves that they do not have it is left out here.

        The list is complete when the iterator ends by itself. An error on the way says nothing about those who have not
        come yet.

        Raises:
            BadInput, RemoteError: As `person`; RemoteGarbage for a list beyond `max_pages` or `max_people`.
        """
        return self._walk(
            user_id, "@friends", has_app=has_app, fields=fields, page_size=page_size, requestor_id=requestor_id
        )

    def contacts(
        self,
        user_id: str,
        *,
        has_app: bool = False,
        fields: Sequence[str] | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        requestor_id: str | None = None,
    ) -> AsyncIterator[Person]:
        """Every contact once (`@all`), friends among them; otherwise as `friends`."""
        return self._walk(
            user_id, "@all", has_app=has_app, fields=fields, page_size=page_size, requestor_id=requestor_id
        )

    async def _walk(
        self,
        user_id: str,
        selector: Literal["@friends", "@all"],
        *,
        has_app: bool,
        fields: Sequence[str] | None,
        page_size: int,
        requestor_id: str | None,
    ) -> AsyncIterator[Person]:
        """Ask for pages until one brings nobody new; ask for that one again while the total promises more.

        Neither the total nor the echoed `startIndex` is believed, nor that a page has the size that was asked for: what
        has come is what is counted. Containers count `startIndex` from 0 or from 1, and do not tell which. The number
        sent is that of the next person counted from 0; counted from 1 it names the last one that we have, so a page may
        begin with somebody known, but nobody is skipped, and no container is asked beyond its end (Shindig answers
        that with a 500).
        """
        if page_size < 1:
            raise BadInput("a page holds at least one person", field="page_size")
        seen: set[str] = set()
        position, last_id, again = 0, "", False
        for _ in range(self._max_pages):
            call = opensocial.get_people(
                self._dialect,
                user_id,
                selector,
                count=page_size,
                start_index=position or None,
                has_app=has_app,
                fields=fields,
                requestor_id=requestor_id,
            )
            page = opensocial.parse_people(await self._send(call, requestor_id or user_id))
            fresh = {person.id: person for person in page.people if person.id not in seen}
            if not fresh:
                if again or not _promises_more(page, len(seen)):
                    return
                again = True
                continue
            again = False
            overlap = page.people[0].id == last_id
            position += len(page.people) - overlap
            last_id = page.people[-1].id
            seen.update(fresh)
            if len(seen) > self._max_people:
                break
            for person in fresh.values():
                if not has_app or person.has_app is not False:
                    yield person
        raise RemoteGarbage(f"a list of people without an end, after {len(seen)}", service=SERVICE)

    # --- AppData ----------------------------------------------------------------------------------------------------

    async def appdata(
        self, user_id: str, selector: Selector, fields: Collection[str] = (), *, requestor_id: str | None = None
    ) -> dict[str, AppData]:
        """AppData by person id: one's own (`@self`), one's friends' or all contacts'; without `fields`, every key.

        A person without data may be there with an empty item, or not at all.

        Raises:
            BadInput: As `person`, or a key that is none.
            RemoteError: See `opensocial.raise_for` and `transport.exchange`.
        """
        call = opensocial.get_appdata(user_id, selector, fields, requestor_id=requestor_id)
        return opensocial.parse_appdata(await self._send(call, requestor_id or user_id), self._dialect)

    async def create_appdata(self, user_id: str, item: AppData) -> None:
        """Make the item of a person who has none.

        Raises:
            BadInput: Not the id of one person, or a key or value that cannot be stored.
            RemoteError: As `appdata`; RemoteQuota where the item is too large.
        """
        await self._write(opensocial.create_appdata(self._dialect, user_id, item), user_id)

    async def replace_appdata(self, user_id: str, item: AppData) -> None:
        """Make the item exactly this one. What it held before is gone.

        Raises:
            BadInput, RemoteError: As `create_appdata`.
        """
        opensocial.replace_appdata(self._dialect, user_id, item)  # a wrong key is refused before anything is sent
        reads_first = self._dialect.merging_put or self._dialect.fields_on_writes
        await self._replace(user_id, await self._own(user_id) if reads_first else {}, item)

    async def delete_appdata(self, user_id: str, fields: Collection[str] = ()) -> None:
        """Delete these keys, or without `fields` the whole item. What is not there is no error.

        Raises:
            BadInput, RemoteError: As `create_appdata`.
        """
        if not self._dialect.delete_by_fields and fields:
            await self.update_appdata(user_id, dict.fromkeys(fields))
            return
        keys = fields or (await self._own(user_id) if self._dialect.delete_by_fields else ())
        if keys or not self._dialect.delete_by_fields:
            await self._write(opensocial.delete_appdata(self._dialect, user_id, keys, override=self._override), user_id)

    async def update_appdata(self, user_id: str, changes: Mapping[str, str | None]) -> Updated:
        """Change some keys (None removes one) and leave all others as they are.

        PUT replaces, so the item is read, changed and put back whole. Where there is none, POST creates it. It is never
        deleted and made again: in between, it would be lost. Nothing is sent when nothing changes.

        Returns:
            The item as it was, and as it is now.

        Raises:
            BadInput, RemoteError: As `create_appdata`.
        """
        opensocial.check_changes(user_id, changes)
        before = await self._own(user_id)
        try:
            return Updated(before, await self._apply(user_id, before, changes))
        except RemoteConflict:
            if before:
                raise
        # Somebody else created the item since we looked: now there is one to change.
        before = await self._own(user_id)
        if not before:
            raise RemoteConflict("an item that is there and is not", service=SERVICE)
        return Updated(before, await self._apply(user_id, before, changes))

    async def _apply(self, user_id: str, before: AppData, changes: Mapping[str, str | None]) -> AppData:
        after = {key: value for key, value in {**before, **changes}.items() if value is not None}
        if after == before:
            return before
        if before:
            await self._replace(user_id, before, after)
        else:
            await self.create_appdata(user_id, after)
        return after

    async def _replace(self, user_id: str, before: AppData, after: AppData) -> None:
        removed = [key for key in before if key not in after]
        call = opensocial.replace_appdata(
            self._dialect, user_id, after, removed=removed, kept=before.keys(), override=self._override
        )
        await self._write(call, user_id)
        if removed and self._dialect.merging_put:
            await self._write(
                opensocial.delete_appdata(self._dialect, user_id, removed, override=self._override), user_id
            )

    async def _own(self, user_id: str) -> AppData:
        items = await self.appdata(user_id, "@self")
        if items and user_id not in items:
            # Taken for an empty item, it would be overwritten.
            raise RemoteGarbage("the AppData of somebody else", service=SERVICE)
        return items.get(user_id, {})

    async def _write(self, call: Call, user_id: str) -> None:
        opensocial.parse_written(await self._send(call, user_id))

    # --- sending ----------------------------------------------------------------------------------------------------

    async def _send(self, call: Call, requestor_id: str) -> HttpReply:
        reply, corrected_s = await self._exchange(call, requestor_id)
        if reply.status == 401 and abs(corrected_s) > _SKEW_WORTH_ASKING_AGAIN_S:
            reply, _ = await self._exchange(call, requestor_id)  # what was refused has changed nothing
        return reply

    async def _exchange(self, call: Call, requestor_id: str) -> tuple[HttpReply, float]:
        """One exchange, and by how much its answer corrected the clock that it was signed by."""
        hashes = self._body_hash and call.body is not None

        def sign(method: str, url: str, body: bytes) -> str:
            self.requests_sent += 1
            return self._signer.sign(method, url, requestor_id=requestor_id, hashed_body=body if hashes else None)

        signed_by_s, sent_ms = self._signer.skew_s, self._now_ms()
        reply = await exchange(
            self._session,
            call.method,
            call.url(self._base_url),
            service=SERVICE,
            headers=dict(call.headers),
            body=call.body,
            sign=sign,
            limit_bytes=_LIMIT_BYTES,
        )
        self._measure_skew(reply, (sent_ms + self._now_ms()) / 2000)
        return reply, self._signer.skew_s - signed_by_s

    def _measure_skew(self, reply: HttpReply, now_s: float) -> None:
        theirs_s = date_s(reply.headers)
        if theirs_s is None or "age" in reply.headers:  # from a cache: an old answer with an old date
            return
        ahead_s = theirs_s - now_s
        seen_s = ahead_s if abs(ahead_s) > _SMALLEST_SKEW_S else 0.0
        self._signer.seen_skew_s = seen_s
        if self._correct_skew and abs(seen_s) < _LARGEST_SKEW_S:
            self._signer.skew_s = seen_s


def _promises_more(page: Page, received: int) -> bool:
    return page.total is not None and page.total > received
