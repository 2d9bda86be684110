"""What boards remember of players (`domain/rules.py`), as it is kept, and what operators decided on flagged claims.

Two tables are derived from events, and belong to a list as entries do, so a rebuild makes its own beside those in use:
`claims`, with one row for a player in the list of all time (the last accepted score) and, where gains are counted, one
in each other list (the score when that period began); and `flags`, of the list of all time, with one for each claim
that waits. `decisions` are a board's, whatever its generation: every replay obeys them.

Boards that remember nothing have no rows here, and no statement of this module runs for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from homeserver.domain import rules
from homeserver.domain.boards import BoardInForce
from homeserver.domain.replay import Made
from homeserver.domain.rules import Account, Flag, Memory
from homeserver.model import Board, Change, Counts, Decision, Doubt, Span
from homeserver.storage.database import Reader, Row, Transaction


class Holder(NamedTuple):
    """A player on a board."""

    board: str
    player: int


class Kept(NamedTuple):
    """A list that accounts are kept with."""

    board: Board
    period: str


Accounts = dict[Holder, Account]


def copied(accounts: Accounts) -> Accounts:
    """The same, to be changed."""
    return {
        holder: Account(account.last, dict(account.bases), dict(account.flags)) for holder, account in accounts.items()
    }


async def load(reader: Reader, lists: Mapping[int, Kept], holders: Iterable[Holder]) -> Accounts:
    """The accounts of these players, as far as they are kept with these lists, given by number.

    Whoever has none has an empty one.
    """
    found = {holder: Account() for holder in holders}
    players: dict[str, list[int]] = {}
    for board, player in sorted(found):
        players.setdefault(board, []).append(player)
    pairs = [(number, player, of) for number, of in sorted(lists.items()) for player in players.get(of.board.id, ())]
    for number, player, *kept in await _rows(
        reader,
        "SELECT c.list, c.player, c.score, c.at_ms, c.full_ms FROM each_bigints($1, $2) AS w CROSS JOIN claims AS c "
        "WHERE c.list = w.c1 AND c.player = w.c2",
        [(number, player) for number, player, of in pairs if _has_claims(of)],
    ):
        of = lists[number]
        account = found[Holder(of.board.id, player)]
        if of.period == Span.ALL.value:
            account.last = Memory(*kept)
        else:
            account.bases[of.period] = kept[0]
    for number, player, event, *kept in await _rows(
        reader,
        "SELECT f.list, f.player, f.event, f.score, f.at_ms, f.reason FROM each_bigints($1, $2) AS w "
        "CROSS JOIN flags AS f WHERE f.player = w.c2 AND f.list = w.c1 ORDER BY f.event",
        [(number, player) for number, player, of in pairs if _has_flags(of)],
    ):
        found[Holder(lists[number].board.id, player)].flags[event] = _flag(*kept)
    return found


async def write(tx: Transaction, numbers: Mapping[tuple[str, str], int], before: Accounts, after: Accounts) -> None:
    """Keep these accounts as they are after some changes.

    Args:
        numbers: Of the lists, by board id and period id; all those of which something changed.
        before: As they were loaded.
    """
    claims: list[tuple[int, int, int, int, int]] = []
    flagged: list[tuple[int, int, int, int, int, str]] = []
    unflagged: list[tuple[int, int]] = []
    for holder, account in after.items():
        was = before[holder]
        board, player = holder
        if account.last is not None and account.last != was.last:
            claims.append((numbers[board, Span.ALL.value], player, *account.last))
        for period, base in account.bases.items():
            if period not in was.bases:
                claims.append((numbers[board, period], player, base, 0, 0))
        if account.flags != was.flags:
            whole = numbers[board, Span.ALL.value]
            new = {event: flag for event, flag in account.flags.items() if event not in was.flags}
            flagged += ((whole, event, player, *flag) for event, flag in new.items())
            unflagged += ((whole, event) for event in was.flags.keys() - account.flags.keys())
    if claims:
        await tx.execute(
            "INSERT INTO claims (list, player, score, at_ms, full_ms) "
            "SELECT w.c1, w.c2, w.c3, w.c4, w.c5 FROM each_bigints($1, $2, $3, $4, $5) AS w WHERE TRUE "
            "ON CONFLICT (list, player) DO UPDATE SET score = excluded.score, at_ms = excluded.at_ms, "
            "full_ms = excluded.full_ms",
            *_columns(sorted(claims)),
        )
    await _unflag(tx, sorted(unflagged))
    await _flag_all(tx, sorted(flagged))


def changed_lists(before: Accounts, after: Accounts) -> set[tuple[str, str]]:
    """The lists, by board id and period id, with which `write` will keep something new."""
    found: set[tuple[str, str]] = set()
    for holder, account in after.items():
        was = before[holder]
        if account.last != was.last or account.flags != was.flags:
            found.add((holder.board, Span.ALL.value))
        found.update((holder.board, period) for period in account.bases.keys() - was.bases.keys())
    return found


async def fill(tx: Transaction, number: int, made: Made) -> None:
    """Keep what a replay made of a list, of which nothing is kept yet."""
    if made.claims:
        await tx.execute(
            "INSERT INTO claims (list, player, score, at_ms, full_ms) "
            "SELECT CAST($1 AS BIGINT), w.c1, w.c2, w.c3, w.c4 FROM each_bigints($2, $3, $4, $5) AS w ORDER BY w.c1",
            number,
            *_columns(made.claims),
        )
    await _flag_all(tx, [(number, *flagged) for flagged in made.flags])


async def forget(tx: Transaction, in_force: BoardInForce, players: Iterable[int]) -> None:
    """Take away what is kept of these players with the lists of this generation; what was decided stays."""
    for table in ("claims", "flags"):
        await tx.execute(
            f"DELETE FROM {table} WHERE player IN (SELECT w.value FROM each_bigint($1) AS w) "  # noqa: S608 - one of two
            "AND list IN (SELECT l.list FROM lists AS l WHERE l.board = $2 AND l.generation = $3)",
            sorted(set(players)),
            in_force.board.id,
            in_force.generation,
        )


async def _flag_all(tx: Transaction, rows: Sequence[tuple[int, int, int, int, int, str]]) -> None:
    if rows:
        await tx.execute_many(
            "INSERT INTO flags (list, event, player, score, at_ms, reason) VALUES ($1, $2, $3, $4, $5, $6)", rows
        )


async def _unflag(tx: Transaction, rows: Sequence[tuple[int, int]]) -> None:
    if rows:
        await tx.execute_many("DELETE FROM flags WHERE list = $1 AND event = $2", rows)


async def events_of(reader: Reader, changes: Sequence[Change]) -> list[int]:
    """The numbers of the last events that are like these changes, which are all alike, in the same order."""
    like = changes[0]
    rows = await reader.fetch(
        "SELECT event FROM events WHERE player = $1 AND key = $2 AND new = $3 AND at_ms = $4 AND origin = $5 "
        "ORDER BY event DESC LIMIT $6",
        like.player,
        like.key,
        like.new,
        like.at_ms,
        like.origin.value,
        len(changes),
    )
    if len(rows) != len(changes):
        raise RuntimeError(f"changes of {like.key} of player {like.player} at {like.at_ms} are no events")
    return [row[0] for row in reversed(rows)]


# --- what waits -------------------------------------------------------------------------------------------------------


async def waiting(reader: Reader, in_force: BoardInForce, player: int) -> list[tuple[int, Flag]]:
    """The player's claims that wait on this board, each with the number of its event, the newest last."""
    rows = await reader.fetch(
        "SELECT f.event, f.score, f.at_ms, f.reason FROM lists AS l CROSS JOIN flags AS f "
        "WHERE l.board = $1 AND l.period = $2 AND l.generation = $3 AND f.list = l.list AND f.player = $4 "
        "ORDER BY f.event",
        in_force.board.id,
        Span.ALL.value,
        in_force.generation,
        player,
    )
    return [(event, _flag(*kept)) for event, *kept in rows]


