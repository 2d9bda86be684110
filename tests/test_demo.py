"""The demo: the whole product with its sandbox, and the walk through the main job."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from aiohttp import ClientSession

from homeserver.demo import prepare
from homeserver.errors import BadSettings
from homeserver.sandbox.mesdonnees_space import Standing
from homeserver.walk import PLAYER, STORAGE_USER, UNACTIVATED_USER, walk, walk_through
from tests.demos import running_demo


async def test_the_main_job_works_from_end_to_end() -> None:
    said: list[str] = []
    assert await walk(said.append), said
    assert [line.split()[0] for line in said[:-1]] == ["ok"] * 6
    assert said[-1] == "The main job works from end to end."


async def test_the_walk_says_which_step_failed(tmp_path: Path) -> None:
    said: list[str] = []
    async with running_demo(tmp_path) as demo:
        demo.sandbox.storage.users[STORAGE_USER].standing = Standing.SUSPENDED
        assert not await walk_through(demo, said.append)
    assert said[-1] == "FAILED  upload          the upload is refused"
    assert [line.split()[0] for line in said[:-1]] == ["ok"] * 4


async def test_the_walk_wants_the_portal_for_who_has_not_activated(tmp_path: Path) -> None:
    said: list[str] = []
    async with running_demo(tmp_path) as demo:
        demo.sandbox.storage.activate(UNACTIVATED_USER)
        assert not await walk_through(demo, said.append)
    assert said[-1].startswith("FAILED  MD804           POST /files answered 303")


async def test_a_demo_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """The second start finds the same keys, operator and boards."""
    async with running_demo(tmp_path) as first:
        first.sandbox.container.set_appdata(PLAYER, {"letters": "977"})
        assert await walk_through(first, lambda _: None)
    async with running_demo(tmp_path) as second, ClientSession() as browser:
        assert second.operator_password == first.operator_password
        assert second.settings.server.secret_key == first.settings.server.secret_key
        async with browser.get(f"{second.home_url}/boards/letters") as response:
            assert "1,017" in await response.text()


def test_a_taken_port_is_said_in_one_sentence(tmp_path: Path) -> None:
    first = prepare(tmp_path / "one", 0, 0)
    home, sandbox = (listener.getsockname()[1] for listener in (first.home_listener, first.sandbox_listener))
    for ports in ((home, 0), (0, sandbox)):
        with pytest.raises(BadSettings, match=r"^Port \d+ on 127\.0\.0\.1 is taken by another program; .*\.$"):
            prepare(tmp_path / "two", *ports)
    first.home_listener.close()
    first.sandbox_listener.close()


def test_what_a_demo_keeps_is_its_owners_alone(tmp_path: Path) -> None:
    demo = prepare(tmp_path / "demo", 0, 0)
    demo.home_listener.close()
    demo.sandbox_listener.close()
    assert stat.S_IMODE((tmp_path / "demo").stat().st_mode) == 0o700
    for name in ("secret_key", "operator_password", "sandbox-key.pem"):
        assert stat.S_IMODE((tmp_path / "demo" / name).stat().st_mode) == 0o600
