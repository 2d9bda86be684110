"""tus clients that nobody here wrote: tus-js-client from npm and tuspy from PyPI upload, pause, resume and give up."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from tests.checkout import ROOT
from tests.patience import PATIENCE_S
from tests.web.conftest import Stack
from tests.web.test_files import settled, signed_in
from tests.web.tus_client import Tus

CONTENT: Final = bytes(range(251)) * 2_500
NAME: Final = "Été à Pemberley.jpg"
DRIVER: Final = Path(__file__).with_name("tus_js_client.mjs")


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make vendor` makes, in a folder of its own; its packages then lie in build/vendor."""
    folder = tmp_path_factory.mktemp("vendor")
    done = subprocess.run(
        [ROOT / "scripts/vendor.sh", folder], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or "no words").splitlines()
        pytest.skip(f"npm gives no packages here: {words[-1][:200]}")
    return folder


@pytest.mark.node
def test_the_committed_bundle_is_what_make_vendor_makes(bundled: Path) -> None:
    made = {path.name: path.read_bytes() for path in bundled.iterdir()}
    committed = {path.name: path.read_bytes() for path in (ROOT / "static/vendor").iterdir()}
    assert made.keys() == committed.keys()
    assert {name for name in made if made[name] != committed[name]} == set()


@dataclass(frozen=True, slots=True)
class Place:
    """A signed-in browser's cookie, a file, and where to send it."""

    stack: Stack
    tus: Tus
    file: Path

    @property
    def endpoint(self) -> str:
        return f"{self.stack.home_url}/files/tus/"

    @property
    def headers(self) -> dict[str, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in self.tus.browser.cookies.items())
        return {"Cookie": cookies, "Origin": self.stack.home_url}

    async def expect_stored(self, url: str) -> None:
        upload = await settled(self.tus.browser, url.rsplit("/", 1)[-1])
        assert (upload["storage"], upload["name"], upload["media_type"]) == ("stored", NAME, "image/jpeg")
        assert self.stack.sandbox.storage.files[NAME].sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert len(self.stack.sandbox.storage.received) == 1


@pytest.fixture
async def place(stack: Stack, tmp_path: Path) -> Place:
    file = tmp_path / "file.jpg"
    file.write_bytes(CONTENT)
    return Place(stack, Tus(await signed_in(stack, "marie")), file)


# --- tus-js-client --------------------------------------------------------------------------------------------------


async def run_js(place: Place, **order: Any) -> list[dict[str, Any]]:
    """What the driver said, line by line."""
    whole = {
        "endpoint": place.endpoint, "headers": place.headers, "file": str(place.file), "name": NAME, "options": {},
        **order,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        "node", DRIVER, ROOT / "build/vendor", json.dumps(whole), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.node
@pytest.mark.parametrize("options", [{}, {"uploadDataDuringCreation": True}, {"overridePatchMethod": True}])
async def test_tus_js_client_uploads(place: Place, bundled: Path, options: dict[str, bool]) -> None:
    said = await run_js(place, options=options)
    assert said[-1]["done"] is True
    await place.expect_stored(said[-1]["url"])


@pytest.mark.node
async def test_tus_js_client_pauses_and_resumes(place: Place, bundled: Path) -> None:
    said = await run_js(place, stopAt=200_000, then="resume")
    assert {"stopped", "url"} in [set(each) for each in said]
    assert said[-1]["done"] is True
    await place.expect_stored(said[-1]["url"])


@pytest.mark.node
async def test_tus_js_client_resumes_what_an_earlier_one_left(place: Place, bundled: Path) -> None:
    url = (await run_js(place, stopAt=300_000))[-1]["url"]
    assert await place.tus.offset(url) == 300_000
    said = await run_js(place, options={"uploadUrl": url})
    assert next(each["offset"] for each in said if "offset" in each) == 400_000
    await place.expect_stored(said[-1]["url"])


@pytest.mark.node
async def test_tus_js_client_gives_an_upload_up(place: Place, bundled: Path) -> None:
    url = (await run_js(place, stopAt=200_000, then="terminate"))[-1]["url"]
    assert (await place.tus.ask("HEAD", url)).status == 410
    (upload,) = (await place.tus.browser.get("/files", Accept="application/json")).json["uploads"]
    assert upload["state"] == "cancelled"


@pytest.mark.node
async def test_tus_js_client_hears_a_refusal_once(place: Place, bundled: Path) -> None:
    """422 is not tried again, whatever the delays."""
    place.stack.sandbox.storage.fail_next("MD327")
    said = await run_js(place)
    assert [each["status"] for each in said] == [422]
    assert json.loads(said[0]["body"])["storage_code"] == "MD327"
    assert not place.stack.sandbox.storage.files


# --- tuspy ----------------------------------------------------------------------------------------------------------


def uploader(place: Place, **options: Any) -> Any:
    client = TusClient(place.endpoint, headers=place.headers)
    metadata = {"filename": NAME, "filetype": "image/jpeg"}
    return client.uploader(file_stream=io.BytesIO(CONTENT), chunk_size=100_000, metadata=metadata, **options)


async def test_tuspy_uploads(place: Place) -> None:
    sender = uploader(place)
    await asyncio.to_thread(sender.upload)
    await place.expect_stored(sender.url)


async def test_tuspy_uploads_with_checksums(place: Place) -> None:
    sender = uploader(place, upload_checksum=True)
    await asyncio.to_thread(sender.upload)
    await place.expect_stored(sender.url)


async def test_tuspy_pauses_and_another_one_resumes(place: Place) -> None:
    sender = uploader(place)
    await asyncio.to_thread(sender.upload, stop_at=300_000)
    assert await place.tus.offset(sender.url) == 300_000
    second = await asyncio.to_thread(uploader, place, url=sender.url)
    assert second.offset == 300_000
    await asyncio.to_thread(second.upload)
    await place.expect_stored(sender.url)


async def test_tuspy_hears_a_refusal(place: Place) -> None:
    place.stack.sandbox.storage.fail_next("MD113")
    with pytest.raises(TusCommunicationError) as refused:
        await asyncio.to_thread(uploader(place).upload)
    assert refused.value.status_code == 422
    assert json.loads(refused.value.response_content)["storage_code"] == "MD113"
