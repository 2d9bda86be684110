"""`homeserver demo` and `homeserver sandbox`: the product with stand-ins of both remote services, on this machine.

What a demo keeps lies in one folder (the database, waiting files, the keys): it can be stopped and started again.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeserver import config
from homeserver.model import Role
from homeserver.sandbox import Sandbox, SandboxSettings, files
from homeserver.sandbox.saml import API_PARAMETER
from homeserver.sandbox.settings import load_or_create_signing_key
from homeserver.services.operators import Operators
from homeserver.serving import Say, listen, serving, stop_signal
from homeserver.storage.migrate import migrate
from homeserver.wiring import database_of, make_app, wall_clock_ms

HOME_HOST: Final = "127.0.0.1"
SANDBOX_HOST: Final = "localhost"
"""Another *site* than the home server on purpose: frames, cookies and CORS then behave as in life."""

OPERATOR: Final = "demo"
METADATA: Final = "sandbox-sign-in.xml"
BOARDS: Final = (
    {
        "id": "letters",
        "title": "Letters written",
        "field": "letters",
        "zone": "America/Sao_Paulo",
        "date_field": "last_letter_date",
        "seasons": [
            {
                "id": str(year),
                "title": f"Season {year}",
                "starts": f"{year}-01-01T00:00:00-03:00",
                "ends": f"{year + 1}-01-01T00:00:00-03:00",
            }
            for year in range(2025, 2035)
        ],
    },
    {
        "id": "fastest",
        "title": "Fastest letter",
        "field": "best_time",
        "order": "less",
        "format": "duration",
        "decimals": 1,
        "zone": "America/Sao_Paulo",
    },
    {
        "id": "busiest",
        "title": "Busiest writers",
        "field": "letters",
        "counts": "gained",
        "keep": "latest",
        "ties": "dense",
        "spans": ["all", "week", "day"],
        "largest_step": "50",
        "zone": "America/Sao_Paulo",
    },
)

_BANNER: Final = """
homeserver runs, with a sandbox of both remote services. Open:

  {sandbox}/             the container: choose a person and play
  {home}/             the leaderboards
  {home}/files        send a file (sign in as anybody in the list)
  {home}/admin        the operators' view: name {operator}, password {password}
  {sandbox}/mesdonnees/  what arrived in the storage

Everything is kept in {folder}; delete that folder to begin anew. Ctrl-C stops.
"""

_SANDBOX_BANNER: Final = """
The sandbox listens on {url}. Settings for a home server at {home}:

[container]
base_url = "{url}/social/rest"
consumer_key = "{sandbox.consumer_key}"
consumer_secret = "{sandbox.consumer_secret}"
picture_hosts = ["{url}"]

[gadget]
app_id = "{sandbox.app_id}"
allowed_origins = ["{url}"]

[[gadget.trusted_signers]]
container = "container"
consumer_key = "{sandbox.container_domain}"
key_name = "{sandbox.key_name}"
certificate = "{certificate}"

[mesdonnees]
base_url = "{url}/mesdonnees/PersonalContent/V1"
service_id = "{sandbox.service_id}"
service_password = "{sandbox.service_password}"
upload_hosts = ["localhost"]
portal_hosts = ["localhost"]
portal_url = "{url}/mesdonnees/portal"
allow_http_loopback = true

[sign_in]
metadata = "{metadata}"
parameters = {{ {parameter} = "true" }}

Ctrl-C stops.
"""


@dataclass(frozen=True, slots=True)
class Demo:
    """Everything that a demo needs before it is served: its sockets are bound, its database is up to date."""

    home_listener: socket.socket
    sandbox_listener: socket.socket
    home_url: str
    sandbox: Sandbox
    settings: config.Settings
    operator_password: str

    @property
    def sandbox_url(self) -> str:
        return self.sandbox.settings.public_url


def prepare(folder: Path, home_port: int, sandbox_port: int) -> Demo:
    """Bind the ports (0 takes a free one), make or find the keys, migrate the database. Blocks.

    Raises:
        BadSettings: A port is taken.
    """
    make_private(folder)
    home_listener = listen(HOME_HOST, home_port)
    try:
        sandbox_listener = listen(HOME_HOST, sandbox_port)
    except BaseException:
        home_listener.close()
        raise
    home_url = f"http://{HOME_HOST}:{home_listener.getsockname()[1]}"
    sandbox, certificate = prepare_sandbox(folder, home_url, sandbox_listener.getsockname()[1])
    settings = demo_settings(folder, home_url, sandbox.settings, certificate)
    migrate(settings.database_url)
    password = kept_secret(folder / "operator_password")[:16]
    return Demo(home_listener, sandbox_listener, home_url, sandbox, settings, password)


def make_private(folder: Path) -> None:
    """A folder for this user alone."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


