"""Walking a list of people to its end, whatever the container says of that end. How a page is asked for is given."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from homeserver.clients.signed_calls import SERVICE
from homeserver.errors import RemoteGarbage
from homeserver.model import Person
from homeserver.protocol.opensocial import Page

GetPage = Callable[[int | None], Awaitable[Page]]
"""Asks for the page that begins at this `startIndex`; None, for the first, sends none."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that is believed of one list."""

    pages: int = 500
    people: int = 20_000


async def walk(
    get_page: GetPage, bounds: Bounds, *, page_size: int, first: Page | None = None
) -> AsyncGenerator[Person, None]:
    """Everybody once, in the container's order.

    Pages are asked for until one brings nobody new; that one is asked for again while the total promises more. Neither
    the total nor the echoed `startIndex` is believed, nor that a page has the size that was asked for: what has come is
    what is counted.

    Containers count `startIndex` from 0 or from 1, and do not tell which. So the second page is asked for by the number
    of people who have come: counted from 0 that is the next one, counted from 1 the last one of the page before. Either
    way nobody is skipped. A page that begins with the last one of the page before shows that this container counts from
    1. From then on its pages follow each other without overlap while its total promises more; the number that would lie
    beyond its end, where a container may break (Shindig answers 500), is not sent on suspicion.

    Args:
        page_size: How many are asked for at a time.
        first: The first page, where it came in another way.

    Raises:
        RemoteGarbage: A list beyond `bounds`.
        RemoteError: Of `get_page`. It says nothing about those who have not come yet.
    """
    seen: set[str] = set()
    received, base, last_id, again = 0, 0, "", False
    index: int | None = None
    for number in range(bounds.pages):
        page = first if first is not None and number == 0 else await get_page(index)
        fresh = {person.id: person for person in page.people if person.id not in seen}
        overlaps = bool(page.people) and page.people[0].id == last_id
        learned, base = overlaps and base == 0, 1 if overlaps else base
        if fresh:
            again = False
            received += len(page.people) - overlaps
            last_id = page.people[-1].id
            seen.update(fresh)
            if len(seen) > bounds.people:
                break
            for person in fresh.values():
                yield person
        elif learned and page_size == 1:
            pass  # all that there was place for was the last one again; the next page may bring somebody
        elif again or not _promises_more(page, len(seen)):
            return
        else:
            again = True
        follows = page_size == 1 or _promises_more(page, len(seen))
        index = received + (base if follows else 0) or None
    raise RemoteGarbage(f"a list of people without an end, after {len(seen)}", service=SERVICE)


class Wholeness:
    """Tells whether a first page is the whole list, by what this container has shown of its pages. Shared by callers.

    A total may be wrong, and a page may be cut at a size of the container's own. But that size is at least 20
    (OpenSocial 0.8, `DataRequest`), and at least as long as any list that has come on one page and was walked to its
    end. A page below it, with as many people as its total says, is all there is.
    """

    def __init__(self) -> None:
        self._longest = 19

    def holds(self, page: Page, *, page_size: int) -> bool:
        """Whether there is nothing to ask for behind this first page."""
        rows = len(page.people)
        return page.total == rows == len({person.id for person in page.people}) <= self._longest and rows < page_size

    def learn(self, page: Page, walked: int) -> None:
        """A walk that began with this page has ended, having met `walked` people."""
        if walked == len(page.people):
            self._longest = max(self._longest, walked)


def _promises_more(page: Page, received: int) -> bool:
    return page.total is not None and page.total > received
