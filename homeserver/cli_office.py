"""The command line of what operators do to boards, players and accounts: its options, and what each action runs."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

from homeserver import config, logs
from homeserver.model import Action, BulkAct, Role

if TYPE_CHECKING:
    from homeserver.office_command import OfficeCommand

Run = Callable[["OfficeCommand", argparse.Namespace], Coroutine[Any, Any, bool]]

_BULK: Final = {action.value: action for action in (Action.HIDE, Action.REMOVE, Action.RESTORE)}


class Adder:
    """Adds actions. Each imports what it needs when it runs: `homeserver --help` answers at once."""

    def __init__(
        self,
        settings_of: Callable[[argparse.Namespace], config.Settings],
        say: Callable[[str], None],
        actor_of: Callable[[argparse.Namespace], str],
        agreed: Callable[[argparse.Namespace], bool],
    ) -> None:
        self._settings_of = settings_of
        self._say = say
        self._actor_of = actor_of
        self.agreed = agreed

    def add(
        self,
        actions: argparse._SubParsersAction[argparse.ArgumentParser],
        name: str,
        says: str,
        run: Run,
        *,
        why: bool = False,
        actor: bool = False,
        **places: str,
    ) -> argparse.ArgumentParser:
        """One action. `places` are its arguments, with what they mean; `why`: it takes a reason."""
        parser = actions.add_parser(name, help=says)
        for place, meaning in places.items():
            parser.add_argument(place, metavar=place.upper(), help=meaning, type=int if place in _NUMBERS else str)
        if why:
            parser.add_argument("--reason", required=True, help="why; it stays in the log")
        if why or actor:
            parser.add_argument("--by", help="who does it (the user of this machine who is signed in)")

        def command(options: argparse.Namespace) -> int:
            from homeserver.office_command import OfficeCommand  # noqa: PLC0415

            settings = self._settings_of(options)
            logs.configure(least=30)
            named: Mapping[str, str] = {"actor": self._actor_of(options)} if why or actor else {}
            office = OfficeCommand(settings, self._say, reason=options.reason if why else "-", **named)
            return 0 if asyncio.run(run(office, options)) else 1

        parser.set_defaults(command=command)
        return parser


_NUMBERS: Final = frozenset({"task", "archive"})
_PLAYER: Final = "the container's user id, or the public id"
_BOARD: Final = "the board's id"


def add_boards(actions: argparse._SubParsersAction[argparse.ArgumentParser], adder: Adder) -> None:
    """`homeserver boards ...`."""
    add = adder.add
    add(actions, "status", "how all boards are: entries, writes, what waits, checks", lambda c, _: c.status())
    add(actions, "close", "take no scores until it is opened", lambda c, o: c.close(o.board), why=True, board=_BOARD)
    add(actions, "open", "take scores again", lambda c, o: c.open(o.board), why=True, board=_BOARD)
    reset = add(
        actions,
        "reset",
        "archive what a board has, and begin with nothing; asks, unless --yes",
        lambda c, o: c.reset(o.board, o.name, lambda: adder.agreed(o)),
        why=True,
        board=_BOARD,
    )
    reset.add_argument("--name", required=True, help="of the archive")
    reset.add_argument("--yes", action="store_true", help="do not ask")
    add(actions, "undo-reset", "undo the last reset", lambda c, o: c.undo_reset(o.board), why=True, board=_BOARD)
    add(actions, "archives", "what the board was at its resets", lambda c, o: c.archives(o.board), board=_BOARD)
    add(
        actions,
        "delete-archive",
        "delete an archive for good",
        lambda c, o: c.delete_archive(o.board, o.archive),
        why=True,
        board=_BOARD,
        archive="its number",
    )
    add(actions, "verify", "compare its lists with themselves", lambda c, o: c.verify(o.board), why=True, board=_BOARD)
    add(actions, "tasks", "what was done to a board", lambda c, o: c.tasks(o.board), board=_BOARD)
    _add_bulk(actions, adder)
    suspects = add(
        actions,
        "suspects",
        "scores and jumps that are far from the others",
        lambda c, o: c.suspects(o.board, o.period, o.far),
        board=_BOARD,
    )
    suspects.add_argument("--period", default="all")
    suspects.add_argument("--far", type=float, default=5.0, help="robust standard deviations (5)")
    search = add(
        actions,
        "search",
        "entries by user id, public id, or how the name begins",
        lambda c, o: c.search(o.board, o.text, o.period),
        board=_BOARD,
        text="what to look for",
    )
    search.add_argument("--period", default="all")


def _add_bulk(actions: argparse._SubParsersAction[argparse.ArgumentParser], adder: Adder) -> None:
    bulk = adder.add(
        actions,
        "bulk",
        "hide, remove or restore all whose score is in a range; says first whom, asks, unless --yes",
        lambda c, o: c.bulk(
            o.board,
            BulkAct(_BULK[o.action], o.period, o.least, o.greatest),
            dry_run=o.dry_run,
            agreed=lambda: adder.agreed(o),
        ),
        why=True,
        board=_BOARD,
    )
    bulk.add_argument("action", choices=list(_BULK))
    bulk.add_argument("--period", default="all", help="whose list decides (all)")
    bulk.add_argument("--least", help="scores from this one on")
    bulk.add_argument("--greatest", help="scores up to this one")
    bulk.add_argument("--dry-run", action="store_true", help="only say whom it would concern")
    bulk.add_argument("--yes", action="store_true", help="do not ask")
    adder.add(
        actions, "undo-bulk", "undo a whole bulk act", lambda c, o: c.undo_bulk(o.task), why=True, task="its number"
    )


def add_players(actions: argparse._SubParsersAction[argparse.ArgumentParser], adder: Adder) -> None:
    """`homeserver players ...`."""
    add = adder.add
    add(
        actions,
        "find",
        "players by an id, or how the name begins",
        lambda c, o: c.find(o.text),
        text="what to look for",
    )
    add(
        actions,
        "dossier",
        "what is held of them, and what boards make of it",
        lambda c, o: c.dossier(o.player),
        player=_PLAYER,
    )
    acts: tuple[tuple[str, str, Run], ...] = (
        (
            "adjust",
            "put a score in the place of what they have, until AppData says another",
            lambda c, o: c.adjust(o.player, o.board, o.score),
        ),
        ("unadjust", "undo the last `adjust`", lambda c, o: c.unadjust(o.player, o.board)),
        ("clear", "say that a suspect score is right", lambda c, o: c.clear(o.player, o.board)),
        ("unclear", "take that back", lambda c, o: c.unclear(o.player, o.board)),
    )
    for name, says, run in acts:
        act = add(actions, name, says, run, why=True, player=_PLAYER)
        act.add_argument("--board", required=True)
        if name == "adjust":
            act.add_argument("score", metavar="SCORE", help="as the board writes scores")
    score = add(
        actions,
        "score",
        "give a score that you vouch for",
        lambda c, o: c.score(o.player, o.board, o.value, o.time),
        why=True,
        player=_PLAYER,
        value="as the board writes scores",
    )
    score.add_argument("--board", required=True)
    score.add_argument("--time", help="when it was reached, by ISO 8601 with a zone (now)")


def add_admin(actions: argparse._SubParsersAction[argparse.ArgumentParser], adder: Adder) -> None:
    """`homeserver admin ...`."""
    token = adder.add(
        actions,
        "token",
        "make a personal token for a program; it is shown once",
        lambda c, o: c.add_token(o.owner, o.name, o.role, o.days),
        actor=True,
        owner="whose it is",
    )
    token.add_argument("--name", required=True, help="what it is for")
    token.add_argument("--role", type=Role, choices=list(Role), default=Role.VIEW, metavar="|".join(Role))
    token.add_argument("--days", type=int, default=90, help="how long it is good (90)")
    adder.add(actions, "tokens", "list an operator's tokens", lambda c, o: c.tokens(o.owner), owner="whose they are")
    adder.add(
        actions,
        "revoke",
        "end a token at once",
        lambda c, o: c.revoke(o.owner, o.which),
        actor=True,
        owner="whose it is",
        which="its id, as `admin tokens` lists it",
    )
