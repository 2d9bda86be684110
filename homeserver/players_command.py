"""`homeserver players` and `homeserver boards review`: what operators do about players, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from homeserver.errors import NotFound
from homeserver.model import Act, Action, NowMs, PlayerCard
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.moderation import Moderation
from homeserver.services.players import Players
from homeserver.serving import Say
from homeserver.storage import people
from homeserver.storage.database import Database
from homeserver.wiring import wall_clock_ms

SHOWN_ACTS = 50

_DONE = {
    Action.HIDE: "{name} is hidden from {boards}.",
    Action.REMOVE: "The score of {name} is removed from {boards}; what they reach later counts.",
    Action.RESTORE: "{name} is restored on {boards}.",
    Action.APPROVE: "The claim counts, at the time at which it was made.",
    Action.REJECT: "The claim does not count.",
    Action.REOPEN: "What was said of the claim is taken back.",
}


@dataclass(frozen=True, slots=True)
class Who:
    """A player as an operator names them: by the container's user id."""

    player: int
    user_id: str
    card: PlayerCard


class PlayersCommand:
    """What the commands do, in the database of one container's players."""

    def __init__(self, database: Database, container: str, say: Say, now_ms: NowMs = wall_clock_ms) -> None:
        self._database = database
        self._container = container
        self._say = say
        self._moderation = Moderation(database, now_ms)

    async def _who(self, user_id: str) -> Who:
        player = await self._database.read(lambda reader: people.find_player(reader, self._container, user_id))
        if player is None:
            raise NotFound(f"There is no player {user_id} of the container {self._container}.")
        return Who(player, user_id, await Players(self._database).card(player))

    async def show(self, user_id: str, boards: Leaderboards) -> None:
        """`players show`: who it is, where they stand, what was decided about them and why."""
        who = await self._who(user_id)
        self._say(f"{who.card.name}, {self._container} {user_id}, public id {who.card.id}")
        for place in await boards.places(who.player, own=True):
            waits = f"; {place.pending.display} waits ({place.pending.reason})" if place.pending else ""
            rank = "-" if place.rank is None else f"{'=' * place.tied}{place.rank} of {place.total:,}"
            score = place.display or "-"
            self._say(f"  {place.board.id:<20} {place.period.id:<16} {rank:>18} {score:>16}  {place.state}{waits}")
        since_ms = await self._database.read(lambda reader: people.withdrawn_ms(reader, who.player))
        if since_ms is not None:
            self._say(f"  all boards: hidden by themselves since {_time(since_ms)}")
        for stands in await self._moderation.of_player(who.player):
            self._say(
                f"  {stands.board}: {stands.state} since {_time(stands.at_ms)} by {stands.actor}: {stands.reason}"
            )
        for act in await self._moderation.log(player=who.player, limit=SHOWN_ACTS):
            self._say(f"  {_line(act)}")

    async def act(self, action: Action, user_id: str, board: str | None, *, actor: str, reason: str) -> None:
        """`players hide`, `remove` and `restore`."""
        who = await self._who(user_id)
        act = {
            Action.HIDE: self._moderation.hide,
            Action.REMOVE: self._moderation.remove,
            Action.RESTORE: self._moderation.restore,
        }[action]
        boards = await act(who.player, board_id=board, actor=actor, reason=reason)
        self._say(_DONE[action].format(name=who.card.name, boards=", ".join(boards)))

    async def erase(self, user_id: str, *, actor: str, reason: str, agreed: Callable[[], bool]) -> bool:
        """`players erase`: say who it is and that there is no way back, ask, do it.

        Args:
            agreed: Asks whether to go on.

        Returns:
            Whether they are erased now.
        """
        who = await self._who(user_id)
        self._say(
            f"ERASE {who.card.name}, {self._container} {user_id}: scores on all boards and in all periods, history, "
            "friends, sessions. There is no way back. They begin anew if they open the gadget again."
        )
        if not agreed():
            self._say("Nothing was changed.")
            return False
        if await self._moderation.erase(who.player, actor=actor, reason=reason):
            self._say("They are erased.")
        else:
            self._say(
                "They are erased. Rows without a name are left, for a board is being rebuilt or the database was lost; "
                "a server's clean-up deletes them."
            )
        return True

    async def log(self, board: str | None) -> None:
        """`players log`: the last acts of operators."""
        for act in await self._moderation.log(board_id=board, limit=SHOWN_ACTS):
            self._say(_line(act))

    # --- claims that wait ---------------------------------------------------------------------------------------------

    async def review(self, board: str) -> None:
        """`boards review`: the claims that wait, oldest first."""
        claims = await self._moderation.review(board)
        if not claims:
            self._say("Nothing waits.")
        for claim in claims:
            self._say(
                f"{claim.event:>10} {claim.display:>16}  {claim.reason:<5} {_time(claim.at_ms)}  {claim.card.name}"
            )

    async def decide(self, action: Action, board: str, claim: int, *, actor: str, reason: str) -> None:
        """`boards approve`, `reject` and `reopen`."""
        decide = {
            Action.APPROVE: self._moderation.approve,
            Action.REJECT: self._moderation.reject,
            Action.REOPEN: self._moderation.reopen,
        }[action]
        await decide(board, claim, actor=actor, reason=reason)
        self._say(_DONE[action])


def _line(act: Act) -> str:
    on = f" on {act.board}" if act.board else ""
    detail = f" ({act.detail})" if act.detail else ""
    return (
        f"{_time(act.at_ms)} {act.actor}: {act.action}{on}: {act.reason or ('-' if act.detail else '(erased)')}{detail}"
    )


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
