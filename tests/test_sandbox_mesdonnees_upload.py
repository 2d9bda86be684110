"""Step two of the storage stand-in: what is stored, what is refused, and what a script can make of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import ClientConnectionError, web
from aiohttp.test_utils import TestClient

from homeserver.sandbox import mesdonnees_xml as xml
from homeserver.sandbox.mesdonnees_space import Standing
from tests.clock import Clock
from tests.storage_site import BOUNDARY, Site, envelope, message_of, storage_app

AiohttpClient = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]


@pytest.fixture
async def site(aiohttp_client: AiohttpClient, clock: Clock) -> Site:
    app, storage, faults = storage_app(clock.now_ms)
    return Site(await aiohttp_client(app), storage, faults)


async def test_an_upload_as_the_guide_has_it(site: Site, clock: Clock) -> None:
    content = bytes(range(256)) * 121 + b"\r\n--" + BOUNDARY[:-1].encode()
    url = await site.url(size=len(content))
    status, body = await site.upload(url, envelope(content))
    assert status == 200
    assert (
        body
        == f"""\
<storagexmlengine>
   <uploadcontentdirectlyresponse>
      <content>
         <id>6174</id>
         <parent_id>3449</parent_id>
         <name>HelloWorld</name>
         <commentary/>
         <file_format/>
         <file_size>{len(content)}</file_size>
         <creation_date>2026-11-22T13:00:00.000+01:00</creation_date>
        <last_modification_date>2026-11-22T13:00:00.000+01:00
        </last_modification_date>
     </content>
  </uploadcontentdirectlyresponse>
</storagexmlengine>
"""
    )
    file = site.storage.files["HelloWorld.jpg"]
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert (file.size_bytes, file.media_type, file.user) == (len(content), "image/jpg", "marie")
    assert (file.content_id, file.received_ms) == ("6174", clock.now_ms())


async def test_a_large_upload_streams_through(site: Site) -> None:
    content = hashlib.shake_256(b"seed").digest(3_000_000)
    url = await site.url(name="film.mkv", size=len(content))
    assert (await site.upload(url, envelope(content)))[0] == 200
    assert site.storage.files["film.mkv"].sha256 == hashlib.sha256(content).hexdigest()


async def test_the_parts_own_words(site: Site) -> None:
    url = await site.url(name='a"b.bin', size=3)
    head = 'content-disposition: form-data; name=file_content; filename="a\\"b\\\\é.bin"\r\n'
    assert (await site.upload(url, envelope(b"abc", head=head)))[0] == 200
    file = site.storage.files['a"b.bin']
    assert (file.filename, file.media_type) == ('a"b\\é.bin', "application/octet-stream")


async def test_a_url_is_good_for_one_attempt(site: Site) -> None:
    url = await site.url(size=3)
    assert (await site.upload(url, envelope(b"abc")))[0] == 200
    status, body = await site.upload(url, envelope(b"abc"))
    assert (status, message_of(body)) == (400, "Error while uploading content")
    assert len(site.storage.received) == 1

    failed = await site.url(size=3)
    assert (await site.upload(failed, envelope(b"ab")))[0] == 400
    assert (await site.upload(failed, envelope(b"abc")))[0] == 400  # an attempt that failed uses it up as well


@pytest.mark.parametrize(("after_ms", "status"), [(299_999, 200), (300_000, 400)])
async def test_a_url_is_good_for_five_minutes(site: Site, clock: Clock, after_ms: int, status: int) -> None:
    url = await site.url(size=3)
    clock.advance(ms=after_ms)
    assert (await site.upload(url, envelope(b"abc")))[0] == status
    assert len(site.storage.files) == (status == 200)


async def test_the_cookie_must_be_the_one_that_came_with_the_url(site: Site) -> None:
    other = await site.url(size=3)
    for cookie, message in [
        (other.cookie, "Error while uploading content"),
        ("x", "Error while uploading content"),
        ("é", "Error while uploading content"),
        ("", "Error while uploading content"),
        ("{quoted}", "Error while uploading content"),
        ("{absent}", "Parameter [downloadUploadKey] is not found in [cookie]"),
    ]:
        url = await site.url(size=3)
        sent = {"{quoted}": f'"{url.cookie}"', "{absent}": "v; a=b"}.get(cookie, cookie)
        if cookie == "{absent}":
            async with site.client.post(
                url.path, data=envelope(b"abc"), headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            ) as reply:
                status, body = reply.status, await reply.text()
        else:
            status, body = await site.upload(url, envelope(b"abc"), cookie=sent)
        assert (status, message_of(body)) == (400, message)
    assert not site.storage.files


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_upload_is_a_post(site: Site, method: str) -> None:
    url = await site.url(name="<a & b>.txt", size=3)
    status, body = await site.upload(url, envelope(b"abc"), method=method)
    assert (status, message_of(body)) == (400, "HTTP Request method must be POST")
    assert "<parameters>content_name=&lt;a &amp; b&gt;.txt</parameters>" in body
    assert (await site.upload(url, envelope(b"abc")))[0] == 200  # no attempt yet


@pytest.mark.parametrize("missing", range(1, len(BOUNDARY) + 7))
async def test_a_body_without_its_closing_boundary_stores_nothing(site: Site, missing: int) -> None:
    """Honest Content-Length, all of the file, but not all of the closing line."""
    whole = envelope(b"abc").removesuffix(b"\r\n")
    url = await site.url(size=3)
    status, body = await site.upload(url, whole[:-missing])
    assert (status, message_of(body)) == (400, "An error has occured while writing file in temporary directory")
    assert not site.storage.files


async def test_a_sender_who_hangs_up_stores_nothing(site: Site) -> None:
    body = envelope(b"x" * 50_000)
    url = await site.url(size=50_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.client.port)
    head = (
        f"POST {url.path} HTTP/1.1\r\nHost: localhost\r\nCookie: downloadUploadKey={url.cookie}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body[:40_000])
    await writer.drain()
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert not site.storage.received
    assert (await site.upload(url, body))[0] == 400


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (envelope(b"ab"), "Error while uploading content"),
        (envelope(b"abcd"), "Error while uploading content"),
        (envelope(b"abc", name="file"), "Parameter [file_content] is not found in [request]"),
        (envelope(b"abc", head="Content-Type: a/b\r\n"), "Parameter [file_content] is not found in [request]"),
        (envelope(b"abc", head="Content-Type a/b\r\n"), "Error while uploading content"),
        (
            envelope(b"abc", head='Content-Disposition: form-data; name="file_content"\r\n'),
            "Error while uploading content",
        ),
        (
            envelope(
                b"abc",
                head='Content-Disposition: form-data; name="file_content"; filename="a"\r\n'
                "Content-Transfer-Encoding: base64\r\n",
            ),
            "Error while uploading content",
        ),
        (
            envelope(b"abc").removesuffix(b"--\r\n") + b"\r\n" + envelope(b"")[len(BOUNDARY) + 4 :],
            "Error while uploading content",
        ),
        (b"x" * 20_000, "Error while uploading content"),
        (b"", "An error has occured while writing file in temporary directory"),
    ],
    ids=[
        "short",
        "long",
        "part-name",
        "no-disposition",
        "bad-header",
        "no-filename",
        "base64",
        "twice",
        "endless",
        "empty",
    ],
)
async def test_a_body_that_is_not_the_announced_file(site: Site, body: bytes, message: str) -> None:
    url = await site.url(size=3)
    status, answer = await site.upload(url, body)
    assert (status, message_of(answer)) == (400, message)
    assert not site.storage.files


@pytest.mark.parametrize(
    "content_type", ["application/octet-stream", "multipart/form-data", "multipart/form-data; boundary=é"]
)
async def test_a_content_type_without_a_boundary(site: Site, content_type: str) -> None:
    status, body = await site.upload(await site.url(size=3), envelope(b"abc"), content_type=content_type)
    assert (status, message_of(body)) == (400, "Parameter [file_content] is not found in [request]")


async def test_a_length_must_be_given(site: Site) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield envelope(b"abc")

    url = await site.url(size=3)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Cookie": f"downloadUploadKey={url.cookie}"}
    async with site.client.post(url.path, data=chunks(), headers=headers) as reply:
        assert (reply.status, message_of(await reply.text())) == (400, "Error while uploading content")


@pytest.mark.parametrize("message", xml.UPLOAD_MESSAGES)
async def test_every_message_by_script(site: Site, message: str) -> None:
    site.storage.fail_next_upload(message, inner="/tmp/x")
    status, body = await site.upload(await site.url(size=3), envelope(b"abc"))
    assert (status, message_of(body)) == (400, message.format(inner="/tmp/x", where="request"))
    assert not site.storage.files
    assert (await site.upload(await site.url(size=3), envelope(b"abc")))[0] == 200


def test_the_guides_messages_are_all_there() -> None:
    guide = """\