def prepare_sandbox(folder: Path, home_url: str, port: int, seed: int = 1) -> tuple[Sandbox, Path]:
    """The sandbox, with keys that stay the same as long as the folder does, and its certificate's file.

    Beside it lies the metadata of its sign-in (`METADATA`).
    """
    sandbox = Sandbox(
        SandboxSettings(
            public_url=f"http://{SANDBOX_HOST}:{port}",
            gadget_url=f"{home_url}/gadget.xml",
            signing_key=load_or_create_signing_key(folder / "sandbox-key.pem"),
            saml_key=load_or_create_signing_key(folder / "sandbox-sign-in-key.pem"),
            seed=seed,
        )
    )
    certificate = folder / "sandbox-certificate.pem"
    files.put(certificate, sandbox.certificate_pem.encode())
    files.put(folder / METADATA, sandbox.storage.identity_provider.metadata())
    return sandbox, certificate


def kept_secret(path: Path) -> str:
    """A random secret that stays the same as long as its file does; readable by its owner only."""
    return files.kept(path, lambda: secrets.token_hex(32).encode() + b"\n").decode().strip()


def demo_settings(folder: Path, home_url: str, sandbox: SandboxSettings, certificate: Path) -> config.Settings:
    """The settings that join a home server to a sandbox. What they do not name may come from the environment."""
    storage = f"{sandbox.public_url}/mesdonnees"
    signer = {"container": "sandbox", "consumer_key": sandbox.container_domain, "key_name": sandbox.key_name}
    by_secret = {"container": "sandbox", "consumer_key": sandbox.consumer_key, "own_app_only": True}
    return config.load(
        None,
        server={
            "public_url": home_url,
            "secret_key": kept_secret(folder / "secret_key"),
            "boards_visible_to": "everyone",
        },
        database={"url": f"sqlite:///{folder / 'homeserver.db'}"},
        container={
            "name": "sandbox",
            "base_url": f"{sandbox.public_url}/social/rest",
            "consumer_key": sandbox.consumer_key,
            "consumer_secret": sandbox.consumer_secret,
            "picture_hosts": [sandbox.public_url],
        },
        gadget={
            "app_id": sandbox.app_id,
            "allowed_origins": [sandbox.public_url],
            "translations": {
                "fr": {
                    "title": "Lettres",
                    "description": "Qui écrit le plus de lettres ?",
                    "action": "Écrire une lettre",
                },
                "pt-BR": {
                    "title": "Cartas",
                    "description": "Quem escreve mais cartas?",
                    "action": "Escrever uma carta",
                },
            },
            "trusted_signers": [
                {**signer, "certificate": certificate},
                {**by_secret, "method": "HMAC-SHA1", "secret": sandbox.consumer_secret},
            ],
        },
        mesdonnees={
            "base_url": f"{storage}/PersonalContent/V1",
            "service_id": sandbox.service_id,
            "service_password": sandbox.service_password,
            "upload_hosts": [SANDBOX_HOST],
            "portal_hosts": [SANDBOX_HOST],
            "portal_url": f"{storage}/portal",
            "allow_http_loopback": True,
            "spool_dir": folder / "spool",
        },
        sign_in={"metadata": folder / METADATA, "parameters": {API_PARAMETER: "true"}},
        boards=BOARDS,
    )


@asynccontextmanager
async def running(demo: Demo) -> AsyncIterator[None]:
    """Both halves, up and answering, inside the context."""
    async with database_of(demo.settings) as database:
        operators = Operators(database, wall_clock_ms)
        if OPERATOR not in await operators.names():
            await operators.add(OPERATOR, demo.operator_password, Role.CONFIGURE)
    async with (
        serving(demo.sandbox.app, demo.sandbox_listener),
        serving(make_app(demo.settings), demo.home_listener),
    ):
        yield


async def serve_demo(demo: Demo, folder: Path, say: Say) -> None:
    """Run until Ctrl-C, having said what to open."""
    async with stop_signal() as stop, running(demo):
        say(
            _BANNER.format(
                sandbox=demo.sandbox_url,
                home=demo.home_url,
                operator=OPERATOR,
                password=demo.operator_password,
                folder=folder,
            )
        )
        await stop.wait()
        say("Stopping.")


async def serve_sandbox(folder: Path, home_url: str, port: int, seed: int, say: Say) -> None:
    """Run the stand-ins alone until Ctrl-C, having said which settings join a home server to them."""
    make_private(folder)
    listener = listen(HOME_HOST, port)
    sandbox, certificate = prepare_sandbox(folder, home_url, listener.getsockname()[1], seed)
    async with stop_signal() as stop, serving(sandbox.app, listener):
        url = sandbox.settings.public_url
        say(
            _SANDBOX_BANNER.format(
                url=url,
                home=home_url,
                sandbox=sandbox.settings,
                certificate=certificate,
                metadata=folder / METADATA,
                parameter=API_PARAMETER,
            )
        )
        await stop.wait()
