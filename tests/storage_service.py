"""The storage stand-in, served over HTTP, for the tests of the client and of the uploads."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from aiohttp.test_utils import TestServer

from homeserver.model import NowMs
from homeserver.sandbox.faults import Faults, fault_middleware
from homeserver.sandbox.mesdonnees import StorageStandIn

SERVICE_ID = "YOURSERVIC1234567890"
SERVICE_PASSWORD = "a password: with a colon"
HOME_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class StorageService:
    """A running stand-in: script its faults, then look at what arrived."""

    storage: StorageStandIn
    faults: Faults
    url: str

    @property
    def base_url(self) -> str:
        return f"{self.url}/mesdonnees/PersonalContent/V1"


async def start_storage(now_ms: NowMs, *, quota_bytes: int = 1 << 30) -> tuple[StorageService, TestServer]:
    """Start one on a free port; the caller closes the server."""
    faults = Faults()
    app = web.Application(middlewares=[fault_middleware(faults)], client_max_size=1 << 30)
    server = TestServer(app, host="127.0.0.1")
    storage = StorageStandIn(
        public_url="http://127.0.0.1:0",  # known once it listens
        service_id=SERVICE_ID,
        service_password=SERVICE_PASSWORD,
        home_url=HOME_URL,
        token_key=b"k" * 32,
        now_ms=now_ms,
        faults=faults,
        quota_bytes=quota_bytes,
    )
    app.add_routes(storage.routes())
    await server.start_server()
    storage.public_url = str(server.make_url("")).rstrip("/")
    return StorageService(storage, faults, storage.public_url), server
