"""Templates: the environment, the filters that write numbers and times for people, and the one way to make a page."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import aiohttp_jinja2
import jinja2
from aiohttp import web

from homeserver.model import Period, PlayerCard, Span
from homeserver.paths import TEMPLATES
from homeserver.protocol.gadget import iso
from homeserver.web import charts
from homeserver.web.keys import SITE
from homeserver.web.statics import STATIC_FILES
from homeserver.web.visitors import VISITOR
from homeserver.web.words import ORIGIN_WORDS, WAITING_WORDS, upload_words

SPAN_WORDS: Final = {
    Span.ALL: "All time",
    Span.SEASON: "Season",
    Span.MONTH: "Month",
    Span.WEEK: "Week",
    Span.DAY: "Today",
}


def setup_templates(app: web.Application) -> None:
    """Open the templates. Every value is escaped; a name that is missing is an error, never an empty text."""
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined]
    environment.filters |= {
        "iso": iso,
        "moment": moment,
        "size": size,
        "number": number,
        "place": place,
        "claimed": claimed,
        "span": SPAN_WORDS.__getitem__,
        "current": current_period,
        "period": period_name,
        "beats": beats,
        "initials": initials,
        "picture": picture,
        "left": left,
        "upload_words": upload_words,
        "bars": charts.bars,
        "steps": charts.steps,
        "origin": ORIGIN_WORDS.__getitem__,
    }
    environment.globals |= {
        "static": app[STATIC_FILES].path,
        "site": app[SITE],
        "board_url": board_url,
        "waiting_words": WAITING_WORDS,
        "chart": {"width": charts.WIDTH, "height": charts.HEIGHT},
    }


def render(request: web.Request, template: str, *, status: int = 200, **context: object) -> web.Response:
    """A page. What stands in its header is whoever was already looked up: making a page asks the database nothing."""
    visitor = request.get(VISITOR)
    return aiohttp_jinja2.render_template(
        template, request, {"visitor": visitor, "path": request.path, **context}, status=status
    )


def moment(ms: int, zone: str = "UTC") -> str:
    """`22 Nov 2026, 08:20`; UTC says so, any other zone is the board's, whose page names it."""
    when = datetime.fromtimestamp(ms // 1000, UTC).astimezone(ZoneInfo(zone))
    return f"{when.day} {when:%b %Y, %H:%M}{' UTC' if zone == 'UTC' else ''}"


def claimed(text: str, zone: str) -> str:
    """`30 Oct 2008, 16:30`: a date that a player claims, as `moment` writes it; without a zone as they wrote it."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is not None:
        return moment(int(when.timestamp()) * 1000, zone)
    has_time = len(text) > len("2008-10-30")
    return f"{when.day} {when:%b %Y}" + (f", {when:%H:%M}" if has_time else "")


def current_period(period: Period) -> str:
    """`Week`, `Today`, or the name of a season: what the period is called while it lasts."""
    return period.title or SPAN_WORDS[period.span]


def period_name(period: Period) -> str:
    """`November 2026`, `16–22 Nov 2026`, `22 Nov 2026`: which month, week or day it is; `All time`."""
    if period.starts_ms is None or period.ends_ms is None:
        return SPAN_WORDS[period.span]
    zone = ZoneInfo(period.zone)
    first, last = (
        datetime.fromtimestamp(ms // 1000, UTC).astimezone(zone) for ms in (period.starts_ms, period.ends_ms - 1)
    )
    match period.span:
        case Span.SEASON:
            return period.title
        case Span.MONTH:
            return f"{last:%B %Y}"
        case Span.WEEK:
            begins = f"{first.day}–" if first.month == last.month else f"{first.day} {first:%b} – "
            return f"{begins}{last.day} {last:%b %Y}"
        case _:
            return f"{last.day} {last:%b %Y}"


def beats(share: Fraction) -> str:
    """`better than 93% of the others`: rounded down, so that nobody beats all others who does not."""
    return "better than all others" if share == 1 else f"better than {100 * share // 1}% of the others"


def size(size_bytes: int) -> str:
    """`812 KB`: three digits at most, powers of 1000 as browsers and Orange write them."""
    amount = float(size_bytes)
    for unit in ("bytes", "KB", "MB", "GB"):
        if amount < 999.5 or unit == "GB":
            break
        amount /= 1000
    digits = 0 if unit == "bytes" or amount >= 9.95 else 1
    return f"{amount:.{digits}f} {unit}"


def number(value: int) -> str:
    """`1,284,310`."""
    return f"{value:,}"


def place(rank: int | None, tied: bool) -> str:
    """`=3` for a place that is shared, an en dash for none."""
    return "\u2013" if rank is None else f"{'=' if tied else ''}{rank:,}"


def initials(name: str) -> str:
    """The first letters of the first and last words of a name, for where there is no picture."""
    words = [word for word in name.split() if word[0].isalnum()]
    return "".join(word[0].upper() for word in (words[:1] + words[-1:] if len(words) > 1 else words)) or "?"


def picture(card: PlayerCard) -> str:
    """The address of a player's picture when a browser may be sent there, else an empty text."""
    return card.thumbnail_url if card.thumbnail_url.startswith(("https://", "http://")) else ""


def left(span_ms: int) -> str:
    """`2 days 4 hours`: a span in its two largest units."""
    minutes = max(0, span_ms) // 60_000
    parts = [(minutes // 1440, "day"), (minutes // 60 % 24, "hour"), (minutes % 60, "minute")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    shown = [f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in parts[:2] if count]
    return " ".join(shown) or "less than a minute"


def board_url(board: str, period: str | None = None, **choice: str | int | None) -> str:
    """The address of a board's page in a given state."""
    query = {"period": period} | choice
    text = urlencode({name: value for name, value in query.items() if value is not None})
    return f"/boards/{board}{'?' if text else ''}{text}"
