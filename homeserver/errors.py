"""Every error that homeserver raises on purpose. The class says whose fault it is and whether a retry may help.

No HTTP status lives here: `web/middleware.py` chooses one from the class, `clients/transport.py` makes the remote ones.
`code` is stable: programs read it, people may search for it. Messages are for people and never hold a secret.
"""

from __future__ import annotations

from typing import ClassVar


class HomeServerError(Exception):
    """Root of all that we raise on purpose. Anything else that escapes is a bug."""

    code: ClassVar[str] = "error"


# --- the operator's fault -------------------------------------------------------------------------------------------


class BadSettings(HomeServerError):
    """The settings are wrong or missing; the message names each one, what was found and what is allowed."""

    code = "bad_settings"


class OutdatedSchema(HomeServerError):
    """The database's tables are not those that this version needs; the message names the command to run."""

    code = "outdated_schema"


class BackupBroken(HomeServerError):
    """A file is no backup, or not as it was when it was made; or it does not fit this database. Nothing was changed."""

    code = "backup_broken"


# --- the caller's fault ---------------------------------------------------------------------------------------------


class BadInput(HomeServerError):
    """The caller's fault. `field` names the value at fault."""

    code = "bad_input"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class BadChecksum(BadInput):
    """Bytes that are not those whose checksum came along; none of them is kept."""

    code = "bad_checksum"


class BadCursor(BadInput):
    """A cursor that we did not make, or made for something else."""

    code = "bad_cursor"


class StaleCursor(BadCursor):
    """A cursor that was right once: since then another period began, or the board's settings changed."""

    code = "stale_cursor"


