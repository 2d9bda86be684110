"""Files that several processes of one folder may make and read at the same time: each is there whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def put(path: Path, content: bytes) -> None:
    """Write the file anew, readable by its owner only; who reads it meanwhile reads the old content or the new.

    Raises:
        OSError: It cannot be written.
    """
    with _beside(path, content) as made:
        made.replace(path)


def kept(path: Path, make: Callable[[], bytes]) -> bytes:
    """What the file holds; made by the first who asks, readable by its owner only. All who ask get the same.

    Raises:
        OSError: It can be neither read nor written.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    # Where another process was first, its content is everybody's.
    with _beside(path, make()) as made, suppress(FileExistsError):
        path.hardlink_to(made)
    return path.read_bytes()


@contextmanager
def _beside(path: Path, content: bytes) -> Iterator[Path]:
    """The content in a file of its own in the same folder, gone afterwards unless it was moved."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
