"""What every act of an operator says: who does it and why, as it stands in the log."""

from __future__ import annotations

from typing import Final

from homeserver.errors import BadInput
from homeserver.model import Act, Action
from homeserver.storage.texts import storable

MAX_REASON: Final = 500
MAX_ACTOR: Final = 100
MAX_DETAIL: Final = 200


def act(action: Action, at_ms: int, actor: str, reason: str, board_id: str | None = None) -> Act:
    """An act, before it is known on whom.

    Raises:
        BadInput: `actor` or `reason` is empty or too long (fields "actor", "reason").
    """
    for name, text, most in (("actor", actor, MAX_ACTOR), ("reason", reason, MAX_REASON)):
        if not 0 < len(text.strip()) <= most:
            raise BadInput(f"1 to {most} characters", field=name)
    return Act(action, at_ms, storable(actor.strip()), storable(reason.strip()), board_id, None)


def unexplained(action: Action, at_ms: int, actor: str, board_id: str | None = None, detail: str = "") -> Act:
    """An act that needs no reason. A long detail is cut off."""
    return Act(action, at_ms, storable(actor), "", board_id, None, storable(detail)[:MAX_DETAIL])
