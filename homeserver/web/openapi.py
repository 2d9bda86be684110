"""The OpenAPI 3.1 document: what the gadget may call is written by hand as data; the rest: `admin_openapi.py`."""

from __future__ import annotations

from typing import Any, Final

from homeserver import __version__
from homeserver.model import Doubt, Origin, Span, State
from homeserver.protocol.gadget_queries import DEFAULT_LIMIT, MAX_LIMIT
from homeserver.web import admin_openapi
from homeserver.web.security import ADMIN_COOKIE

Schema = dict[str, Any]

_PROBLEM: Final = "application/problem+json"


def document(public_url: str) -> dict[str, Any]:
    """The whole document for a server at this address."""
    paths, schemas = admin_openapi.described()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Home server: the interfaces of the gadget and of operators",
            "version": __version__,
            "description": (
                "Scores are decimal strings, times ISO 8601 in UTC. A member that has nothing to say is null. Errors "
                "are problem documents (RFC 9457) with a stable `code`."
            ),
        },
        "servers": [{"url": public_url}],
        "paths": {**_PATHS, **paths},
        "components": {
            "schemas": {**_SCHEMAS, **schemas},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "From POST /gadget/session."},
                "operator": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An operator's token, from `homeserver admin token` or the page of their account.",
                },
                "operators_cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": ADMIN_COOKIE,
                    "description": "Of an operator who is signed in on the pages; unsafe calls from these alone. "
                    "It counts where there is no Authorization header. Over HTTPS its name begins with `__Secure-`.",
                },
                "signature": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "oauth_signature",
                    "description": "OAuth 1.0 signature of a trusted container, RSA-SHA1 or HMAC-SHA1.",
                },
            },
        },
    }


