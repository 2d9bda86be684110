"""What operators see, as files of any length, streamed: a page at a time, each read in a short snapshot of its own.

So whoever receives slowly holds up nobody and nothing, and memory does not grow. Who moves within a list meanwhile may
be in the file twice, or not; `homeserver boards export` writes one moment.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from homeserver.domain import instants, tables
from homeserver.domain.score_files import FileFormat
from homeserver.domain.tables import Cell
from homeserver.errors import BadInput
from homeserver.model import Act, Claim, OperatorEntry, PastChange, Suspect
from homeserver.services import moderation, operator_views
from homeserver.services.dossiers import Dossiers
from homeserver.services.moderation import Moderation
from homeserver.services.operator_views import OperatorViews, Wanted
from homeserver.services.outliers import Outliers

ENTRY: Final = (
    "rank", "tied", "player", "user_id", "name", "score", "reached", "state", "origin", "verified", "flagged"
)  # fmt: skip
ACT: Final = ("act", "at", "actor", "action", "board", "reason", "detail")
CLAIM: Final = ("claim", "board", "player", "name", "score", "at", "reason")
CHANGE: Final = ("change", "key", "old", "new", "at", "origin")
SUSPECT: Final = ("rank", "player", "name", "score", "oddity", "distance", "at")

_Rows = Sequence[Sequence[Cell]]


class Exports:
    """Writes views as files. Each iterator gives the text piece by piece, the head first.

    Before the first piece, what is asked for is looked at; so NotFound and BadInput are raised as the views raise them,
    by the first step of the iterator. `form` is "csv" or "ndjson" (else BadInput, field "format").
    """

    def __init__(self, views: OperatorViews, acts: Moderation, outliers: Outliers, dossiers: Dossiers) -> None:
        self._views = views
        self._acts = acts
        self._outliers = outliers
        self._dossiers = dossiers

    async def entries(self, board_id: str, wanted: Wanted, form: str) -> AsyncGenerator[str, None]:
        """A list from where `wanted` begins to its end, with its filters."""
        wanted = replace(wanted, limit=operator_views.MAX_LIMIT)

        async def page(cursor: str | None) -> tuple[_Rows, str | None]:
            asked = wanted if cursor is None else replace(wanted, cursor=cursor, rank=None, score=None, search=None)
            found = await self._views.entries(board_id, asked)
            return [_entry(each) for each in found.entries], found.next

        async for text in _pages(form, ENTRY, page):
            yield text

    async def log(self, form: str, *, board_id: str | None = None) -> AsyncGenerator[str, None]:
        """What was done, newest first: on one board, if it is given."""

        async def page(cursor: str | None) -> tuple[_Rows, str | None]:
            before = None if cursor is None else int(cursor)
            found = await self._acts.log(board_id=board_id, before=before, limit=moderation.MAX_LIMIT)
            return [_act(each) for each in found], str(found[-1].id) if len(found) == moderation.MAX_LIMIT else None

        async for text in _pages(form, ACT, page):
            yield text

    async def claims(self, board_id: str, form: str) -> AsyncGenerator[str, None]:
        """The claims that wait on a board, oldest first."""

        async def page(cursor: str | None) -> tuple[_Rows, str | None]:
            found = await self._acts.review(board_id, after=int(cursor or 0), limit=moderation.MAX_LIMIT)
            more = str(found[-1].event) if len(found) == moderation.MAX_LIMIT else None
            return [_claim(each) for each in found], more

        async for text in _pages(form, CLAIM, page):
            yield text

    async def suspects(self, board_id: str, form: str, *, period: str = "all") -> AsyncGenerator[str, None]:
        """The scores of a list that are far from the others."""

        async def page(cursor: str | None) -> tuple[_Rows, str | None]:
            found = await self._outliers.scores(board_id, period=period, cursor=cursor, limit=200)
            return [_suspect(each) for each in found.suspects], found.next

        async for text in _pages(form, SUSPECT, page):
            yield text

    async def changes(self, player: int, form: str, *, board_id: str | None = None) -> AsyncGenerator[str, None]:
        """What a player's values became, newest first."""

        async def page(cursor: str | None) -> tuple[_Rows, str | None]:
            before = None if cursor is None else int(cursor)
            found = await self._dossiers.changes(player, board_id=board_id, before=before, limit=200)
            return [_change(each) for each in found], str(found[-1].id) if len(found) == 200 else None

        async for text in _pages(form, CHANGE, page):
            yield text


async def _pages(
    form: str, columns: Sequence[str], page: Callable[[str | None], Awaitable[tuple[_Rows, str | None]]]
) -> AsyncGenerator[str, None]:
    try:
        kind = FileFormat(form)
    except ValueError:
        raise BadInput(f"one of {', '.join(FileFormat)}", field="format") from None
    rows, cursor = await page(None)
    yield tables.head(kind, columns) + tables.written(kind, columns, rows)
    while cursor is not None:
        rows, cursor = await page(cursor)
        yield tables.written(kind, columns, rows)


def _entry(each: OperatorEntry) -> Sequence[Cell]:
    return (
        each.rank,
        each.tied,
        each.player.id,
        each.user_id,
        each.player.name,
        each.score,
        instants.iso(each.reached_ms),
        each.state.value,
        None if each.origin is None else each.origin.value,
        each.verified,
        each.flagged,
    )


def _act(each: Act) -> Sequence[Cell]:
    return (
        each.id,
        instants.iso(each.at_ms),
        each.actor,
        each.action.value,
        each.board,
        each.reason,
        each.detail,
    )


def _claim(each: Claim) -> Sequence[Cell]:
    return (
        each.event,
        each.board,
        each.card.id,
        each.card.name,
        each.score,
        instants.iso(each.at_ms),
        each.reason.value,
    )


def _change(each: PastChange) -> Sequence[Cell]:
    return each.id, each.key, each.old, each.new, instants.iso(each.at_ms), each.origin.value


def _suspect(each: Suspect) -> Sequence[Cell]:
    return (
        each.rank,
        each.player.id,
        each.player.name,
        each.score,
        each.oddity.value,
        each.distance,
        instants.iso(each.at_ms),
    )
