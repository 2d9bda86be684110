"""`homeserver doctor` against the sandbox: what is wrong is named, with what to do about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from homeserver.config import Settings
from homeserver.demo import Demo
from homeserver.doctor import examine
from homeserver.sandbox import CannedReply, Fault
from homeserver.sandbox.container import Quirks
from homeserver.walk import PLAYER
from tests.demos import running_demo


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    async with running_demo(tmp_path) as running:
        yield running


async def words_of(settings: Settings, player: str | None = PLAYER) -> tuple[bool, dict[str, str]]:
    """Whether all is well, and the line about each check."""
    said: list[str] = []
    well = await examine(settings, player, said.append)
    return well, {line[8:24].strip(): line[:8] + line[24:] for line in said}


def changed(settings: Settings, section: str, **values: object) -> Settings:
    """The settings with other values in one section."""
    part = getattr(settings, section).model_copy(update=values)
    return settings.model_copy(update={section: part})


async def test_the_sign_ins_metadata_is_looked_at(demo: Demo, tmp_path: Path) -> None:
    _, words = await words_of(changed(demo.settings, "sign_in", metadata=tmp_path / "none.xml"))
    assert words["sign-in"].startswith(f"TROUBLE sign_in: {tmp_path / 'none.xml'} cannot be read")
    broken = tmp_path / "broken.xml"
    broken.write_text("<a/>")
    _, words = await words_of(changed(demo.settings, "sign_in", metadata=broken))
    assert "describes 0 identity providers" in words["sign-in"]
    _, words = await words_of(changed(demo.settings, "sign_in", parameters={}))
    assert "without the parameter that asks for it no token comes" in words["sign-in"]


async def test_a_right_set_up_is_well(demo: Demo) -> None:
    well, words = await words_of(demo.settings)
    assert well, words
    assert words["database"] == "ok      sqlite answers, its tables are up to date"
    assert words["signed call"] == f"ok      accepted; {PLAYER} is Elizabeth Bennet"
    assert words["clock"].startswith("ok      the container's is ")
    assert "RSA of 2048 bits, its certificate ended on 2018-02-18, which does not matter here" in words["sign-in"]
    assert words["sign-in"].endswith("each request also carries personalApi")
    assert words["trusted signers"] == "ok      sandbox.example by RSA-SHA1, sandbox.example:623061448914 by HMAC-SHA1"
    assert "refuses a made-up token, as it should" in words["storage"]


async def test_a_wrong_consumer_secret_is_told_from_a_right_one(demo: Demo) -> None:
    settings = changed(demo.settings, "container", consumer_secret=SecretStr("not-the-secret"))
    well, words = await words_of(settings)
    assert not well
    assert words["signed call"].startswith("TROUBLE ")
    assert "Developer Page" in words["signed call"]
    assert "not-the-secret" not in str(words)


async def test_without_a_player_it_says_how_to_name_one(demo: Demo) -> None:
    _, words = await words_of(demo.settings, player=None)
    assert "--player ID" in words["signed call"]


async def test_a_wrong_service_password_is_named(demo: Demo) -> None:
    settings = changed(demo.settings, "mesdonnees", service_password=SecretStr("wrong"))
    well, words = await words_of(settings)
    assert not well
    assert "refuses mesdonnees.service_id and service_password" in words["storage"]


async def test_a_container_that_is_not_there_is_said(demo: Demo) -> None:
    settings = changed(demo.settings, "container", base_url="http://127.0.0.1:9/social/rest")
    well, words = await words_of(settings)
    assert not well
    assert "Is container.base_url right, and reachable from here?" in words["signed call"]
    assert words["clock"] == "TROUBLE not measured: the signed call brought no answer"


async def test_a_clock_that_is_off_is_measured(demo: Demo) -> None:
    demo.sandbox.faults.add(
        Fault("GET /social/rest/people/*", times=1, headers={"Date": "Sun, 22 Nov 2020 12:00:00 GMT"})
    )
    well, words = await words_of(demo.settings)
    assert not well
    assert "Set this machine's clock" in words["clock"]


async def test_a_dialect_that_fits_is_said_to(demo: Demo) -> None:
    _, words = await words_of(demo.settings)
    assert words["dialect"] == (
        "ok      guide fits (lists are 'entry', startIndex counts from 1, JSON-RPC: no); "
        "orkut would fit too: they differ in what reads do not show"
    )
    _, words = await words_of(demo.settings, player=None)
    assert words["dialect"].startswith("ok      guide by container.dialect; --player ID, ")


async def test_a_dialect_that_does_not_fit_is_said_with_what_was_seen(demo: Demo) -> None:
    demo.sandbox.container.quirks = Quirks(collection="list", first_index=0)
    well, words = await words_of(demo.settings)
    assert not well
    assert words["dialect"] == (
        "TROUBLE container.dialect is 'guide', but shindig fits: "
        "lists are 'list', startIndex counts from 0, JSON-RPC: no"
    )
    assert demo.sandbox.container.requests
    assert {request.method for request in demo.sandbox.container.requests} == {"GET"}
    well, words = await words_of(changed(demo.settings, "container", dialect="shindig"))
    assert words["dialect"].startswith("ok      shindig fits (")
    demo.sandbox.container.quirks = Quirks(collection="list", first_index=1)
    _, words = await words_of(demo.settings)
    assert "'guide', but none that is known fits: " in words["dialect"]


async def test_a_container_that_does_not_answer_hides_its_dialect(demo: Demo) -> None:
    demo.sandbox.faults.add(Fault("GET */@friends", reply=CannedReply(503), times=None))
    well, words = await words_of(demo.settings)
    assert not well
    assert "whether it fits cannot be seen: 503" in words["dialect"]


async def test_signers_of_another_container_are_noticed(demo: Demo) -> None:
    signers = tuple(
        signer.model_copy(update={"container": "elsewhere"}) for signer in demo.settings.gadget.trusted_signers
    )
    for found, trouble in ((signers, "they speak for elsewhere"), ((), "none, so no gadget can open a session")):
        well, words = await words_of(changed(demo.settings, "gadget", trusted_signers=found))
        assert not well
        assert trouble in words["trusted signers"]


async def test_a_database_without_tables_is_said(demo: Demo, tmp_path: Path) -> None:
    settings = changed(demo.settings, "database", url=SecretStr(f"sqlite:///{tmp_path / 'empty.db'}"))
    well, words = await words_of(settings)
    assert not well
    assert words["database"] == "TROUBLE The database has no tables yet. Run `homeserver migrate` first."
