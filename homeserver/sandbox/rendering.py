"""How the container's pages are put together: templates, and the headers that keep a page to itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import jinja2
from aiohttp import web

HERE: Final = Path(__file__).parent


class Renderer:
    """Renders the templates of this package. `home_url` may be shown in frames, and be linked to from every page."""

    def __init__(self, *, home_url: str) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["home_url"] = home_url
        self._policy = (
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
            f"frame-src 'self' {home_url}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )

    def page(self, template: str, *, status: int = 200, **values: object) -> web.Response:
        """One of the container's own pages: no script, style or picture from anywhere else."""
        return self._html(template, status, {"Content-Security-Policy": self._policy}, values)

    def gadget(self, *, title: str, language: str, content: str, settings: Mapping[str, object]) -> web.Response:
        """The document inside the frame. `content` is the gadget's own HTML, `settings` what `gadgets.js` reads.

        The gadget may load what it likes, as in any container; only the container's own pages may frame it.
        """
        values = {"title": title, "language": language, "content": content, "settings": settings}
        return self._html("container_gadget.html", 200, _FRAMED, values)

    def gadget_error(self, text: str, *, status: int) -> web.Response:
        """What stands in the frame in the place of a gadget."""
        return self._html("container_gadget_error.html", status, _FRAMED, {"text": text})

    def _html(
        self, template: str, status: int, headers: Mapping[str, str], values: Mapping[str, object]
    ) -> web.Response:
        text = self._templates.get_template(template).render(values)
        more = {"Cache-Control": "no-store", **headers}
        return web.Response(status=status, text=text, content_type="text/html", headers=more)


_FRAMED: Final = {"Content-Security-Policy": "frame-ancestors 'self'"}
