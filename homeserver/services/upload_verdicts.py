"""What a failed attempt means for an upload: tried again, waiting for its owner, or over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from homeserver.errors import (
    HomeServerError,
    RemoteError,
    RemoteUnavailable,
    StorageRefused,
    TokenRefused,
    UploadUncertain,
)
from homeserver.model import StorageLeg
from homeserver.protocol.addresses import is_allowed
from homeserver.protocol.mesdonnees_refusals import refusal_of

MAX_FAILURES: Final = 3
"""How many attempts may fail, by the storage's fault, before an upload waits for its owner's word."""

_BACKOFF_S: Final = (1.0, 3.0)
"""Between `MAX_FAILURES` attempts."""
_LONGEST_WAIT_S: Final = 60.0

_SENT_TO_PORTAL: Final = frozenset({StorageLeg.NEEDS_ACTIVATION, StorageLeg.NEEDS_CONSENT, StorageLeg.OUT_OF_SPACE})


@dataclass(frozen=True, slots=True)
class Verdict:
    """`leg` is where the upload goes when nothing more is tried, `retries` how often this alone may be tried again."""

    leg: StorageLeg
    retries: int
    code: str
    detail: str
    url: str | None = None
    """The address that came along, unchecked."""
    wait_s: float = 0.0
    """How long the storage asked us to stay away."""


def judge(error: HomeServerError) -> Verdict:
    """The verdict on what an attempt ended with."""
    match error:
        case StorageRefused():
            refusal = refusal_of(error.storage_code)
            return Verdict(refusal.leg, refusal.retries, error.storage_code or refusal.code, error.detail, error.url)
        case TokenRefused():
            return Verdict(StorageLeg.NEEDS_SIGN_IN, 0, error.storage_code or error.code, error.detail)
        case UploadUncertain():
            return Verdict(StorageLeg.UNKNOWN, 0, error.code, str(error))
        case RemoteUnavailable():
            return Verdict(StorageLeg.FAILED, MAX_FAILURES - 1, error.code, str(error), wait_s=error.wait_s or 0.0)
        case RemoteError():
            return Verdict(StorageLeg.FAILED, 1, error.code, str(error))
        case _:
            return Verdict(StorageLeg.FAILED, 0, error.code, str(error))


class Budget:
    """The failures since the owner's last word.

    Those that another process saw count as such; which they were is not known any more.
    """

    def __init__(self, earlier: int = 0) -> None:
        self._seen: Counter[str] = Counter({"": earlier})

    def allows_retry(self, verdict: Verdict) -> bool:
        """Count a failure; whether another attempt may follow it."""
        self._seen[verdict.code] += 1
        return self._seen[verdict.code] <= verdict.retries and self._seen.total() < MAX_FAILURES

    def wait_s(self, verdict: Verdict, jitter: float) -> float:
        """How long to wait before the next attempt. `jitter`, 0 to 1, spreads those that failed together."""
        backoff_s = _BACKOFF_S[min(self._seen.total(), len(_BACKOFF_S)) - 1]
        return max(backoff_s * (0.5 + jitter), min(verdict.wait_s, _LONGEST_WAIT_S))


@dataclass(frozen=True, slots=True)
class PortalRule:
    """Where a browser may be sent by the storage's word.

    `hosts` are as in `addresses.host_matches`; `fallback_url` is the operator's own, for when no address came, or none
    that is allowed; `http_loopback` admits a sandbox on this machine. `return_url` is where the consent page sends
    people back to.
    """

    hosts: Collection[str]
    fallback_url: str | None = None
    http_loopback: bool = False
    return_url: str | None = None

    def address_for(self, verdict: Verdict) -> str | None:
        """The address that belongs to a verdict; None where there is none, or none that may be used."""
        if verdict.leg not in _SENT_TO_PORTAL:
            return None
        if verdict.url is not None and is_allowed(
            verdict.url, self.hosts, http_loopback=self.http_loopback, plain_http=True
        ):
            return self._with_return(verdict.url) if verdict.leg is StorageLeg.NEEDS_CONSENT else verdict.url
        return self.fallback_url

    def _with_return(self, url: str) -> str:
        """The consent page's own address, never built anew: its parameters are spelt in more than one way."""
        if self.return_url is None:
            return url
        address, mark, fragment = url.partition("#")
        joint = "&" if "?" in address else "?"
        return f"{address}{joint}urlRetour={quote(self.return_url, safe='')}{mark}{fragment}"