async def waiting_of_all(reader: Reader, in_force: BoardInForce, after: int, limit: int) -> list[tuple[int, int, Flag]]:
    """The claims that wait on this board, of events beyond `after`, oldest first: event, player, and the claim."""
    rows = await reader.fetch(
        "SELECT f.event, f.player, f.score, f.at_ms, f.reason FROM lists AS l CROSS JOIN flags AS f "
        "WHERE l.board = $1 AND l.period = $2 AND l.generation = $3 AND f.list = l.list AND f.event > $4 "
        "ORDER BY f.event LIMIT $5",
        in_force.board.id,
        Span.ALL.value,
        in_force.generation,
        after,
        limit,
    )
    return [(event, player, _flag(*kept)) for event, player, *kept in rows]


async def claimant(reader: Reader, board: Board, event: int) -> int | None:
    """Whose claim on this board an event is; None where it is nobody's."""
    player: int | None = await reader.fetch_value(
        "SELECT player FROM events WHERE event = $1 AND key = $2", event, board.field
    )
    return player


async def decision_on(reader: Reader, board: Board, player: int, event: int) -> Decision | None:
    """What was decided on one claim."""
    word = await reader.fetch_value(
        "SELECT decision FROM decisions WHERE board = $1 AND player = $2 AND event = $3", board.id, player, event
    )
    return None if word is None else Decision(word)


