"""The layers: which part of homeserver may know which other, held by walking every import.

errors, model
protocol | domain        pure; neither knows the other
clients  | storage       I/O; neither knows the other
services                 use cases; no aiohttp, no SQL
web                      errors, model, services, protocol (gadget..., tus, saml), itself
sandbox                  beside the stack: errors, model, itself
wiring, config, cli      see everything
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

PACKAGE: Final = Path(__file__).resolve().parent.parent / "homeserver"

WORDS: Final = frozenset({"errors", "model"})

# The first name below `homeserver` is a module's room. What each room may import, as rooms or as modules of rooms;
# `errors` and `model` stand on one line of the table, so neither imports the other. Where files lie (`paths`) is for
# those who read files.
MAY_IMPORT: Final[dict[str, frozenset[str]]] = {
    "errors": frozenset(),
    "model": frozenset({"model"}),
    "paths": frozenset(),
    "protocol": WORDS | {"protocol"},
    "domain": WORDS | {"domain"},
    "clients": WORDS | {"protocol", "domain", "clients"},
    "storage": WORDS | {"protocol", "domain", "storage", "paths"},
    "services": WORDS | {"protocol", "domain", "clients", "storage", "services"},
    "web": WORDS
    | {
        "protocol.admin_answers",
        "protocol.gadget",
        "protocol.gadget_queries",
        "protocol.gadget_spec",
        "protocol.tus",
        "protocol.saml",
    }
    | {"services", "web", "paths"},
    "sandbox": WORDS | {"sandbox"},
}
# wiring, config, cli, and the modules that these are cut into.
SEE_EVERYTHING: Final = frozenset(
    {
        "wiring",
        "config",
        "config_example",
        "config_shown",
        "cli",
        "__main__",
        "boards_command",
        "demo",
        "doctor",
        "logs",
        "players_command",
        "progress",
        "serving",
    }
    | {
        "appdata_command",
        "cli_admin",
        "cli_appdata",
        "cli_office",
        "cli_operate",
        "office_command",
        "operate_command",
        "sync_command",
        "walk",
        "wiring_admin",
    }
)
# The package itself holds its version and imports nothing.
PACKAGE_ROOM: Final = ""

WEB_LIBRARIES: Final = frozenset({"aiohttp", "aiohttp_jinja2", "aiohttp_sse", "requests", "httpx", "urllib3"})
DATABASE_LIBRARIES: Final = frozenset({"sqlalchemy", "sqlite3", "aiosqlite", "asyncpg", "alembic"})
# Input and output, clocks, chance, and whatever runs beside the caller.
IMPURE: Final = (
    WEB_LIBRARIES
    | DATABASE_LIBRARIES
    | frozenset({"asyncio", "uvloop", "threading", "concurrent", "multiprocessing", "subprocess", "contextvars"})
    | frozenset({"sched", "signal", "select", "selectors", "socket", "ssl", "socketserver", "queue"})
    | frozenset({"http.client", "http.server", "urllib.request", "ftplib", "smtplib"})
    | frozenset({"time", "random", "secrets", "uuid", "importlib", "locale", "getpass", "warnings"})
    | frozenset({"os", "sys", "pathlib", "shutil", "tempfile", "glob", "fileinput", "mmap", "fcntl", "io.open"})
    | frozenset({"logging", "structlog"})
)
MAY_NOT_USE: Final[dict[str, frozenset[str]]] = {
    "errors": IMPURE,
    "model": IMPURE,
    "protocol": IMPURE,
    "domain": IMPURE,
    "clients": DATABASE_LIBRARIES,
    "storage": WEB_LIBRARIES,
    "services": WEB_LIBRARIES | DATABASE_LIBRARIES,
    "web": DATABASE_LIBRARIES,
}
PURE: Final = frozenset({"errors", "model", "protocol", "domain"})
# Calls that reach the world without an import that the table would see.
IMPURE_BUILTINS: Final = frozenset({"open", "print", "input", "exec", "eval", "__import__", "breakpoint"})
CLOCK_METHODS: Final = frozenset({"now", "utcnow", "today"})
CLOCK_CLASSES: Final = frozenset({"datetime", "date"})

WRITES_SQL: Final = frozenset({"storage"}) | SEE_EVERYTHING
SQL: Final = re.compile(
    r"""\s* (?: SELECT\b .+ \bFROM\b | SELECT\s+(?:1|count|max|min|exists)\b | INSERT\s+(?:OR\s+\w+\s+)?INTO\b
              | UPDATE\s+\S+\s+SET\b | DELETE\s+FROM\b | (?:CREATE|ALTER|DROP)\s+(?:UNIQUE\s+)?(?:TABLE|INDEX|SCHEMA)\b
              | WITH\s+(?:RECURSIVE\s+)?\w+\s*(?:\([^)]*\)\s*)?AS\b | PRAGMA\s+\w+ | BEGIN\s+IMMEDIATE )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def room_of(module: str) -> str:
    """The first name below the package: "protocol" for homeserver.protocol.oauth1."""
    return module.split(".")[1] if "." in module else PACKAGE_ROOM


