"""Signing in to the storage over HTTP: the way there and back, and everything that somebody may plant on it."""

from __future__ import annotations

import pytest
from lxml import etree

from homeserver.sandbox.faults import Fault
from homeserver.sandbox.saml import Style, Wrong
from tests.web.conftest import Browser, Reply, Stack, StorageAnswer
from tests.web.test_storage_trouble import FILE, FORM

SIGN_IN_PAGE = "POST /mesdonnees/sso"


async def answer_for(browser: Browser, user: str = "marie") -> StorageAnswer:
    started = await browser.post("/sign-in", {"back": "/files"})
    return await browser.choose_at_storage(started.location, user)


async def signed_in(browser: Browser) -> bool:
    return (await browser.get("/files")).status == 200


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize("sha1", [False, True])
async def test_every_way_to_sign(stack: Stack, style: Style, *, sha1: bool) -> None:
    provider = stack.sandbox.storage.identity_provider
    provider.style, provider.sha1 = style, sha1
    browser = stack.browser()
    if sha1:  # a setting admits it; without it is refused
        refused = await browser.bring_answer(await answer_for(browser))
        assert (refused.status, "The sign-in did not work" in refused.text) == (401, True)
    else:
        await browser.sign_in_to_storage("marie")
    assert await signed_in(browser) is not sha1


@pytest.mark.parametrize("wrong", sorted(set(Wrong) - {Wrong.REPLAYED, Wrong.COMMENT}))
async def test_whatever_is_wrong_is_refused_in_words(stack: Stack, wrong: Wrong) -> None:
    stack.sandbox.faults.add(Fault(SIGN_IN_PAGE, effect=f"saml={wrong}"))
    browser = stack.browser()
    refused = await browser.bring_answer(await answer_for(browser))
    assert refused.status == 401
    assert "The sign-in did not work" in refused.text
    assert not await signed_in(browser)
    await browser.sign_in_to_storage("marie")  # and the next time it does


async def test_a_comment_in_the_identifier_changes_nothing(stack: Stack) -> None:
    stack.sandbox.faults.add(Fault(SIGN_IN_PAGE, effect=f"saml={Wrong.COMMENT}"))
    first, second = stack.browser(), stack.browser()
    await first.sign_in_to_storage("marie")
    await first.post("/files", FILE, **FORM)
    await second.sign_in_to_storage("marie")
    assert "a.txt" in (await second.get("/files")).text  # the same person, so the same files


async def test_an_answer_is_good_once(stack: Stack) -> None:
    browser = stack.browser()
    answer = await answer_for(browser)
    first = await browser.bring_answer(answer)
    again = await browser.bring_answer(answer)
    assert (first.status, again.status) == (303, 401)
    assert (await browser.get(first.location)).location == "/files"
    # Not by another answer that bears the same ID, either.
    stack.sandbox.faults.add(Fault(SIGN_IN_PAGE, effect=f"saml={Wrong.REPLAYED}"))
    assert (await browser.bring_answer(await answer_for(stack.browser()))).status == 401


async def test_a_ticket_is_good_once_and_for_a_minute_only_where_it_was_asked_for(stack: Stack) -> None:
    browser = stack.browser()
    ticket = (await browser.bring_answer(await answer_for(browser))).location
    assert ticket.startswith("/sign-in/return?ticket=")
    copied = Browser(stack.http, stack.home_url, dict(browser.cookies))
    assert (await browser.get(ticket)).location == "/files"
    assert (await copied.get(ticket)).status == 400  # the request is answered, the session has a new cookie
    assert not await signed_in(copied)


async def planted(victim: Browser, attacker: Browser) -> Reply:
    """The attacker's own answer, in the victim's browser."""
    reply = await victim.bring_answer(await answer_for(attacker))
    assert reply.status == 303
    return await victim.get(reply.location)


async def test_an_answer_to_another_browser_signs_nobody_in(stack: Stack) -> None:
    victim, attacker = stack.browser(), stack.browser()
    assert (await planted(victim, attacker)).status == 400  # a browser that began nothing
    await victim.post("/sign-in", {"back": "/files"})
    assert (await planted(victim, attacker)).status == 400  # one that began its own
    assert not await signed_in(victim)
    assert not await signed_in(attacker)


async def test_what_is_no_answer_at_all(stack: Stack) -> None:
    browser = stack.browser()
    for fields in ({}, {"SAMLResponse": "x"}, {"SAMLResponse": "AAAA", "Signature": "", "SigAlg": ""}):
        assert (await browser.bring_answer(StorageAnswer("/sign-in/answer", fields, "https://a.example"))).status == 401
    huge = StorageAnswer("/sign-in/answer", {"SAMLResponse": "A" * 600_000}, "https://a.example")
    assert (await browser.bring_answer(huge)).status == 413
    assert (await browser.get("/sign-in/return?ticket=invented")).status == 400


async def test_the_sites_own_metadata(stack: Stack) -> None:
    reply = await stack.browser().get("/sign-in/metadata")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/samlmetadata+xml")
    root = etree.fromstring(reply.body)
    assert root.get("entityID") == f"{stack.home_url}/sign-in/metadata"
    places = {element.get("Location") for element in root.iter("{*}AssertionConsumerService")}
    assert places == {f"{stack.home_url}/sign-in/answer"}


async def test_no_token_in_the_database(stack: Stack) -> None:
    """Neither while a ticket waits nor afterwards."""
    browser = stack.browser()
    answer = await answer_for(browser)
    await browser.bring_answer(answer)
    content = b"".join(path.read_bytes() for path in stack.settings.mesdonnees.spool_dir.parent.glob("homeserver.db*"))
    assert b"B64+/++" not in content


@pytest.mark.parametrize(("lifetime_ms", "said"), [(3_600_000, None), (600_000, "ends in about"), (1_000, "may have")])
async def test_a_token_that_ends_soon_is_a_warning_and_no_more(
    stack: Stack, lifetime_ms: int, said: str | None
) -> None:
    stack.sandbox.storage.tokens._lifetime_ms = lifetime_ms
    browser = stack.browser()
    await browser.sign_in_to_storage("marie")
    page = (await browser.get("/files")).text
    assert ("Your sign-in at Orange" in page.partition('id="signed-out"')[0]) is (said is not None)
    assert said is None or said in page
    assert await signed_in(browser)