def _object(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _nullable(schema: Schema) -> Schema:
    if "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_PLACE: Final[Schema] = {"type": "integer", "minimum": 1}
_FLAG: Final[Schema] = {"type": "boolean"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_DECIMAL: Final[Schema] = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}

_SHARE: Final[Schema] = {
    "type": "number",
    "minimum": 0,
    "maximum": 1,
    "description": "The share of all others with a strictly worse score; null where there are no others",
}

_STATE: Final[Schema] = {
    "enum": [state.value for state in State],
    "description": "Whether others see it: pending if something waits beside it; hidden or removed (by an operator) "
    "or withdrawn (the player hides from all others) if only the viewer sees this, with the place that it would have",
}

_PLACE_MEMBERS: Final[dict[str, Schema]] = {
    "board": _TEXT,
    "period": _ref("Period"),
    "rank": _nullable(_PLACE),
    "tied": _FLAG,
    "total": _COUNT,
    "score": _nullable(_DECIMAL),
    "display": _nullable(_TEXT),
    "state": _STATE,
}

_PERIOD_MEMBERS: Final[dict[str, Schema]] = {
    "id": _TEXT,
    "starts": _nullable(_TIME),
    "ends": _nullable(_TIME),
    "zone": _TEXT,
    "title": {**_nullable(_TEXT), "description": "The name of a season; null for others"},
}

_SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": _object(
        {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "code": {"type": "string", "description": "Stable: programs may read it."},
            "field": {"type": "string", "description": "The value at fault."},
            "error_id": {"type": "string", "description": "Stands in the server's log too."},
        },
        optional=("field", "error_id"),
    ),
    "Player": _object({"id": _TEXT, "name": _TEXT, "thumbnail_url": _TEXT}),
    "Session": _object(
        {
            "token": _TEXT,
            "expires": _TIME,
            "viewer": _nullable(_ref("Player")),
            "owner": {**_nullable(_ref("Player")), "description": "On whose page the gadget stands; null if they hide"},
        }
    ),
    "Board": _object(
        {
            "id": _TEXT,
            "title": _TEXT,
            "order": {"enum": ["more", "less"], "description": "Which score is better"},
            "keep": {"enum": ["best", "latest"], "description": "Which score stands"},
            "counts": {
                "enum": ["reached", "gained"],
                "description": "What stands in a period: what was reached in it, or by how much the value grew in it",
            },
            "ties": {"enum": ["competition", "dense", "ordinal"]},
            "decimals": _COUNT,
            "format": {"enum": ["integer", "duration", "money"]},
            "periods": _list({"enum": ["all", "season", "month", "week", "day"]}),
            "zone": _TEXT,
            "seasons": _list(_ref("Season")),
            "dated": {**_FLAG, "description": "Whether a submission may say when"},
            "closed": {**_nullable(_TIME), "description": "Since when it takes no scores; null: it does"},
        }
    ),
    "Season": _object({"id": _TEXT, "title": _TEXT, "starts": _TIME, "ends": _TIME}),
    "Boards": _object({"boards": _list(_ref("Board"))}),
    "Period": _object(_PERIOD_MEMBERS),
    "Entry": _object(
        {
            "rank": {**_nullable(_PLACE), "description": "null for an entry that is not listed"},
            "tied": _FLAG,
            "player": _ref("Player"),
            "score": _DECIMAL,
            "display": _TEXT,
            "reached": _TIME,
            "me": _FLAG,
            "friend_rank": {
                **_nullable(_PLACE),
                "description": "Among the viewer and their friends, with friends=true; else null",
            },
            "friend_tied": _FLAG,
            "claimed_date": {
                **_nullable(_TEXT),
                "description": "When the player says that it was (ISO 8601, with or without time): their own word",
            },
        }
    ),
    "Entries": _object(
        {
            "board": _TEXT,
            "period": _ref("Period"),
            "total": {**_COUNT, "description": "Entries of the whole list, whatever part of it is asked for"},
            "friends": {
                **_nullable(_COUNT),
                "description": "How many of the viewer and their friends have an entry, with friends=true; else null",
            },
            "entries": _list(_ref("Entry")),
            "next": _nullable(_TEXT),
            "previous": _nullable(_TEXT),
            "as_of": _TIME,
        }
    ),
    "NextPlace": _object(
        {
            "rank": _PLACE,
            "score": {**_DECIMAL, "description": "Whoever reaches it now, stands on this rank."},
            "display": _TEXT,
            "missing": {**_DECIMAL, "description": "How far away that is, whichever way the board counts."},
            "missing_display": _TEXT,
        }
    ),
    "Place": _object(
        {
            **_PLACE_MEMBERS,
            "better_than": _nullable(_SHARE),
            "next": _nullable(_ref("NextPlace")),
            "pending": {
                **_nullable(_ref("Pending")),
                "description": "What the viewer claimed in this period and waits to be looked at",
            },
        }
    ),
    "Pending": _object(
        {
            "score": _DECIMAL,
            "display": _TEXT,
            "since": _TIME,
            "reason": {
                "enum": [doubt.value for doubt in Doubt],
                "description": "Better by more than the board takes at once (step), or in the time (rate)",
            },
        }
    ),
    "ScoreClass": _object({"least": _DECIMAL, "greatest": _DECIMAL, "display": _TEXT, "count": _COUNT}),
    "OwnClass": _object(
        {
            "class": {**_COUNT, "description": "Which of the classes, counted from 0"},
            "score": _DECIMAL,
            "display": _TEXT,
            "better_than": _nullable(_SHARE),
        }
    ),
    "Distribution": _object(
        {
            "board": _TEXT,
            "period": _ref("Period"),
            "total": _COUNT,
            "classes": {**_list(_ref("ScoreClass")), "description": "Ascending; the counts add up to the total."},
            "mine": _nullable(_ref("OwnClass")),
            "as_of": _TIME,
        }
    ),
    "OwnPlace": _object({"rank": _PLACE, "tied": _FLAG, "score": _DECIMAL, "display": _TEXT, "state": _STATE}),
    "ListedPeriod": _object(
        {
            **_PERIOD_MEMBERS,
            "total": _COUNT,
            "current": _FLAG,
            "mine": {
                **_nullable(_ref("OwnPlace")),
                "description": "The viewer's place, the final one once the period is over; null without an entry",
            },
        }
    ),
    "Periods": _object({"board": _TEXT, "periods": _list(_ref("ListedPeriod")), "as_of": _TIME}),
    "PastScore": _object(
        {
            "at": _TIME,
            "score": _DECIMAL,
            "display": _TEXT,
            "origin": {"enum": [origin.value for origin in Origin]},
            "state": {
                "enum": [state.value for state in State],
                "description": "Other than visible for its player alone: pending waits, removed does not count",
            },
        }
    ),
    "History": _object({"board": _TEXT, "player": _ref("Player"), "scores": _list(_ref("PastScore"))}),
    "PlayerPlaces": _object({"player": _ref("Player"), "places": _list(_ref("Place"))}),
    "Me": _object({"me": _nullable(_ref("Player")), "places": _list(_ref("Place"))}),
    "Submission": {
        **_object(
            {
                "board": _TEXT,
                "value": _DECIMAL,
                "date": {
                    **_nullable(_TEXT),
                    "description": "When the player says that it was, on a board that is dated: ISO 8601, not in the "
                    "future. Written in one go with the score.",
                },
            },
            optional=("date",),
        ),
        "additionalProperties": False,
    },
    "Change": _object(
        {
            **_PLACE_MEMBERS,
            "rank_before": _nullable(_PLACE),
            "passed": {
                **_COUNT,
                "description": "How many places were gained; 0 for a first entry.",
            },
            "is_best": _FLAG,
            "overtaken": {
                **_list(_ref("Player")),
                "description": "At most four of those who were at least as good and are worse now, the best first",
            },
        }
    ),
    "Placed": _object(
        {
            "board": _TEXT,
            "value": _DECIMAL,
            "changes": _list(_ref("Change")),
            "pending": {
                **_nullable(_ref("Pending")),
                "description": "The score, where it waits to be looked at; then it has changed no place",
            },
        }
    ),
    "SyncState": _object({"synced_at": _nullable(_TIME), "queued": _FLAG}),
    "PageLink": _object({"url": {"type": "string", "format": "uri"}}),
}


