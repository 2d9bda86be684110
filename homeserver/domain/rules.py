"""What a board remembers of a player between two changes, and what that makes of the score that is claimed next.

Boards on which a score counts as it is remember nothing, and none of this concerns them. The others are those that
count what was *gained* in a period, and those that *judge* claims by their largest step or gain per hour. Writers apply
changes one by one and a replay all at once, both by `apply`, so both come to the same.

Claims are what came by AppData. A baseline is not judged: it may have been reached over years. An import is not judged
either: it is an operator's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from homeserver.domain import ranking, scores
from homeserver.domain.periods import CLOCKS_DIFFER_MS
from homeserver.domain.ranking import NoScore
from homeserver.domain.scores import INT64_MAX, INT64_MIN
from homeserver.model import Board, Counts, Decision, Doubt, Order, Origin, Span

HOUR_MS: Final = 3_600_000
MAX_WAITING: Final = 20
"""So many claims of a player wait on a board, the newest ones: each is read whenever the player writes."""

Effect = tuple[str, int | NoScore]
"""A period's id, and what is claimed in its list: a key, or why there is none."""


class Memory(NamedTuple):
    """The last score that a board accepted of a player."""

    score: int
    at_ms: int
    full_ms: int = 0
    """When the allowance for gains is whole again, if no more of it is used; 0 where none was."""


class Flag(NamedTuple):
    """A claim that does not count until somebody has looked at it."""

    score: int
    at_ms: int
    reason: Doubt


@dataclass(slots=True)
class Account:
    """What a board remembers of one player."""

    last: Memory | None = None
    bases: dict[str, int] = field(default_factory=dict)
    """By period id, of boards that count gains: the last score accepted before the first that counted in it."""
    flags: dict[int, Flag] = field(default_factory=dict)
    """By the number of the event: what waits to be looked at, the oldest first."""


class Claimed(NamedTuple):
    """One change, as a board reads it: `claim` is from `ranking.claim`, `decision` what an operator said of it."""

    event: int
    claim: int | NoScore
    at_ms: int
    origin: Origin
    decision: Decision | None = None


def remembers(board: Board) -> bool:
    """Whether the board has accounts at all."""
    return board.counts is Counts.GAINED or judges(board)


def judges(board: Board) -> bool:
    """Whether claims may be flagged."""
    return board.largest_step is not None or board.largest_gain_per_hour is not None


def apply(board: Board, account: Account, claimed: Claimed, concerned: Sequence[str]) -> list[Effect]:
    """What a change does in the lists of the periods that it concerns, which are named by their ids.

    The account becomes what it is after the change. A flagged claim has no effects, and neither has one that an
    operator rejected: the entry that stands goes on to stand, under `latest` too. An approved one counts as if there
    were no limits, at its own time. A claim that counts, or a value that is gone, ends the waiting of those before it.

    What was gained in a period is what the score is more than the last one accepted before the first that counted in
    it, or more than 0 if there was none. (Gone and refused values in between change nothing of that: who removes a
    value and brings it back has gained nothing.) An import says what was reached when, not what was before: where gains
    are counted, one that is older than the last accepted score counts in `all` alone.
    """
    event, claim, at_ms, origin, decision = claimed
    is_own = origin is Origin.READ or origin is Origin.SUBMITTED
    if isinstance(claim, NoScore):
        if claim is NoScore.GONE:
            account.flags.clear()
        return [(id_, claim) for id_ in concerned]
    score = scores.score_of(claim, board.order)
    last = account.last
    full_ms = 0 if last is None else _full_ms(last, at_ms)
    if is_own and judges(board):
        if decision is Decision.REJECTED:
            return []
        if decision is None:
            verdict = _judge(board, last, full_ms, claim, at_ms)
            if isinstance(verdict, Doubt):
                account.flags[event] = Flag(score, at_ms, verdict)
                if len(account.flags) > MAX_WAITING:
                    del account.flags[next(iter(account.flags))]
                return []
            full_ms = verdict
        account.flags.clear()
    is_late = origin.is_import and last is not None and at_ms < last.at_ms
    if not is_late:
        account.last = Memory(score, at_ms, full_ms)
    if board.counts is Counts.REACHED:
        return [(id_, claim) for id_ in concerned]
    effects: list[Effect] = []
    for id_ in concerned:
        if id_ == Span.ALL.value:
            effects.append((id_, claim))
        elif not is_late:
            base = account.bases.setdefault(id_, 0 if last is None else last.score)
            effects.append((id_, _gained(score - base, board.order)))
    return effects


def adjusted(board: Board, account: Account, period: str, text: str) -> int | NoScore:
    """The key that a score given by an operator has in a period's list, or why it has none any more.

    Where gains are counted, it is how much more than when the period began: what the player would have gained with it.
    """
    claim = ranking.claim(board, text)
    if isinstance(claim, NoScore) or board.counts is Counts.REACHED or period == Span.ALL.value:
        return claim
    return _gained(scores.score_of(claim, board.order) - account.bases.get(period, 0), board.order)


def _full_ms(last: Memory, at_ms: int) -> int:
    """When the allowance is whole again, by the clock that says `at_ms`.

    A clock that is far behind the one of the last score was set back, or the other was wrong: what was left goes on to
    be left, and fills by this one.
    """
    behind_ms = last.at_ms - at_ms
    return last.full_ms - behind_ms if last.full_ms and behind_ms > CLOCKS_DIFFER_MS else last.full_ms


def _judge(board: Board, last: Memory | None, full_ms: int, claim: int, at_ms: int) -> Doubt | int:
    """What speaks against a claim, or when the allowance is whole again after it.

    The first score of all counts from 0 where more is better. Where less is, there is nothing to compare it with.
    """
    if last is None and board.order is Order.LESS:
        return full_ms
    gain = scores.key_of(0 if last is None else last.score, board.order) - claim
    if gain <= 0:
        return full_ms
    if board.largest_step is not None and gain > board.largest_step:
        return Doubt.STEP
    if board.largest_gain_per_hour is None:
        return full_ms
    if last is not None and last.at_ms - at_ms <= CLOCKS_DIFFER_MS:
        at_ms = max(at_ms, last.at_ms)  # by processes whose clocks differ, nobody gains time nor loses any
    full_ms = max(at_ms, full_ms) - (-gain * HOUR_MS // board.largest_gain_per_hour)
    return full_ms if full_ms - at_ms <= HOUR_MS else Doubt.RATE


def _gained(gain: int, order: Order) -> int | NoScore:
    """The key of a gain. One that does not fit into 64 bits cannot be kept exactly, so it does not rank."""
    return scores.key_of(gain, order) if INT64_MIN <= gain <= INT64_MAX else NoScore.REFUSED


def is_score_in(board: Board, span: Span, score: int) -> bool:
    """Whether an entry of the board in a period of this span can have this score."""
    if board.counts is Counts.REACHED or span is Span.ALL:
        return scores.is_score(board, score)
    least = INT64_MIN if board.minimum is None else board.minimum
    most = INT64_MAX if board.maximum is None else board.maximum
    # Who had no score before has gained from 0.
    return max(min(least - most, least), INT64_MIN) <= score <= min(max(most - least, most), INT64_MAX)
