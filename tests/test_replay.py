"""Folding a board's events all at once, against the naive board that takes one change at a time."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from homeserver.domain.replay import Event, Replay, Tally, checksum
from homeserver.domain.scores import INT64_MAX, INT64_MIN, score_of
from homeserver.model import Board, Change, Keep, Order, Origin, Ties
from tests.clock import NOON_MS
from tests.naive_board import NaiveBoard

OWN_CLOCK: Final = [Origin.BASELINE, Origin.READ, Origin.SUBMITTED]
STEPS: Final = st.tuples(
    st.integers(1, 4),
    st.sampled_from(["1", "2", "3", "-3", "-4", "junk", None]),
    st.sampled_from([0, 1, 40_000_000, 900_000_000]),
    st.sampled_from(OWN_CLOCK),
)


@given(
    history=st.lists(STEPS, max_size=25),
    order=st.sampled_from(Order),
    keep=st.sampled_from(Keep),
    page=st.integers(1, 7),
    taken=st.integers(1, 5),
)
def test_it_makes_the_entries_that_changes_make_one_by_one(
    history: list[tuple[int, str | None, int, Origin]], order: Order, keep: Keep, page: int, taken: int
) -> None:
    board = Board("b", "B", "f", order=order, keep=keep, minimum=-3)
    naive = NaiveBoard(order, keep, Ties.COMPETITION, least=-3)
    events: list[Event] = []
    at_ms = NOON_MS
    for number, (player, value, wait_ms, origin) in enumerate(history):
        at_ms += wait_ms
        naive.apply(Change(player, "f", None, value, at_ms, origin))
        events.append((number, player, value, at_ms, origin.value))
    replay = Replay(board, at_ms)
    found: dict[str, dict[int, tuple[int, int]]] = defaultdict(dict)
    by_player = sorted(events, key=lambda event: (event[1], event[0]))
    for begin in [*range(0, len(events), page), None]:
        if begin is None:
            replay.finish()
        else:
            replay.add(by_player[begin : begin + page])
        if begin is None or replay.waiting >= taken:
            for made in replay.take():
                assert not found[made.period.id].keys() & {player for _, _, player in made.places}
                found[made.period.id] |= {player: (score_of(key, order), ms) for key, ms, player in made.places}
    assert replay.waiting == 0
    assert found == {id_: entries for id_, entries in naive.lists.items() if entries}
    assert {id_: tally.entries for id_, tally in replay.tallies.items()} == {
        id_: len(entries) for id_, entries in found.items()
    }


def test_a_change_later_than_now_counts_as_now() -> None:
    replay = Replay(Board("b", "B", "f"), NOON_MS)
    replay.add([(1, 1, "5", NOON_MS + 10**9, "read")])
    replay.finish()
    assert {(made.period.id, *made.places) for made in replay.take()} == {
        (id_, (-6, NOON_MS, 1)) for id_ in ("all", "month:2026-11", "week:2026-W47", "day:2026-11-22")
    }


def test_an_import_that_is_older_than_the_latest_changes_nothing() -> None:
    for keep, expected in ((Keep.LATEST, -6), (Keep.BEST, -8)):
        replay = Replay(Board("b", "B", "f", keep=keep), NOON_MS)
        replay.add([(1, 1, "5", NOON_MS, "read"), (2, 1, "7", NOON_MS - 5, "imported")])
        replay.finish()
        assert replay.take()[0].places[0][0] == expected


def test_the_checksum_tells_entries_from_each_other() -> None:
    places = [*itertools.product((-5, 7, INT64_MIN, INT64_MAX), (NOON_MS, NOON_MS + 1), (1, 2))]
    assert len({checksum([place]) for place in places}) == len(places)
    one = checksum([(1, NOON_MS, 1), (2, NOON_MS, 2)])
    assert one == checksum([(2, NOON_MS, 2), (1, NOON_MS, 1)])
    assert one != checksum([(2, NOON_MS, 1), (1, NOON_MS, 2)])  # two players exchanged
    assert Tally(0, checksum([])) == (0, 0)
