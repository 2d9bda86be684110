"""Everybody's uploads as operators see them: where they are, what went wrong, once more, give up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from homeserver.domain.scores import INT64_MAX
from homeserver.errors import BadInput, Conflict, NotFound
from homeserver.model import Act, Action, NowMs, StorageLeg, Upload
from homeserver.services import reasons
from homeserver.services.uploads import Uploads
from homeserver.storage import moderation, uploads_kept
from homeserver.storage import uploads as store
from homeserver.storage.database import Database, Reader, Transaction

PAGE: Final = 50
MAX_LIMIT: Final = 200

GROUPS: Final[Mapping[str, frozenset[StorageLeg]]] = {
    "moving": store.UNDER_WAY,
    "waiting": store.REPEATABLE - {StorageLeg.FAILED, StorageLeg.UNKNOWN},
    "failed": frozenset({StorageLeg.FAILED, StorageLeg.UNKNOWN}),
}
"""What an operator may choose to see of files that are needed still."""


@dataclass(frozen=True, slots=True)
class UploadList:
    """Some uploads, the newest first. `next` is where the ones before them begin, or None. `counts` are all
    open ones by group."""

    uploads: tuple[Upload, ...]
    next: str | None
    counts: Mapping[str, int]


class _Line:
    """An act's line in the log, which is written with what it is about; then it has a number."""

    def __init__(self, act: Act) -> None:
        self._act = act
        self.number = 0

    async def write(self, tx: Transaction) -> None:
        self.number = await moderation.log(tx, self._act)


class UploadDesk:
    """What operators see of uploads, and do about them.

    Common to the acts: `actor` is who does it, `reason` why: 1 to 500 characters, which stay in the log with the id of
    the upload; a file's name does not.
    """

    def __init__(
        self,
        database: Database,
        uploads: Uploads,
        token_of: Callable[[str], Awaitable[str | None]],
        now_ms: NowMs,
    ) -> None:
        """`token_of` gives the storage's token of a user who is signed in somewhere."""
        self._database = database
        self._uploads = uploads
        self._token_of = token_of
        self._now_ms = now_ms

    async def listed(
        self, *, group: str | None = None, user: str | None = None, after: str | None = None, limit: int = PAGE
    ) -> UploadList:
        """Uploads of a group (None: all, those that are over too), of one user or everybody's.

        Cost: reads the open uploads to count them, beyond the ones that are shown.

        Raises:
            BadInput: No such group (field "group"), `after` was never a `next` (field "after"), or `limit` is not 1 to
                200 (field "limit").
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise BadInput(f"1 to {MAX_LIMIT} at a time", field="limit")
        if group is not None and group not in GROUPS:
            raise BadInput(f"One of {', '.join(GROUPS)}.", field="group")
        legs = None if group is None else GROUPS[group]
        before = _place(after)

        async def work(reader: Reader) -> UploadList:
            found = await store.listed(reader, legs=legs, user=user, before=before, limit=limit + 1)
            counted = await uploads_kept.open_by_leg(reader)
            counts = {name: sum(counted.get(leg, 0) for leg in each) for name, each in GROUPS.items()}
            shown = tuple(found[:limit])
            more = f"{shown[-1].created_ms}.{shown[-1].id}" if len(found) > limit else None
            return UploadList(shown, more, counts)

        return await self._database.read(work)

    async def retry(self, id_: str, *, actor: str, reason: str) -> int:
        """Try once more with a file that has failed: at once if its owner is signed in, else when they sign in again.

        One whose fate is unknown is its owner's affair alone: they may not want it twice.

        Returns:
            The number of the act.

        Raises:
            NotFound: There is no such upload.
            Conflict: It has not failed.
            SpoolBroken: The file is not kept here any more. WrongNode: It is kept on another machine.
        """
        line = self._line(Action.RETRY_UPLOAD, id_, actor, reason)
        upload = await self._find(id_)
        if upload.storage is not StorageLeg.FAILED:
            raise Conflict("This file has not failed.")
        token = await self._token_of(upload.storage_user)
        if token is not None:
            await self._uploads.send_again(id_, upload.storage_user, token, also=line.write)
        else:

            async def let_wait(tx: Transaction) -> None:
                if not await uploads_kept.let_wait_for_sign_in(tx, id_, self._now_ms()):
                    raise Conflict("This file has not failed.")
                await line.write(tx)

            await self._database.write(let_wait)
        return line.number

    async def cancel(self, id_: str, *, actor: str, reason: str) -> int:
        """Give an upload up and delete the file here. There is no way back but to choose the file again.

        Returns:
            The number of the act.

        Raises:
            NotFound: There is no such upload.
            Conflict: It is over, or out whole.
        """
        line = self._line(Action.CANCEL_UPLOAD, id_, actor, reason)
        await self._uploads.cancel(id_, (await self._find(id_)).storage_user, also=line.write)
        return line.number

    async def _find(self, id_: str) -> Upload:
        upload = await self._database.look(lambda reader: store.find(reader, id_))
        if upload is None:
            raise NotFound("There is no such upload.")
        return upload

    def _line(self, action: Action, id_: str, actor: str, reason: str) -> _Line:
        return _Line(replace(reasons.act(action, self._now_ms(), actor, reason), detail=id_))


def _place(after: str | None) -> tuple[int, str]:
    if after is None:
        return INT64_MAX, ""
    ms, _, id_ = after.partition(".")
    if not (ms.isascii() and ms.isdigit() and len(ms) < 19 and id_.isascii() and len(id_) <= 100):
        raise BadInput("This is no place in the list.", field="after")
    return int(ms), id_