def imports(module: str, tree: ast.Module, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and full name of all that a module imports, wherever in it: relative ones, and those by importlib, too."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=source, names=names, level=level):
                base = source or ""
                if level:
                    here = module.split(".")
                    above = here[: len(here) - level + is_package]
                    base = ".".join([*above, *([source] if source else [])])
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def is_under(name: str, tops: frozenset[str]) -> bool:
    """Whether a dotted name is one of these or lies below one."""
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every text in the code that is no docstring or other bare statement; the holes of an f-string hold an x."""
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in bare or id(node) in parts:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values),
            )


def impure_calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Calls of builtins that do input or output, and of the classes of datetime that read the clock."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_BUILTINS:
                yield node.lineno, name
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name):
                if owner in CLOCK_CLASSES and name in CLOCK_METHODS:
                    yield node.lineno, f"{owner}.{name}"


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What this module does against the table, one sentence each."""
    tree = ast.parse(source)
    room = room_of(module)
    if room in SEE_EVERYTHING:
        return []
    if room != PACKAGE_ROOM and room not in MAY_IMPORT:
        return [f"{module}: the table has no room `{room}`"]
    allowed = MAY_IMPORT.get(room, frozenset())
    found: list[str] = []
    for line, name in imports(module, tree, is_package=is_package):
        top, _, rest = name.partition(".")
        if top != "homeserver":
            if is_under(name, MAY_NOT_USE.get(room, frozenset())):
                found.append(f"{module}:{line}: {room} may not use {name}")
        elif rest != "__version__" and not is_under(rest, allowed):
            found.append(f"{module}:{line}: {room or 'the package'} may not import {name}")
    if room in PURE:
        found += [f"{module}:{line}: {room} may not call {name}" for line, name in impure_calls(tree)]
    if room not in WRITES_SQL:
        found += [f"{module}:{line}: {room} may not hold SQL" for line, text in texts(tree) if SQL.match(text)]
    return found


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_module_keeps_to_its_layer(path: Path) -> None:
    is_package = path.name == "__init__.py"
    names = path.relative_to(PACKAGE.parent).with_suffix("").parts
    module = ".".join(names[:-1] if is_package else names)
    assert violations(module, path.read_text(encoding="utf-8"), is_package=is_package) == []


def test_the_walk_sees_every_room() -> None:
    """An empty walk would pass everything."""
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()}
    assert rooms >= {"errors", "model", "protocol", "domain", "clients", "storage", "services", "web", "sandbox"}


