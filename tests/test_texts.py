"""Everything that people read is in the catalogues, in every language, and says the same there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import jinja2
import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po
from jinja2 import nodes

from scripts.texts import LANGUAGES, LOCALES, TEMPLATE, brought_up_to, gathered, written

ROOT: Final = Path(__file__).resolve().parent.parent
TEMPLATES: Final = sorted((ROOT / "templates").glob("*.html"))
WEB_MODULES: Final = sorted((ROOT / "homeserver" / "web").rglob("*.py"))
SCRIPTS: Final = sorted([*(ROOT / "static").glob("*.js"), *(ROOT / "static" / "gadget").glob("*.js")])

_HOLE: Final = re.compile(r"%(?:\((\w+)\)s|%|.)")
_TAG: Final = re.compile(r"</?[a-z][^>]*>")
_WORD: Final = re.compile(r"[^\W\d_]{2,}")


def catalog(language: str) -> Catalog:
    with (LOCALES / language / "homeserver.po").open("rb") as file:
        return read_po(file, locale=language, charset="utf-8")


def forms(texts: str | Sequence[str | None] | None) -> list[str]:
    return [texts] if isinstance(texts, str) else [each or "" for each in texts or ("",)]


# --- the catalogues -------------------------------------------------------------------------------------------------


def test_the_catalogues_have_the_texts_that_the_code_has() -> None:
    """`make texts` would change nothing."""
    template = gathered()
    assert TEMPLATE.read_bytes() == written(template)
    for language in LANGUAGES:
        assert (LOCALES / language / "homeserver.po").read_bytes() == written(brought_up_to(template, language))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated_and_keeps_its_holes_and_tags(language: str) -> None:
    wrong = [message.id for message in catalog(language) if message.id and not is_faithful(message)]
    assert wrong == []


def is_faithful(message: Message) -> bool:
    """Whether every form is there, fills the same holes, and has the same tags; the singular may leave out the number.

    In a script, `%{...}` is for Uppy; it never stands in the catalogue.
    """
    sources, translations = forms(message.id), forms(message.string)
    if len(sources) != len(translations):
        return False
    for source, said in zip(sources, translations, strict=True):
        if not said.strip() or said != said.strip():
            return False
        if sorted(map(str, _HOLE.findall(said))) != sorted(map(str, _HOLE.findall(source))):
            return False
        if sorted(_TAG.findall(said)) != sorted(_TAG.findall(source)) or "%{" in said:
            return False
    return True


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("%(a)s of %(b)s", "%(a)s de %(a)s"),
        ("%(a)s of %(b)s", "%(a)s"),
        ("all", ""),
        ("<b>all</b>", "tous"),
        (("%(n)s file", "%(n)s files"), ("%(n)s fichier", "fichiers")),
        (("%(n)s file", "%(n)s files"), ("%(n)s fichier",)),
    ],
)
def test_what_an_unfaithful_translation_is(source: str | tuple[str, ...], said: str | tuple[str, ...]) -> None:
    assert is_faithful(Message(source, source))
    assert not is_faithful(Message(source, said))


# --- texts of templates ---------------------------------------------------------------------------------------------

_READ_ALOUD: Final = frozenset({"alt", "aria-label", "aria-description", "placeholder", "title", "content", "label"})
_NOT_READ: Final = frozenset({"width=device-width, initial-scale=1", "light dark", "noindex", "no-referrer"})
_UNSPOKEN_TAGS: Final = frozenset({"code", "script", "style"})
_NAMES: Final = frozenset({"Mes Données", "Orange", "CSV", "JSON", "ID", "UTC"})


class _Texts(HTMLParser):
    """Collects what a page would show or read aloud."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._unspoken = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unspoken += tag in _UNSPOKEN_TAGS
        self.found += [value for name, value in attrs if name in _READ_ALOUD and value and value not in _NOT_READ]

    def handle_endtag(self, tag: str) -> None:
        self._unspoken -= tag in _UNSPOKEN_TAGS

    def handle_data(self, data: str) -> None:
        if not self._unspoken:
            self.found.append(data)


