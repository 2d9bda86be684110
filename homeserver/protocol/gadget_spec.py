"""The gadget specification: what the container's directory and the gadget itself are made of."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson
from lxml import etree


@dataclass(frozen=True, slots=True)
class Wording:
    """What is said of the gadget in one language. `action` is the button that adds one to a score.

    Where a text is empty, readers of this language are told what everybody is told.
    """

    title: str = ""
    description: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class GadgetSpec:
    """What the container's directory and the gadget itself show. `action` is the button that adds one to a score.

    `translations` are by language tag, such as `fr` and `pt-BR`; whoever reads none of these is told the rest.
    """

    title: str = "Home server"
    description: str = ""
    author: str = ""
    author_email: str = ""
    action: str = "Write a letter"
    translations: Mapping[str, Wording] = field(default_factory=dict)


VIEWS: Final = ("profile", "home", "canvas")
_TRANSLATED: Final = ("title", "description")


def gadget_xml(spec: GadgetSpec, *, base_url: str, script_url: str, style_url: str) -> bytes:
    """The gadget specification: opensocial-0.8, dynamic-height, one Content for each view.

    Where there are translations, the container puts in what each reader's `Locale` says; without any, what is said to
    everybody stands there itself. Containers rewrite the script's address to their own, so the script reads ours from
    `data-base`.
    """
    module = etree.Element("Module")
    preferences = etree.SubElement(module, "ModulePrefs")
    for name in ("title", "description", "author", "author_email"):
        if text := getattr(spec, name):
            preferences.set(name, f"__MSG_{name}__" if spec.translations and name in _TRANSLATED else text)
    for feature in ("opensocial-0.8", "dynamic-height"):
        etree.SubElement(preferences, "Require", feature=feature)
    etree.SubElement(preferences, "Optional", feature="views")
    if spec.translations:
        _say(etree.SubElement(preferences, "Locale"), spec, spec)
    for tag, wording in sorted(spec.translations.items()):
        language, _, country = tag.partition("-")
        locale = etree.SubElement(preferences, "Locale", lang=language)
        if country:
            locale.set("country", country)
        _say(locale, spec, wording)
    for event in ("event.addapp", "event.removeapp"):
        etree.SubElement(preferences, "Link", rel=event, href=f"{base_url}/gadget/lifecycle", method="POST")
    for view in VIEWS:
        content = etree.SubElement(module, "Content", type="html", view=view)
        content.text = etree.CDATA(_content(spec, view, base_url, script_url, style_url))
    return etree.tostring(module, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _say(locale: etree._Element, spec: GadgetSpec, wording: GadgetSpec | Wording) -> None:
    """All that the preferences leave to the locales: not every container falls back to the one for everybody."""
    for name in _TRANSLATED:
        if plain := getattr(spec, name):
            etree.SubElement(locale, "msg", name=name).text = getattr(wording, name) or plain


def _content(spec: GadgetSpec, view: str, base_url: str, script_url: str, style_url: str) -> str:
    # html.escape leaves no `>`, so no value can end the CDATA section.
    base, script, style, action = (html.escape(text) for text in (base_url, script_url, style_url, spec.action))
    actions = {tag: wording.action for tag, wording in sorted(spec.translations.items()) if wording.action}
    return (
        f'\n<link rel="stylesheet" href="{style}">\n'
        f'<div id="homeserver" class="hs hs-{view}" data-base="{base}" data-view="{view}" data-action="{action}" '
        f'data-actions="{html.escape(orjson.dumps(actions).decode())}"></div>\n'
        f'<script src="{script}"></script>\n'
    )