Error while creating temporary file [tmp file name]
An error has occured while writing file in temporary directory
Error while getting tmp file info
Parameter [param name] is not found in [code]
Can not create content
Error while uploading content
HTTP Request method must be POST
PreprocessURL is mis-configured
PostprocessURL is mis-configured"""
    blanks = [{"inner": "tmp file name"}, {}, {}, {"inner": "param name", "where": "code"}, *[{}] * 5]
    assert [m.format(**b) for m, b in zip(xml.UPLOAD_MESSAGES, blanks, strict=True)] == guide.split("\n")


async def test_stored_files_use_up_the_quota(site: Site) -> None:
    marie = site.storage.users["marie"]
    marie.quota_bytes = 10
    first, second = await site.url(size=6), await site.url(size=6, name="b")
    assert (await site.upload(first, envelope(b"abcdef")))[0] == 200
    assert marie.free_bytes == 4
    status, body = await site.upload(second, envelope(b"abcdef"))  # was promised, no longer fits
    assert (status, message_of(body)) == (400, "Can not create content")
    assert await site.code(size=5) == "MD327"
    assert (await site.ask(size=4))[0] == 200


async def test_somebody_suspended_between_the_steps(site: Site) -> None:
    url = await site.url(size=3)
    site.storage.users["marie"].standing = Standing.SUSPENDED
    assert message_of((await site.upload(url, envelope(b"abc")))[1]) == "Can not create content"


async def test_a_dropped_upload_uses_up_its_url(site: Site) -> None:
    content = b"x" * 300_000
    site.storage.drop_next_upload_after(bytes_=100_000)
    url = await site.url(size=len(content))
    with pytest.raises(ClientConnectionError):
        await site.upload(url, envelope(content))
    assert not site.storage.received
    assert (await site.upload(url, envelope(content)))[0] == 400
    assert (await site.upload(await site.url(size=len(content)), envelope(content)))[0] == 200
    assert site.storage.urls_issued == 2


async def test_an_answer_that_is_lost(site: Site) -> None:
    site.storage.lose_next_upload_answer()
    with pytest.raises(ClientConnectionError):
        await site.upload(await site.url(size=3), envelope(b"abc"))
    assert site.storage.files["HelloWorld.jpg"].size_bytes == 3


async def test_a_url_that_is_scripted_to_be_late(site: Site) -> None:
    site.storage.expire_next_upload_url()
    assert (
        message_of((await site.upload(await site.url(size=3), envelope(b"abc")))[1]) == "Error while uploading content"
    )
    assert (await site.upload(await site.url(size=3), envelope(b"abc")))[0] == 200
