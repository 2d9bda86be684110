"""What each refusal of the storage means: where the upload ends, whether a retry may help, what to tell the user.

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
    """What a refusal means for an upload.

    `leg` is where the upload ends when nothing more is tried, `retries` how many further attempts this refusal alone is
    worth, `advice` what the user is told (English, the key for translations).
    """

    code: str
    leg: StorageLeg
    retries: int
    advice: str


_TRY_LATER: Final = "Mes Données had a problem of its own. Try again later; the file is kept here meanwhile."
_OUR_FAULT: Final = "Mes Données is not set up to take this file. The operator of this site must look at it."

_REFUSALS: Final = (
    Refusal(
        "PA003", StorageLeg.REFUSED, 0, "Mes Données does not accept this name. Rename the file and send it again."
    ),
    Refusal("PA004", StorageLeg.REFUSED, 0, "Mes Données does not accept the size of this file."),
    Refusal("PA900", StorageLeg.FAILED, 2, _TRY_LATER),
    Refusal(
        "MD113",
        StorageLeg.REFUSED,
        0,
        "Your Mes Données account has been deactivated. Only Orange can open it again: contact its customer service.",
    ),
    Refusal(
        "MD327",
        StorageLeg.OUT_OF_SPACE,
        0,
        "There is not enough room in your Mes Données space for this file. Make room there, then send it again.",
    ),
    Refusal(
        "MD803",
        StorageLeg.REFUSED,
        0,
        "Your access to Mes Données is suspended. Only Orange can lift this: contact its customer service.",
    ),
    Refusal(
        "MD804",
        StorageLeg.NEEDS_ACTIVATION,
        0,
        "Your Mes Données space is not switched on yet. Activate it once on Orange's portal; the file is kept.",
    ),
    Refusal(
        "-3",
        StorageLeg.NEEDS_CONSENT,
        0,
        "Orange asks whether this site may put files into your Mes Données space. Answer there; the file is kept.",
    ),
)

# Step two has texts and no codes. The codes are ours; matched by the beginning of the text, whatever the case, because
# `[x]` in the guide's list stands for something else each time. "occured" is the service's own spelling.
_MESSAGES: Final = (
    ("error while creating temporary file", Refusal("upload.tmp_create", StorageLeg.FAILED, 2, _TRY_LATER)),
    (
        "an error has occured while writing file in temporary directory",
        Refusal("upload.tmp_write", StorageLeg.FAILED, 2, _TRY_LATER),
    ),
    ("error while getting tmp file info", Refusal("upload.tmp_info", StorageLeg.FAILED, 2, _TRY_LATER)),
    (
        "can not create content",
        Refusal(
            "upload.no_content",
            StorageLeg.FAILED,
            2,
            "Mes Données received the file but could not keep it. Try again later; the file is kept here meanwhile.",
        ),
    ),
    (
        "error while uploading content",
        Refusal(
            "upload.failed",
            StorageLeg.FAILED,
            2,
            "Mes Données stopped while it was receiving the file. Try again later; the file is kept here meanwhile.",
        ),
    ),
    (
        "parameter ",
        Refusal(
            "upload.parameter",
            StorageLeg.FAILED,
            1,
            "Mes Données did not recognise what this site sent. Send it again; if it fails again, tell the operator.",
        ),
    ),
    ("http request method must be post", Refusal("upload.method", StorageLeg.FAILED, 0, _OUR_FAULT)),
    ("preprocessurl is mis-configured", Refusal("upload.preprocess", StorageLeg.FAILED, 0, _OUR_FAULT)),
    ("postprocessurl is mis-configured", Refusal("upload.postprocess", StorageLeg.FAILED, 0, _OUR_FAULT)),
)

UNKNOWN: Final = Refusal(
    "unknown", StorageLeg.FAILED, 1, "Mes Données refused the file and gave a reason that this site does not know."
)

REFUSALS: Final[Mapping[str, Refusal]] = MappingProxyType(
    {refusal.code: refusal for refusal in (*_REFUSALS, *(refusal for _, refusal in _MESSAGES), UNKNOWN)}
)
"""Every refusal by code: the service's own for step one, ours (`upload.*`) for the texts of step two, and `unknown`."""


def refusal_of(code: str | None) -> Refusal:
    """What a refusal means, by its code. The guide lists only "the most significant", so unknown ones will come."""
    return REFUSALS.get(code or UNKNOWN.code, UNKNOWN)


def classify_message(text: str) -> Refusal:
    """Which documented upload error a text of step two is; `unknown` for any other."""
    folded = " ".join(text.split()).casefold()
    for prefix, refusal in _MESSAGES:
        if folded.startswith(prefix) and (prefix != "parameter " or " is not found in " in folded):
            return refusal
    return UNKNOWN