async def decide(tx: Transaction, board_id: str, player: int, event: int, decision: Decision) -> None:
    """Keep what an operator said of a claim. It takes effect when the player is replayed on the board."""
    await tx.execute(
        "INSERT INTO decisions (board, player, event, decision) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (board, player, event) DO UPDATE SET decision = excluded.decision",
        board_id,
        player,
        event,
        decision.value,
    )


async def reopen(tx: Transaction, board_id: str, player: int, event: int) -> None:
    """Forget what was said of a claim. It waits again when the player is replayed, if nothing came after it."""
    await tx.execute("DELETE FROM decisions WHERE board = $1 AND player = $2 AND event = $3", board_id, player, event)


async def forget_decisions(tx: Transaction, player: int) -> None:
    """Forget what was said of all claims of a player, who is erased."""
    await tx.execute("DELETE FROM decisions WHERE player = $1", player)


async def decisions_on(reader: Reader, board: Board, players: Iterable[int] | None = None) -> dict[int, Decision]:
    """What was decided on claims of these players (None: of all) on the board, by the number of the event."""
    if not rules.judges(board):
        return {}
    if players is None:
        rows = await reader.fetch("SELECT event, decision FROM decisions WHERE board = $1", board.id)
    else:
        rows = await reader.fetch(
            "SELECT event, decision FROM decisions WHERE board = $1 "
            "AND player IN (SELECT w.value FROM each_bigint($2) AS w)",
            board.id,
            sorted(set(players)),
        )
    return {event: Decision(decision) for event, decision in rows}


# --- parts ------------------------------------------------------------------------------------------------------------


def _has_claims(of: Kept) -> bool:
    return of.period == Span.ALL.value or of.board.counts is Counts.GAINED


def _has_flags(of: Kept) -> bool:
    return of.period == Span.ALL.value and rules.judges(of.board)


def _flag(score: int, at_ms: int, reason: str) -> Flag:
    return Flag(score, at_ms, Doubt(reason))


async def _rows(reader: Reader, statement: str, pairs: Sequence[tuple[int, int]]) -> Sequence[Row]:
    if not pairs:
        return []
    return await reader.fetch(statement, *_columns(pairs))


def _columns(rows: Sequence[tuple[int, ...]]) -> list[list[int]]:
    return [list(column) for column in zip(*rows, strict=True)]
