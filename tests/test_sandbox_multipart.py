"""The storage stand-in's reader of multipart bodies."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.sandbox.multipart import (
    BadMultipart,
    MultipartParser,
    PartBegins,
    PartData,
    PartEnds,
    boundary_of,
    parse_parameters,
)

_CONTENTS = st.binary(max_size=60) | st.sampled_from([b"\r\n--xy", b"\r\n--x\r", b"--x--", b"\r\n-", b"\r\n\r\n"])
_DELIMITER = re.compile(rb"\r\n--x(\r\n|--)")


@given(
    contents=st.lists(_CONTENTS.filter(lambda content: not _DELIMITER.search(content)), max_size=16),
    cuts=st.lists(st.integers(1, 40), min_size=1),
    junk=st.binary(max_size=20),
)
def test_the_parser_reads_any_pieces(contents: list[bytes], cuts: list[int], junk: bytes) -> None:
    body = b"".join(b"--x\r\nName: %d\r\n\r\n%b\r\n" % pair for pair in enumerate(contents)) + b"--x--" + junk
    parser = MultipartParser("x")
    read: list[tuple[str, bytes]] = []
    ended = 0
    turn = 0
    while body:
        piece, body = body[: cuts[turn % len(cuts)]], body[cuts[turn % len(cuts)] :]
        turn += 1
        for event in parser.feed(piece):
            match event:
                case PartBegins(headers):
                    read.append((headers["name"], b""))
                case PartData(data):
                    assert data
                    read[-1] = (read[-1][0], read[-1][1] + data)
                case PartEnds():
                    ended += 1
    assert parser.complete
    assert read == [(str(number), content) for number, content in enumerate(contents)]
    assert ended == len(contents)


def test_the_parser_has_limits() -> None:
    with pytest.raises(BadMultipart, match="too long"):
        list(MultipartParser("x").feed(b"--x\r\nA: " + b"b" * 9000))
    with pytest.raises(BadMultipart, match="too many"):
        list(MultipartParser("x").feed(b"--x\r\nA: b\r\n\r\n\r\n" * 17))
    for bad in (b"A: b\r\na: c", b"A", b"A b: c", b"A: \xff"):
        with pytest.raises(BadMultipart):
            list(MultipartParser("x").feed(b"--x\r\n" + bad + b"\r\n\r\n"))


def test_parameters_of_headers() -> None:
    assert parse_parameters(r'Form-Data ; Name="a\"\\b;c" ;x=y') == ("form-data", {"name": 'a"\\b;c', "x": "y"})
    for bad in ('a; b="c', "a; b=c; B=d", "a; b", "a b; =c"):
        with pytest.raises(BadMultipart):
            parse_parameters(bad)
    assert boundary_of('multipart/form-data; boundary="a b"') == "a b"
    for content_type in (
        "multipart/mixed; boundary=a",
        'multipart/form-data; boundary="a "',
        'multipart/form-data; a="',
    ):
        assert boundary_of(content_type) is None