def bare_texts(source: str) -> list[str]:
    """What a template shows without asking the catalogue: its own text, and constants that it writes."""
    environment = jinja2.Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    environment.filters |= dict.fromkeys(re.findall(r"\|\s*(\w+)", source), str)
    page = _Texts()
    page.feed("".join(shown(environment.parse(source))))
    page.close()
    return [text.strip() for text in page.found if _WORD.search(text) and text.strip() not in _NAMES]


def shown(tree: nodes.Node) -> Iterator[str]:
    """The text of a template in its order; what comes from elsewhere is a blank."""
    for node in tree.iter_child_nodes():
        match node:
            case nodes.Output():
                for part in node.nodes:
                    yield from _written(part)
            case nodes.Expr():
                pass
            case _:
                yield from shown(node)


def _written(part: nodes.Node) -> Iterator[str]:
    match part:
        case nodes.TemplateData(data=text):
            yield text
        case nodes.Const(value=str(text)):
            yield text
        case nodes.CondExpr(expr1=one, expr2=other):
            yield from _written(one)
            yield from _written(other) if other is not None else ()
        case nodes.Filter(node=nodes.Node() as inner) | nodes.Or(left=inner):
            yield from _written(inner)
            if isinstance(part, nodes.Or):
                yield from _written(part.right)
        case nodes.Concat() | nodes.Add():
            for each in part.iter_child_nodes():
                yield from _written(each)
        case _:
            yield " "


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_shows_a_text_of_its_own(path: Path) -> None:
    assert bare_texts(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>Hello</p>", ["Hello"]),
        ("<p>{{ _('Hello') }} {{ n }}</p>", []),
        ("<p>{% trans %}Hello{% endtrans %}</p>", []),
        ("<p>{{ 'Hello' if n else _('Bye') }}</p>", ["Hello"]),
        ("<p>{{ n or 'Hello' }}</p>", ["Hello"]),
        ("<p>{{ 'Hello' | upper }}</p>", ["Hello"]),
        ("<img alt='Hello'><i title=\"{{ 'Bye' }}\"></i>", ["Hello", "Bye"]),
        ("<i class=\"{{ 'mine' if n }}\"></i><code>uname</code>", []),
        (
            "{% macro m(a) %}<b>Deep</b>{% endmacro %}{% if n %}{% for a in n %}down{% endfor %}{% endif %}",
            ["Deep", "down"],
        ),
    ],
)
def test_what_a_text_of_its_own_is(source: str, found: list[str]) -> None:
    assert bare_texts(source) == found


# --- texts of modules -----------------------------------------------------------------------------------------------

_MARKS: Final = frozenset({"gettext", "ngettext", "N_"})
_SENTENCE: Final = re.compile(r"[^\W\d_]{2,}[,:;]? [^\W\d_]+")
# Documents for programs and their writers, and headers: none of it is on a page.
_FOR_MACHINES: Final = frozenset(
    {"openapi.py", "admin_openapi.py", "gadget.py", "metrics.py", "security.py", "health.py"}
)
_LOGGED_OR_RAISED: Final = re.compile(r"_?log(\.\w+)?|log|[A-Z]\w+")
# Headers; the title of a site that has none; the name that a protocol gives to a status.
_NO_SENTENCES: Final = frozenset(
    {"Authorization, Content-Type", "public, max-age=31536000, immutable", "Home server", "Checksum Mismatch"}
    | {'attachment; filename="my-data.json"', 'attachment; filename="'}
    # What the log says, in one language for all who read it.
    | {"takes back act ", "takes back task "}
)


def sentences(tree: ast.Module) -> list[str]:
    """Texts of more than a word that ask no catalogue: neither marked, nor docstrings, nor in a log or an error.

    What an error says is looked up when it is shown; the extraction knows the classes.
    """
    excused = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in _MARKS or _LOGGED_OR_RAISED.fullmatch(name):
                excused |= {id(each) for argument in node.args for each in _constants(argument, name in _MARKS)}
                excused |= {id(each.value) for each in node.keywords} if name not in _MARKS else set()
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in excused
        and _SENTENCE.search(node.value)
        and node.value not in _NO_SENTENCES
    ]


