"""tus 1.0 without a socket: headers as clients write them, cut and with junk; answers as the protocol shows them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Mapping
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import BadChecksum, BadInput, HomeServerError, TooLarge, UnsupportedMedia, VersionRefused
from homeserver.protocol import tus
from homeserver.protocol.tus import Creation, Part

MAX: Final = 1_000_000
# The protocol's own example of a creation: tus.io, "creation", POST.
EXAMPLE: Final = {
    "content-length": "0",
    "upload-length": "100",
    "tus-resumable": "1.0.0",
    "upload-metadata": "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential",
}
BYTES: Final = {"content-type": "application/offset+octet-stream"}
HELLO_SHA1: Final = "Kq5sNclPz7QV2+lfQIuc6R7oRu0="
"""The checksum in the protocol's example: of `hello world`."""


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def create(headers: Mapping[str, str], *, has_body: bool = False) -> Creation:
    return tus.parse_creation(headers, max_bytes=MAX, has_body=has_body)


# --- creation -------------------------------------------------------------------------------------------------------


def test_the_protocols_own_example() -> None:
    assert create(EXAMPLE) == Creation(100, "world_domination_plan.pdf", "", None)


@pytest.mark.parametrize(
    ("metadata", "name", "media_type"),
    [
        # As tus-js-client writes what Uppy gives it, and as tuspy does.
        (f"name {b64('a b.jpg')},type {b64('image/jpeg')}", "a b.jpg", "image/jpeg"),
        (f"relativePath {b64('null')},filename {b64('é.txt')},filetype {b64('text/plain')}", "é.txt", "text/plain"),
        (f"filename {b64('one')},name {b64('two')}", "one", ""),
        (f"filename ,name {b64('two')}", "two", ""),
        (f"filename {b64('spaced')} , filetype ", "spaced", ""),
    ],
)
def test_name_and_media_type_as_clients_write_them(metadata: str, name: str, media_type: str) -> None:
    created = create({"upload-length": "0", "upload-metadata": metadata})
    assert (created.size_bytes, created.name, created.media_type) == (0, name, media_type)


def test_a_first_part_may_come_along() -> None:
    assert create({**EXAMPLE, **BYTES}, has_body=True).first_part == Part(0, None)
    checked = create({**EXAMPLE, **BYTES, "upload-checksum": f"sha1 {HELLO_SHA1}"}, has_body=True).first_part
    assert checked is not None
    assert checked.checksum is not None
    with pytest.raises(UnsupportedMedia):
        create(EXAMPLE, has_body=True)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"upload-length": None, "upload-defer-length": "1"}, "Upload-Length"),
        ({"upload-length": None}, "Upload-Length"),
        ({"upload-length": ""}, "Upload-Length"),
        ({"upload-length": "-1"}, "Upload-Length"),
        ({"upload-length": "1.5"}, "Upload-Length"),
        ({"upload-length": "+5"}, "Upload-Length"),
        ({"upload-length": "٣"}, "Upload-Length"),
        ({"upload-length": "9" * 5_000}, "Upload-Length"),
        ({"upload-concat": "partial"}, "Upload-Concat"),
        ({"upload-metadata": None}, "Upload-Metadata"),
        ({"upload-metadata": "filename"}, "Upload-Metadata"),
        ({"upload-metadata": "filename !"}, "Upload-Metadata"),
        ({"upload-metadata": "filename YQ==,filename YQ=="}, "Upload-Metadata"),
        ({"upload-metadata": "filename YQ==,,x"}, "Upload-Metadata"),
        ({"upload-metadata": "filename é"}, "Upload-Metadata"),
        ({"upload-metadata": "dateiname\xfc YQ==,filename YQ=="}, "Upload-Metadata"),
        ({"upload-metadata": f"filename {base64.b64encode(bytes([0xFF, 0xFE])).decode()}"}, "Upload-Metadata"),
        ({"upload-metadata": "filename YQ== YQ=="}, "Upload-Metadata"),
    ],
)
def test_creations_that_say_too_little_or_nonsense(changes: dict[str, str | None], field: str) -> None:
    headers = {name: value for name, value in {**EXAMPLE, **changes}.items() if value is not None}
    with pytest.raises(BadInput) as refused:
        create(headers)
    assert refused.value.field == field


def test_more_than_the_limit_is_too_large() -> None:
    assert create({**EXAMPLE, "upload-length": str(MAX)}).size_bytes == MAX
    with pytest.raises(TooLarge) as refused:
        create({**EXAMPLE, "upload-length": str(MAX + 1)})
    assert refused.value.limit_bytes == MAX


# --- parts ----------------------------------------------------------------------------------------------------------


def test_a_part_says_where_it_belongs() -> None:
    assert tus.parse_part({**BYTES, "upload-offset": "70"}) == Part(70, None)
    with_more = {"content-type": "Application/Offset+Octet-Stream; charset=binary", "upload-offset": "0"}
    assert tus.parse_part(with_more) == Part(0, None)


def test_a_part_of_another_kind_is_not_taken() -> None:
    for headers in ({}, {"content-type": "application/octet-stream"}, {"content-type": "multipart/form-data"}):
        with pytest.raises(UnsupportedMedia):
            tus.parse_part({**headers, "upload-offset": "0"})


