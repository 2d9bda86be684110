"""Files on their way to the storage. See `homeserver.model`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BrowserLeg(StrEnum):
    """How far the file has come from the browser."""

    DECLARED = "declared"
    RECEIVING = "receiving"
    RECEIVED = "received"


class StorageLeg(StrEnum):
    """How far the file has come into the storage."""

    ASKING = "asking"
    WAITING = "waiting"
    SENDING = "sending"
    CLOSING = "closing"
    STORED = "stored"
    NEEDS_CONSENT = "needs_consent"
    NEEDS_ACTIVATION = "needs_activation"
    NEEDS_SIGN_IN = "needs_sign_in"
    OUT_OF_SPACE = "out_of_space"
    NEEDS_NAME = "needs_name"
    """The storage refuses the file's name; it may have another, and the file is kept."""
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """It waited longer than files are kept here."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One file on its way. `code` and `detail` are the storage's last error; `portal_url` has been checked."""

    id: str
    storage_user: str
    name: str
    media_type: str
    size_bytes: int
    received_bytes: int
    sent_bytes: int
    browser: BrowserLeg
    storage: StorageLeg
    attempts: int
    code: str | None
    detail: str | None
    portal_url: str | None
    content_id: str | None
    folder_id: str | None
    created_ms: int
    updated_ms: int