def _constants(argument: ast.expr, is_marked: bool) -> Iterator[ast.AST]:
    """The constants that a call excuses: a marked text, or the message of an error, put together or not."""
    if isinstance(argument, ast.Constant):
        yield argument
    elif isinstance(argument, ast.JoinedStr) and not is_marked:
        yield from argument.values


@pytest.mark.parametrize(
    "path", [path for path in WEB_MODULES if path.name not in _FOR_MACHINES], ids=lambda path: path.name
)
def test_no_module_of_the_pages_has_a_sentence_of_its_own(path: Path) -> None:
    assert sentences(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_every_marked_text_of_the_modules_is_in_the_template() -> None:
    """A call inside of another, or a text put together, is something that the extraction passes over."""
    known = {form for message in gathered() if message.id for form in forms(message.id)}
    missed, unreadable = [], []
    for path in WEB_MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MARKS:
                for argument in node.args[: 2 if node.func.id == "ngettext" else 1]:
                    match argument:
                        case ast.Constant(value=str(text)):
                            missed += [text] if text not in known else []
                        case ast.JoinedStr() | ast.BinOp():
                            unreadable.append(f"{path.name}:{node.lineno}")
    assert (missed, unreadable) == ([], [])


# --- texts of scripts -----------------------------------------------------------------------------------------------

_SAID: Final = re.compile(r"^\W*[A-Z][a-z]{2,}|(?:[^\W\d_]+[,:;]? ){2,}[^\W\d_]+|[a-z][.!?…]$")
_TOKEN: Final = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | `(?:\\.|[^`\\])*`
      | (?<=[(=,:\[!&|?;])\s*/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\n])+/[a-z]* | [\w$]+ | \S""",
    re.VERBOSE | re.DOTALL,
)
# The gadget has its own words; names of headers, keys and events are no texts.
_NO_TEXT: Final = frozenset(
    {"Accept", "Authorization", "Dashboard", "Space", "Enter", "Escape", "Home", "End", "Tab", "Bearer", "EventSource"}
)
_KEYS: Final = re.compile(r"uploads of this tab|button( \w+)+|[A-Z]\w+-\w[\w-]*")


def bare_strings(source: str) -> list[str]:
    """Strings and templates of a script that look like texts and are not said by `_` or `_n`."""
    found, before = [], ["", ""]
    for token in _TOKEN.findall(source):
        if token[0] in "\"'`" and len(token) > 1:
            text = token[1:-1]
            is_said = (before[-1] == "(" and before[-2] in {"_", "_n", "_both"}) or _many_of(before)
            is_text = _SAID.search(re.sub(r"\$\{[^}]*\}", "0", text)) and text not in _NO_TEXT
            if is_text and not is_said and not _KEYS.fullmatch(text):
                found.append(text)
        if not token.startswith(("//", "/*")):
            before.append(token)
    return found


def _many_of(before: list[str]) -> bool:
    """Whether the next token is the second text of `_n(` or `_both(`."""
    return before[-1] == "," and before[-3:-2] == ["("] and before[-4:-3] in (["_n"], ["_both"])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_has_a_text_of_its_own(path: Path) -> None:
    if path.name == "gadget.js" and "_(" not in path.read_text(encoding="utf-8"):
        pytest.skip("the gadget does not speak yet")
    assert bare_strings(path.read_text(encoding="utf-8")) == []


def test_what_a_text_of_a_script_is() -> None:
    source = """
    say("Too late."); say(_("Too late.")); say(_n("one file", "many files", n)); say(`${n} files are here`);
    on("keydown", "Enter"); headers = { Accept: "application/json" }; say("Remove");
    """
    assert bare_strings(source) == ["Too late.", "${n} files are here", "Remove"]
