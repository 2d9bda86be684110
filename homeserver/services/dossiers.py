"""All that is known of one player, for an operator: where they stand, what they wrote and what boards made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from homeserver.domain import claimed_dates, scores
from homeserver.domain.boards import BoardInForce
from homeserver.errors import BadInput, NotFound
from homeserver.model import Claim, Dossier, FoundPlayer, HeldValue, Logged, PastChange, Reading, UploadLine
from homeserver.services import moderation as acts
from homeserver.services.leaderboards import Leaderboards
from homeserver.storage import accounts, adjustments, admin_views, moderation, people
from homeserver.storage import leaderboards as store
from homeserver.storage.admin_views import Known
from homeserver.storage.database import Database, Reader

MAX_LIMIT: Final = 200
MAX_SEARCH: Final = 255
SHOWN: Final = 50
"""Changes, acts and uploads that a dossier shows."""
_NEWEST: Final = 2**63 - 1


class PlayerSearch:
    """Finds players."""

    def __init__(self, database: Database, container: str) -> None:
        self._database = database
        self._container = container

    async def player(self, id_: str) -> int:
        """The player whom an operator means: by their public id, or by their id in the container.

        Raises:
            NotFound: Nobody has this id.
        """

        async def work(reader: Reader) -> int | None:
            found = await people.by_public_id(reader, id_)
            return found if found is not None else await people.find_player(reader, self._container, id_)

        player = await self._database.look(work)
        if player is None:
            raise NotFound("There is no such player.")
        return player

    async def search(self, text: str, *, limit: int = SHOWN) -> tuple[FoundPlayer, ...]:
        """Players by their id in the container, their public id, or how their shown name begins.

        Raises:
            BadInput: Nothing to look for (field "search"), or `limit` is not 1 to 200 (field "limit").
        """
        _check_limit(limit)
        if not 0 < len(text.strip()) <= MAX_SEARCH:
            raise BadInput(f"1 to {MAX_SEARCH} characters of a name or an id", field="search")

        async def work(reader: Reader) -> tuple[FoundPlayer, ...]:
            found = await admin_views.named(reader, self._container, text, limit)
            cards, user_ids = await people.cards(reader, found), await admin_views.user_ids(reader, found)
            return tuple(FoundPlayer(cards[each], user_ids[each]) for each in found if each in cards)

        return await self._database.read(work)


class Dossiers(PlayerSearch):
    """Reads what is known of players. Common errors: NotFound (no such player)."""

    def __init__(self, database: Database, boards: Leaderboards, container: str) -> None:
        super().__init__(database, container)
        self._boards = boards

    async def show(self, player: int) -> Dossier:
        """Everything about one player, as of about the same moment."""
        places = await self._boards.places(player, own=True)

        async def work(reader: Reader) -> Dossier:
            known = await admin_views.known(reader, player)
            if known is None:
                raise NotFound("There is no such player.")
            boards = await store.boards_in_force(reader)
            fields = claimed_dates.keys([each.board for each in boards])
            return Dossier(
                card=await people.card(reader, player),
                container=known.container,
                user_id=known.user_id,
                has_app=known.has_app,
                withdrawn_ms=known.withdrawn_ms,
                friends=known.friends,
                synced_ms=known.synced_ms,
                places=places,
                moderated=tuple(await moderation.of_player(reader, player)),
                adjusted=tuple(await adjustments.of_player(reader, player)),
                waiting=await _waiting(reader, boards, player),
                values=tuple(
                    HeldValue(key, value, observed_ms, _readings(boards, key, value))
                    for key, value, observed_ms in await admin_views.held(reader, player)
                ),
                changes=await _changes(reader, boards, player, fields, before=_NEWEST, limit=SHOWN),
                uploads=tuple(await _uploads(reader, known)),
                acts=await _logged(reader, board_id=None, player=player, before=None, limit=SHOWN),
            )

        return await self._database.read(work)

    async def log(
        self, *, board_id: str | None = None, player: int | None = None, before: int | None = None, limit: int = SHOWN
    ) -> tuple[Logged, ...]:
        """What was done, newest first, with the players to whom; see `Moderation.log`.

        Raises:
            BadInput: `limit` is not 1 to 200 (field "limit").
        """
        _check_limit(limit)
        return await self._database.read(
            lambda reader: _logged(reader, board_id=board_id, player=player, before=before, limit=limit)
        )

    async def changes(
        self, player: int, *, board_id: str | None = None, before: int | None = None, limit: int = SHOWN
    ) -> tuple[PastChange, ...]:
        """What the player's values became, newest first: of one board's fields or of all, before the change `before`.

        Raises:
            NotFound: No such board.
            BadInput: `limit` is not 1 to 200 (field "limit").
        """
        _check_limit(limit)

        async def work(reader: Reader) -> tuple[PastChange, ...]:
            await people.user_of(reader, player)
            boards = await store.boards_in_force(reader)
            wanted = [each.board for each in boards if board_id in {None, each.board.id}]
            if not wanted and board_id is not None:
                raise NotFound("no such board")
            fields = claimed_dates.keys(wanted)
            first = _NEWEST if before is None else before
            return await _changes(reader, boards, player, fields, before=first, limit=limit)

        return await self._database.read(work)


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise BadInput(f"1 to {MAX_LIMIT} at a time", field="limit")


async def _logged(
    reader: Reader, *, board_id: str | None, player: int | None, before: int | None, limit: int
) -> tuple[Logged, ...]:
    found = await moderation.acts(reader, board_id=board_id, player=player, before=before, limit=limit)
    cards = await people.cards(reader, {act.player for act in found if act.player is not None})
    return tuple(
        Logged(
            act.id,
            act.at_ms,
            act.actor,
            act.action,
            act.board,
            None if act.player is None else cards.get(act.player),
            act.reason,
            act.detail,
        )
        for act in found
    )


async def _waiting(reader: Reader, boards: Sequence[BoardInForce], player: int) -> tuple[Claim, ...]:
    card = await people.card(reader, player)
    return tuple(
        [
            acts.claim(each.board, event, player, flag, card)
            for each in boards
            for event, flag in await accounts.waiting(reader, each, player)
        ]
    )


async def _changes(
    reader: Reader, boards: Sequence[BoardInForce], player: int, fields: Sequence[str], *, before: int, limit: int
) -> tuple[PastChange, ...]:
    found = await admin_views.events_of(reader, player, fields, before, limit)
    return tuple(
        PastChange(
            each.event, each.key, each.old, each.new, each.at_ms, each.origin, _readings(boards, each.key, each.new)
        )
        for each in found
    )


def _readings(boards: Sequence[BoardInForce], key: str, value: str | None) -> tuple[Reading, ...]:
    """What each board of a field makes of a value; nothing of one that is gone."""
    found = []
    for each in boards:
        of = each.board
        if of.field != key or value is None:
            continue
        try:
            score = scores.read(of, value)
        except BadInput as error:
            found.append(Reading(of.id, None, None, str(error)))
        else:
            found.append(Reading(of.id, scores.exact(score, of.decimals), scores.display(score, of), None))
    return tuple(found)


async def _uploads(reader: Reader, known: Known) -> Sequence[UploadLine]:
    if known.storage_user is None:
        return ()
    return await admin_views.uploads_of(reader, known.storage_user, SHOWN)
