"""Gather the texts of templates, Python and scripts into the catalogues of homeserver/locale. Run by `make texts`.

Writes the template `homeserver.pot`, and brings each language's `.po` up to it: what is new waits there without a
translation, what is gone is taken out. Places are files without lines, so that moving a text changes nothing.
"""

from __future__ import annotations

# ruff: noqa: T201 - it speaks to the one who called it
import contextlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

ROOT: Final = Path(__file__).resolve().parent.parent
LOCALES: Final = ROOT / "homeserver" / "locale"
TEMPLATE: Final = LOCALES / "homeserver.pot"
LANGUAGES: Final = ("pt_BR", "fr")

_JINJA: Final = "jinja2.ext:babel_extract"
_JINJA_OPTIONS: Final = {"newstyle_gettext": "true", "trimmed": "true", "trim_blocks": "true", "silent": "false"}
_PYTHON_WORDS: Final[dict[str, Any]] = {"gettext": None, "ngettext": (1, 2), "N_": None}
_SCRIPT_WORDS: Final[dict[str, Any]] = {"_": None, "_n": (1, 2), "_both": (1, 2)}
# What an error says is shown on the page of the error: its class marks a text as `gettext` does. One that is put
# together from parts is shown in English, or said by its kind.
_ERRORS: Final = ("BadInput", "TooLarge", "NotSignedIn", "Forbidden", "NotFound", "Conflict", "Locked", "TooMany")
_SHOWN_ERRORS: Final = (
    *("homeserver/web/*.py", "homeserver/services/page_sessions.py", "homeserver/services/sign_in.py"),
    *("homeserver/services/own_data.py", "homeserver/services/limits.py", "homeserver/services/upload*.py"),
)
_HEADER: Final = ("msgid", "msgstr", '"Language:', '"Plural-Forms:', '"MIME-Version:', '"Content-T', "#")
"""What is kept of a catalogue's head: dates and names are in the history of the repository."""


def messages() -> Iterator[tuple[str, Any, Any]]:
    """Place, text (or its two forms) and comments of each text, in the order of files."""
    for path in sorted((ROOT / "templates").glob("*.html")):
        yield from _found(path, _JINJA, {"_": None, "gettext": None, "ngettext": (1, 2)}, _JINJA_OPTIONS)
    for path in sorted((ROOT / "homeserver" / "web").rglob("*.py")):
        yield from _found(path, "python", _PYTHON_WORDS, {})
    for path in sorted({path for pattern in _SHOWN_ERRORS for path in ROOT.glob(pattern)}):
        yield from _found(path, "python", dict.fromkeys(_ERRORS), {})
    for path in sorted([*(ROOT / "static").glob("*.js"), *(ROOT / "static" / "gadget").glob("*.js")]):
        yield from _found(path, "javascript", _SCRIPT_WORDS, {})


def _found(
    path: Path, method: str, words: dict[str, Any], options: dict[str, str]
) -> Iterator[tuple[str, Any, Iterable[str]]]:
    place = path.relative_to(ROOT).as_posix()
    # What Babel says of f-strings is known: see _ERRORS.
    with path.open("rb") as file, contextlib.redirect_stderr(io.StringIO()):
        for _, text, comments, _ in extract(method, file, words, ("Translators:",), options, strip_comment_tags=True):
            # From Python 3.12 on, what stands inside of an f-string's braces is found too: ", " is no text for people.
            if not isinstance(text, str) or any(map(str.isalpha, text)):
                yield place, text, comments


def gathered() -> Catalog:
    """The template: every text with its places."""
    catalog = Catalog(project="homeserver", copyright_holder="homeserver", charset="utf-8", fuzzy=False)
    catalog.header_comment = "# The texts of homeserver's pages, in English. Written by `make texts`."
    for place, text, comments in messages():
        catalog.add(text, None, [(place, None)], auto_comments=comments)  # type: ignore[list-item]
    return catalog


def written(catalog: Catalog) -> bytes:
    """A catalogue as its file holds it."""
    file = io.BytesIO()
    write_po(file, catalog, width=120, sort_output=False, include_lineno=False, ignore_obsolete=True)
    head, _, rest = file.getvalue().decode().partition("\n\n")
    kept = "\n".join(line for line in head.splitlines() if line.startswith(_HEADER))
    return f"{kept}\n\n{rest}".rstrip("\n").encode() + b"\n"


def brought_up_to(template: Catalog, language: str) -> Catalog:
    """A language's catalogue with exactly the texts of the template."""
    path = LOCALES / language / "homeserver.po"
    with path.open("rb") as file:
        catalog = read_po(file, locale=language, charset="utf-8")
    catalog.update(template, no_fuzzy_matching=True, update_creation_date=False)
    return catalog


def main() -> None:
    """Write them all."""
    template = gathered()
    TEMPLATE.write_bytes(written(template))
    for language in LANGUAGES:
        catalog = brought_up_to(template, language)
        (LOCALES / language / "homeserver.po").write_bytes(written(catalog))
        missing = sum(not all(m.string if isinstance(m.string, tuple) else (m.string,)) for m in catalog if m.id)
        print(f"{language}: {len(catalog)} texts, {missing} without a translation")


if __name__ == "__main__":
    main()
