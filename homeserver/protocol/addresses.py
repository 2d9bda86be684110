"""Which addresses that a remote service names may be used: by us for a file, or by a person's browser.

Nothing here resolves names. An address that two readers could read differently (a user part, a backslash, blanks,
anything but ASCII) is refused rather than normalised.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_PLAIN: Final = re.compile(r"[!-\[\]-~]{1,4096}")  # printable ASCII without blank and backslash
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def is_loopback(host: str) -> bool:
    """Whether this is `localhost` or a loopback IP address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_matches(host: str, allowed: Collection[str]) -> bool:
    """Whether a host is allowed: "a.example" admits itself alone, ".a.example" all hosts below it."""
    lowered = host.lower()
    return any(
        lowered.endswith(entry.lower()) and len(lowered) > len(entry)
        if entry.startswith(".")
        else lowered == entry.lower()
        for entry in allowed
    )


def is_allowed(address: str, hosts: Collection[str], *, http_loopback: bool = False, plain_http: bool = False) -> bool:
    """Whether an absolute address may be used: https on one of `hosts` (see `host_matches`).

    Args:
        http_loopback: Also admit plain http on this machine, whatever `hosts` says: for a sandbox.
        plain_http: Also admit plain http on `hosts`. Only for pages that a person looks at: the one consent address
            that is known from life is of this kind.
    """
    if not _PLAIN.fullmatch(address):
        return False
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port  # a port that is no number raises here
    except ValueError:
        return False
    if "@" in parts.netloc:
        return False
    if parts.scheme == "http" and http_loopback and is_loopback(host):
        return True
    schemes = ("https", "http") if plain_http else ("https",)
    return parts.scheme in schemes and bool(_HOST.fullmatch(host)) and host_matches(host, hosts)
