"""Templates: the environment, the filters that write numbers and times for people, and the one way to make a page."""

from __future__ import annotations

from functools import cache
from urllib.parse import urlencode

import aiohttp_jinja2
import jinja2
import orjson
from aiohttp import hdrs, web
from markupsafe import Markup

from homeserver.model import PlayerCard
from homeserver.paths import TEMPLATES
from homeserver.protocol.gadget import iso
from homeserver.web import charts, formats
from homeserver.web.keys import SITE
from homeserver.web.languages import NAMES, all_languages, current, ntranslated, translated
from homeserver.web.statics import STATIC_FILES
from homeserver.web.visitors import VISITOR
from homeserver.web.words import WAITING_WORDS, origin_words, upload_words, waiting_words


def setup_templates(app: web.Application) -> None:
    """Open the templates. Every value is escaped; a name that is missing is an error, never an empty text."""
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,  # they change with the installation; looking each time costs more than it may
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_callables(translated, ntranslated, newstyle=True)  # type: ignore[attr-defined]
    environment.filters |= {
        "iso": iso,
        "moment": formats.moment,
        "city": formats.city,
        "size": formats.size,
        "number": formats.number,
        "score": formats.score,
        "percent": formats.percent,
        "players": formats.players,
        "place": formats.place,
        "claimed": formats.claimed,
        "span": formats.span_name,
        "current": formats.current_period,
        "period": formats.period_name,
        "beats": formats.beats,
        "initials": initials,
        "picture": picture,
        "left": formats.left,
        "upload_words": upload_words,
        "waits": WAITING_WORDS.__contains__,
        "bars": charts.bars,
        "columns": charts.columns,
        "steps": charts.steps,
        "series": charts.series,
        "origin": origin_words,
    }
    environment.globals |= {
        "static": app[STATIC_FILES].path,
        "site": app[SITE],
        "board_url": board_url,
        "waiting_words": waiting_words,
        "language": current,
        "language_names": NAMES,
        "script_words": script_words,
        "chart": {"width": charts.WIDTH, "height": charts.HEIGHT},
    }


def render(request: web.Request, template: str, *, status: int = 200, **context: object) -> web.Response:
    """A page, in the language of the request. What stands in its header is whoever was already looked up: making a page
    asks the database nothing."""
    shown = {"visitor": request.get(VISITOR), "path": request.path, "here": request.path_qs, **context}
    response = aiohttp_jinja2.render_template(template, request, shown, status=status)
    response.headers[hdrs.CONTENT_LANGUAGE] = current().tag
    response.headers.add(hdrs.VARY, f"{hdrs.ACCEPT_LANGUAGE}, {hdrs.COOKIE}")
    return response


def script_words(stem: str) -> Markup:
    """What the scripts `static/{stem}*.js` have to say, as a block of data: it is nothing that a browser would run."""
    return _script_words(stem, current().tag)


@cache
def _script_words(stem: str, tag: str) -> Markup:
    content = orjson.dumps(all_languages()[tag].words_of(stem)).decode().replace("<", "\\u003c")
    return Markup(f'<script type="application/json" id="words">{content}</script>')  # noqa: S704 - no texts of others


def initials(name: str) -> str:
    """The first letters of the first and last words of a name, for where there is no picture."""
    words = [word for word in name.split() if word[0].isalnum()]
    return "".join(word[0].upper() for word in (words[:1] + words[-1:] if len(words) > 1 else words)) or "?"


def picture(card: PlayerCard) -> str:
    """The address of a player's picture when a browser may be sent there, else an empty text."""
    return card.thumbnail_url if card.thumbnail_url.startswith(("https://", "http://")) else ""


def board_url(board: str, period: str | None = None, **choice: str | int | None) -> str:
    """The address of a board's page in a given state."""
    query = {"period": period} | choice
    text = urlencode({name: value for name, value in query.items() if value is not None})
    return f"/boards/{board}{'?' if text else ''}{text}"
