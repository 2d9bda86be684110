"""The container's own pages: who can be played, the page around the gadget, pictures, the certificate."""

from __future__ import annotations

import hashlib
import html
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from aiohttp import web

from homeserver.sandbox.container import ContainerStandIn
from homeserver.sandbox.gadgets import VIEWS, GadgetHost, Told
from homeserver.sandbox.people import SandboxPerson
from homeserver.sandbox.rendering import HERE, Renderer

LANGUAGES: Final = {"en": "English", "pt-BR": "Português", "fr": "Français"}
FRIENDS_SHOWN: Final = 12

_PICTURE: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" role="img" aria-label="{label}">
<rect width="64" height="64" fill="hsl({hue} 42% 46%)"/>
<circle cx="32" cy="86" r="44" fill="hsl({hue} 48% 56%)"/>
<text x="32" y="41" text-anchor="middle" font-family="system-ui, sans-serif" font-size="25" font-weight="600" \
fill="#fff">{initials}</text>
</svg>
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One person in the list of those who can be played."""

    id: str
    name: str
    has_app: bool
    friends: int
    letters: str
    picture: str
    play: str


class Pages:
    """`/`, `/play`, `/people/{id}/application`, `/pictures/`, `/static/` and `/opensocial/certificates/`."""

    def __init__(self, container: ContainerStandIn, gadgets: GadgetHost, renderer: Renderer) -> None:
        self._container = container
        self._gadgets = gadgets
        self._renderer = renderer

    def routes(self) -> list[web.AbstractRouteDef]:
        certificate = f"/opensocial/certificates/{quote(self._container.settings.key_name)}"
        return [
            web.get("/", self._list),
            web.get("/play", self._play),
            web.post("/people/{id}/application", self._change_application),
            web.get("/pictures/{id}.svg", self._picture),
            web.get(certificate, self._certificate),
            web.static("/static", HERE / "static"),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        wanted = request.query.get("q", "").strip()[:100]
        folded = wanted.casefold()
        rows = [
            self._row(person)
            for person in self._container.people.values()
            if folded in person.shown_name.casefold() or folded in person.id
        ]
        return self._renderer.page("container_people.html", rows=rows, wanted=wanted, total=len(self._container.people))

    async def _play(self, request: web.Request) -> web.Response:
        query = request.query
        viewer = self._known(query.get("viewer", ""))
        owner = self._known(query.get("owner", "")) or viewer
        view = query.get("view", "canvas")
        language = query.get("lang", "en")
        if view not in VIEWS or language not in LANGUAGES:
            raise web.HTTPBadRequest(text=f"view is one of {', '.join(VIEWS)}; lang one of {', '.join(LANGUAGES)}.")
        if owner is None:
            raise web.HTTPBadRequest(text="Say whose page to open: viewer or owner.")
        return self._renderer.page(
            "container_play.html",
            viewer=viewer and self._row(viewer),
            owner=self._row(owner),
            view=view,
            language=language,
            languages=LANGUAGES,
            frame=self._frame_url(viewer, owner, view, language, fresh="bpc" in query) if owner.has_app else None,
            tabs=[(name, self._play_url(viewer, owner, name, language)) for name in ("home", "profile", "canvas")],
            friends=self._friends_who_play(viewer or owner, viewer, language),
            told=self._last_told(owner) if "told" in query else None,
        )

    async def _change_application(self, request: web.Request) -> web.Response:
        person = self._known(request.match_info["id"])
        if person is None:
            raise web.HTTPNotFound(text="There is no such person.")
        action = str((await request.post()).get("action", ""))
        if action == "add":
            self._container.add_app(person.id)
            await self._gadgets.tell("event.addapp", person.id)
        elif action == "remove":
            self._container.remove_app(person.id)
            await self._gadgets.tell("event.removeapp", person.id)
        else:
            raise web.HTTPBadRequest(text="action is add or remove.")
        raise web.HTTPSeeOther("/play?" + urlencode({"viewer": person.id, "told": "1"}))

    async def _picture(self, request: web.Request) -> web.Response:
        person = self._known(request.match_info["id"])
        if person is None:
            raise web.HTTPNotFound(text="There is no such person.")
        return web.Response(
            text=draw_picture(person),
            content_type="image/svg+xml",
            headers={"Content-Security-Policy": "default-src 'none'", "Cache-Control": "max-age=3600"},
        )

    async def _certificate(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler
        return web.Response(text=self._container.certificate_pem, content_type="application/x-pem-file")

    # --- parts of pages -----------------------------------------------------------------------------------------------

    def _known(self, person_id: str) -> SandboxPerson | None:
        return self._container.people.get(person_id)

    def _last_told(self, person: SandboxPerson) -> Told | None:
        return next((told for told in reversed(self._gadgets.told) if told.person_id == person.id), None)

    def _row(self, person: SandboxPerson) -> Row:
        return Row(
            id=person.id,
            name=person.shown_name,
            has_app=person.has_app,
            friends=len(self._container.friends[person.id]),
            letters=self._container.appdata_of(person.id).get("letters", ""),
            picture=urlsplit(self._container.picture_url(person)).path,
            play=self._play_url(person, person, "canvas", "en"),
        )

    def _play_url(self, viewer: SandboxPerson | None, owner: SandboxPerson, view: str, language: str) -> str:
        query = {"viewer": viewer.id if viewer else "", "owner": owner.id, "view": view, "lang": language}
        return "/play?" + urlencode(query)

    def _frame_url(
        self, viewer: SandboxPerson | None, owner: SandboxPerson, view: str, language: str, *, fresh: bool
    ) -> str:
        short, _, country = language.partition("-")
        query = {
            "url": self._container.settings.gadget_url,
            "view": view,
            "lang": short,
            "country": country or "ALL",
            "st": self._gadgets.token_for(owner.id, viewer.id if viewer else None),
        }
        if fresh:
            query["nocache"] = "1"
        return "/gadgets/ifr?" + urlencode(query)

    def _friends_who_play(
        self, person: SandboxPerson, viewer: SandboxPerson | None, language: str
    ) -> list[tuple[Row, str]]:
        """Friends with the application and, for each, the address of their page as `viewer` sees it."""
        friends = [self._container.people[other] for other in self._container.friends[person.id]]
        players = [friend for friend in friends if friend.has_app][:FRIENDS_SHOWN]
        return [(self._row(friend), self._play_url(viewer, friend, "profile", language)) for friend in players]


def draw_picture(person: SandboxPerson) -> str:
    """A person's picture, SVG: initials on a colour of their own."""
    words = [word for word in person.shown_name.split() if word[0].isalnum()] or ["?"]
    initials = "".join(word[0] for word in (words[0], *words[-1:][: len(words) - 1])).upper()
    hue = hashlib.sha256(person.id.encode()).digest()[0] * 360 // 256
    return _PICTURE.format(label=html.escape(person.shown_name), hue=hue, initials=html.escape(initials))
