"""The languages of the pages: which one a request gets, and how a text is said in it.

English is the source: a text in the code is the catalogue's key. The catalogues of the others lie as gettext's `.po`
in `homeserver/locale`; they are read once for a process, and nothing is compiled beforehand. What machines read (JSON
of the gadget and of `/admin/api/`, metrics, the CLI) stays English; so does every text where no request is answered.

A text may have holes by name, `%(name)s`; a percent sign is therefore written `%%`.
"""

from __future__ import annotations

import gettext as gnu
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, Final

from babel import Locale
from babel.messages import mofile, pofile

from homeserver.errors import BadSettings
from homeserver.paths import LOCALE

DOMAIN: Final = "homeserver"
SOURCE: Final = "en"
NAMES: Final[Mapping[str, str]] = MappingProxyType({SOURCE: "English", "pt-BR": "Português", "fr": "Français"})
"""By language tag, as a page and a cookie name it; each in its own words."""
_LOCALES: Final = {SOURCE: "en_GB", "pt-BR": "pt_BR", "fr": "fr"}
"""Dates in English are written day, month, year, and by the 24-hour clock, as in the two others."""
_MAX_RANGES: Final = 32


@dataclass(frozen=True, slots=True)
class Language:
    """One language with all its texts."""

    tag: str
    locale: Locale
    texts: gnu.NullTranslations
    in_scripts: Mapping[str, Mapping[str, tuple[str, ...]]]
    """For each file of `static/`, the texts in it: what stands in the code, to what is said (one form, or each)."""
    singular_of_zero: bool
    """Whether none is said as one is, and not as many are."""

    @property
    def name(self) -> str:
        return NAMES[self.tag]

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`, as HTML's `dir`."""
        return str(self.locale.text_direction)

    def words_of(self, stem: str) -> dict[str, Any]:
        """What the scripts whose names begin with `stem` have to say, as `static/words.js` reads it."""
        found = {
            key: said for name, words in self.in_scripts.items() if name.startswith(stem) for key, said in words.items()
        }
        marks = self.locale.number_symbols["latn"]
        return {
            "language": str(self.locale).replace("_", "-"),
            "ones": [0, 1] if self.singular_of_zero else [1],
            "marks": {",": marks["group"], ".": marks["decimal"]},
            "texts": found,
        }


@cache
def all_languages() -> Mapping[str, Language]:
    """All languages by their tag, English first; what is read once is kept.

    Raises:
        BadSettings: A catalogue is missing: the installation is not whole.
    """
    return MappingProxyType({tag: _read(tag) for tag in NAMES})


def _read(tag: str) -> Language:
    locale = Locale.parse(_LOCALES[tag])
    if tag == SOURCE:
        return Language(tag, locale, gnu.NullTranslations(), {}, singular_of_zero=False)
    path = LOCALE / _LOCALES[tag] / f"{DOMAIN}.po"
    try:
        with path.open("rb") as file:
            catalog = pofile.read_po(file, locale=_LOCALES[tag], domain=DOMAIN, charset="utf-8")
    except OSError as error:
        raise BadSettings(f"the texts of {tag} cannot be read: {error}") from error
    compiled = io.BytesIO()
    mofile.write_mo(compiled, catalog)
    compiled.seek(0)
    texts = gnu.GNUTranslations(compiled)
    in_scripts: dict[str, dict[str, tuple[str, ...]]] = {}
    for message in catalog:
        said = _forms(message.string)
        for place, _ in message.locations:
            if place.startswith("static/") and all(said):
                in_scripts.setdefault(place.removeprefix("static/"), {})[_forms(message.id)[0]] = said
    return Language(tag, locale, texts, in_scripts, singular_of_zero="n > 1" in catalog.plural_expr)


def _forms(texts: str | Sequence[str | None] | None) -> tuple[str, ...]:
    """The forms of a text by number, as strings; the catalogue's reader has them in several shapes."""
    return (texts,) if isinstance(texts, str) else tuple(each or "" for each in texts or ("",))


# --- the language of what is being answered -------------------------------------------------------------------------

_CURRENT: Final[ContextVar[Language]] = ContextVar("language")


def current() -> Language:
    """The language of the request that is being answered; English where there is none."""
    return _CURRENT.get(None) or all_languages()[SOURCE]


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """What is said inside is said in this language."""
    before = _CURRENT.set(language)
    try:
        yield
    finally:
        _CURRENT.reset(before)


def gettext(text: str, **holes: object) -> str:
    """A text in the current language, its holes filled."""
    return translated(text) % holes


def ngettext(one: str, many: str, n: int, **holes: object) -> str:
    """The same of one, or of many: by `n`, which fills the hole `%(n)s` unless another value does."""
    return ntranslated(one, many, n) % {"n": n, **holes}


def translated(text: str) -> str:
    """A text in the current language, with its holes: what templates fill by themselves, escaped."""
    return current().texts.gettext(text)


def ntranslated(one: str, many: str, n: int) -> str:
    """The form for `n`, with its holes."""
    return current().texts.ngettext(one, many, n)


def N_(text: str) -> str:  # noqa: N802 - gettext's own name for it
    """Marks a text for the catalogue; it is said later, by `gettext`."""
    return text


# --- the language that somebody wants -------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def negotiated(accepted: str) -> Language:
    """The first of a browser's languages that is spoken here, by `Accept-Language` (RFC 9110, 12.5.4); else English.

    Any Portuguese is served by the Brazilian one, any French by the French one.
    """
    wanted: list[tuple[float, str]] = []
    for each in accepted.split(",")[:_MAX_RANGES]:
        name, _, parameter = each.partition(";")
        quality = _quality(parameter)
        if quality > 0:
            wanted.append((quality, name.strip().lower()))
    for _, name in sorted(wanted, key=lambda each: -each[0]):  # stable: of equals, what was named first
        for tag, language in all_languages().items():
            if name == "*" or name.partition("-")[0] == tag.partition("-")[0]:
                return language
    return all_languages()[SOURCE]


def _quality(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
