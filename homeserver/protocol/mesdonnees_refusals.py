"""What each refusal of the storage means for an upload: where it ends, and whether another attempt may help.

Sources: the Personal Content API guide ("error codes", "content upload"); code -3 is the general error of all Personal
APIs ("privacy not granted").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from homeserver.model import StorageLeg


@dataclass(frozen=True, slots=True)
class Refusal:
    """`leg` is where the upload ends when nothing more is tried, `retries` how many further attempts this is worth."""

    code: str
    leg: StorageLeg
    retries: int


_STEP_ONE: Final = (
    Refusal("PA003", StorageLeg.NEEDS_NAME, 0),
    Refusal("PA004", StorageLeg.REFUSED, 0),  # the size
    Refusal("PA900", StorageLeg.FAILED, 2),  # an internal error
    Refusal("MD113", StorageLeg.REFUSED, 0),  # the account is deactivated
    Refusal("MD327", StorageLeg.OUT_OF_SPACE, 0),
    Refusal("MD803", StorageLeg.REFUSED, 0),  # the user is suspended
    Refusal("MD804", StorageLeg.NEEDS_ACTIVATION, 0),
    Refusal("-3", StorageLeg.NEEDS_CONSENT, 0),
)

# Step two has texts and no codes; the codes are ours. A text is known by its beginning, whatever the case: `[x]`
# in the guide's list stands for something else each time. "occured" is the service's own spelling.
_STEP_TWO: Final = (
    ("error while creating temporary file", Refusal("upload.tmp_create", StorageLeg.FAILED, 2)),
    (
        "an error has occured while writing file in temporary directory",
        Refusal("upload.tmp_write", StorageLeg.FAILED, 2),
    ),
    ("error while getting tmp file info", Refusal("upload.tmp_info", StorageLeg.FAILED, 2)),
    ("can not create content", Refusal("upload.no_content", StorageLeg.FAILED, 2)),
    ("error while uploading content", Refusal("upload.failed", StorageLeg.FAILED, 2)),
    ("parameter ", Refusal("upload.parameter", StorageLeg.FAILED, 1)),
    ("http request method must be post", Refusal("upload.method", StorageLeg.FAILED, 0)),
    ("preprocessurl is mis-configured", Refusal("upload.preprocess", StorageLeg.FAILED, 0)),
    ("postprocessurl is mis-configured", Refusal("upload.postprocess", StorageLeg.FAILED, 0)),
)

UNKNOWN: Final = Refusal("unknown", StorageLeg.FAILED, 1)

REFUSALS: Final[Mapping[str, Refusal]] = MappingProxyType(
    {refusal.code: refusal for refusal in (*_STEP_ONE, *(refusal for _, refusal in _STEP_TWO), UNKNOWN)}
)
"""Every refusal by code: the service's own for step one, ours (`upload.*`) for the texts of step two, and `unknown`."""


def refusal_of(code: str | None) -> Refusal:
    """What a refusal means, by its code. The guide lists only "the most significant", so unknown ones will come."""
    return REFUSALS.get(code or UNKNOWN.code, UNKNOWN)


def is_documented(code: str | None) -> bool:
    """Whether it is one of the service's own codes."""
    return code in {refusal.code for refusal in _STEP_ONE}


def classify_message(text: str) -> Refusal:
    """Which documented upload error a text of step two is; `unknown` for any other."""
    folded = " ".join(text.split()).casefold()
    for prefix, refusal in _STEP_TWO:
        if folded.startswith(prefix) and (prefix != "parameter " or " is not found in " in folded):
            return refusal
    return UNKNOWN
