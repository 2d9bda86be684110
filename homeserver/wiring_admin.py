"""The part of the composition root that makes what operators use."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from homeserver.model import NowMs
from homeserver.services.board_admin import BoardAdmin
from homeserver.services.board_states import BoardStates
from homeserver.services.board_tasks import BoardTasks
from homeserver.services.board_watch import BoardWatch
from homeserver.services.bulk import Bulk
from homeserver.services.dossiers import Dossiers, PlayerSearch
from homeserver.services.exports import Exports
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.moderation import Moderation
from homeserver.services.operator_tokens import OperatorTokens
from homeserver.services.operator_views import OperatorViews
from homeserver.services.outliers import Outliers
from homeserver.services.rebuilds import Rebuilds
from homeserver.services.repeats import Repeats
from homeserver.services.verified_scores import VerifiedScores
from homeserver.storage.database import Database
from homeserver.web import keys


@dataclass(frozen=True, slots=True)
class Office:
    """What acts on boards and players, for the server and the commands alike."""

    moderation: Moderation
    states: BoardStates
    bulk: Bulk
    tasks: BoardTasks
    outliers: Outliers
    views: OperatorViews
    watch: BoardWatch
    scores: VerifiedScores
    tokens: OperatorTokens
    players: PlayerSearch


def office_of(database: Database, container: str, now_ms: NowMs, cursor_key: bytes) -> Office:
    """Make all of it over one database."""
    rebuilds = Rebuilds(database, now_ms)
    states = BoardStates(database, rebuilds, now_ms)
    bulk = Bulk(database, now_ms, cursor_key)
    return Office(
        moderation=Moderation(database, now_ms),
        states=states,
        bulk=bulk,
        tasks=BoardTasks(database, rebuilds, states, bulk, now_ms),
        outliers=Outliers(database, now_ms, cursor_key),
        views=OperatorViews(database, container, now_ms, cursor_key),
        watch=BoardWatch(database, now_ms),
        scores=VerifiedScores(database, now_ms),
        tokens=OperatorTokens(database, now_ms),
        players=PlayerSearch(database, container),
    )


def furnish(
    app: web.Application, database: Database, boards: Leaderboards, container: str, now_ms: NowMs, *, cursor_key: bytes
) -> Office:
    """Put it where the handlers find it."""
    office = office_of(database, container, now_ms, cursor_key)
    dossiers = Dossiers(database, boards, container)
    app[keys.MODERATION] = office.moderation
    app[keys.BOARD_STATES] = office.states
    app[keys.BULK] = office.bulk
    app[keys.BOARD_TASKS] = office.tasks
    app[keys.OUTLIERS] = office.outliers
    app[keys.OPERATOR_VIEWS] = office.views
    app[keys.BOARD_WATCH] = office.watch
    app[keys.VERIFIED_SCORES] = office.scores
    app[keys.OPERATOR_TOKENS] = office.tokens
    app[keys.BOARD_ADMIN] = BoardAdmin(database, Rebuilds(database, now_ms), now_ms)
    app[keys.DOSSIERS] = dossiers
    app[keys.EXPORTS] = Exports(office.views, office.moderation, office.outliers, dossiers)
    app[keys.REPEATS] = Repeats(database, now_ms)
    return office