def _answers(status: str, says: str, schema: str, *problems: str) -> dict[str, Any]:
    words = {
        "400": "Something in the request is wrong; `field` names it",
        "401": "No token, or one that is not good any more; without detail where a signature was refused",
        "403": "The gadget has no viewer, so it can only read",
        "404": "There is no such board, or no such player",
        "409": "The board is closed, or the state of things does not allow it",
        "413": "The body is larger than 64 KiB",
        "429": "Asked too often; Retry-After says when to come back",
        "502": "The container gave a wrong answer",
        "503": "The container does not answer; Retry-After says when to come back",
    }
    answers: dict[str, Any] = {status: {"description": says, "content": {"application/json": {"schema": _ref(schema)}}}}
    for problem in problems:
        answers[problem] = {"description": words[problem], "content": {_PROBLEM: {"schema": _ref("Problem")}}}
    return answers


def _stream(says: str, *problems: str) -> dict[str, Any]:
    refusals = _answers("200", says, "Problem", "401", *problems)
    return refusals | {"200": {"description": says, "content": {"text/event-stream": {"schema": _TEXT}}}}


def _operation(
    summary: str,
    answers: dict[str, Any],
    *,
    security: str = "token",
    parameters: tuple[Schema, ...] = (),
    body: str | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary, "security": [{security: []}], "responses": answers}
    if parameters:
        operation["parameters"] = list(parameters)
    if body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    return operation


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": description}


_BOARD_IN_PATH: Final[Schema] = {"name": "board", "in": "path", "required": True, "schema": _TEXT}

_PERIOD: Final = _query(
    "period", {"type": "string", "default": "all"}, "Such as all, week (the current), week:2026-W47"
)


def _limit(description: str) -> Schema:
    return _query(
        "limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}, description
    )


