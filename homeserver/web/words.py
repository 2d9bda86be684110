"""The words for everything that can happen to a file or a request, each with its code in small print.

The codes are those of the Personal Content API guide ("error codes", "content upload") and the general `-3`; `upload.*`
stands for the upload's messages, which have no code of their own; the other words are codes of our own errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from homeserver.model import BrowserLeg, Origin, StorageLeg, Upload


@dataclass(frozen=True, slots=True)
class Words:
    """What happened, and what one can do about it. Both are whole sentences."""

    title: str
    advice: str


_LATER: Final = "Send it again in a while; the file is kept here meanwhile."
_OPERATOR: Final = "Nothing you can do about it: tell the operator of this site."

STORAGE_WORDS: Final[Mapping[str, Words]] = MappingProxyType(
    {
        "PA003": Words("Mes Données does not accept this file's name.", "Give it another name and send it again."),
        "PA004": Words("Mes Données does not accept this file's size.", "An empty file cannot be stored."),
        "PA900": Words("Mes Données had a problem of its own.", _LATER),
        "MD113": Words(
            "Your Mes Données account has been deactivated.",
            "Only Orange can open it again: contact its customer service.",
        ),
        "MD327": Words(
            "There is not enough room in your Mes Données space for this file.", "Make room there, then send it again."
        ),
        "MD803": Words(
            "Your access to Mes Données is suspended.", "Only Orange can lift this: contact its customer service."
        ),
        "MD804": Words(
            "Your Mes Données space is not switched on yet.",
            "Orange asks you to activate it once, on its portal. We keep the file for you.",
        ),
        "-3": Words(
            "Orange asks whether this site may put files into your Mes Données space.",
            "Answer there, then come back. We keep the file for you.",
        ),
        "upload.tmp_create": Words("Mes Données could not make room for the file while receiving it.", _LATER),
        "upload.tmp_write": Words("Mes Données could not write the file down while receiving it.", _LATER),
        "upload.tmp_info": Words("Mes Données lost sight of the file while receiving it.", _LATER),
        "upload.no_content": Words("Mes Données received the file but could not keep it.", _LATER),
        "upload.failed": Words("Mes Données stopped while it was receiving the file.", _LATER),
        "upload.parameter": Words(
            "Mes Données did not recognise what this site sent.", "Send it again; if that fails too, tell the operator."
        ),
        "upload.method": Words("Mes Données refused how this site sends files.", _OPERATOR),
        "upload.preprocess": Words("Mes Données is not set up to receive files from this site.", _OPERATOR),
        "upload.postprocess": Words("Mes Données is not set up to finish files from this site.", _OPERATOR),
        "storage_paused": Words(
            "Mes Données lets nobody in from this site at the moment.",
            "Nothing you have to do: the operator is told, and your file is sent as soon as it does again.",
        ),
        "remote_unavailable": Words("Mes Données did not answer.", _LATER),
        "remote_garbage": Words("Mes Données gave an answer that this site cannot read.", _LATER),
        "remote_refused": Words("Mes Données did not accept how this site asks.", _OPERATOR),
        "spool_broken": Words("The copy that was kept here is damaged.", "Choose the file again."),
        "error": Words("Something went wrong on this site.", _LATER),
        "unknown": Words("Mes Données refused the file and gave a reason that this site does not know.", _LATER),
    }
)


def storage_words(code: str | None) -> Words:
    """The words for a code of the storage. The guide lists only "the most significant", so unknown ones will come."""
    return STORAGE_WORDS.get(code or "unknown", STORAGE_WORDS["unknown"])


@dataclass(frozen=True, slots=True)
class UploadWords:
    """How one upload is shown. `tone` is good, warn, bad or empty; `send` and `portal` are what the buttons say."""

    state: str
    tone: str
    line: str
    moving: bool = False
    send: str | None = None
    portal: str | None = None
    cancel: bool = False


_UNCERTAIN: Final = (
    "Mes Données did not answer after the last byte: the file may already be there. Look before you send it again."
)


_FOR_THE_NEXT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "PA003": "It can be sent under another name.",
        "MD327": "Once there is room, choose it again.",
    }
)
"""What is said of an upload that was refused before it had a file: the usual advice is about one that is kept."""

_PAUSED: Final = "storage_paused"

_GONE: Final = {
    StorageLeg.CANCELLED: "You cancelled it; no copy is kept here.",
    StorageLeg.EXPIRED: "It waited too long; no copy is kept here any more.",
}


def upload_words(upload: Upload) -> UploadWords:
    """What is said of an upload, and what may be done with it."""
    words = storage_words(upload.code) if upload.code else None
    line = f"{words.title} {words.advice}" if words else ""
    match upload.storage:
        case StorageLeg.STORED:
            where = f"content {upload.content_id}" if upload.content_id else "stored"
            return UploadWords("stored", "good", f"{where} in folder {upload.folder_id}" if upload.folder_id else where)
        case StorageLeg.CANCELLED | StorageLeg.EXPIRED:
            return UploadWords(upload.storage.value, "", _GONE[upload.storage])
        case StorageLeg.UNKNOWN:
            return UploadWords("uncertain", "warn", _UNCERTAIN, send="Send again", cancel=True)
        case StorageLeg.NEEDS_ACTIVATION:
            return UploadWords(
                "waiting for activation",
                "warn",
                line or _line("MD804"),
                send="I have activated it, send now",
                portal="Activate at Orange",
                cancel=True,
            )
        case StorageLeg.NEEDS_CONSENT:
            return UploadWords(
                "waiting for your consent",
                "warn",
                line or _line("-3"),
                send="I have answered, send now",
                portal="Answer at Orange",
                cancel=True,
            )
        case StorageLeg.NEEDS_SIGN_IN:
            said = "Your sign-in at Orange has ended. Sign in again, then send it; we keep the file for you."
            return UploadWords("waiting for your sign-in", "warn", said, send="Send now", cancel=True)
        case StorageLeg.OUT_OF_SPACE:
            return UploadWords(
                "no space",
                "bad",
                line or _line("MD327"),
                send="I have made room, send now",
                portal="Make room at Orange",
                cancel=True,
            )
        case StorageLeg.NEEDS_NAME:
            return UploadWords("waiting for another name", "bad", line or _line("PA003"), cancel=True)
        case StorageLeg.REFUSED:
            advice = _FOR_THE_NEXT.get(upload.code or "")
            return UploadWords("refused", "bad", f"{words.title} {advice}" if words and advice else line or _line(None))
        case StorageLeg.FAILED:
            return UploadWords("failed", "bad", line or _line(None), send="Send again", cancel=True)
        case StorageLeg.ASKING | StorageLeg.WAITING | StorageLeg.SENDING | StorageLeg.CLOSING:
            if upload.browser is not BrowserLeg.RECEIVED:
                return UploadWords(
                    "receiving",
                    "",
                    "On its way from you. If it has stopped, choose the same file again: it goes on.",
                    moving=True,
                    cancel=True,
                )
            earlier = f" Once more: {words.title}" if words else ""
            said = line if upload.code == _PAUSED else f"On its way to Mes Données.{earlier}"
            return UploadWords("sending", "", said, moving=True, cancel=upload.storage is not StorageLeg.CLOSING)


def _line(code: str | None) -> str:
    words = storage_words(code)
    return f"{words.title} {words.advice}"


@dataclass(frozen=True, slots=True)
class WaitingWords:
    """What is said once of all files that wait for the same. `still`: of what has not been done yet, after all."""

    title: str
    advice: str
    portal: str
    send: str
    still: str


WAITING_WORDS: Final[Mapping[StorageLeg, WaitingWords]] = MappingProxyType(
    {
        StorageLeg.NEEDS_ACTIVATION: WaitingWords(
            STORAGE_WORDS["MD804"].title,
            "Orange asks you to activate it once, on its portal. We keep your files meanwhile.",
            "Activate at Orange",
            "I have activated it, send now",
            "Orange says that it is not switched on yet.",
        ),
        StorageLeg.NEEDS_CONSENT: WaitingWords(
            STORAGE_WORDS["-3"].title,
            "Answer there, then come back. We keep your files meanwhile.",
            "Answer at Orange",
            "I have answered, send now",
            "Orange says that you have not allowed it.",
        ),
        StorageLeg.NEEDS_SIGN_IN: WaitingWords(
            "Your sign-in at Orange has ended.",
            "Sign in again, and your files go on. We keep them meanwhile.",
            "Sign in at Orange",
            "I have signed in, send now",
            "Orange does not accept your sign-in yet.",
        ),
    }
)


HEADINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "That could not be understood",
        401: "You are not signed in",
        403: "That is not allowed",
        404: "Nothing here",
        405: "That is not possible here",
        409: "Not in this state",
        410: "That is gone",
        412: "That is another version",
        413: "That is too large",
        415: "That is not taken here",
        423: "Somebody is at work on it",
        422: "Mes Données said no",
        429: "A little slower, please",
        460: "That was damaged on its way",
        502: "A service we depend on gave a wrong answer",
        503: "A service we depend on does not answer",
        507: "No room left here",
    }
)


ORIGIN_WORDS: Final[Mapping[Origin, str]] = MappingProxyType(
    {
        Origin.BASELINE: "already there when first read",
        Origin.READ: "seen in the network",
        Origin.SUBMITTED: "by the gadget",
        Origin.IMPORTED: "imported",
        Origin.VERIFIED: "imported, verified",
    }
)


def heading(status: int) -> str:
    """The headline of an error page."""
    return HEADINGS.get(status, "Something went wrong")
