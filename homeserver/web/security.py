"""What every answer and every unsafe request must have: security headers, the check of origin, cookies and tokens."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from aiohttp import hdrs, web

from homeserver.errors import Forbidden, NotSignedIn
from homeserver.web.keys import SITE, Site

PAGE_COOKIE: Final = "hs"
ADMIN_COOKIE: Final = "hs_admin"
ADMIN_PATH: Final = "/admin"
ANSWER_PATH: Final = "/sign-in/answer"
"""Where the storage's sign-in posts to: from its own page, with a signature, without a cookie."""
SAFE_METHODS: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})

# What our services make: URL-safe base64. Anything else was not set by us.
_COOKIE_VALUE: Final = re.compile(r"[A-Za-z0-9_=.-]{1,500}")
_BEARER: Final = re.compile(r"Bearer +([A-Za-z0-9._~+/-]{1,500}=*)", re.IGNORECASE)


# --- answers --------------------------------------------------------------------------------------------------------


def policy(site: Site) -> str:
    """The Content-Security-Policy: one text for a set of settings, nothing inline, nothing from elsewhere but pictures.

    `form-action` names where a 303 may take a browser after one of our forms: browsers check the whole chain.
    """
    directives = {
        "default-src": ("'self'",),
        "img-src": ("'self'", "data:", "blob:", *site.picture_sources),
        "object-src": ("'none'",),
        "base-uri": ("'none'",),
        "form-action": ("'self'", *site.form_targets),
        "frame-ancestors": ("'none'",),
    }
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in directives.items())


def fixed_headers(site: Site) -> dict[str, str]:
    """The headers that every answer gets unless its handler said otherwise."""
    headers = {
        "Content-Security-Policy": policy(site),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "X-Robots-Tag": "noindex",
        hdrs.CACHE_CONTROL: "no-store",
    }
    if site.is_https:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers


SERVER: Final = "homeserver"
FIXED_HEADERS: Final[web.AppKey[dict[str, str]]] = web.AppKey("FIXED_HEADERS")
"""Of this site: they are the same for a set of settings."""


# --- requests -------------------------------------------------------------------------------------------------------


def check_same_site(request: web.Request, site: Site) -> None:
    """Refuse an unsafe request that another site made a browser send.

    `Origin` must be ours. Without one (or with `null`, which a form on a page without referrer sends) the browser must
    vouch by `Sec-Fetch-Site: same-origin`; a page cannot set that header.

    Raises:
        Forbidden: Neither is the case.
    """
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin != "null":
        allowed = origin == site.public_url
    else:
        allowed = request.headers.get("Sec-Fetch-Site") == "same-origin"
    if not allowed:
        raise Forbidden(f"This was not sent from a page of this site. Open {site.public_url} and try again.")


def cookie_name(site: Site, name: str) -> str:
    """What the browser calls a cookie of ours. By https a prefix makes it refuse one that another host has planted.

    `__Host-` wants the path "/", so the operators' cookie, which has a narrower one, makes do with `__Secure-`.
    """
    if not site.is_https:
        return name
    return f"__Secure-{name}" if name == ADMIN_COOKIE else f"__Host-{name}"


def cookie(request: web.Request, name: str) -> str | None:
    """The value of one of our cookies, or None. Read by hand: one odd cookie of somebody else must not hide ours."""
    name = cookie_name(request.app[SITE], name)
    for header in request.headers.getall(hdrs.COOKIE, ()):
        for pair in header.split(";"):
            found, _, value = pair.strip().partition("=")
            if found == name and _COOKIE_VALUE.fullmatch(value):
                return value
    return None


def set_cookie(response: web.StreamResponse, site: Site, name: str, value: str) -> None:
    """Give the browser a session cookie. How long it is good for is decided by our row, not by the browser."""
    path = ADMIN_PATH if name == ADMIN_COOKIE else "/"
    response.set_cookie(cookie_name(site, name), value, path=path, httponly=True, samesite="Lax", secure=site.is_https)


def drop_cookie(response: web.StreamResponse, site: Site, name: str) -> None:
    """Take a cookie away."""
    path = ADMIN_PATH if name == ADMIN_COOKIE else "/"
    response.del_cookie(cookie_name(site, name), path=path, httponly=True, samesite="Lax", secure=site.is_https)


def bearer(request: web.Request) -> str:
    """The bearer token of a call by the gadget or by an operator's program.

    Raises:
        NotSignedIn: There is none, more than one, or it is malformed.
    """
    headers = request.headers.getall(hdrs.AUTHORIZATION, [])
    match = _BEARER.fullmatch(headers[0].strip()) if len(headers) == 1 else None
    if match is None:
        raise NotSignedIn("This call needs a bearer token.")
    return match[1]


def peer(request: web.Request) -> str:
    """The address that a request came from: the last one, seen from here, that is no trusted proxy's.

    X-Forwarded-For is read from its end, as far as trusted proxies have written it: what stands before that is only
    what somebody says.
    """
    transport = request.transport
    name = transport.get_extra_info("peername") if transport is not None else None
    found = str(name[0]) if isinstance(name, tuple) and name else "local"
    said = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    while said and _is_trusted(found, request.app[SITE]):
        claimed = said.pop().strip()
        if _address(claimed) is None:
            break
        found = claimed
    return found


def _is_trusted(text: str, site: Site) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in site.trusted_proxies)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def local_path(text: str | None, default: str) -> str:
    """A path on this site to go back to, or `default` when it is not clearly one (another host, a scheme, controls)."""
    if text and len(text) <= 500 and re.fullmatch(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", text):
        return text
    return default
