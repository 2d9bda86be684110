"""The settings in force as operators may see them: every value but the secrets, of which only whether they are set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from homeserver.config import Section, Settings
from homeserver.web.keys import ShownSection, ShownSetting

_HIDDEN: Final = "set, not shown"


def shown(settings: Settings) -> tuple[ShownSection, ...]:
    """Section by section, in their order; boards have pages of their own."""
    sections = []
    for name, info in Settings.model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Section):
            defaults = {key: field.get_default(call_default_factory=True) for key, field in _fields(value)}
            rows = tuple(
                ShownSetting(
                    f"{name}.{field.alias or key}",
                    _text(getattr(value, key)),
                    field.description or "",
                    is_default=not field.is_required() and getattr(value, key) == defaults[key],
                )
                for key, field in _fields(value)
            )
            sections.append(ShownSection(name, (type(value).__doc__ or "").strip(), rows))
        elif name == "appdata_rules" and value:
            rows = tuple(ShownSetting(f"{name}.{rule.id}", _text(rule), "", is_default=False) for rule in value)
            sections.append(ShownSection(name, info.description or "", rows))
    return tuple(sections)


def _fields(section: Section) -> Iterable[tuple[str, FieldInfo]]:
    return type(section).model_fields.items()


def _text(value: object) -> str:
    """A value in words. Whatever is a secret, at any depth, is not among them."""
    match value:
        case SecretStr():
            return _HIDDEN
        case None | "" | () | []:
            return ""
        case bool():
            return "yes" if value else "no"
        case Section():
            return "; ".join(f"{key}: {_text(getattr(value, key))}" for key, _ in _fields(value) if getattr(value, key))
        case Mapping():
            return ", ".join(f"{key}={_text(each)}" for key, each in value.items())
        case tuple() | list() | frozenset() | set():
            return ", ".join(_text(each) for each in value)
        case Path():
            return str(value)
    return str(value)