class TooLarge(BadInput):
    """More bytes than `limit_bytes`."""

    code = "too_large"

    def __init__(self, message: str, *, limit_bytes: int, field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.limit_bytes = limit_bytes


class UnsupportedMedia(BadInput):
    """The body is of a kind that this address does not take."""

    code = "unsupported_media"


class VersionRefused(BadInput):
    """The caller speaks another version of a protocol than we do."""

    code = "version_refused"


class NotSignedIn(HomeServerError):
    """Nobody is signed in, or the session or token has ended."""

    code = "not_signed_in"


class SignInRefused(NotSignedIn):
    """What a browser brought back from the storage's sign-in is not believed. `check` and `detail` are for the log."""

    code = "sign_in_refused"

    def __init__(self, check: str, detail: str) -> None:
        super().__init__("The sign-in did not work. Begin again; if it happens again, tell the operator of this site.")
        self.check = check
        self.detail = detail


class SignatureRefused(HomeServerError):
    """A call signed by a container did not verify. `step` is for the log only; the caller learns nothing but 401."""

    code = "signature_refused"

    def __init__(self, step: str) -> None:
        super().__init__("the signed request was refused")
        self.step = step


class Forbidden(HomeServerError):
    """Known, but not allowed to do this."""

    code = "forbidden"


class NotFound(HomeServerError):
    """There is no such thing, or not for this caller; the two are told apart nowhere."""

    code = "not_found"


class Conflict(HomeServerError):
    """The thing is not in a state in which this can be done."""

    code = "conflict"


class Locked(Conflict):
    """Somebody else is at work on the thing right now: the same may be asked again in a moment."""

    code = "locked"


class WrongOffset(Conflict):
    """Bytes were offered for another place than where the file ends; `offset_bytes` is where that is."""

    code = "wrong_offset"

    def __init__(self, message: str, *, offset_bytes: int) -> None:
        super().__init__(message)
        self.offset_bytes = offset_bytes


class TooMany(HomeServerError):
    """Asked too often. `wait_s` is when to come back."""

    code = "too_many"

    def __init__(self, message: str, *, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


# --- this machine's fault ---------------------------------------------------------------------------------------------


class DatabaseUnavailable(HomeServerError):
    """The database does not answer, or was lost on the way. It may be back in a moment.

    Of a write nothing was kept, unless `uncertain`: then it was lost while it was told to commit, and did not come back
    in time to be asked.
    """

    code = "database_unavailable"

    def __init__(self, message: str, *, uncertain: bool = False) -> None:
        super().__init__(message)
        self.uncertain = uncertain


class Stopping(HomeServerError):
    """The server ends, and this would have taken too long. The next one is there in a moment."""

    code = "stopping"


class SpoolFull(HomeServerError):
    """There is no room left here to keep a file: the quota of the spool is used up, or the disk is nearly full."""

    code = "spool_full"


class SpoolBroken(HomeServerError):
    """A file kept here is gone, or is not as long as it was when it was received."""

    code = "spool_broken"


class WrongNode(HomeServerError):
    """The file lies on another of the machines that share the database: the balancer should have asked that one."""

    code = "wrong_node"


class SealBroken(HomeServerError):
    """A sealed text does not open: sealed with a key that we no longer have, for another purpose, or changed since."""

    code = "seal_broken"


# --- a remote service's fault ---------------------------------------------------------------------------------------


class RemoteError(HomeServerError):
    """A service that we call let us down. `service` is "container", "mesdonnees" or "sign-in"."""

    code = "remote_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, service: str) -> None:
        super().__init__(message)
        self.service = service


class RemoteUnavailable(RemoteError):
    """No answer, a 5xx that is no business answer, or 429. `wait_s` is their Retry-After, if they sent one."""

    code = "remote_unavailable"
    retryable = True

    def __init__(self, message: str, *, service: str, wait_s: float | None = None) -> None:
        super().__init__(message, service=service)
        self.wait_s = wait_s


class RemoteResting(RemoteUnavailable):
    """We do not ask at all for a while: the service said so, or has failed too often. `wait_s` is for how long."""

    code = "remote_resting"


class RemoteGarbage(RemoteError):
    """An answer that cannot be read: HTML for JSON, cut off, the wrong shape, too large. `excerpt`: its beginning."""

    code = "remote_garbage"

    def __init__(self, message: str, *, service: str, excerpt: str = "") -> None:
        super().__init__(message, service=service)
        self.excerpt = excerpt


class RemoteUnauthorized(RemoteError):
    """401: our signature or token was refused, or this person does not have the application."""

    code = "remote_unauthorized"


class RemoteForbidden(RemoteError):
    """403: understood and refused."""

    code = "remote_forbidden"


class RemoteNotFound(RemoteError):
    """404: the service knows no such person or thing."""

    code = "remote_not_found"


class RemoteRefused(RemoteError):
    """400, 405 or another 4xx: the service says that our request is wrong."""

    code = "remote_refused"


class RemoteConflict(RemoteError):
    """409: somebody else changed it, or a limit is reached."""

    code = "remote_conflict"


class RemoteQuota(RemoteError):
    """The container refuses AppData that is larger than its quota."""

    code = "remote_quota"


class RemoteUnsupported(RemoteError):
    """501 or 405: this container does not offer what was asked."""

    code = "remote_unsupported"


class StorageRefused(RemoteError):
    """Mes Données answered with one of its error codes (`storage_code`, such as "MD327") or upload messages.

    `detail` is the service's own text; `url` the address that came along, unchecked, or None.
    """

    code = "storage_refused"

    def __init__(
        self, storage_code: str | None, detail: str, *, url: str | None = None, retryable: bool = False
    ) -> None:
        super().__init__(f"{storage_code or 'upload'}: {detail}", service="mesdonnees")
        self.storage_code = storage_code
        self.detail = detail
        self.url = url
        self.may_retry = retryable


class StoragePaused(RemoteError):
    """Mes Données refuses everybody, so it is our pair or the service: nothing is asked of it until a trial succeeds.

    `storage_code`, `detail`: its own words.
    """

    code = "storage_paused"

    def __init__(self, storage_code: str | None, detail: str) -> None:
        super().__init__("Mes Données refuses this site at the moment.", service="mesdonnees")
        self.storage_code = storage_code
        self.detail = detail


class FileRefused(StorageRefused):
    """Mes Données will not have a file that was declared. `portal_url` has been checked: a browser may go there."""

    def __init__(self, storage_code: str | None, detail: str, *, portal_url: str | None) -> None:
        super().__init__(storage_code, detail)
        self.portal_url = portal_url


class TokenRefused(RemoteUnauthorized):
    """Mes Données does not accept this person's token, or our pair. `storage_code`, `detail`: its own words."""

    code = "token_refused"

    def __init__(self, storage_code: str | None, detail: str, *, service: str) -> None:
        super().__init__(f"{storage_code or 'token'}: {detail}", service=service)
        self.storage_code = storage_code
        self.detail = detail


class UploadUncertain(RemoteError):
    """Every byte was sent and no answer came: the file may be stored. Never repeated silently."""

    code = "upload_uncertain"
