"""The container's people and AppData, for whoever has the application.

Every call names the person it is about, and is signed on that person's behalf (`xoauth_requestor_id`). AppData is
written for one person at a time; two writers of one person's item would undo each other, so the caller lets only one in
at a time, across processes too.

Reads may be repeated freely. No call here retries, but for the one that `signed_calls.py` tells of.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from aiohttp import ClientSession
from yarl import URL

from homeserver.clients.people_walk import Bounds, Wholeness, walk
from homeserver.clients.signed_calls import SERVICE, SignedCalls
from homeserver.errors import BadInput, RemoteConflict, RemoteError, RemoteGarbage, RemoteUnsupported
from homeserver.model import AppData, HttpReply, NowMs, Person
from homeserver.protocol import opensocial, opensocial_rpc
from homeserver.protocol.oauth1 import Credentials
from homeserver.protocol.opensocial import Call, Dialect, Filter, Page, Selector

DEFAULT_PAGE_SIZE: Final = 100
OVERVIEW_PAGE_SIZE: Final = 1000
"""All friends at once, if the container lets us."""

Gate = Callable[[Callable[[], Awaitable[HttpReply]]], Awaitable[HttpReply]]
"""Every request passes through it: it calls what it is given when the time has come, and again where that may help."""


@dataclass(frozen=True, slots=True)
class Updated:
    """Somebody's whole AppData item, before and after a change of some of its keys."""

    before: AppData
    after: AppData


@dataclass(frozen=True, slots=True)
class Overview:
    """All of one player that a sync needs. AppData is by person id, and empty where no keys were asked for."""

    person: Person
    friends: tuple[Person, ...]
    """All who have the application."""
    own: Mapping[str, AppData]
    friends_appdata: Mapping[str, AppData]


@dataclass(slots=True)
class _Offers:
    """What the container was seen to offer; shared by all views of a client."""

    rpc: bool
    whole: Wholeness = field(default_factory=Wholeness)


