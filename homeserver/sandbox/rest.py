"""The Remote API of the container stand-in: the REST service as its guide has it, over HTTP.

`/social/rest/people/{id}/{selector}` reads people; `/social/rest/appdata/{id}/{selector}/@app` reads AppData and writes
it. Every request is signed. Whoever does not have the application is 401, an unknown id too. Refusals are text, never
JSON. Sources: the Remote API guide; OpenSocial REST 0.9 sections "People", "AppData" and "HTTP Status Codes".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from homeserver.sandbox import appdata
from homeserver.sandbox.appdata import RestRefused
from homeserver.sandbox.container import ContainerStandIn, Recorded
from homeserver.sandbox.oauth import Incoming, OAuthRefused, Verifier, media_type
from homeserver.sandbox.people import SandboxPerson

PREFIX: Final = "/social/rest/"
DEFAULT_COUNT: Final = 20
MAX_BODY_BYTES: Final = 64 * 1024
"""Six times the AppData quota: JSON may escape every character."""

_RECORDED_BODY_BYTES: Final = 16 * 1024
_DEFAULT_FIELDS: Final = ("photos", "id", "thumbnailUrl", "name")
_SECRET_PARAMETERS: Final = ("oauth_signature", "oauth_nonce", "oauth_body_hash")
_ME: Final = ("@me", "@viewer", "@owner")


@dataclass(frozen=True, slots=True)
class _Call:
    """A verified request."""

    method: str
    service: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    requestor: str | None
    content_type: str
    body: bytes


class RestService:
    """Answers for one container stand-in, and records in its `requests` what it was asked."""

    def __init__(self, container: ContainerStandIn) -> None:
        settings = container.settings
        self._container = container
        self._app_id = settings.app_id
        self._domain = settings.container_domain
        self._verifier = Verifier(
            consumer_key=settings.consumer_key, consumer_secret=settings.consumer_secret, now_ms=settings.now_ms
        )
        self._written = 0

    def routes(self) -> list[web.RouteDef]:
        """Everything below `/social/rest/`."""
        return [web.route("*", PREFIX + "{path:.*}", self._answer_request)]

    async def _answer_request(self, request: web.Request) -> web.Response:
        target, _, raw_query = request.raw_path.partition("?")
        body = await request.read()
        try:
            response = self._answer(self._verified(request, target, raw_query, body))
        except OAuthRefused as refusal:
            response = _unauthorized(f"OAuth authentication failure: {refusal.problem}: {refusal.detail}")
        except RestRefused as refusal:
            if refusal.status == 401:
                response = _unauthorized(refusal.text)
            else:
                response = web.Response(status=refusal.status, text=refusal.text, headers=refusal.headers)
        self._record(request.method, target, raw_query, response.status, body)
        return response

    def _record(self, method: str, target: str, raw_query: str, status: int, body: bytes) -> None:
        path = unquote(target.removeprefix(PREFIX))
        query = {
            name: value
            for name, value in parse_qsl(raw_query, keep_blank_values=True)
            if name not in _SECRET_PARAMETERS
        }
        self._container.requests.append(Recorded(method, path, query, status, body[:_RECORDED_BODY_BYTES]))

    def _verified(self, request: web.Request, target: str, raw_query: str, body: bytes) -> _Call:
        if len(body) > MAX_BODY_BYTES:
            raise RestRefused(413, "requestTooLarge: the body is too large")
        url = f"{request.scheme}://{request.host}{target}"
        requestor = self._verifier.verify(Incoming(request.method, url, raw_query, request.headers, body))
        service, *path = (unquote(segment) for segment in target.removeprefix(PREFIX).split("/"))
        return _Call(
            method=_effective_method(request),
            service=service,
            path=tuple(path),
            query=dict(parse_qsl(raw_query, keep_blank_values=True)),
            requestor=requestor,
            content_type=media_type(request.headers.get("Content-Type", "")),
            body=body,
        )

    def _answer(self, call: _Call) -> web.Response:
        if call.requestor is not None:
            self._require_app(call.requestor)
        match call.service, call.path:
            case "people", (who, selector):
                return self._people(call, self._whom(call, who), selector)
            case "appdata", (who, "@app") if call.method != "GET":
                return self._write(call, self._whom(call, who))
            case "appdata", (who, selector, "@app" | self._app_id):
                person_id = self._whom(call, who)
                if selector == "@self" and call.method != "GET":
                    return self._write(call, person_id)
                return self._read(call, person_id, selector)
        raise RestRefused(404, "notFound: people/{id}/{selector} and appdata/{id}/{selector}/@app are what there is")

    def _whom(self, call: _Call, who: str) -> str:
        """The person in the path, who must have the application, and run it where offline access is refused."""
        if who in _ME:
            if call.requestor is None:
                raise RestRefused(400, f"badRequest: {who} needs xoauth_requestor_id")
            who = call.requestor
        self._require_app(who)
        acting = call.requestor or who
        if not self._container.offline and not self._container.is_online(acting):
            raise RestRefused(401, "unauthorized: this person is not running the application")
        return who

    def _require_app(self, person_id: str) -> None:
        if not self._container.has_app(person_id):
            raise RestRefused(401, "unauthorized: this person does not have the application")

    # --- people -------------------------------------------------------------------------------------------------------

    def _people(self, call: _Call, person_id: str, selector: str) -> web.Response:
        if call.method != "GET":
            raise RestRefused(405, "methodNotAllowed: people can only be read", headers={"Allow": "GET"})
        fields = appdata.parse_fields(call.query.get("fields")) or _DEFAULT_FIELDS
        if selector == "@self":
            return _json({"entry": self._person(self._container.people[person_id], fields)})
        listed = [self._container.people[other] for other in self._circle(person_id, selector)]
        wanted = _has_app_filter(call.query)
        if wanted is not None and self._container.quirks.filters_has_app:
            listed = [person for person in listed if person.has_app is wanted]
        start = max(
            0,
            _number(call.query, "startIndex", self._container.quirks.first_index) - self._container.quirks.first_index,
        )
        count = min(_number(call.query, "count", DEFAULT_COUNT), self._container.quirks.max_count)
        page = [self._person(person, fields) for person in listed[start : start + count]]
        return _json({"startIndex": start, "totalResults": len(listed), self._container.quirks.collection: page})

    def _circle(self, person_id: str, selector: str) -> list[str]:
        """Ids of friends or of all contacts, in the order in which they were made."""
        if selector == "@friends":
            return self._container.friends[person_id]
        if selector == "@all":
            return [*self._container.friends[person_id], *self._container.contacts[person_id]]
        raise RestRefused(400, "badRequest: the selector must be @self, @friends or @all")

    def _person(self, person: SandboxPerson, fields: tuple[str, ...]) -> dict[str, object]:
        name = {"familyName": person.family_name, "givenName": person.given_name}
        name = {part: text for part, text in name.items() if text}
        picture = self._container.picture_url(person) if person.has_picture else None
        everything: dict[str, object] = {
            "photos": [{"value": picture, "type": "thumbnail"}] if picture else None,
            "id": person.id,
            "thumbnailUrl": picture,
            "name": name or None,
            "displayName": person.display_name or f"{person.given_name} {person.family_name}".strip() or None,
            "hasApp": person.has_app,
            "dateOfBirth": f"{person.date_of_birth}T00:00:00.000Z" if person.date_of_birth else None,
        }
        everybody = "@all" in fields
        return {
            name: value
            for name, value in everything.items()
            if value is not None and (everybody or name == "id" or name in fields)
        }

    # --- AppData ------------------------------------------------------------------------------------------------------

    def _read(self, call: _Call, person_id: str, selector: str) -> web.Response:
        if call.method != "GET":
            raise RestRefused(405, "methodNotAllowed: AppData is written for one person", headers={"Allow": "GET"})
        fields = appdata.parse_fields(call.query.get("fields"))
        if selector == "@self":
            return self._items([person_id], fields)
        players = [other for other in self._circle(person_id, selector) if self._container.has_app(other)]
        if not self._container.quirks.empty_items:
            players = [other for other in players if other in self._container.appdata]
        return self._items(players, fields)

    def _items(self, ids: list[str], fields: tuple[str, ...] | None, status: int = 200, **more: str) -> web.Response:
        escape = self._container.quirks.escapes_appdata
        items = {one: appdata.shown(self._container.appdata.get(one, {}), fields, escape=escape) for one in ids}
        return _json({"entry": items, **more}, status=status)

    def _write(self, call: _Call, person_id: str) -> web.Response:
        if call.requestor not in (None, person_id):
            raise RestRefused(403, "forbidden: only the requestor's own AppData can be written")
        if call.method not in ("POST", "PUT", "DELETE"):
            allowed = {"Allow": "GET, POST, PUT, DELETE"}
            raise RestRefused(405, "methodNotAllowed: AppData is read at .../@self/@app", headers=allowed)
        current = self._container.appdata.get(person_id, {})
        fields = appdata.parse_fields(call.query.get("fields"))
        if call.method == "DELETE":
            return self._delete(person_id, current, fields)
        if call.content_type != "application/json":
            raise RestRefused(400, "badRequest: the Content-Type must be application/json")
        item = appdata.parse_item(call.body, person_id)
        if fields is not None:
            after = appdata.updated(current, item, fields)
        elif item.wrapped and call.method == "PUT":
            if not current and not self._container.quirks.flat_writes_merge:
                raise RestRefused(404, "notFound: there is no AppData item to replace; POST creates one")
            after = appdata.replaced(item)
        elif self._container.quirks.flat_writes_merge:
            after = appdata.merged(current, item)
        elif call.method == "POST" and len(call.path) == 2:
            if current:
                raise RestRefused(409, "conflict: there is an AppData item already; PUT replaces it")
            after = appdata.replaced(item)
        else:
            raise RestRefused(501, "notImplemented: non-partial updates; name the keys in fields")
        self._container.set_appdata(person_id, after)
        if call.method == "PUT":
            return self._items([person_id], fields)
        self._written += 1
        created = f"tag:{self._domain},2008:appdata/{person_id}/{self._written}"
        return self._items([person_id], fields, 201, id=created)

    def _delete(self, person_id: str, current: Mapping[str, str], fields: tuple[str, ...] | None) -> web.Response:
        if fields is None and self._container.quirks.flat_writes_merge:
            return _json({"entry": {}})  # Shindig: nothing named, nothing deleted
        if not current:
            raise RestRefused(404, "notFound: there is no AppData item")
        self._container.set_appdata(
            person_id, {name: value for name, value in current.items() if fields and name not in fields}
        )
        return _json({"entry": {}})


def _effective_method(request: web.Request) -> str:
    """The method meant: firewalls that block PUT and DELETE let a POST through that names them in a header."""
    override = request.headers.get("X-HTTP-Method-Override", "").strip().upper()
    if request.method != "POST" or not override:
        return request.method
    if override not in ("PUT", "DELETE", "POST"):
        raise RestRefused(400, "badRequest: X-HTTP-Method-Override may say PUT or DELETE")
    return override


def _has_app_filter(query: Mapping[str, str]) -> bool | None:
    """What `hasApp` must be; None without a filter. Other filters than the guide's are refused."""
    if "filterBy" not in query:
        return None
    if (query["filterBy"], query.get("filterOp")) != ("hasApp", "equals"):
        raise RestRefused(400, "badRequest: the only filter is filterBy=hasApp with filterOp=equals")
    value = query.get("filterValue")
    if value not in ("true", "false"):
        raise RestRefused(400, "badRequest: filterValue must be true or false")
    return value == "true"


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise RestRefused(400, f"badRequest: {name} must be a number")
    return int(text)


def _json(document: object, *, status: int = 200) -> web.Response:
    text = json.dumps(document, ensure_ascii=False)
    return web.Response(status=status, text=text, content_type="application/json")


def _unauthorized(text: str) -> web.Response:
    return web.Response(status=401, text=text, headers={"WWW-Authenticate": 'OAuth realm="sandbox"'})
