"""How the server writes its log: one event a line, JSON in production, readable on a terminal."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

# Belt and braces: no caller should pass one of these, and if one does, it stays out of the log all the same.
SECRET_NAMES: Final = re.compile(r"token|secret|password|cookie|authorization|signature", re.IGNORECASE)


def hide_secrets(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the value of every field whose name speaks of a secret."""
    for name in event:
        if SECRET_NAMES.search(name):
            event[name] = "***"
    return event


def configure(*, as_json: bool | None = None, least: int = logging.INFO) -> None:
    """Set logging up for this process, from the level `least` on. JSON, unless standard error is a terminal."""
    if as_json is None:
        as_json = not sys.stderr.isatty()
    # Plain tracebacks: where the package rich is installed, structlog would show local variables, and secrets in them.
    readable = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer = structlog.processors.JSONRenderer() if as_json else readable
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            hide_secrets,
            *([structlog.processors.format_exc_info] if as_json else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Libraries' warnings come the same way; their request lines (which hold signatures) do not.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
