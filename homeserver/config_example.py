"""The commented settings file that `homeserver config example` prints, from the declarations in `config.py`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, Final

from pydantic import SecretStr

from homeserver.config import Section, Settings

_BOARD_EXAMPLE: Final = """\
# Boards are rows of the database once the server has seen them; a later change here is reported, not applied by itself.
[[boards]]
id = "letters"
title = "Letters written"
field = "letters"             # the AppData key that holds the score
# order = "more"              # or "less": which score is better
# keep = "best"               # or "latest"
# ties = "competition"        # 1 1 3; or "dense" 1 1 2; or "ordinal" 1 2 3
# spans = ["all", "month", "week", "day"]  # and "season", where there are seasons
# zone = "America/Sao_Paulo"  # where days begin
# first_weekday = "monday"
# decimals = 0
# format = "integer"          # or "duration" (seconds), "money"
# minimum = "0"
# maximum = "1000000"
# counts = "reached"          # or "gained": a period's score is how much more the value is than when it began
# largest_step = "500"        # a score that is better than the last one by more waits for review, and does not count
# largest_gain_per_hour = "2000"
# date_field = "last_letter_date"  # the AppData key where players say when it was; shown as their own words
# kept = { day = 400, week = 200, month = 120 }  # so many periods before the current ones
# seasons = [{ id = "spring", title = "Spring", starts = 2026-09-22T00:00:00-03:00, ends = 2026-12-21T00:00:00-03:00 }]
"""
_RULE_EXAMPLE: Final = """\
# What is written into everybody's AppData on their birthday, although they are not there (container.birthday_field).
#   [[appdata_rules]]
#   id = "birthday"
#   key = "greeting"
#   value = "Happy birthday!"   # without a value the key is deleted
#   at = "09:00"
#   zone = "America/Sao_Paulo"
"""


def example() -> str:
    """A commented settings file that loads as it is, with a secret key that nobody else has."""
    return "\n".join([*_example_lines(), _BOARD_EXAMPLE, _RULE_EXAMPLE])


def _example_lines() -> Iterator[str]:
    yield "# Settings of homeserver. Each can also be given as an environment variable: HOMESERVER_SERVER__PORT=8080."
    yield "# A line that begins with # shows a default."
    for name, info in Settings.model_fields.items():
        section = info.annotation
        if not (isinstance(section, type) and issubclass(section, Section)):
            continue
        yield ""
        yield f"# {section.__doc__}"
        yield f"[{name}]"
        for key, field in section.model_fields.items():
            yield f"# {field.description}"
            yield _example_line(field.alias or key, field)
    yield ""


def _example_line(key: str, field: Any) -> str:
    if key == "secret_key":
        return f"{key} = {_toml(secrets.token_hex(32))}"
    if field.is_required():
        return f"{key} = {_toml(field.examples[0])}"
    shown = field.examples[0] if field.examples else field.default
    return f"# {key} = {_toml(shown)}" if shown is not None else f"# {key} ="


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case SecretStr():
            return _toml(value.get_secret_value())
        case list() | tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case dict():
            return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
        case _:
            return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
