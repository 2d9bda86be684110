"""A score for one board, written again and again through the services, in a container of each kind: all else stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from homeserver.clients.container import ContainerClient
from homeserver.clients.transport import open_session
from homeserver.model import Board
from homeserver.protocol.dialects import GUIDE, ORKUT, SHINDIG, Dialect
from homeserver.protocol.oauth1 import Credentials
from homeserver.sandbox import Sandbox
from homeserver.sandbox.container import SHINDIG as SHINDIG_QUIRKS
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE
from homeserver.services.appdata import AppDataWriter
from homeserver.services.leaderboards import Leaderboards
from homeserver.services.sync import Sync
from homeserver.storage import leases, people
from homeserver.storage.database import Database
from tests.clock import Clock
from tests.leaderboards_kit import Counting
from tests.sandboxes import sandbox_settings, serve

# What the container itself stores, raw: markup, and what looks escaped, once and twice.
OTHERS = {
    "ampersand": "&",
    "less": "<",
    "quote": '"',
    "entity": "&amp;",
    "twice": "&amp;amp;lt;",
    "markup": "<b class='x'>Fish & \"Chips\"</b>",
    "numeric": "&#39;&#x3c;",
    "last_letter_date": "2008-10-30T18:30:02Z",
    "unicode": "é 日本 🎈 \u2028",
    "blanks": " \t\n ",
    "json": '{"a": [1, "\\\\"]}',
    "other_board": "0007",
}


@dataclass(frozen=True, slots=True)
class Writing:
    """Leaderboards that write into a sandbox's container."""

    sandbox: Sandbox
    boards: Leaderboards
    client: ContainerClient
    clock: Clock


@pytest.fixture(params=[GUIDE, ORKUT, SHINDIG], ids=lambda dialect: dialect.name)
async def writing(request: pytest.FixtureRequest, database: Database, clock: Clock) -> AsyncIterator[Writing]:
    dialect: Dialect = request.param
    sandbox = Sandbox(sandbox_settings(clock.now_ms))
    if dialect is SHINDIG:
        sandbox.container.quirks = SHINDIG_QUIRKS
    http = await serve(sandbox)
    async with open_session() as session:
        client = ContainerClient(
            session,
            str(http.make_url("/social/rest")),
            dialect,
            Credentials(sandbox.settings.consumer_key, sandbox.settings.consumer_secret),
            now_ms=clock.now_ms,
        )
        writer = AppDataWriter(database, client, "sandbox", clock.now_ms)
        boards = Leaderboards(database, writer, clock.now_ms, b"a key for cursors in tests, long")
        await boards.seed([Board("letters", "Letters", "letters"), Board("other", "Other", "other_board")])
        yield Writing(sandbox, boards, client, clock)
    await http.close()


async def player_of(database: Database, user_id: str) -> int:
    return await database.write(lambda tx: people.player_of(tx, "sandbox", user_id))


@pytest.mark.parametrize("user_id", [ELIZABETH, JANE, CHARLOTTE])
async def test_ten_scores_change_one_key(writing: Writing, database: Database, user_id: str) -> None:
    """The guide's three ids: two above 2^63, one with a leading 0."""
    container = writing.sandbox.container
    container.set_appdata(user_id, {"letters": "3", **OTHERS})
    before = {other: dict(item) for other, item in container.appdata.items() if other != user_id}
    player = await player_of(database, user_id)
    for letters in range(4, 14):
        writing.clock.advance(s=1)
        await writing.boards.submit(player, "letters", str(letters))
        assert container.appdata_of(user_id) == {"letters": str(letters), **OTHERS}
    assert {other: item for other, item in container.appdata.items() if other != user_id} == before
    [place] = [
        place
        for place in await writing.boards.places(player)
        if (place.board.id, place.period.id) == ("letters", "all")
    ]
    assert place.rank == 1


async def test_search_finds_either_part_of_a_name_that_the_container_gave(writing: Writing, database: Database) -> None:
    """Given name, family name, or both; of a person with neither, the display name."""
    container = writing.sandbox.container
    container.add_person("501", display_name="wickham77")
    sync = Sync(database, writing.client, "sandbox", writing.boards.fields, writing.clock.now_ms)
    for user_id in (ELIZABETH, "501"):
        player = await player_of(database, user_id)
        await sync.sync_player(player)
        await writing.boards.submit(player, "letters", "4000")

    async def found(text: str) -> set[str]:
        page = await writing.boards.search("letters", reader=None, text=text)
        return {entry.player.name for entry in page.entries}

    assert "Elizabeth Bennet" in await found("elizabeth") & await found("BENNET") & await found("beth benn")
    assert await found("wick") == {"wickham77"}


async def test_a_score_is_two_transactions(writing: Writing, database: Database) -> None:
    """One that counts the write and takes the player's turn, and one in which it counts and gives the turn back."""
    container = writing.sandbox.container
    container.set_appdata(ELIZABETH, {"letters": "3"})
    player = await player_of(database, ELIZABETH)
    await writing.boards.submit(player, "letters", "4")  # what was there is read, and known from now on
    counting = Counting(database)
    writer = AppDataWriter(counting, writing.client, "sandbox", writing.clock.now_ms)
    boards = Leaderboards(counting, writer, writing.clock.now_ms, b"a key for cursors in tests, long")
    await boards.submit(player, "letters", "5")
    assert counting.transactions == 2
    assert not await database.read(lambda reader: leases.held(reader, 0, 10))