BAD: Final = [
    ("homeserver.errors", "from homeserver import model", "errors may not import homeserver.model"),
    ("homeserver.model", "import time", "model may not use time"),
    ("homeserver.protocol.oauth1", "import asyncio", "protocol may not use asyncio"),
    ("homeserver.protocol.oauth1", "from time import time", "protocol may not use time.time"),
    ("homeserver.protocol.oauth1", "import random as chance", "protocol may not use random"),
    ("homeserver.protocol.oauth1", "import os.path", "protocol may not use os.path"),
    ("homeserver.protocol.oauth1", "from aiohttp import web", "protocol may not use aiohttp.web"),
    ("homeserver.protocol.oauth1", "from urllib.request import urlopen", "protocol may not use urllib.request.urlopen"),
    (
        "homeserver.protocol.oauth1",
        "from homeserver.domain.boards import x",
        "may not import homeserver.domain.boards.x",
    ),
    ("homeserver.protocol.oauth1", "from ..domain import boards", "may not import homeserver.domain.boards"),
    ("homeserver.protocol.oauth1", "from .. import domain", "may not import homeserver.domain"),
    ("homeserver.domain.ranking", "import sqlalchemy.orm", "domain may not use sqlalchemy.orm"),
    ("homeserver.domain.ranking", "def f():\n    import secrets", "domain may not use secrets"),
    (
        "homeserver.domain.ranking",
        "from homeserver.protocol import oauth1",
        "domain may not import homeserver.protocol",
    ),
    ("homeserver.domain.periods", "import datetime\nx = datetime.datetime.now()", "domain may not call datetime.now"),
    ("homeserver.domain.periods", "x = open('f')", "domain may not call open"),
    ("homeserver.clients.container", "import homeserver.storage.people", "clients may not import homeserver.storage"),
    ("homeserver.clients.container", "import homeserver.storage", "clients may not import homeserver.storage"),
    ("homeserver.clients.container", "import sqlite3", "clients may not use sqlite3"),
    ("homeserver.storage.people", "from homeserver.clients import container", "may not import homeserver.clients"),
    ("homeserver.storage.people", "from aiohttp import web", "storage may not use aiohttp"),
    ("homeserver.storage.people", "from homeserver.services import sync", "storage may not import homeserver.services"),
    ("homeserver.services.sync", "import aiohttp", "services may not use aiohttp"),
    ("homeserver.services.sync", "q = 'SELECT id FROM players'", "services may not hold SQL"),
    ("homeserver.services.sync", "q = f'update {t} set a = 1'", "services may not hold SQL"),
    ("homeserver.services.sync", "q = '''\n  WITH x AS (SELECT 1)'''", "services may not hold SQL"),
    ("homeserver.services.sync", "from homeserver.web import pages", "services may not import homeserver.web"),
    ("homeserver.services.sync", "from homeserver import sandbox", "services may not import homeserver.sandbox"),
    ("homeserver.services.sync", "from homeserver.config import Settings", "services may not import homeserver.config"),
    ("homeserver.web.pages", "from homeserver.storage import people", "web may not import homeserver.storage"),
    ("homeserver.web.pages", "from homeserver.clients import container", "web may not import homeserver.clients"),
    ("homeserver.web.pages", "from homeserver.domain import ranking", "web may not import homeserver.domain"),
    ("homeserver.web.pages", "from homeserver.protocol import oauth1", "web may not import homeserver.protocol.oauth1"),
    ("homeserver.web.pages", "from homeserver import protocol", "web may not import homeserver.protocol"),
    ("homeserver.web.pages", "from homeserver.wiring import make_app", "web may not import homeserver.wiring"),
    ("homeserver.sandbox.container", "from homeserver.protocol import oauth1", "sandbox may not import homeserver.pro"),
    ("homeserver.sandbox.container", "from homeserver.paths import STATIC", "sandbox may not import homeserver.paths"),
    (
        "homeserver.sandbox.container",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from homeserver.clients import container",
        "sandbox may not import homeserver.clients",
    ),
    (
        "homeserver.sandbox.container",
        "import importlib\nimportlib.import_module('homeserver.protocol.oauth1')",
        "sandbox may not import homeserver.protocol",
    ),
    ("homeserver", "from homeserver.cli import main", "the package may not import homeserver.cli"),
    ("homeserver.helpers", "", "the table has no room `helpers`"),
]


@pytest.mark.parametrize(("module", "source", "complaint"), BAD)
def test_a_module_that_breaks_the_table_is_reported(module: str, source: str, complaint: str) -> None:
    found = violations(module, source)
    assert len(found) == 1, found
    assert complaint in found[0]


GOOD: Final = [
    (
        "homeserver.protocol.oauth1",
        "import hmac\nfrom urllib.parse import quote\nfrom homeserver.model import HttpReply",
    ),
    ("homeserver.protocol.saml", "from datetime import datetime, UTC\nx = datetime.fromtimestamp(0, UTC)"),
    ("homeserver.protocol.saml", "from . import oauth1\nfrom .oauth1 import sign"),
    ("homeserver.clients.container", "import aiohttp, asyncio\nfrom homeserver.protocol import opensocial"),
    ("homeserver.storage.people", "import sqlite3\nfrom homeserver.domain import scores\nq = 'SELECT 1 FROM t'"),
    ("homeserver.services.sync", "from homeserver.storage import people\nwords = 'To select a board from the list'"),
    ("homeserver.services.sync", '"""SELECT nothing FROM anywhere: words."""'),
    ("homeserver.web.pages", "from aiohttp import web\nfrom homeserver.protocol import gadget\nfrom . import keys"),
    (
        "homeserver.sandbox.container",
        "import oauthlib\nfrom homeserver import __version__\nfrom homeserver.errors import E",
    ),
    ("homeserver.cli", "from homeserver.storage import people\nfrom homeserver.sandbox import Sandbox"),
    ("homeserver.wiring", "from homeserver.clients import container\nfrom homeserver.web import pages"),
]


@pytest.mark.parametrize(("module", "source"), GOOD)
def test_a_module_that_keeps_to_the_table_passes(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_a_relative_import_in_a_package_starts_at_the_package() -> None:
    source = "from .container import ContainerStandIn"
    assert violations("homeserver.sandbox", source, is_package=True) == []
    assert violations("homeserver.sandbox", "from ..protocol import x", is_package=True) != []
