"""Step two's body in the storage stand-in: one file, hashed and counted as it streams by, never kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from homeserver.sandbox import mesdonnees_xml as xml
from homeserver.sandbox.multipart import BadMultipart, MultipartParser, PartBegins, PartData, parse_parameters


class UploadRefused(Exception):
    """Step two ends here; `message` is what goes into the guide's `<message>`."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """What came with the part, and the hash of its content."""

    sha256: str
    media_type: str
    filename: str


class UploadBody:
    """One multipart body on its way: counts and hashes the file in the part named `part`."""

    def __init__(self, boundary: str, part: str) -> None:
        self._part = part
        self._parser = MultipartParser(boundary)
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        self._in_file = False
        self._about: tuple[str, str] | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            UploadRefused: They cannot be read as multipart/form-data, or the part is not as the guide has it.
        """
        try:
            for event in self._parser.feed(chunk):
                match event:
                    case PartBegins(headers):
                        self._in_file = self._begin(headers)
                    case PartData(data) if self._in_file:
                        self._hash.update(data)
                        self._size_bytes += len(data)
        except BadMultipart:
            raise UploadRefused(xml.UPLOADING) from None

    def _begin(self, headers: Mapping[str, str]) -> bool:
        kind, parameters = parse_parameters(headers.get("content-disposition", ""))
        if kind != "form-data" or parameters.get("name") != self._part:
            return False
        encoding = headers.get("content-transfer-encoding", "binary").lower()
        if self._about is not None or "filename" not in parameters or encoding != "binary":
            raise BadMultipart("one file_content with a file name, as binary, is due")
        self._about = (headers.get("content-type", "application/octet-stream"), parameters["filename"])
        return True

    def finish(self, announced_bytes: int) -> ReceivedFile:
        """What came, now that the body has ended.

        Raises:
            UploadRefused: The closing boundary or the part is missing, or the file has another size than announced.
        """
        if not self._parser.complete:
            raise UploadRefused(xml.TEMPORARY_WRITE)
        if self._about is None:
            raise UploadRefused(xml.PARAMETER_MISSING.format(inner=self._part, where="request"))
        if self._size_bytes != announced_bytes:
            raise UploadRefused(xml.UPLOADING)
        media_type, filename = self._about
        return ReceivedFile(self._hash.hexdigest(), media_type, filename)
