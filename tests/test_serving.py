"""How the event loop is run."""

from __future__ import annotations

import gc
import sys

import pytest

from homeserver import serving


@pytest.mark.parametrize("has_uvloop", [True, False])
def test_the_collector_looks_seldom_as_long_as_the_loop_runs(
    monkeypatch: pytest.MonkeyPatch, *, has_uvloop: bool
) -> None:
    async def main() -> tuple[int, int]:
        return gc.get_threshold()[0], gc.get_freeze_count()

    if not has_uvloop:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    before = gc.get_threshold()
    threshold, frozen = serving.run(main())
    assert threshold == serving.NEW_OBJECTS > before[0]
    assert frozen > 0
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_what_the_loop_fails_with_leaves_the_collector_as_it_was() -> None:
    async def main() -> None:
        raise ValueError("broke")

    before = gc.get_threshold()
    with pytest.raises(ValueError, match="broke"):
        serving.run(main())
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