def test_the_checksum_of_the_protocols_example() -> None:
    part = tus.parse_part({**BYTES, "upload-offset": "0", "upload-checksum": f"sha1 {HELLO_SHA1}"})
    assert part.checksum is not None
    part.checksum.check(b"hello world")
    for other in (b"", b"hello worle", b"hello world "):
        with pytest.raises(BadChecksum):
            part.checksum.check(other)


@pytest.mark.parametrize(
    "checksum",
    ["", "sha1", "sha1 ", "sha1 Kq5s", "sha1 !", f"md5 {HELLO_SHA1}", f"SHA1 {HELLO_SHA1}", f"sha256 {HELLO_SHA1}",
     f"sha1  {HELLO_SHA1}", "sha1 é"],
)  # fmt: skip
def test_checksums_that_cannot_be_checked(checksum: str) -> None:
    with pytest.raises(BadInput) as refused:
        tus.parse_part({**BYTES, "upload-offset": "0", "upload-checksum": checksum})
    assert refused.value.field == "Upload-Checksum"


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from(tus.ALGORITHMS))
def test_a_checksum_knows_its_content_from_any_other(content: bytes, other: bytes, algorithm: str) -> None:
    value = base64.b64encode(hashlib.new(algorithm, content).digest()).decode()
    part = tus.parse_part({**BYTES, "upload-offset": "0", "upload-checksum": f"{algorithm} {value}"})
    assert part.checksum is not None
    part.checksum.check(content)
    if other != content:
        with pytest.raises(BadChecksum):
            part.checksum.check(other)


# --- what every request has -----------------------------------------------------------------------------------------


def test_another_version_is_refused() -> None:
    tus.check_version({"tus-resumable": "1.0.0"})
    for headers in ({}, {"tus-resumable": ""}, {"tus-resumable": "1.0"}, {"tus-resumable": "0.2.2"}):
        with pytest.raises(VersionRefused):
            tus.check_version(headers)


def test_a_post_may_stand_for_a_method_that_a_client_cannot_send() -> None:
    assert tus.method_of("POST", {}) == "POST"
    for meant in ("PATCH", "DELETE", "HEAD", "patch"):
        assert tus.method_of("POST", {"x-http-method-override": meant}) == meant.upper()
    assert tus.method_of("DELETE", {"x-http-method-override": "PATCH"}) == "DELETE"
    for wrong in ("", "GET", "TRACE", "PATCH "):
        with pytest.raises(BadInput):
            tus.method_of("POST", {"x-http-method-override": wrong})


# --- metadata, there and back; cut and junk -------------------------------------------------------------------------

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)


@given(NAMES, st.text(st.characters(codec="utf-8"), max_size=30))
def test_what_is_written_reads_the_same(name: str, media_type: str) -> None:
    written = tus.description(5, name, media_type)
    created = create({header.lower(): value for header, value in written.items()})
    assert (created.size_bytes, created.name, created.media_type) == (5, name, media_type)
    assert written["Upload-Metadata"].isascii()


@given(NAMES, st.data())
def test_metadata_cut_anywhere_or_with_junk_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """Never another exception; and a text that was cut never gives a name that is longer than the real one."""
    text = tus.dump_metadata(name, "image/jpeg")
    cut = text[: data.draw(st.integers(0, len(text)))]
    junk = data.draw(st.text(max_size=10))
    at = data.draw(st.integers(0, len(text)))
    for mangled in (cut, text[:at] + junk + text[at:], junk):
        try:
            found = tus.parse_metadata(mangled)
        except BadInput:
            continue
        assert all(isinstance(value, str) for value in found.values())
    with contextlib.suppress(BadInput):
        assert name.startswith(tus.parse_metadata(cut).get("filename", ""))


HEADERS = st.dictionaries(
    st.sampled_from(
        ["upload-length", "upload-offset", "upload-metadata", "upload-checksum", "upload-concat", "content-type",
         "tus-resumable", "x-http-method-override", "upload-defer-length"]
    ),
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(["0", "5", tus.VERSION, tus.BYTES, "sha1 " + HELLO_SHA1, "filename YQ==", "PATCH"]),
    ),
)  # fmt: skip


@given(HEADERS, st.booleans())
def test_any_headers_are_read_or_refused(headers: dict[str, str], has_body: bool) -> None:
    for read in (
        lambda: create(headers, has_body=has_body),
        lambda: tus.parse_part(headers),
        lambda: tus.check_version(headers),
        lambda: tus.method_of("POST", headers),
    ):
        try:
            read()
        except HomeServerError:
            continue


# --- answers --------------------------------------------------------------------------------------------------------


def test_what_is_offered() -> None:
    assert tus.capabilities(2 << 30) == {
        "Tus-Resumable": "1.0.0",
        "Tus-Version": "1.0.0",
        "Tus-Max-Size": "2147483648",
        "Tus-Extension": "creation,creation-with-upload,expiration,termination,checksum",
        "Tus-Checksum-Algorithm": "sha1,sha256",
    }


def test_how_far_an_upload_is() -> None:
    assert tus.progress(70, None) == {"Upload-Offset": "70"}
    # The protocol's own example of an expiry.
    assert tus.progress(0, 1_403_710_980_999)["Upload-Expires"] == "Wed, 25 Jun 2014 15:43:00 GMT"


@given(st.integers(0, 4_000_000_000_000))
def test_dates_are_those_of_http(ms: int) -> None:
    written = tus.http_date(ms)
    parsed = parsedate_to_datetime(written)
    assert int(parsed.timestamp()) == ms // 1000
    assert format_datetime(parsed, usegmt=True) == written
