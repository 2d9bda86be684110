"""Everything that people's browsers, the container and the gadget reach over HTTP."""

from __future__ import annotations

from aiohttp import web

from homeserver.paths import STATIC
from homeserver.web.board_cache import BOARD_PAGES, BOARD_SHELLS, BoardPages, BoardShells, serve_kept
from homeserver.web.entry_cache import ENTRY_ANSWERS, EntryAnswers
from homeserver.web.event_streams import STREAMS, Streams
from homeserver.web.gadget_script import FOLDER, GADGET_SCRIPT, GadgetScript
from homeserver.web.keys import SITE
from homeserver.web.language_choice import choose_language
from homeserver.web.languages import all_languages
from homeserver.web.middleware import answer_errors, check_requests, set_headers
from homeserver.web.rendering import setup_templates
from homeserver.web.routes import routes
from homeserver.web.security import FIXED_HEADERS, fixed_headers
from homeserver.web.statics import PREFIX, STATIC_FILES, StaticFiles
from homeserver.web.tus import say_version

__all__ = ["setup"]


def setup(app: web.Application) -> None:
    """Add routes, middlewares, templates and static files. `keys.SITE` must be in the application already.

    The services' keys may be filled later, at start-up.
    """
    all_languages()  # whoever comes first need not wait for them
    app[STREAMS] = Streams()
    app[BOARD_PAGES] = BoardPages()
    app[BOARD_SHELLS] = BoardShells()
    app[ENTRY_ANSWERS] = EntryAnswers()
    app[FIXED_HEADERS] = fixed_headers(app[SITE])
    app[STATIC_FILES] = StaticFiles(STATIC)
    words = {tag: language.words_of(f"{FOLDER}/") for tag, language in all_languages().items()}
    app[GADGET_SCRIPT] = GadgetScript(STATIC, words)
    setup_templates(app)
    app.middlewares.extend([serve_kept, choose_language, answer_errors, check_requests])
    app.on_response_prepare.extend([set_headers, say_version])
    app.add_routes(routes())
    app.router.add_static(PREFIX, STATIC, follow_symlinks=False)
