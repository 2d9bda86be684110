"""Whatever breaks wherever: a file is stored once and as it was, or its owner is told the truth."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from homeserver.errors import BadInput, Conflict, Locked, SpoolBroken
from homeserver.model import Upload
from homeserver.sandbox.faults import CannedReply, Fault
from homeserver.services.uploads import Uploads
from homeserver.storage.database import open_database
from tests.clock import Clock
from tests.patience import until
from tests.uploads.cutter import NOTHING_STORED, Cutter, Place, cutting
from tests.uploads.house import LARGE, NAME, House, L, open_house, pieces, running

SMALL = LARGE[:70_001]
SETTLED = (L.STORED, L.UNKNOWN, L.FAILED)


@pytest.fixture
async def cutter(house: House) -> AsyncIterator[Cutter]:
    """In front of the storage's upload addresses."""
    async with in_front_of(house) as made:
        yield made


@asynccontextmanager
async def in_front_of(house: House) -> AsyncIterator[Cutter]:
    host, _, port = house.service.url.removeprefix("http://").partition(":")
    async with cutting(host, int(port)) as cutter:
        house.service.storage.public_url = cutter.url
        yield cutter


async def stream(uploads: Uploads, house: House, content: bytes) -> Upload:
    """As a browser does whose bytes come one after the other."""
    upload = await uploads.declare("marie", house.token(), NAME, "image/jpeg", len(content))

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in pieces(content, 200_000):
            yield chunk
            await asyncio.sleep(0)

    await uploads.receive_part(upload.id, "marie", 0, chunks())
    return upload


async def check(house: House, upload: Upload, content: bytes) -> None:
    """The truth: stored once means stored once; unknown means once or not at all; failed means not at all."""
    stored = [file.sha256 for file in house.service.storage.received]
    assert set(stored) <= {hashlib.sha256(content).hexdigest()}
    if upload.storage is L.STORED:
        assert len(stored) == 1
        await until(house.kept, lambda kept: kept == [])
    else:
        assert len(stored) <= (1 if upload.storage is L.UNKNOWN else 0)
        assert house.files_kept() == [upload.id]


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("as_it_comes", [False, True], ids=["whole", "as it comes"])
@pytest.mark.parametrize("place", Place)
async def test_one_cut(house: House, cutter: Cutter, place: Place, as_it_comes: bool, content: bytes) -> None:
    cutter.plan.append(place)
    async with running(house.open()) as uploads:
        if as_it_comes:
            upload = await stream(uploads, house, content)
        else:
            upload = await house.receive(uploads, content=content)
        ended = await house.until(uploads, upload.id, *SETTLED)
        await check(house, ended, content)
        if place is Place.ANSWER:
            assert (ended.storage, ended.attempts) == (L.STORED, 1)
        elif place in {Place.REQUEST, Place.IN_ANSWER}:
            assert (ended.storage, len(house.service.storage.received)) == (L.UNKNOWN, 1)
        elif ended.storage is L.STORED:
            assert (ended.attempts, house.service.storage.urls_issued) == (2, 2)
        else:
            # What is small lies whole in the buffers of the line when it breaks: nobody can know.
            assert ended.storage is L.UNKNOWN
            assert place in NOTHING_STORED
            assert content is SMALL or place in {Place.LAST, Place.FILE, Place.IN_BOUNDARY}
        if ended.storage is L.UNKNOWN:
            await uploads.send_again(upload.id, "marie", house.token())
            ended = await house.until(uploads, upload.id, L.STORED)


EARLY = (Place.CONNECTED, Place.IN_HEADERS, Place.HEADERS, Place.FIRST, Place.MIDDLE)


@pytest.mark.parametrize("place", EARLY)
async def test_the_same_cut_three_times_is_a_failure_and_nothing_is_stored(
    house: House, cutter: Cutter, place: Place
) -> None:
    cutter.plan.extend([place] * 3)
    async with running(house.open()) as uploads:
        upload = await stream(uploads, house, LARGE)
        ended = await house.until(uploads, upload.id, *SETTLED)
        assert (ended.storage, ended.attempts) == (L.FAILED, 3)
        await check(house, ended, LARGE)


# --- any mix --------------------------------------------------------------------------------------------------------

STEP_ONE = "GET /mesdonnees/PersonalContent/V1"
STEP_TWO = "POST /mesdonnees/upload/*"
FAULTS = (
    Fault(STEP_ONE, reply=CannedReply(503, b"<html>")),
    Fault(STEP_ONE, effect="error=PA900 internal"),
    Fault(STEP_ONE, drop=True),
    Fault(STEP_TWO, reply=CannedReply(502, b"<html>")),
    Fault(STEP_TWO, effect="error=Can not create content"),
    Fault(STEP_TWO, effect="upload_url_expired"),
    Fault(STEP_TWO, drop_after=True),
    Fault(STEP_TWO, reply_after=CannedReply(200, b"")),
)


@dataclass(frozen=True)
class Mix:
    """`breaks`: after how many bytes each time, which process gets them, and whether the line breaks there."""

    size: int
    cuts: list[Place]
    faults: list[Fault]
    breaks: list[tuple[int, int, bool]]


@settings(
    max_examples=max(15, (settings.default.max_examples if settings.default else 0) // 4),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.builds(
        Mix,
        st.integers(1, 600_000),
        st.lists(st.sampled_from(Place), max_size=3),
        st.lists(st.sampled_from(FAULTS), max_size=3),
        st.lists(st.tuples(st.integers(0, 400_000), st.sampled_from([0, 1]), st.booleans()), max_size=4),
    )
)
async def test_any_mix_of_faults_on_both_legs(
    tmp_path_factory: pytest.TempPathFactory, migrated_file: Path, mix: Mix
) -> None:
    """The storage's line is cut, the storage fails, the browser's line breaks, and its parts come to two processes."""
    folder = tmp_path_factory.mktemp("mix")
    content = LARGE[: mix.size]
    url = f"sqlite:///{shutil.copy(migrated_file, folder / 'db.sqlite3')}"
    async with (
        open_database(url) as database,
        open_house(database, folder / "spool", Clock()) as house,
        in_front_of(house) as cutter,
    ):
        cutter.plan.extend(mix.cuts)
        for fault in mix.faults:
            house.service.faults.add(fault)
        async with running(house.open()) as first, running(house.open()) as second:
            upload = await first.declare("marie", house.token(), NAME, "image/jpeg", mix.size)
            await send_in_parts((first, second), upload.id, content, mix.breaks)
            ended = await house.until(first, upload.id, *SETTLED)
            await check(house, ended, content)
            event(ended.storage.value)
    shutil.rmtree(folder)


async def flaky(content: bytes, *, breaks_off: bool) -> AsyncIterator[bytes]:
    async for chunk in pieces(content):
        yield chunk
        await asyncio.sleep(0)
    if breaks_off:
        raise BadInput("the line", field="file")


async def send_in_parts(
    processes: Sequence[Uploads], id_: str, content: bytes, breaks: Sequence[tuple[int, int, bool]]
) -> None:
    """A browser whose line breaks after so many bytes each time, and that then goes on where the server says."""
    for length, process, breaks_off in [*breaks, (len(content), 0, False)]:
        uploads = processes[process]
        offset = await uploads.offset(id_, "marie")

        part = flaky(content[offset : offset + length], breaks_off=breaks_off)
        try:
            await uploads.receive_part(id_, "marie", offset, part)
        except (BadInput, Locked):
            continue
        except (Conflict, SpoolBroken):
            assert (await uploads.find(id_, "marie")).storage in SETTLED
            return
