"""What pages say beside the entries of a list: where players stood before, who of one's friends is near, what happened
lately, how fresh it all is."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from homeserver.domain import periods, ranking, scores
from homeserver.domain.boards import BoardInForce
from homeserver.model import Board, Neighbour, NowMs, Position, Reached, Span, Surroundings
from homeserver.services import board_lists
from homeserver.services.board_lists import List
from homeserver.storage import board_views as store
from homeserver.storage import containers, freshness, people, standings
from homeserver.storage import leaderboards as boards_store
from homeserver.storage.board_views import Latest
from homeserver.storage.database import Database, Reader
from homeserver.storage.standings import Standing

MAX_FRIENDS: Final = 500
"""Friends whose last scores are looked up: who has more sees those of some."""

_EVENTS: Final = 200
"""The last changes of all that are looked at for news."""


class BoardSurroundings:
    """Reads what surrounds lists. Each answer is one snapshot. Writes nothing."""

    def __init__(self, database: Database, container: str, now_ms: NowMs) -> None:
        self._database = database
        self._container = container
        self._now_ms = now_ms

    async def around(self, board_id: str, *, period: str, players: Collection[str], reader: int | None) -> Surroundings:
        """What a page says beside these players' entries, by their public ids.

        Raises:
            NotFound: No such board. BadInput: No such period (field "period").
        """

        async def work(db: Reader) -> Surroundings:
            list_ = await board_lists.named(db, board_id, period, self._now_ms())
            state = await containers.state(db, self._container)
            return Surroundings(
                ranks_before=await self._ranks_before(db, list_, players),
                friends=None if reader is None else len(await people.friends_of(db, reader)),
                read_ms=None if reader is None else await freshness.read_ms(db, reader),
                silent_since_ms=state.halted_ms,
                closed_ms=list_.in_force.closed_ms,
            )

        return await self._database.read(work)

    async def _ranks_before(self, db: Reader, list_: List, players: Collection[str]) -> dict[str, int] | None:
        before = periods.before(list_.board, list_.period)
        if before is None:
            return None
        (earlier,) = await board_lists.lists(db, list_.in_force, [before], list_.now_ms)
        if not await standings.total(db, earlier.number):
            return None
        numbers = await people.by_public_ids(db, players)
        found = await _standings_of(db, earlier, numbers)
        return {numbers[each.position.player]: each.rank for each in found}

    async def friends_near(self, board_id: str, *, player: int, reader: int, count: int = 2) -> tuple[Neighbour, ...]:
        """On a board, of all time: the player, and those of the reader and their friends who stand next to them, best
        first; at most `count` on either side. Empty where the player has no entry, or nobody is near."""

        async def work(db: Reader) -> tuple[Neighbour, ...]:
            list_ = await _whole(db, await board_lists.board(db, board_id), self._now_ms())
            if list_ is None:
                return ()
            friends = await people.friends_of(db, reader)
            found = await standings.among(db, list_.number, [player, reader, *friends])
            at = next((index for index, each in enumerate(found) if each.player == player), None)
            if at is None or len(found) == 1:
                return ()
            near = found[max(0, at - count) : at + count + 1]
            cards = await people.cards(db, [each.player for each in near])
            return tuple(
                Neighbour(
                    cards[each.position.player],
                    each.rank,
                    each.tied,
                    _display(list_.board, each),
                    me=each.position.player == reader,
                    is_they=each.position.player == player,
                )
                for each in await standings.standings(db, list_.number, list_.board.ties, near)
            )

        return await self._database.read(work)

    async def lately(self, reader: int | None, limit: int = 8) -> list[Reached]:
        """Scores that were reached lately and still stand in the list of all time, the latest first: those of the
        reader's friends and of the reader, and where these are few, of anybody.

        One that is hidden, waits to be looked at, or was not better than what stood, has no entry and is not here.
        """

        async def work(db: Reader) -> list[Reached]:
            in_force = await boards_store.boards_in_force(db)
            friends = [] if reader is None else (await people.friends_of(db, reader))[:MAX_FRIENDS]
            near = [*friends, *([] if reader is None else [reader])]
            values: list[Latest] = []
            for key in sorted({each.board.field for each in in_force}):
                values += await store.latest_values_of(db, near, key) if near else []
            found = await self._reached(db, in_force, values, limit)
            if len(found) < limit:
                known = {(board.id, each.position.player) for board, each, _ in found}
                more = await self._reached(db, in_force, await store.latest_values(db, _EVENTS), limit)
                found += [one for one in more if (one[0].id, one[1].position.player) not in known]
            found = sorted(found, key=lambda one: -one[2])[:limit]
            cards = await people.cards(db, {each.position.player for _, each, _ in found})
            return [
                Reached(
                    board,
                    cards[each.position.player],
                    _display(board, each),
                    at_ms,
                    each.rank,
                    each.tied,
                    me=each.position.player == reader,
                    friend=each.position.player in friends,
                )
                for board, each, at_ms in found
            ]

        return await self._database.read(work)

    async def _reached(
        self, db: Reader, in_force: Iterable[BoardInForce], values: Iterable[Latest], limit: int
    ) -> list[tuple[Board, Standing, int]]:
        """Those of these values that are somebody's entry, at most `limit` of each board. Boards of one field show the
        same scores: the first that has one shows it."""
        latest: dict[tuple[int, str], Latest] = {}
        for value in sorted(values, key=lambda each: -each.at_ms):
            latest.setdefault((value.player, value.key), value)
        found: list[tuple[Board, Standing, int]] = []
        for each in in_force:
            list_ = await _whole(db, each, self._now_ms())
            of_board = [value for value in latest.values() if value.key == each.board.field][:limit]
            if list_ is None or not of_board:
                continue
            positions = {
                one.player: one for one in await standings.among(db, list_.number, [value.player for value in of_board])
            }
            stand = [value for value in of_board if _is_entry(each.board, value, positions.get(value.player))]
            ranked = await standings.standings(
                db, list_.number, each.board.ties, [positions[value.player] for value in stand]
            )
            for value, one in zip(stand, ranked, strict=True):
                found.append((each.board, one, value.at_ms))
                del latest[value.player, value.key]
        return found


def _is_entry(board: Board, value: Latest, position: Position | None) -> bool:
    return position is not None and ranking.claim(board, value.value) == position.key


def _display(of: Board, standing: Standing) -> str:
    return scores.written(of, standing.position.key)[1]


async def _whole(db: Reader, in_force: BoardInForce, now_ms: int) -> List | None:
    """The board's list of all time, or None where it keeps none."""
    if Span.ALL not in in_force.board.spans:
        return None
    (list_,) = await board_lists.lists(db, in_force, [periods.period_at(in_force.board, Span.ALL, now_ms)], now_ms)
    return list_


async def _standings_of(db: Reader, list_: List, players: Iterable[int]) -> tuple[Standing, ...]:
    found = await standings.among(db, list_.number, players)
    return await standings.standings(db, list_.number, list_.board.ties, found)
