"""The gadget specification: what the container's directory and the gadget itself are made of."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Final

from lxml import etree


@dataclass(frozen=True, slots=True)
class GadgetSpec:
    """What the container's directory and the gadget itself show. `action` is the button that adds one to a score."""

    title: str = "Home server"
    description: str = ""
    author: str = ""
    author_email: str = ""
    action: str = "Write a letter"


VIEWS: Final = ("profile", "home", "canvas")


def gadget_xml(spec: GadgetSpec, *, base_url: str, script_url: str, style_url: str) -> bytes:
    """The gadget specification: opensocial-0.8, dynamic-height, one Content for each view.

    Containers rewrite the script's address to their own, so the script reads ours from `data-base`.
    """
    module = etree.Element("Module")
    preferences = etree.SubElement(module, "ModulePrefs", title=spec.title)
    for name in ("description", "author", "author_email"):
        if text := getattr(spec, name):
            preferences.set(name, text)
    for feature in ("opensocial-0.8", "dynamic-height"):
        etree.SubElement(preferences, "Require", feature=feature)
    etree.SubElement(preferences, "Optional", feature="views")
    for event in ("event.addapp", "event.removeapp"):
        etree.SubElement(preferences, "Link", rel=event, href=f"{base_url}/gadget/lifecycle", method="POST")
    for view in VIEWS:
        content = etree.SubElement(module, "Content", type="html", view=view)
        content.text = etree.CDATA(_content(spec, view, base_url, script_url, style_url))
    return etree.tostring(module, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _content(spec: GadgetSpec, view: str, base_url: str, script_url: str, style_url: str) -> str:
    # html.escape leaves no `>`, so no value can end the CDATA section.
    base, script, style, action = (html.escape(text) for text in (base_url, script_url, style_url, spec.action))
    return (
        f'\n<link rel="stylesheet" href="{style}">\n'
        f'<div id="homeserver" class="hs hs-{view}" data-base="{base}" data-view="{view}" data-action="{action}">'
        "<p>Loading the leaderboards...</p></div>\n"
        f'<script src="{script}"></script>\n'
    )
