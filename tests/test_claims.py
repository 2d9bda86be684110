"""Claims that wait: seen by their owner alone, approved, rejected, and that taken back. Case T69, on both engines."""

from __future__ import annotations

import pytest

from homeserver.errors import BadInput, NotFound
from homeserver.model import Action, Board, Doubt, Pending, State
from homeserver.services.board_views import BoardViews
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.moderation import Moderation
from homeserver.storage.database import Database
from tests.clock import Clock
from tests.leaderboards_kit import KEY, Container, make_players, names
from tests.moderation_kit import WHY, Scene, traces

BOARD = Board("letters", "Letters", "letters", largest_step=10)
FREE = Board("free", "Free", "letters")


@pytest.fixture
def leaderboards(database: Database, clock: Clock) -> Leaderboards:
    return Leaderboards(database, Container(clock), clock.now_ms, KEY)


@pytest.fixture
async def scene(database: Database, clock: Clock, leaderboards: Leaderboards) -> Scene:
    """Ana has 7 letters, Bruno 5; and he claims 900."""
    await leaderboards.seed([BOARD, FREE])
    scene = Scene(database, clock, await make_players(database, "Ana", "Bruno"))
    ana, bruno = scene.players
    await scene.give(ana, "7")
    await scene.give(bruno, "5")
    await scene.give(bruno, "900")
    return scene


async def test_a_claim_that_waits_is_seen_by_its_owner_alone(leaderboards: Leaderboards, scene: Scene) -> None:
    ana, bruno = scene.players
    page = await leaderboards.entries("letters", reader=ana)
    assert [(entry.player.name, entry.score) for entry in page.entries] == [("Ana", "7"), ("Bruno", "5")]
    views = BoardViews(scene.database, scene.clock.now_ms)
    assert [each.greatest for each in (await views.distribution("letters", reader=None)).classes] == ["5", "6", "7"]
    others = await leaderboards.place("letters", player=bruno)
    assert (others.rank, others.score, others.state, others.pending) == (2, "5", State.VISIBLE, None)
    own = await leaderboards.place("letters", player=bruno, own=True)
    assert (own.rank, own.score, own.total, own.state) == (2, "5", 2, State.PENDING)
    assert own.pending == Pending("900", "900", scene.clock.now_ms(), Doubt.STEP)
    assert (await leaderboards.place("free", player=bruno, own=True)).pending is None
    scene.clock.advance(days=1)
    today = await leaderboards.place("letters", period="day", player=bruno, own=True)
    assert (today.state, today.pending) == (State.VISIBLE, None)
    (claim,) = await scene.moderation.review("letters")
    assert (claim.player, claim.card.name, claim.display, claim.reason) == (bruno, "Bruno", "900", Doubt.STEP)
    assert await scene.moderation.review("letters", after=claim.event) == ()
    assert await scene.moderation.review("free") == ()


async def test_an_approved_claim_counts_at_its_own_time(leaderboards: Leaderboards, scene: Scene) -> None:
    ana, bruno = scene.players
    claimed_ms = scene.clock.now_ms()
    (claim,) = await scene.moderation.review("letters")
    scene.clock.advance(days=2)
    await scene.moderation.approve("letters", claim.event, **WHY)
    for period in ("all", "day:2026-11-22"):
        best = (await leaderboards.entries("letters", period=period, reader=ana)).entries[0]
        assert (best.player.name, best.score, best.reached_ms) == ("Bruno", "900", claimed_ms)
    assert (await leaderboards.entries("letters", period="day", reader=ana)).total == 0
    assert await scene.moderation.review("letters") == ()
    assert (await leaderboards.place("letters", player=bruno, own=True)).state is State.VISIBLE
    await scene.give(bruno, "905")  # from what was approved on
    assert (await leaderboards.place("letters", player=bruno)).score == "905"
    await scene.moderation.reopen("letters", claim.event, actor="paulo", reason="not so fast")
    place = await leaderboards.place("letters", player=bruno, own=True)
    assert (place.score, place.state) == ("5", State.PENDING)
    assert [each.display for each in await scene.moderation.review("letters")] == ["900", "905"]
    log = await scene.moderation.log(board_id="letters")
    assert [(act.action, act.actor, act.player) for act in log] == [
        (Action.REOPEN, "paulo", bruno),
        (Action.APPROVE, "maria", bruno),
    ]
    assert log[1].detail == f"claim {claim.event}; letters=900"


async def test_a_rejected_claim_never_counts_until_that_is_taken_back(leaderboards: Leaderboards, scene: Scene) -> None:
    bruno = scene.players[1]
    (claim,) = await scene.moderation.review("letters")
    await scene.moderation.reject("letters", claim.event, **WHY)
    place = await leaderboards.place("letters", player=bruno, own=True)
    assert (place.score, place.state, place.pending) == ("5", State.VISIBLE, None)
    assert await scene.moderation.review("letters") == ()
    with pytest.raises(NotFound):  # nothing waits
        await scene.moderation.approve("letters", claim.event, **WHY)
    await scene.moderation.reopen("letters", claim.event, **WHY)
    assert await scene.moderation.review("letters") == (claim,)
    await scene.moderation.approve("letters", claim.event, **WHY)
    assert names(await leaderboards.entries("letters", reader=None)) == ["Bruno", "Ana"]


async def test_what_has_been_overtaken_cannot_be_approved(scene: Scene) -> None:
    ana, bruno = scene.players
    (claim,) = await scene.moderation.review("letters")
    await scene.give(bruno, "6")
    act = scene.moderation
    wrong = [
        ("letters", claim.event),
        ("letters", claim.event + 10**6),
        ("free", claim.event),
        ("nothing", claim.event),
    ]
    for board, event in wrong:
        for say in (act.approve, act.reject, act.reopen):
            with pytest.raises(NotFound):
                await say(board, event, **WHY)
    with pytest.raises(BadInput):
        await act.approve("letters", claim.event, actor="maria", reason="")
    with pytest.raises(BadInput):
        await act.review("letters", limit=0)
    assert await act.log() == ()
    assert ana != bruno


async def test_claims_of_the_hidden_wait_too_and_go_with_them(leaderboards: Leaderboards, scene: Scene) -> None:
    bruno = scene.players[1]
    await scene.moderation.hide(bruno, board_id="letters", **WHY)
    place = await leaderboards.place("letters", player=bruno, own=True)
    assert (place.rank, place.score, place.state) == (2, "5", State.HIDDEN)
    assert place.pending is not None
    (claim,) = await scene.moderation.review("letters")
    await scene.moderation.approve("letters", claim.event, **WHY)
    assert names(await leaderboards.entries("letters", reader=None)) == ["Ana"]
    own = await leaderboards.place("letters", player=bruno, own=True)
    assert (own.rank, own.score, own.state) == (1, "900", State.HIDDEN)
    await scene.give(bruno, "2000")
    assert len(await scene.moderation.review("letters")) == 1
    assert {"claims", "flags", "decisions"} <= set(await traces(scene.database, bruno))
    assert await Moderation(scene.database, scene.clock.now_ms).erase(bruno, **WHY)
    assert await traces(scene.database, bruno) == {}
    assert await scene.moderation.review("letters") == ()
