"""The words for everything that can happen to a file or a request, each with its code in small print.

The codes are those of the Personal Content API guide ("error codes", "content upload") and the general `-3`; `upload.*`
stands for the upload's messages, which have no code of their own; the other words are codes of our own errors.

The tables are in English, as the catalogues know their texts; the functions say them in the language of the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from homeserver.model import BrowserLeg, Origin, StorageLeg, Upload
from homeserver.web.languages import N_, gettext


@dataclass(frozen=True, slots=True)
class Words:
    """What happened, and what one can do about it. Both are whole sentences."""

    title: str
    advice: str


_LATER: Final = N_("Send it again in a while; the file is kept here meanwhile.")
_OPERATOR: Final = N_("Nothing you can do about it: tell the operator of this site.")

STORAGE_WORDS: Final[Mapping[str, Words]] = MappingProxyType(
    {
        "PA003": Words(
            N_("Mes Données does not accept this file's name."), N_("Give it another name and send it again.")
        ),
        "PA004": Words(N_("Mes Données does not accept this file's size."), N_("An empty file cannot be stored.")),
        "PA900": Words(N_("Mes Données had a problem of its own."), _LATER),
        "MD113": Words(
            N_("Your Mes Données account has been deactivated."),
            N_("Only Orange can open it again: contact its customer service."),
        ),
        "MD327": Words(
            N_("There is not enough room in your Mes Données space for this file."),
            N_("Make room there, then send it again."),
        ),
        "MD803": Words(
            N_("Your access to Mes Données is suspended."),
            N_("Only Orange can lift this: contact its customer service."),
        ),
        "MD804": Words(
            N_("Your Mes Données space is not switched on yet."),
            N_("Orange asks you to activate it once, on its portal. We keep the file for you."),
        ),
        "-3": Words(
            N_("Orange asks whether this site may put files into your Mes Données space."),
            N_("Answer there, then come back. We keep the file for you."),
        ),
        "upload.tmp_create": Words(N_("Mes Données could not make room for the file while receiving it."), _LATER),
        "upload.tmp_write": Words(N_("Mes Données could not write the file down while receiving it."), _LATER),
        "upload.tmp_info": Words(N_("Mes Données lost sight of the file while receiving it."), _LATER),
        "upload.no_content": Words(N_("Mes Données received the file but could not keep it."), _LATER),
        "upload.failed": Words(N_("Mes Données stopped while it was receiving the file."), _LATER),
        "upload.parameter": Words(
            N_("Mes Données did not recognise what this site sent."),
            N_("Send it again; if that fails too, tell the operator."),
        ),
        "upload.method": Words(N_("Mes Données refused how this site sends files."), _OPERATOR),
        "upload.preprocess": Words(N_("Mes Données is not set up to receive files from this site."), _OPERATOR),
        "upload.postprocess": Words(N_("Mes Données is not set up to finish files from this site."), _OPERATOR),
        "storage_paused": Words(
            N_("Mes Données lets nobody in from this site at the moment."),
            N_("Nothing you have to do: the operator is told, and your file is sent as soon as it does again."),
        ),
        "remote_unavailable": Words(N_("Mes Données did not answer."), _LATER),
        "remote_garbage": Words(N_("Mes Données gave an answer that this site cannot read."), _LATER),
        "remote_refused": Words(N_("Mes Données did not accept how this site asks."), _OPERATOR),
        "spool_broken": Words(N_("The copy that was kept here is damaged."), N_("Choose the file again.")),
        "error": Words(N_("Something went wrong on this site."), _LATER),
        "unknown": Words(N_("Mes Données refused the file and gave a reason that this site does not know."), _LATER),
    }
)


def storage_words(code: str | None) -> Words:
    """The words for a code of the storage. The guide lists only "the most significant", so unknown ones will come."""
    words = STORAGE_WORDS.get(code or "unknown", STORAGE_WORDS["unknown"])
    return Words(gettext(words.title), gettext(words.advice))


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


_UNCERTAIN: Final = N_(
    "Mes Données did not answer after the last byte: the file may already be there. Look before you send it again."
)


_FOR_THE_NEXT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "PA003": N_("It can be sent under another name."),
        "MD327": N_("Once there is room, choose it again."),
    }
)
"""What is said of an upload that was refused before it had a file: the usual advice is about one that is kept."""

_PAUSED: Final = "storage_paused"


_GONE: Final = {
    StorageLeg.CANCELLED: (N_("cancelled"), N_("You cancelled it; no copy is kept here.")),
    StorageLeg.EXPIRED: (N_("expired"), N_("It waited too long; no copy is kept here any more.")),
}


def upload_words(upload: Upload) -> UploadWords:
    """What is said of an upload, and what may be done with it."""
    words = storage_words(upload.code) if upload.code else None
    line = f"{words.title} {words.advice}" if words else ""
    match upload.storage:
        case StorageLeg.STORED:
            return UploadWords(gettext("stored"), "good", _where(upload))
        case StorageLeg.CANCELLED | StorageLeg.EXPIRED:
            state, said = _GONE[upload.storage]
            return UploadWords(gettext(state), "", gettext(said))
        case StorageLeg.UNKNOWN:
            return UploadWords(
                gettext("uncertain"), "warn", gettext(_UNCERTAIN), send=gettext("Send again"), cancel=True
            )
        case StorageLeg.NEEDS_ACTIVATION:
            return UploadWords(
                gettext("waiting for activation"),
                "warn",
                line or _line("MD804"),
                send=gettext("I have activated it, send now"),
                portal=gettext("Activate at Orange"),
                cancel=True,
            )
        case StorageLeg.NEEDS_CONSENT:
            return UploadWords(
                gettext("waiting for consent"),
                "warn",
                line or _line("-3"),
                send=gettext("I have answered, send now"),
                portal=gettext("Answer at Orange"),
                cancel=True,
            )
        case StorageLeg.NEEDS_SIGN_IN:
            said = gettext("Your sign-in at Orange has ended. Sign in again, then send it; we keep the file for you.")
            return UploadWords(gettext("waiting for sign-in"), "warn", said, send=gettext("Send now"), cancel=True)
        case StorageLeg.OUT_OF_SPACE:
            return UploadWords(
                gettext("no space"),
                "bad",
                line or _line("MD327"),
                send=gettext("I have made room, send now"),
                portal=gettext("Make room at Orange"),
                cancel=True,
            )
        case StorageLeg.NEEDS_NAME:
            return UploadWords(gettext("waiting for another name"), "bad", line or _line("PA003"), cancel=True)
        case StorageLeg.REFUSED:
            advice = _FOR_THE_NEXT.get(upload.code or "")
            said = f"{words.title} {gettext(advice)}" if words and advice else line or _line(None)
            return UploadWords(gettext("refused"), "bad", said)
        case StorageLeg.FAILED:
            return UploadWords(gettext("failed"), "bad", line or _line(None), send=gettext("Send again"), cancel=True)
        case StorageLeg.ASKING | StorageLeg.WAITING | StorageLeg.SENDING | StorageLeg.CLOSING:
            if upload.browser is not BrowserLeg.RECEIVED:
                return UploadWords(
                    gettext("receiving"),
                    "",
                    gettext("On its way from you. If it has stopped, choose the same file again: it goes on."),
                    moving=True,
                    cancel=True,
                )
            said = line if upload.code == _PAUSED else _sending(words)
            cancel = upload.storage is not StorageLeg.CLOSING
            return UploadWords(gettext("sending"), "", said, moving=True, cancel=cancel)


def _where(upload: Upload) -> str:
    """Where the storage has put it, by the numbers that it gave."""
    if not upload.content_id:
        return gettext("stored")
    if not upload.folder_id:
        return gettext("content %(content)s", content=upload.content_id)
    return gettext("content %(content)s in folder %(folder)s", content=upload.content_id, folder=upload.folder_id)


def _sending(earlier: Words | None) -> str:
    if earlier is None:
        return gettext("On its way to Mes Données.")
    return gettext("On its way to Mes Données. Once more: %(reason)s", reason=earlier.title)


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
            N_("Orange asks you to activate it once, on its portal. We keep your files meanwhile."),
            N_("Activate at Orange"),
            N_("I have activated it, send now"),
            N_("Orange says that it is not switched on yet."),
        ),
        StorageLeg.NEEDS_CONSENT: WaitingWords(
            STORAGE_WORDS["-3"].title,
            N_("Answer there, then come back. We keep your files meanwhile."),
            N_("Answer at Orange"),
            N_("I have answered, send now"),
            N_("Orange says that you have not allowed it."),
        ),
        StorageLeg.NEEDS_SIGN_IN: WaitingWords(
            N_("Your sign-in at Orange has ended."),
            N_("Sign in again, and your files go on. We keep them meanwhile."),
            N_("Sign in at Orange"),
            N_("I have signed in, send now"),
            N_("Orange does not accept your sign-in yet."),
        ),
    }
)


def waiting_words(leg: StorageLeg) -> WaitingWords:
    """What is said of the files in one of these legs."""
    words = WAITING_WORDS[leg]
    return WaitingWords(*(gettext(text) for text in (words.title, words.advice, words.portal, words.send, words.still)))


HEADINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: N_("That could not be understood"),
        401: N_("You are not signed in"),
        403: N_("That is not allowed"),
        404: N_("Nothing here"),
        405: N_("That is not possible here"),
        409: N_("Not in this state"),
        410: N_("That is gone"),
        412: N_("That is another version"),
        413: N_("That is too large"),
        415: N_("That is not taken here"),
        423: N_("Somebody is at work on it"),
        422: N_("Mes Données said no"),
        429: N_("A little slower, please"),
        460: N_("That was damaged on its way"),
        502: N_("A service we depend on gave a wrong answer"),
        503: N_("A service we depend on does not answer"),
        507: N_("No room left here"),
    }
)
_ANY_HEADING: Final = N_("Something went wrong")


ORIGIN_WORDS: Final[Mapping[Origin, str]] = MappingProxyType(
    {
        Origin.BASELINE: N_("already there when first read"),
        Origin.READ: N_("seen in the network"),
        Origin.SUBMITTED: N_("by the gadget"),
        Origin.IMPORTED: N_("imported"),
        Origin.VERIFIED: N_("imported, verified"),
    }
)


def heading(status: int) -> str:
    """The headline of an error page."""
    return gettext(HEADINGS.get(status, _ANY_HEADING))


def origin_words(origin: Origin) -> str:
    """How a score came here."""
    return gettext(ORIGIN_WORDS[origin])
