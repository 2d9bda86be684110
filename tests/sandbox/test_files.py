"""Files that several processes make and read at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeserver.sandbox import files


def test_who_reads_while_it_is_written_anew_reads_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "metadata.xml"
    files.put(path, b"the old content")
    with path.open("rb", buffering=0) as reader:
        before = reader.read(4)
        files.put(path, b"new")
        assert before + reader.read() == b"the old content"
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_two_who_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "secret"
    others: list[bytes] = []

    def slowly() -> bytes:
        others.append(files.kept(path, lambda: b"of the first"))
        return b"of the second"

    assert files.kept(path, slowly) == b"of the first"
    assert others == [b"of the first"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_left_of_what_cannot_be_made(tmp_path: Path) -> None:
    path = tmp_path / "secret"

    def fails() -> bytes:
        raise ValueError("no randomness")

    with pytest.raises(ValueError, match="no randomness"):
        files.kept(path, fails)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        files.put(tmp_path / "folder", b"content")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]