_PATHS: Final[dict[str, Any]] = {
    "/gadget/session": {
        "post": _operation(
            "Turn a call signed by the container into a token for the calls below, good for an hour.",
            _answers("200", "The token, and who the viewer and the owner are", "Session", "401", "413", "429"),
            security="signature",
        )
    },
    "/gadget/v1/boards": {
        "get": _operation("All boards.", _answers("200", "The boards in their order", "Boards", "401"))
    },
    "/gadget/v1/boards/{board}/entries": {
        "get": _operation(
            "Entries of a board: from the top, or chosen by one of around, friends, at_rank, at_score, search.",
            _answers("200", "A page of entries", "Entries", "400", "401", "403", "404"),
            parameters=(
                _BOARD_IN_PATH,
                _PERIOD,
                _limit("How many entries"),
                _query("cursor", _TEXT, "`next` or `previous` of an earlier answer"),
                _query("around", {"enum": ["me"]}, "The viewer's neighbourhood"),
                _query(
                    "friends",
                    {"enum": ["true"]},
                    "The viewer and their friends, with places among each other too",
                ),
                _query("at_rank", _PLACE, "From this place on"),
                _query("at_score", _DECIMAL, "From the first entry on that has this score or a worse one"),
                _query("search", {"type": "string", "minLength": 1, "maxLength": 100}, "Players by name"),
            ),
        )
    },
    "/gadget/v1/boards/{board}/distribution": {
        "get": _operation(
            "How the scores of a board are spread: at most 20 classes of one width, every entry in one of them.",
            _answers("200", "The classes, and where the viewer is", "Distribution", "400", "401", "404"),
            parameters=(_BOARD_IN_PATH, _PERIOD),
        )
    },
    "/gadget/v1/boards/{board}/periods": {
        "get": _operation(
            "The periods of a board: the current ones, then the earlier ones that have entries, newest first.",
            _answers("200", "The periods, each with its number of entries", "Periods", "400", "401", "404"),
            parameters=(
                _BOARD_IN_PATH,
                _query("span", {"enum": [span.value for span in Span]}, "Periods of this length alone"),
                _limit("How many periods"),
            ),
        )
    },
    "/gadget/v1/players/{player}": {
        "get": _operation(
            "Where a player stands, on every board and in every current period.",
            _answers("200", "The places; what others do not see, its player sees", "PlayerPlaces", "401", "404"),
            parameters=({"name": "player", "in": "path", "required": True, "schema": _TEXT},),
        )
    },
    "/gadget/v1/players/{player}/history": {
        "get": _operation(
            "The scores that a player had on a board, newest first, whether they were better or not.",
            _answers("200", "The scores, each with when and how it came", "History", "400", "401", "404"),
            parameters=(
                {"name": "player", "in": "path", "required": True, "schema": _TEXT},
                {"name": "board", "in": "query", "required": True, "schema": _TEXT, "description": "Of which board"},
                _limit("How many scores"),
            ),
        )
    },
    "/gadget/v1/events": {
        "get": _operation(
            "Server-sent events: `changed`, with the list's new version as id and data, whenever the list has changed.",
            _stream("A stream without end: whoever hears `changed` asks for what they show again", "400", "404", "429"),
            parameters=(
                _query("board", _TEXT, "Of which board"),
                _PERIOD,
                _query("version", _TEXT, "What the caller shows; Last-Event-ID comes before it"),
            ),
        )
    },
    "/gadget/v1/me": {
        "get": _operation(
            "Who the viewer is and where they stand, on every board and in every current period.",
            _answers("200", "null and no places where there is no viewer", "Me", "401"),
        )
    },
    "/gadget/v1/scores": {
        "post": _operation(
            "Write a score into the viewer's AppData, then onto the board.",
            _answers("201", "What it did", "Placed", "400", "401", "403", "404", "409", "413", "429", "502", "503"),
            body="Submission",
        )
    },
    "/gadget/v1/sync": {
        "post": _operation(
            "Read the viewer and their friends from the container again, soon.",
            _answers("202", "When that was last done, and whether it waits", "SyncState", "401", "403", "429"),
        )
    },
    "/gadget/v1/page-links": {
        "post": _operation(
            "Make an address that opens the viewer's pages, good once and for a minute; with `?to=privacy`, that page.",
            _answers("201", "The address", "PageLink", "401", "403", "429"),
        )
    },
}
