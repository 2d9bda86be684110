"""The example for nginx, as it stands in docs/deploy, between real clients and real servers."""

from __future__ import annotations

import asyncio
import io
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from yarl import URL

from homeserver.serving import listen, serving
from tests.checkout import ROOT
from tests.patience import PATIENCE_S, until
from tests.ports import free_port
from tests.web.conftest import Browser, Stack, running_stack
from tests.web.events import FileEvents
from tests.web.tus_client import BYTES, VERSION, metadata

pytestmark = pytest.mark.needs("nginx")

EXAMPLE: Final = ROOT / "docs" / "deploy" / "nginx.conf"
NAME: Final = "letters.example.org"
CERTIFICATES: Final = f"/etc/letsencrypt/live/{NAME}"
ANY: Final = "A" * 22


@dataclass(frozen=True, slots=True)
class Front:
    """nginx, as a client reaches it."""

    http_url: str
    https_url: str
    http: ClientSession


def certificate(folder: Path) -> Path:
    """One for the example's name and this machine, that nobody but the test trusts; its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return folder / "fullchain.pem"


def configuration(folder: Path, ports: dict[str, int], http_port: int, https_port: int) -> Path:
    """The example with this machine's addresses, inside as little as nginx asks for round it."""
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in (
        (CERTIFICATES, str(folder)),
        ("listen 80;", f"listen 127.0.0.1:{http_port};"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{https_port} ssl http2;"),
        ("server 10.0.0.1:8080;", f"server 127.0.0.1:{ports['left']};"),
        ("server 10.0.0.2:8080;", f"server 127.0.0.1:{ports['right']};"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (folder / "example.conf").write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {folder}/errors;\n"
        "events { worker_connections 256; }\n"
        f"http {{\naccess_log off;\n{temporary}include {folder}/example.conf;\n}}\n"
    )
    return folder / "nginx.conf"


@contextmanager
def nginx(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """nginx in the foreground; `-t` first."""
    command = ["nginx", "-p", str(file.parent), "-e", str(file.parent / "errors"), "-c", str(file)]
    tried = subprocess.run([*command, "-t", "-q"], capture_output=True, text=True, check=False)
    assert (tried.returncode, tried.stderr) == (0, "")
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


@asynccontextmanager
async def front(folder: Path, ports: dict[str, int]) -> AsyncIterator[Front]:
    """nginx before servers on these ports."""
    http_port, https_port = free_port(), free_port()
    trusted = ssl.create_default_context(cafile=str(certificate(folder)))
    file = configuration(folder, ports, http_port, https_port)

    async def answers() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", https_port)
        except ConnectionError:
            return False
        writer.close()
        return True

    connector = TCPConnector(ssl=trusted)
    with nginx(file):
        await until(answers)
        async with ClientSession(connector=connector, cookie_jar=DummyCookieJar()) as http:
            yield Front(f"http://localhost:{http_port}", f"https://localhost:{https_port}", http)


@asynccontextmanager
async def echoing(name: str) -> AsyncIterator[int]:
    """A server that says its name, and what it was asked; its port."""

    async def answer(request: web.Request) -> web.Response:
        said = dict(request.headers) | {"bytes": str(len(await request.read()))}
        return web.json_response({"server": name, "target": request.raw_path, "headers": said})

    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", answer)
    listener = listen("127.0.0.1", 0)
    async with serving(app, listener):
        yield listener.getsockname()[1]


async def test_each_request_comes_to_its_machine_unchanged(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        ports = {name: await stack.enter_async_context(echoing(name)) for name in ("left", "right")}
        outside = await stack.enter_async_context(front(tmp_path, ports))

        async def ask(target: str, method: str = "GET", **more: object) -> dict[str, object]:
            url = f"{outside.https_url}{target}"
            async with outside.http.request(method, url, **more) as answer:  # type: ignore[arg-type]
                assert answer.status == 200, target
                assert answer.headers["Strict-Transport-Security"]
                found: dict[str, object] = await answer.json()
                return found

        for node in ("left", "right"):
            for target in (f"/files/tus/{node}-{ANY}", f"/files/{node}-{ANY}", f"/files/{node}-{ANY}/cancel"):
                assert {(await ask(target))["server"] for _ in range(4)} == {node}, target
        for target in ("/", "/files/tus/", f"/files/tus/{ANY}", f"/files/other-{ANY}", f"/boards/left-{ANY}"):
            assert {(await ask(target))["server"] for _ in range(6)} == {"left", "right"}, target
        # What is signed comes as it was signed, and so long.
        signed = "/gadget/session?a=%7E%2f+b&opensocial_owner_id=03067&x=" + "y" * 7_000
        async with outside.http.get(URL(outside.https_url + signed, encoded=True)) as answer:
            assert (await answer.json())["target"] == signed
        heard = (await ask("/", headers={"X-Forwarded-For": "198.51.100.9", "Host": NAME}))["headers"]
        assert isinstance(heard, dict)
        assert (heard["Host"], heard["X-Forwarded-For"], heard["X-Forwarded-Proto"]) == (NAME, "127.0.0.1", "https")


async def test_what_is_not_for_everybody_ends_there(tmp_path: Path) -> None:
    """The figures; plain HTTP; large bodies anywhere but for files."""
    async with AsyncExitStack() as stack:
        ports = {name: await stack.enter_async_context(echoing(name)) for name in ("left", "right")}
        outside = await stack.enter_async_context(front(tmp_path, ports))
        async with outside.http.get(f"{outside.https_url}/metrics") as answer:
            assert answer.status == 404
        async with outside.http.get(
            f"{outside.http_url}/boards?a=b", headers={"Host": NAME}, allow_redirects=False
        ) as answer:
            assert (answer.status, answer.headers["Location"]) == (301, f"https://{NAME}/boards?a=b")
        large = b"x" * (3 << 20)
        async with outside.http.post(f"{outside.https_url}/gadget/v1/scores", data=io.BytesIO(large)) as answer:
            assert answer.status == 413
        async with outside.http.post(f"{outside.https_url}/files", data=io.BytesIO(large)) as answer:
            assert (await answer.json())["headers"]["bytes"] == str(len(large))


@pytest.fixture
async def stack(folder: Path) -> AsyncIterator[Stack]:
    async with running_stack(folder) as running:
        yield running


async def test_a_file_goes_on_while_it_comes_in_and_events_come_when_they_happen(stack: Stack, tmp_path: Path) -> None:
    home_port = int(stack.home_url.rpartition(":")[2])
    (tmp_path / "front").mkdir()
    async with front(tmp_path / "front", {"left": home_port, "right": home_port}) as outside:
        inside = stack.browser()
        await inside.sign_in_to_storage("marie")
        cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in inside.cookies.items())}
        said = {**cookies, **VERSION, "Origin": stack.home_url}
        url, content = outside.https_url, os.urandom(300_000)
        async with outside.http.get(f"{url}/files/events", headers=cookies) as heard:
            assert heard.status == 200
            events = FileEvents(heard)
            declared = {**said, "Upload-Length": str(len(content)), "Upload-Metadata": metadata("one.bin")}
            async with outside.http.post(f"{url}/files/tus/", headers=declared) as made:
                assert made.status == 201, await made.text()
                location = made.headers["Location"]
            assert (await events.upload())["name"] == "one.bin"
            half = asyncio.Event()

            async def body() -> AsyncIterator[bytes]:
                sent = 0
                while not half.is_set() and sent < 200_000:  # this takes a quarter of an hour
                    yield content[sent : sent + 10]
                    sent += 10
                    await asyncio.sleep(0.05)
                yield content[sent:]

            path = location.removeprefix(stack.home_url)
            part = {**said, **BYTES, "Upload-Offset": "0"}
            sending = asyncio.create_task(_patch(outside, path, part, body()))
            while not (await events.upload())["received_bytes"]:
                pass
            assert not sending.done()
            half.set()
            assert await sending == 204
            assert (await events.until("stored"))["size_bytes"] == len(content)
    assert [file.size_bytes for file in stack.sandbox.storage.received] == [len(content)]


async def _patch(outside: Front, path: str, headers: dict[str, str], body: AsyncIterator[bytes]) -> int:
    async with outside.http.patch(f"{outside.https_url}{path}", headers=headers, data=body) as answer:
        return answer.status


async def test_a_guess_at_a_password_counts_for_whoever_makes_it(stack: Stack, tmp_path: Path) -> None:
    """Not for nginx, behind which everybody else is, too: `server.trusted_proxies` has this machine."""
    assert "127.0.0.1/32" in stack.settings.server.trusted_proxies
    home_port = int(stack.home_url.rpartition(":")[2])
    (tmp_path / "front").mkdir()
    async with front(tmp_path / "front", {"left": home_port, "right": home_port}) as outside:
        browser = Browser(outside.http, stack.home_url)
        form = {"name": "view", "password": "wrong"}
        said = {"Origin": stack.home_url, "Sec-Fetch-Site": "same-origin"}
        async with outside.http.post(f"{outside.https_url}/admin/sign-in", headers=said, data=form) as answer:
            assert answer.status == 401
        assert (await browser.sign_in_as_operator("view")).status == 303
