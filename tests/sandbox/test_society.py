"""Who is in the sandbox, and the verification's memory: without HTTP."""

from __future__ import annotations

import pytest
from oauthlib import oauth1

from homeserver.sandbox import oauth
from homeserver.sandbox.container import ContainerStandIn
from homeserver.sandbox.oauth import Incoming, OAuthRefused, Verifier
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE, populate
from tests.clock import Clock
from tests.sandboxes import sandbox_settings


def test_friendship_is_mutual_and_comes_last() -> None:
    society = populate(1)
    society.unfriend(ELIZABETH, JANE)
    society.unfriend(ELIZABETH, JANE)
    assert JANE not in society.friends[ELIZABETH]
    assert ELIZABETH not in society.friends[JANE]
    society.befriend(JANE, ELIZABETH)
    society.befriend(JANE, ELIZABETH)
    society.befriend(JANE, JANE)
    assert society.friends[ELIZABETH][-1] == JANE
    assert society.friends[JANE].count(ELIZABETH) == 1
    assert JANE not in society.friends[JANE]


@pytest.mark.parametrize("person_id", ["", "@me", CHARLOTTE])
def test_some_ids_are_nobody_s(clock: Clock, person_id: str) -> None:
    with pytest.raises(ValueError, match="cannot be a new person's id"):
        ContainerStandIn(sandbox_settings(clock.now_ms)).add_person(person_id)


def test_a_closed_gadget_does_not_run(clock: Clock) -> None:
    container = ContainerStandIn(sandbox_settings(clock.now_ms))
    container.befriend(JANE, CHARLOTTE)
    container.unfriend(JANE, CHARLOTTE)
    container.open_gadget(JANE)
    assert container.is_online(JANE)
    container.close_gadget(JANE)
    assert not container.is_online(JANE)


def signed(clock: Clock, nonce: str, host: str = "localhost") -> Incoming:
    """A request as it arrives, signed with oauthlib."""
    client = oauth1.Client(
        "key", "secret", signature_type=oauth1.SIGNATURE_TYPE_QUERY, nonce=nonce, timestamp=str(clock.now_ms() // 1000)
    )
    url, _, _ = client.sign("http://localhost/social/rest/people/1/@self")
    return Incoming("GET", f"http://{host}/social/rest/people/1/@self", url.partition("?")[2], {})


def test_nonces_are_forgotten_when_their_time_is_over(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "MAX_NONCES", 3)
    verifier = Verifier(consumer_key="key", consumer_secret="secret", now_ms=clock.now_ms)
    for nonce in ("a", "b", "c"):
        assert verifier.verify(signed(clock, nonce)) is None
    with pytest.raises(OAuthRefused, match="too many"):
        verifier.verify(signed(clock, "d"))
    clock.advance(s=oauth.WINDOW_S + 1)
    verifier.verify(signed(clock, "d"))


@pytest.mark.parametrize("host", ["localhost:99999", "127.0.0.1", "localhost:8081"])
def test_another_host_than_the_signed_one_is_refused(clock: Clock, host: str) -> None:
    verifier = Verifier(consumer_key="key", consumer_secret="secret", now_ms=clock.now_ms)
    with pytest.raises(OAuthRefused) as refusal:
        verifier.verify(signed(clock, "a", host))
    assert refusal.value.problem == "signature_invalid"


@pytest.mark.parametrize("query", ["a=%zz", "a=<b>", "a=%C3%28&oauth_nonce=1"])
def test_a_query_that_is_not_percent_encoded_is_refused(clock: Clock, query: str) -> None:
    verifier = Verifier(consumer_key="key", consumer_secret="secret", now_ms=clock.now_ms)
    with pytest.raises(OAuthRefused):
        verifier.verify(Incoming("GET", "http://localhost/", query, {}))


def test_the_container_signs_in_two_ways_only(clock: Clock) -> None:
    container = ContainerStandIn(sandbox_settings(clock.now_ms))
    with pytest.raises(ValueError, match="neither"):
        container.sign_request("GET", "http://127.0.0.1/", owner=None, viewer=None, signature_method="PLAINTEXT")
    with pytest.raises(ValueError, match="URL"):
        container.sign_request("GET", "mailto:x", owner=None, viewer=None)