class ContainerClient:
    """One container, called in the name of one application."""

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
        self._calls = SignedCalls(session, credentials, now_ms=now_ms, correct_skew=correct_skew)
        self._base_url = str(URL(base_url))
        self._dialect = dialect
        self._body_hash = dialect.body_hash if body_hash is None else body_hash
        self._override = override_methods
        self._bounds = Bounds(max_pages, max_people)
        self._offers = _Offers(rpc=dialect.rpc)
        self._gate: Gate | None = None

    @property
    def requests_sent(self) -> int:
        """Attempts so far, repetitions by aiohttp included. See `counted`."""
        return self._calls.sent

    @property
    def dialect(self) -> Dialect:
        return self._dialect

    @property
    def skew_s(self) -> float:
        """How far the container's clock is ahead of ours, as its last answer showed it; 0 while within two seconds."""
        return self._calls.skew_s

    def counted(self) -> Self:
        """The same client with a count of its own, for one job's share among many."""
        view = copy.copy(self)
        view._calls = self._calls.counted()  # noqa: SLF001 - one of our own kind
        return view

    def gated(self, gate: Gate) -> Self:
        """The same client, whose every request passes through this gate. What is sent again is signed anew."""
        view = copy.copy(self)
        view._gate = gate  # noqa: SLF001 - one of our own kind
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
        matching: Filter | None = None,
        fields: Sequence[str] | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        requestor_id: str | None = None,
    ) -> AsyncIterator[Person]:
        """Every friend once, in the container's order.

        With `has_app`, only those who have the application: the container is asked to choose, and where it does not,
        whoever says of themselves that they do not have it is left out here. With `matching`, the container is asked
        for these in their place.

        The list is complete when the iterator ends by itself. An error on the way says nothing about those who have not
        come yet.

        Raises:
            BadInput, RemoteError: As `person`; RemoteGarbage for a list beyond `max_pages` or `max_people`.
        """
        return self._all_people(
            user_id,
            "@friends",
            has_app=has_app,
            matching=matching,
            fields=fields,
            page_size=page_size,
            requestor_id=requestor_id,
        )

    async def friend_list(self, user_id: str, *, page_size: int = DEFAULT_PAGE_SIZE) -> list[Person]:
        """All friends who have the application. One request where the first page is the whole list; see `Wholeness`.

        Raises:
            BadInput, RemoteError: As `friends`.
        """
        first = await self.people_page(user_id, "@friends", count=page_size, has_app=True)
        return await self._whole_list(user_id, first, page_size)

    async def _whole_list(self, user_id: str, first: Page, page_size: int) -> list[Person]:
        """The list of friends that begins with this page."""
        everybody = list(first.people)
        if not self._offers.whole.holds(first, page_size=page_size):
            walked = self._everybody(user_id, "@friends", has_app=True, page_size=page_size, first=first)
            everybody = [person async for person in walked]
            self._offers.whole.learn(first, len(everybody))
        return [person for person in everybody if person.has_app is not False]

    def contacts(
        self,
        user_id: str,
        *,
        has_app: bool = False,
        matching: Filter | None = None,
        fields: Sequence[str] | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        requestor_id: str | None = None,
    ) -> AsyncIterator[Person]:
        """Every contact once (`@all`), friends among them; otherwise as `friends`."""
        return self._all_people(
            user_id,
            "@all",
            has_app=has_app,
            matching=matching,
            fields=fields,
            page_size=page_size,
            requestor_id=requestor_id,
        )

    async def people_page(
        self,
        user_id: str,
        selector: Literal["@friends", "@all"],
        *,
        count: int,
        start_index: int | None = None,
        has_app: bool = False,
        matching: Filter | None = None,
        fields: Sequence[str] | None = None,
        requestor_id: str | None = None,
    ) -> Page:
        """One page as the container gives it, believed in nothing; `friends` and `contacts` bring everybody.

        Args:
            start_index: In the container's own counting; None for the first page.

        Raises:
            BadInput, RemoteError: As `person`.
        """
        call = opensocial.get_people(
            self._dialect,
            user_id,
            selector,
            count=count,
            start_index=start_index,
            has_app=has_app,
            matching=matching,
            fields=fields,
            requestor_id=requestor_id,
        )
        return opensocial.parse_people(await self._send(call, requestor_id or user_id))

    async def _all_people(
        self,
        user_id: str,
        selector: Literal["@friends", "@all"],
        *,
        has_app: bool,
        matching: Filter | None = None,
        fields: Sequence[str] | None = None,
        page_size: int,
        requestor_id: str | None = None,
    ) -> AsyncIterator[Person]:
        everybody = self._everybody(
            user_id,
            selector,
            has_app=has_app and matching is None,
            matching=matching,
            fields=fields,
            page_size=page_size,
            requestor_id=requestor_id,
        )
        async with aclosing(everybody) as people:
            async for person in people:
                if not has_app or matching is not None or person.has_app is not False:
                    yield person

    def _everybody(
        self,
        user_id: str,
        selector: Literal["@friends", "@all"],
        *,
        page_size: int,
        first: Page | None = None,
        **options: Any,
    ) -> AsyncGenerator[Person, None]:
        """The walk itself, with the people that an ignored filter lets through. `options`: as for `people_page`."""
        if page_size < 1:
            raise BadInput("a page holds at least one person", field="page_size")

        async def get_page(start_index: int | None) -> Page:
            return await self.people_page(user_id, selector, count=page_size, start_index=start_index, **options)

        return walk(get_page, self._bounds, page_size=page_size, first=first)

    # --- all of one player ------------------------------------------------------------------------------------------

    async def overview(
        self, user_id: str, fields: Collection[str], *, page_size: int = OVERVIEW_PAGE_SIZE
    ) -> Overview | None:
        """A person, their friends who have the application, and these keys of both's AppData, in one request.

        Where the list of friends does not come whole, the rest of it follows page by page. Without `fields`, no AppData
        is asked for.

        Returns:
            None where the container does not offer this, or what answers is no JSON-RPC; ask for each by itself then.

        Raises:
            BadInput: Not the id of one person, or a key that is none.
            RemoteError: See `opensocial.raise_for` and `transport.exchange`; one part that fails fails the whole.
        """
        if not self._offers.rpc:
            return None
        try:
            brought = await self._ask_overview(user_id, fields, page_size)
        except RemoteUnsupported:
            self._offers.rpc = False
            return None
        except RemoteGarbage:  # a page of some proxy, or an answer that was cut: not worth giving it up for good
            return None
        friends = await self._whole_list(user_id, brought.friends, page_size)
        return Overview(brought.person, tuple(friends), brought.own, brought.friends_appdata)

    async def offers_overview(self, user_id: str) -> bool:
        """Whether the container answers for several reads in one request, whatever the dialect says.

        Raises:
            BadInput: Not the id of one person.
        """
        try:
            await self._ask_overview(user_id, (), 1)
        except RemoteError:
            return False
        return True

    async def _ask_overview(self, user_id: str, fields: Collection[str], count: int) -> opensocial_rpc.Answers:
        call = opensocial_rpc.get_overview(self._dialect, user_id, fields, count=count)
        reply = await self._send(call, user_id, opensocial_rpc.rpc_base_url(self._base_url))
        return opensocial_rpc.parse_overview(reply, self._dialect, with_appdata=bool(fields))

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
        """Change some keys and leave all others as they are. None removes a key; so does "" where that clears.

        PUT replaces, so the item is read, changed and put back whole. Where there is none, POST creates it. It is never
        deleted and made again: in between, it would be lost. Nothing is sent when nothing changes.

        Returns:
            The item as it was, and as it is now.

        Raises:
            BadInput, RemoteError: As `create_appdata`.
        """
        opensocial.check_changes(user_id, changes)
        if self._dialect.empty_clears:
            changes = {key: value or None for key, value in changes.items()}
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

    async def _send(self, call: Call, requestor_id: str, base_url: str | None = None) -> HttpReply:
        async def send() -> HttpReply:
            return await self._calls.send(
                call.method,
                call.url(base_url or self._base_url),
                requestor_id=requestor_id,
                headers=dict(call.headers),
                body=call.body,
                hashed=self._body_hash,
            )

        return await (send() if self._gate is None else self._gate(send))
