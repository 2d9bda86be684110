"""A server's upload parts beside the storage stand-in, and as many processes of it as a test opens."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientSession

from homeserver.clients.mesdonnees import MesDonneesClient
from homeserver.clients.transport import open_session
from homeserver.errors import BadInput
from homeserver.model import StorageLeg, Upload
from homeserver.services.secret_box import SecretBox
from homeserver.services.step_one import StepOne
from homeserver.services.upload_room import RoomLimits
from homeserver.services.upload_run import Kit
from homeserver.services.upload_verdicts import PortalRule
from homeserver.services.uploads import Uploads
from homeserver.storage.database import Database
from homeserver.storage.spool import Spool
from tests.at_work import at_work
from tests.clock import Clock
from tests.patience import PATIENCE_S, until
from tests.storage_service import SERVICE_ID, SERVICE_PASSWORD, StorageService, start_storage

CONTENT = os.urandom(50_001)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
LARGE = os.urandom(1_000_003) * 12
"""More than the buffers between two sockets of one machine hold, so that a cut is felt before the end."""
NAME = "HelloWorld.jpg"
FALLBACK = "https://portal.example/"
L = StorageLeg


@dataclass
class House:
    """A server's upload parts over one database, spool folder and storage; `open` is one more process of it."""

    database: Database
    folder: Path
    service: StorageService
    session: ClientSession
    clock: Clock
    portal: PortalRule = field(default_factory=lambda: PortalRule((), FALLBACK, http_loopback=True))
    waits_s: list[float] = field(default_factory=list)
    file_limit_bytes: int = 1 << 24
    quota_bytes: int = 1 << 26
    free_floor_bytes: int = 0
    user_sending: int = 2
    user_bytes: int = 1 << 26
    user_files: int = 500
    silence_s: float = 2 * PATIENCE_S
    forgotten: list[tuple[str, str]] = field(default_factory=list)

    @property
    def storage_url(self) -> str:
        return self.service.url

    def spool(self) -> Spool:
        return Spool(
            self.folder,
            quota_bytes=self.quota_bytes,
            file_limit_bytes=self.file_limit_bytes,
            free_floor_bytes=self.free_floor_bytes,
        )

    def client(self) -> MesDonneesClient:
        return MesDonneesClient(
            self.session,
            self.service.base_url,
            SERVICE_ID,
            SERVICE_PASSWORD,
            upload_hosts=[],
            allow_http_loopback=True,
            idle_s=2 * PATIENCE_S,
            answer_s=2 * PATIENCE_S,
        )

    def step_one(self) -> StepOne:
        return StepOne(self.database, self.client(), self.clock.now_ms, self._forget_token)

    def open(self, *, key: bytes = b"k" * 32, node: str = "") -> Uploads:
        """Another process."""
        kit = Kit(
            self.database,
            self.spool(),
            self.client(),
            self.step_one(),
            SecretBox([key]),
            self.clock.now_ms,
            node=node,
            user_sending=self.user_sending,
            sleep=self._sleep,
        )
        limits = RoomLimits(user_bytes=self.user_bytes, user_files=self.user_files)
        return Uploads(
            kit,
            self.portal,
            limits,
            max_sending=4,
            rescan_s=0.1,
            tidy_s=0.1,
            silence_s=self.silence_s,
            jitter=lambda: 0.5,
        )

    async def _forget_token(self, user: str, token: str) -> None:
        self.forgotten.append((user, token))

    async def _sleep(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        await asyncio.sleep(0)

    def token(self, user: str = "marie") -> str:
        return self.service.storage.token_for(user)

    async def receive(
        self, uploads: Uploads, user: str = "marie", *, name: str = NAME, content: bytes = CONTENT
    ) -> Upload:
        return await uploads.receive(user, self.token(user), name, "image/jpeg", pieces(content))

    async def until(self, uploads: Uploads, id_: str, *legs: StorageLeg, user: str = "marie") -> Upload:
        """The upload as soon as it is in one of `legs`."""
        return await until(lambda: uploads.find(id_, user), lambda upload: upload.storage in legs)

    def files_kept(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if "." not in path.name)

    async def kept(self) -> list[str]:
        return self.files_kept()

    async def pending_faults(self) -> int:
        return self.service.faults.pending

    async def tokens_kept(self) -> int:
        async def count(reader: object) -> int:
            return int(
                await reader.fetch_value("SELECT COUNT(*) FROM uploads WHERE sealed_token IS NOT NULL")  # type: ignore[attr-defined]
            )

        return await self.database.look(count)


async def on_disk(house: House, id_: str) -> int:
    """How much of the file the spool has."""
    return (house.folder / id_).stat().st_size


class Line:
    """A browser's line: what is put in comes out of `chunks`, until it is ended or broken."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()

    def put(self, content: bytes) -> None:
        self._queue.put_nowait(content)

    def end(self) -> None:
        self._queue.put_nowait(None)

    def cut(self) -> None:
        self._queue.put_nowait(BadInput("the line", field="file"))

    async def chunks(self) -> AsyncIterator[bytes]:
        while (piece := await self._queue.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece


async def pieces(content: bytes, size: int = 20_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@asynccontextmanager
async def running(uploads: Uploads) -> AsyncIterator[Uploads]:
    async with at_work(uploads.run()):
        yield uploads


@asynccontextmanager
async def open_house(database: Database, folder: Path, clock: Clock) -> AsyncIterator[House]:
    """A house over an open database, with a storage of its own."""
    service, server = await start_storage(clock.now_ms)
    try:
        async with open_session() as session:
            made = House(database, folder, service, session, clock)
            await made.spool().prepare()
            yield made
    finally:
        await server.close()
