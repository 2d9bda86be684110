"""A board as operators see it: whose entry it is in the container, how it came, what waits; and those whom nobody sees.

Pages are found as players' pages are, so one costs the same wherever it is in a list of any length. A filter that no
index answers looks at a bounded number of entries, and its page says where to go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from homeserver.domain import periods, scores
from homeserver.domain.boards import BoardInForce
from homeserver.domain.cursors import Cursor, Cursors, Direction
from homeserver.domain.scores import INT64_MIN
from homeserver.errors import BadInput, NotFound
from homeserver.model import Board, NowMs, OperatorEntry, OperatorPage, Origin, Position, State
from homeserver.services import board_lists
from homeserver.services.board_lists import List
from homeserver.storage import accounts, adjustments, admin_views, board_states, moderation, people, replays, standings
from homeserver.storage.database import Database, Reader
from homeserver.storage.moderation import VISIBLE
from homeserver.storage.standings import Run, Standing

MAX_LIMIT: Final = 200
MAX_SEARCH: Final = 100
LOOKED_AT: Final = 1_000
"""So many entries a page with a filter looks at."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a list. At most one of `cursor`, `rank`, `score` and `search` is given.

    `search` is a user id of the container, a public id, or how a name begins. Filters: `state` visible (or None) is the
    list itself; pending are the claims that wait, hidden and removed those about whom that was decided, withdrawn those
    who have hidden themselves. `verified` says whether an operator vouches for the score.
    """

    period: str = "all"
    archive: int | None = None
    cursor: str | None = None
    rank: int | None = None
    score: str | None = None
    search: str | None = None
    state: State | None = None
    verified: bool | None = None
    limit: int = 50


class OperatorViews:
    """Reads boards for operators.

    Common errors: NotFound (no such board or archive), BadInput (field "period", "limit", "rank", "score", "search",
    "verified", "state"), BadCursor.
    """

    def __init__(self, database: Database, container: str, now_ms: NowMs, cursor_key: bytes) -> None:
        self._database = database
        self._container = container
        self._now_ms = now_ms
        self._cursors = Cursors(cursor_key)

    async def entries(self, board_id: str, wanted: Wanted = Wanted()) -> OperatorPage:
        """A part of a list, as `wanted` says."""
        _check(wanted)

        async def work(reader: Reader) -> OperatorPage:
            list_ = await self._list(reader, board_id, wanted)
            if wanted.state in {State.HIDDEN, State.REMOVED, State.WITHDRAWN}:
                return await self._unseen(reader, list_, wanted)
            if wanted.state is State.PENDING:
                return await self._waiting(reader, list_, wanted)
            if wanted.search is not None:
                found = await admin_views.named(reader, self._container, wanted.search, MAX_LIMIT)
                positions = (await standings.among(reader, list_.number, found))[: wanted.limit]
                part = await standings.standings(reader, list_.number, list_.board.ties, positions)
                entries = await _shown(reader, list_, part)
                return self._page(list_, entries, await standings.total(reader, list_.number))
            if wanted.verified is not None:
                return await self._filtered(reader, list_, wanted)
            return await self._plain(reader, list_, wanted)

        return await self._database.read(work)

    async def _list(self, reader: Reader, board_id: str, wanted: Wanted) -> List:
        now_ms = self._now_ms()
        if wanted.archive is None:
            return await board_lists.named(reader, board_id, wanted.period, now_ms)
        in_force = await board_lists.board(reader, board_id)
        kept = await board_states.find_archive(reader, board_id, wanted.archive)
        if kept is None:
            raise NotFound("The board has no such archive.")
        in_force = BoardInForce(kept.board, in_force.revision, kept.generation)
        period = periods.parse(in_force.board, wanted.period, now_ms)
        (found,) = await board_lists.lists(reader, in_force, [period], now_ms)
        return found

    async def _plain(self, reader: Reader, list_: List, wanted: Wanted) -> OperatorPage:
        run = await self._run(reader, list_, wanted, wanted.limit)
        entries = await _shown(reader, list_, run.standings)
        total = await standings.total(reader, list_.number)
        first, last = (run.standings[0].position, run.standings[-1].position) if run.standings else (None, None)
        return self._page(
            list_,
            entries,
            total,
            wanted,
            behind=last if run.more_behind else None,
            before=first if run.more_before else None,
        )

    async def _run(self, reader: Reader, list_: List, wanted: Wanted, limit: int) -> Run:
        number, ties = list_.number, list_.board.ties
        if wanted.rank is not None:
            return await standings.run_at_rank(reader, number, ties, wanted.rank, limit)
        if wanted.score is not None:
            start = Position(_key(list_, wanted.score), INT64_MIN, INT64_MIN)
            run = await standings.run_from(reader, number, ties, start, limit)
            if run.more_before and not run.standings:
                return await standings.run_before(reader, number, ties, start, limit)
            return run
        if wanted.cursor is None:
            return await standings.run_from(reader, number, ties, standings.BEGINNING, limit)
        at = self._cursors.open(list_.scope(_view(wanted)), wanted.cursor)
        if at.direction is Direction.NEXT:
            return await standings.run_after(reader, number, ties, at.position, limit)
        return await standings.run_before(reader, number, ties, at.position, limit)

    async def _filtered(self, reader: Reader, list_: List, wanted: Wanted) -> OperatorPage:
        """Those among the next entries for which an operator vouches, or does not."""
        found: list[OperatorEntry] = []
        run = await self._run(reader, list_, wanted, MAX_LIMIT)
        looked_at, last = 0, None
        while run.standings:
            came = await _came(reader, list_.board, [each.position for each in run.standings])
            fitting: list[Standing] = []
            for standing in run.standings:
                last = standing.position
                if came[last].verified is wanted.verified:
                    fitting.append(standing)
                if len(found) + len(fitting) == wanted.limit:
                    break
            found += await _shown(reader, list_, fitting)
            looked_at += len(run.standings)
            more = run.more_behind or last != run.standings[-1].position
            if len(found) == wanted.limit or looked_at >= LOOKED_AT or not run.more_behind:
                total = await standings.total(reader, list_.number)
                return self._page(list_, found, total, wanted, behind=last if more else None)
            run = await standings.run_after(
                reader, list_.number, list_.board.ties, run.standings[-1].position, MAX_LIMIT
            )
        return self._page(list_, found, await standings.total(reader, list_.number))

    async def _unseen(self, reader: Reader, list_: List, wanted: Wanted) -> OperatorPage:
        """Those about whom something was decided, or who hide themselves, with what they would have. Whoever would have
        nothing is on no page, so a page may hold fewer than asked for, and still lead on."""
        state = wanted.state or State.HIDDEN
        after = self._after(list_, wanted)
        if state is State.WITHDRAWN:
            players = await admin_views.withdrawn(reader, after, wanted.limit)
        else:
            players = await admin_views.states(reader, list_.board.id, state, after, wanted.limit)
        verdicts = await moderation.verdicts(reader, list_.board.id, players)
        then = {player: VISIBLE if state is State.REMOVED else verdicts[player].shown for player in players}
        would_have = await replays.entries_of_many(reader, list_.in_force, then, list_.now_ms)
        positions = [would_have[player].get(list_.period.id) for player in players]
        found = [Standing(position, 0, tied=False) for position in positions if position is not None]
        entries_ = await _shown(reader, list_, found, state)
        behind = Position(0, 0, players[-1]) if len(players) == wanted.limit else None
        return self._page(list_, entries_, await standings.total(reader, list_.number), wanted, behind=behind)

    async def _waiting(self, reader: Reader, list_: List, wanted: Wanted) -> OperatorPage:
        """The claims that wait, oldest first."""
        after = self._after(list_, wanted)
        found = await accounts.waiting_of_all(reader, list_.in_force, after, wanted.limit)
        order = list_.board.order
        claims = [
            Standing(Position(scores.key_of(flag.score, order), flag.at_ms, player), 0, tied=False)
            for _, player, flag in found
        ]
        entries = await _shown(reader, list_, claims, State.PENDING)
        behind = Position(0, 0, found[-1][0]) if len(found) == wanted.limit else None
        return self._page(list_, entries, await standings.total(reader, list_.number), wanted, behind=behind)

    def _after(self, list_: List, wanted: Wanted) -> int:
        if wanted.cursor is None:
            return 0
        return self._cursors.open(list_.scope(_view(wanted)), wanted.cursor).position.player

    def _page(
        self,
        list_: List,
        entries: Sequence[OperatorEntry],
        total: int,
        wanted: Wanted | None = None,
        *,
        behind: Position | None = None,
        before: Position | None = None,
    ) -> OperatorPage:
        scope = list_.scope(_view(wanted or Wanted()))
        return OperatorPage(
            board=list_.board.id,
            period=list_.period,
            total=total,
            entries=tuple(entries),
            next=None if behind is None else self._cursors.seal(scope, Cursor(Direction.NEXT, behind)),
            previous=None if before is None else self._cursors.seal(scope, Cursor(Direction.PREVIOUS, before)),
            as_of_ms=list_.now_ms,
        )


def _view(wanted: Wanted) -> str:
    """What a cursor leads through."""
    return f"operators {wanted.state or State.VISIBLE} {wanted.archive}"


def _key(list_: List, text: str) -> int:
    try:
        return scores.key_of(scores.parse(text, list_.board.decimals), list_.board.order)
    except BadInput as error:
        raise BadInput(str(error), field="score") from error


def _check(wanted: Wanted) -> None:
    if not 1 <= wanted.limit <= MAX_LIMIT:
        raise BadInput(f"1 to {MAX_LIMIT} at a time", field="limit")
    if wanted.rank is not None and wanted.rank < 1:
        raise BadInput("a rank is a whole number from 1 on", field="rank")
    if wanted.search is not None and not 0 < len(wanted.search.strip()) <= MAX_SEARCH:
        raise BadInput(f"1 to {MAX_SEARCH} characters of a name or an id", field="search")
    ways = [name for name in ("cursor", "rank", "score", "search") if getattr(wanted, name) is not None]
    if len(ways) > 1:
        raise BadInput(f"not together with {ways[0]}", field=ways[1])
    if wanted.state not in {None, State.VISIBLE}:
        for name in ("rank", "score", "search", "verified", "archive"):
            if getattr(wanted, name) is not None:
                raise BadInput(f"not together with the state {wanted.state}", field=name)
    elif wanted.verified is not None and wanted.search is not None:
        raise BadInput("not together with a search", field="verified")


class _Came(NamedTuple):
    """How a score came, and whether an operator vouches for it."""

    origin: Origin | None
    verified: bool


async def _came(reader: Reader, of: Board, positions: Sequence[Position]) -> dict[Position, _Came]:
    """How these entries came."""
    origins = await admin_views.origins(reader, of, positions)
    adjusted = await adjustments.on(reader, of.id, [each.player for each in positions])
    found = {}
    for position in positions:
        text, _ = scores.written(of, position.key)
        if any(text == its.score for its in adjusted.get(position.player, ())):
            found[position] = _Came(None, verified=True)
        else:
            origin = origins.get(position.player)
            found[position] = _Came(origin, verified=origin is Origin.VERIFIED)
    return found


async def _shown(
    reader: Reader, list_: List, found: Sequence[Standing], state: State = State.VISIBLE
) -> list[OperatorEntry]:
    """These entries; with a state that is not visible, they have no rank."""
    of = list_.board
    players = [each.position.player for each in found]
    cards = await people.cards(reader, players)
    user_ids = await admin_views.user_ids(reader, players)
    came = await _came(reader, of, [each.position for each in found])
    flagged = await admin_views.flagged(reader, list_.in_force, players)
    shown = []
    for each in found:
        position = each.position
        if position.player not in cards:  # erased just now
            continue
        score, display = scores.written(of, position.key)
        shown.append(
            OperatorEntry(
                rank=each.rank if state is State.VISIBLE else None,
                tied=each.tied,
                player=cards[position.player],
                user_id=user_ids[position.player],
                score=score,
                display=display,
                reached_ms=position.reached_ms,
                state=state,
                origin=came[position].origin,
                verified=came[position].verified,
                flagged=position.player in flagged,
            )
        )
    return shown
