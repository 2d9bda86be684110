"""The client, the verifier and the gadget against Apache Shindig, which nobody here wrote. Run by `make interop`.

What these tests find out about Shindig is written down in `docs/interop.md`.
"""

from __future__ import annotations

from typing import Final

import pytest

MARKS: Final = [
    pytest.mark.interop,
    pytest.mark.needs("jdk", "maven"),
    pytest.mark.asyncio(loop_scope="session"),
]
"""Every module of tests here begins with `pytestmark = MARKS`."""
