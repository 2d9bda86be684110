"""Every call of `/admin/api/`: its address, whom it is for, what it takes and answers. Routes and `/openapi.json` alike
are made from this table."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from homeserver.model import (
    AccessToken,
    Archive,
    BoardStatus,
    BulkPreview,
    Claim,
    Distribution,
    Dossier,
    FoundPlayer,
    ListedPeriods,
    Logged,
    NewToken,
    OperatorAccount,
    OperatorPage,
    PastChange,
    Role,
    Span,
    State,
    Suspects,
    SyncHealth,
    Task,
    UploadPage,
    Writes,
)
from homeserver.services import bulk, upload_desk
from homeserver.web import admin_api as api
from homeserver.web.admin_calls import Call, Kind, Param, route

# --- what calls take --------------------------------------------------------------------------------------------------

_REASON: Final = Param("reason", "Why; it stays in the log: 1 to 500 characters", required=True)


def _limit(most: int = 200, default: int = 50) -> Param:
    return Param(
        "limit", f"How many at most, 1 to {most} ({default})", Kind.NUMBER, least=1, most=most, default=default
    )


_LIMIT: Final = _limit()
_CURSOR: Final = Param("cursor", "`next` or `previous` of an earlier answer")
_PERIOD: Final = Param("period", "Such as all (where nothing is said), week (the current), week:2026-W47")
_BEFORE: Final = Param("before", "Older than the one of this id", Kind.NUMBER)
_FORMAT: Final = Param("format", "csv (where nothing is said) or ndjson", words=("csv", "ndjson"))
_BOARD: Final = Param("board", "On this board alone; all where nothing is said")
_ONE_BOARD: Final = Param("board", "Of this board", required=True)
_ENTRIES: Final = (
    _PERIOD,
    Param("archive", "Of the archive of this id instead of the board", Kind.NUMBER),
    _CURSOR,
    Param("rank", "From this place on", Kind.NUMBER),
    Param("score", "From the first entry on that has this score or a worse one"),
    Param("search", "By user id, public id, or how the name begins"),
    Param(
        "state",
        "Those who are hidden or hide themselves, whose score was removed, or the claims that wait",
        words=tuple(state.value for state in State),
    ),
    Param("verified", "Whether an operator vouches for the score", Kind.FLAG),
    _LIMIT,
)
_RANGE: Final = (
    Param("action", "What is done", words=tuple(action.value for action in bulk.ACTIONS), required=True),
    _PERIOD,
    Param("least", "Scores from this one on"),
    Param("greatest", "Scores up to this one"),
)

# --- calls ------------------------------------------------------------------------------------------------------------

VIEW, MODERATE, CONFIGURE = Role.VIEW, Role.MODERATE, Role.CONFIGURE
_ON_PLAYER: Final = (_REASON, _BOARD)
_ON_ONE_BOARD: Final = (_REASON, _ONE_BOARD)
_B: Final = "/boards/{board}"
_P: Final = "/players/{player}"

CALLS: Final = (
    Call("GET", "/me", VIEW, "Who calls, and what they may do with this token.", api.me, OperatorAccount),
    Call("GET", "/boards", VIEW, "All boards, and how they are.", api.boards, BoardStatus, named="boards"),
    Call("GET", _B, VIEW, "One board, and how it is.", api.status, BoardStatus),
    Call("GET", f"{_B}/entries", VIEW, "A part of a list.", api.entries, OperatorPage, query=_ENTRIES),
    Call(
        "GET",
        f"{_B}/entries/export",
        VIEW,
        "A list from there to its end, as a file.",
        api.export_entries,
        str,
        query=(*_ENTRIES[:-1], _FORMAT),
    ),
    Call("GET", f"{_B}/distribution", VIEW, "How scores are spread.", api.distribution, Distribution, query=(_PERIOD,)),
    Call(
        "GET",
        f"{_B}/periods",
        VIEW,
        "The periods of a board, the current ones first.",
        api.periods,
        ListedPeriods,
        query=(Param("span", "Of this length alone", words=tuple(span.value for span in Span)), _limit(100)),
    ),
    Call(
        "GET",
        f"{_B}/writes",
        VIEW,
        "How many changes came in each minute or hour; of the last day where nothing is said.",
        api.writes,
        Writes,
        named="writes",
        query=(
            Param("span", "minute or hour", words=("minute", "hour")),
            Param("from", "From then on", Kind.TIME),
            Param("until", "Before then", Kind.TIME),
        ),
    ),
    Call(
        "GET",
        f"{_B}/claims",
        VIEW,
        "The claims that wait to be looked at, oldest first.",
        api.claims,
        Claim,
        named="claims",
        query=(Param("after", "Newer than the claim of this id", Kind.NUMBER, default=0), _LIMIT),
    ),
    Call("GET", f"{_B}/claims/export", VIEW, "All of them, as a file.", api.export_claims, str, query=(_FORMAT,)),
    Call(
        "GET",
        f"{_B}/suspects",
        VIEW,
        "Scores, or jumps, that are far from the others.",
        api.suspects,
        Suspects,
        query=(
            Param("oddity", "score (where nothing is said) or jump", words=("score", "jump")),
            Param("far", "By so many robust standard deviations (5)", Kind.FRACTION),
            _PERIOD,
            _CURSOR,
            _LIMIT,
        ),
    ),
    Call(
        "GET",
        f"{_B}/suspects/export",
        VIEW,
        "The scores, as a file.",
        api.export_suspects,
        str,
        query=(_PERIOD, _FORMAT),
    ),
    Call("GET", f"{_B}/archives", VIEW, "What the board was at its resets.", api.archives, Archive, named="archives"),
    Call(
        "GET",
        f"{_B}/tasks",
        VIEW,
        "What was done to the board, newest first.",
        api.tasks,
        Task,
        named="tasks",
        query=(_BEFORE, _limit(100, 20)),
    ),
    Call(
        "GET",
        f"{_B}/bulk",
        VIEW,
        "Whom an act on a range of scores would concern. Changes nothing.",
        api.preview,
        BulkPreview,
        query=(*_RANGE, _CURSOR, _LIMIT),
    ),
    Call("GET", "/tasks/{task}", VIEW, "How far a task is, and what came of it.", api.task, Task),
    Call(
        "GET",
        "/players",
        VIEW,
        "Players by an id, or by how their name begins.",
        api.players,
        FoundPlayer,
        named="players",
        query=(Param("search", "User id, public id, or how the name begins", required=True), _LIMIT),
    ),
    Call("GET", _P, VIEW, "All that is known of a player.", api.dossier, Dossier),
    Call(
        "GET",
        f"{_P}/changes",
        VIEW,
        "What their values became, newest first.",
        api.changes,
        PastChange,
        named="changes",
        query=(_BOARD, _BEFORE, _LIMIT),
    ),
    Call(
        "GET", f"{_P}/changes/export", VIEW, "All of that, as a file.", api.export_changes, str, query=(_BOARD, _FORMAT)
    ),
    Call(
        "GET",
        "/log",
        VIEW,
        "What operators did, newest first.",
        api.log,
        Logged,
        named="acts",
        query=(_BOARD, Param("player", "To this player: public id or user id"), _BEFORE, _LIMIT),
    ),
    Call("GET", "/log/export", VIEW, "All of that, as a file.", api.export_log, str, query=(_BOARD, _FORMAT)),
    Call(
        "POST", f"{_P}/hide", MODERATE, "Hide until they are restored.", api.hide, str, named="boards", body=_ON_PLAYER
    ),
    Call(
        "POST", f"{_P}/remove", MODERATE, "Remove what they reached.", api.remove, str, named="boards", body=_ON_PLAYER
    ),
    Call("POST", f"{_P}/restore", MODERATE, "Undo either.", api.restore, str, named="boards", body=_ON_PLAYER),
    Call(
        "POST",
        f"{_P}/adjust",
        MODERATE,
        "Put a score in the place of what they have.",
        api.adjust,
        body=(*_ON_ONE_BOARD, Param("score", "As the board writes scores", required=True)),
        status=204,
    ),
    Call("POST", f"{_P}/unadjust", MODERATE, "Undo the last of that.", api.unadjust, body=_ON_ONE_BOARD, status=204),
    Call("POST", f"{_P}/clear", MODERATE, "Say that a far score is right.", api.clear, body=_ON_ONE_BOARD, status=204),
    Call("POST", f"{_P}/unclear", MODERATE, "Take that back.", api.unclear, body=_ON_ONE_BOARD, status=204),
    Call(
        "POST",
        f"{_P}/erase",
        MODERATE,
        "Erase the person, everywhere, for good. There is no way back.",
        api.erase,
        body=(_REASON,),
        status=204,
    ),
    Call("POST", f"{_B}/claims/{{claim}}/approve", MODERATE, "Let it count.", api.approve, body=(_REASON,), status=204),
    Call(
        "POST", f"{_B}/claims/{{claim}}/reject", MODERATE, "It never counts.", api.reject, body=(_REASON,), status=204
    ),
    Call("POST", f"{_B}/claims/{{claim}}/reopen", MODERATE, "Undo either.", api.reopen, body=(_REASON,), status=204),
    Call(
        "POST",
        f"{_B}/scores",
        MODERATE,
        "Give a player a score that you vouch for.",
        api.give,
        body=(
            _REASON,
            Param("player", "Public id or user id", required=True),
            Param("value", "As the board writes scores", required=True),
            Param("time", "When it was reached; now where nothing is said", Kind.TIME),
        ),
        status=204,
    ),
    Call(
        "POST",
        f"{_B}/bulk",
        MODERATE,
        "Act on all whose score is in a range.",
        api.bulk,
        Task,
        body=(_REASON, *_RANGE),
        status=202,
    ),
    Call("POST", "/tasks/{task}/undo", MODERATE, "Undo a whole bulk act.", api.undo, Task, body=(_REASON,), status=202),
    Call(
        "POST",
        f"{_B}/verify",
        MODERATE,
        "Compare its lists with themselves.",
        api.verify,
        Task,
        body=(_REASON,),
        status=202,
    ),
    Call("POST", f"{_B}/rebuild", CONFIGURE, "Make its lists anew.", api.rebuild, Task, body=(_REASON,), status=202),
    Call(
        "POST",
        f"{_B}/reset",
        CONFIGURE,
        "Archive what it has, and begin with nothing.",
        api.reset,
        Task,
        body=(_REASON, Param("name", "Of the archive: 1 to 100 characters", required=True)),
        status=202,
    ),
    Call(
        "POST", f"{_B}/reset/undo", CONFIGURE, "Undo the last reset.", api.undo_reset, Task, body=(_REASON,), status=202
    ),
    Call("POST", f"{_B}/close", CONFIGURE, "Let it take no scores.", api.close_board, body=(_REASON,), status=204),
    Call("POST", f"{_B}/open", CONFIGURE, "Let it take scores again.", api.open_board, body=(_REASON,), status=204),
    Call(
        "POST",
        f"{_B}/archives/{{archive}}/delete",
        CONFIGURE,
        "Delete an archive for good.",
        api.delete_archive,
        body=(_REASON,),
        status=204,
    ),
    Call("GET", "/sync", VIEW, "How the sync with the container does.", api.sync, SyncHealth),
    Call(
        "GET",
        "/uploads",
        VIEW,
        "Everybody's uploads, newest first, without the names of the files.",
        api.uploads,
        UploadPage,
        query=(
            Param("group", "Of this group alone", words=tuple(upload_desk.GROUPS)),
            Param("after", "`next` of an earlier answer"),
            _LIMIT,
        ),
    ),
    Call(
        "POST",
        "/uploads/{upload}/retry",
        MODERATE,
        "Try once more with one that has failed.",
        api.retry_upload,
        body=(_REASON,),
        status=204,
    ),
    Call(
        "POST",
        "/uploads/{upload}/cancel",
        MODERATE,
        "Give it up, and delete the file here.",
        api.cancel_upload,
        body=(_REASON,),
        status=204,
    ),
    Call("GET", "/operators", CONFIGURE, "All accounts.", api.operators, OperatorAccount, named="operators"),
    Call("GET", "/tokens", VIEW, "The caller's tokens.", api.tokens, AccessToken, named="tokens"),
    Call(
        "POST",
        "/tokens",
        VIEW,
        "Make a token; it is shown this once.",
        api.add_token,
        NewToken,
        body=(
            Param("name", "What it is for: 1 to 64 characters", required=True),
            Param(
                "role",
                "What it may do: not more than its owner",
                words=tuple(role.value for role in Role),
                required=True,
            ),
            Param("days", "How long it is good: 1 to 366 days (90)", Kind.NUMBER, least=1, most=366, default=90),
        ),
        status=201,
        is_secret=True,
        in_person=True,
    ),
    Call(
        "DELETE",
        "/tokens/{token}",
        VIEW,
        "End one of the caller's tokens.",
        api.revoke_token,
        status=204,
        in_person=True,
    ),
)


def routes() -> list[web.AbstractRouteDef]:
    """All of them, as routes."""
    return [route(call) for call in CALLS]
