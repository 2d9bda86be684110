"""A gadget's specification (the Module XML), as far as this container needs it. Source: OpenSocial 0.8 gadgets.xsd."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

MAX_SPEC_BYTES: Final = 512 * 1024
DEFAULT_VIEW: Final = "default"
FEATURES: Final = frozenset(
    {"core", "core.io", "opensocial-0.8", "dynamic-height", "views", "settitle", "setprefs", "content-rewrite"}
)
"""What a gadget may require here. `content-rewrite` is kept by rewriting nothing."""

_HANGMAN: Final = re.compile(r"__(UP|MSG)_([A-Za-z0-9_.-]+?)__|__MODULE_ID__")


class BadSpec(Exception):
    """The specification cannot be used; the message says why, for the gadget's developer."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is shown in some views: HTML, or the address of a page (`href`)."""

    views: tuple[str, ...]
    html: str
    href: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """Where the container tells of an event, and how: GET or POST."""

    href: str
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Spec:
    """A specification, read. `messages` are by `lang`, by `lang_COUNTRY`, or by empty text for everybody."""

    title: str
    contents: tuple[Content, ...]
    height_px: int | None = None
    preferences: Mapping[str, str] = field(default_factory=dict)
    messages: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)

    def content_for(self, view: str) -> Content:
        """The Content of a view, else the one for every view.

        Raises:
            BadSpec: There is neither.
        """
        for wanted in (view, DEFAULT_VIEW):
            for content in self.contents:
                if wanted in content.views:
                    return content
        raise BadSpec(f"the specification has no Content for the view {view}")

    def messages_for(self, language: str, country: str) -> dict[str, str]:
        """The messages for a language, most particular last so that it wins."""
        merged: dict[str, str] = {}
        for locale in ("", language, f"{language}_{country}"):
            merged.update(self.messages.get(locale, {}))
        return merged

    def link_for(self, event: str) -> Link | None:
        """Where to tell of `event.addapp` and its like: the link of that event, else of all events."""
        return self.links.get(event) or self.links.get("event")


def parse_spec(document: bytes) -> Spec:
    """Read a specification.

    Raises:
        BadSpec: Not a Module, a document type declaration, a feature that this container does not have, no Content.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        raise BadSpec(f"the specification is not well-formed XML: {error.msg}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise BadSpec("a document type declaration has no place in a specification")
    preferences = root.find("ModulePrefs")
    if root.tag != "Module" or preferences is None or not preferences.get("title"):
        raise BadSpec("the specification needs a Module with ModulePrefs and a title")
    missing = [name for node in preferences.iterfind("Require") if (name := node.get("feature", "")) not in FEATURES]
    if missing:
        raise BadSpec(f"this container does not have the feature {', '.join(missing)}")
    contents = tuple(_content(node) for node in root.iterfind("Content"))
    if not contents:
        raise BadSpec("the specification has no Content")
    height = preferences.get("height", "")
    return Spec(
        title=preferences.get("title", ""),
        contents=contents,
        height_px=int(height) if re.fullmatch("[0-9]{1,4}", height, re.ASCII) else None,
        preferences={node.get("name", ""): node.get("default_value", "") for node in root.iterfind("UserPref")},
        messages={_locale(node): _messages(node) for node in preferences.iterfind("Locale")},
        links={
            node.get("rel", ""): Link(node.get("href", ""), node.get("method", "GET").upper())
            for node in preferences.iterfind("Link")
        },
    )


def substitute(content: str, *, preferences: Mapping[str, str], messages: Mapping[str, str], module_id: int) -> str:
    """Fill in `__UP_name__` (HTML-escaped), `__MSG_name__` and `__MODULE_ID__`."""

    def value(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if kind is None:
            return str(module_id)
        if kind == "MSG":
            return messages.get(name, "")
        return html.escape(preferences.get(name, ""))

    return _HANGMAN.sub(value, content)


def _content(node: etree._Element) -> Content:
    kind = node.get("type", "html")
    if kind not in ("html", "url"):
        raise BadSpec(f"Content has the type {kind}; this container shows html and url")
    views = tuple(view.strip() for view in (node.get("view") or DEFAULT_VIEW).split(","))
    return Content(views, _text(node), node.get("href") if kind == "url" else None)


def _locale(node: etree._Element) -> str:
    language, country = node.get("lang", ""), node.get("country", "")
    return f"{language}_{country}" if country and language else language


def _messages(node: etree._Element) -> dict[str, str]:
    return {message.get("name", ""): _text(message).strip() for message in node.iterfind("msg")}


def _text(node: etree._Element) -> str:
    return str(node.xpath("string()"))
