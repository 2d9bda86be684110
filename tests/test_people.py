"""Players, what is kept of them, and when a friendship ends; on both engines."""

from __future__ import annotations

import asyncio

import pytest

from homeserver.errors import BadInput, NotFound
from homeserver.model import Person, PlayerCard
from homeserver.storage import freshness, people
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.texts import search_key
from tests.writing import observe_person

GUIDE_IDS = ("10459228050876679741", "07365476160138082838", "15913663323317925521")
"""The guide's own: two above 2^63, one that begins with 0."""


async def player_of(database: Database, user_id: str, container: str = "orkut") -> int:
    return await database.write(lambda tx: people.player_of(tx, container, user_id))


async def friends_of(database: Database, player: int) -> list[int]:
    return await database.read(lambda reader: people.friends_of(reader, player))


async def walk(database: Database, player: int, friends: list[int], observed_ms: int) -> None:
    await database.write(lambda tx: people.observe_friends(tx, player, friends, observed_ms))


@pytest.mark.parametrize("user_id", GUIDE_IDS)
async def test_a_user_id_is_text_and_comes_back_exactly(database: Database, user_id: str) -> None:
    player = await player_of(database, user_id)
    assert await database.look(lambda r: people.user_of(r, player)) == ("orkut", user_id)
    assert await database.look(lambda r: people.find_player(r, "orkut", user_id)) == player
    assert await database.look(lambda r: people.find_player(r, "orkut", user_id.lstrip("0") + "0")) is None
    assert await database.look(lambda r: people.find_player(r, "orkut", str(float(user_id)))) is None


async def test_one_person_is_one_player_and_each_container_has_its_own(database: Database) -> None:
    first = await player_of(database, "1")
    assert await player_of(database, "1") == first
    assert await player_of(database, "1", "shindig") != first
    assert await player_of(database, "01") != first


async def test_players_that_are_created_at_the_same_time_are_created_once(database: Database) -> None:
    ids = [str(number) for number in range(20)]

    async def create(step: int) -> dict[str, int]:
        return await database.write(lambda tx: people.players_of(tx, "orkut", ids[::step]))

    found = await asyncio.gather(*map(create, (1, -1, 2, -3, 1, -1)))
    everybody = found[0]
    assert len(set(everybody.values())) == 20
    for some in found:
        assert some.items() <= everybody.items()


@pytest.mark.parametrize("user_id", ["", "x" * 256, "a\x00b", "half\ud83d", "1,2", "1 2", "@me", "..", "."])
async def test_what_is_no_user_id_makes_no_player(database: Database, user_id: str) -> None:
    with pytest.raises(BadInput):
        await player_of(database, user_id)
    assert await database.look(lambda r: people.find_player(r, "orkut", user_id)) is None


async def test_the_public_id_is_random_and_finds_the_player(database: Database) -> None:
    one, other = await player_of(database, "1"), await player_of(database, "2")
    cards = await database.read(lambda r: people.cards(r, [one, other, 4_711]))
    assert set(cards) == {one, other}
    assert cards[one].id != cards[other].id
    assert len(cards[one].id) >= 16
    assert await database.look(lambda r: people.by_public_id(r, cards[one].id)) == one
    assert await database.look(lambda r: people.by_public_id(r, str(one))) is None
    assert await database.look(lambda r: people.by_public_id(r, "\x00")) is None


async def test_nobody_knows_a_player_who_is_not_there(database: Database) -> None:
    with pytest.raises(NotFound):
        await database.look(lambda r: people.card(r, 1))
    with pytest.raises(NotFound):
        await database.look(lambda r: people.user_of(r, 1))


async def test_an_older_observation_of_a_person_changes_nothing(database: Database) -> None:
    player = await player_of(database, "1")
    jane = Person("1", "Jane", "Bennet", "", "http://img.example/jane.gif", has_app=True)
    await database.write(lambda tx: observe_person(tx, player, jane, 2_000))
    await database.write(lambda tx: observe_person(tx, player, Person("1", "Mary", "Bennet"), 1_999))
    card = await database.look(lambda r: people.card(r, player))
    assert card == PlayerCard(card.id, "Jane Bennet", "http://img.example/jane.gif")
    await database.write(lambda tx: observe_person(tx, player, Person("1", display_name="Lizzy"), 2_001))
    assert (await database.look(lambda r: people.card(r, player))).name == "Lizzy"


async def stored(database: Database, column: str, player: int) -> object:
    async def work(reader: Reader) -> object:
        return await reader.fetch_value(f"SELECT {column} FROM players WHERE player = $1", player)

    return await database.look(work)


async def test_has_app_stays_where_an_answer_does_not_say(database: Database) -> None:
    player = await player_of(database, "1")
    assert await stored(database, "has_app", player) is None
    await database.write(lambda tx: people.set_has_app(tx, player, True, 0))
    await database.write(lambda tx: observe_person(tx, player, Person("1", "Jane"), 1))
    assert await stored(database, "has_app", player) == 1
    await database.write(lambda tx: observe_person(tx, player, Person("1", "Jane", has_app=False), 2))
    assert await stored(database, "has_app", player) == 0


async def test_a_signed_call_about_the_application_outlasts_a_read_that_began_before(database: Database) -> None:
    player = await player_of(database, "1")
    await database.write(lambda tx: people.set_has_app(tx, player, False, 10))
    await database.write(lambda tx: observe_person(tx, player, Person("1", "Jane", has_app=True), 9))
    assert await stored(database, "has_app", player) == 0
    await database.write(lambda tx: observe_person(tx, player, Person("1", "Jane", has_app=True), 11))
    assert await stored(database, "has_app", player) == 1


async def test_hostile_names_are_kept_in_bounds(database: Database) -> None:
    player = await player_of(database, "1")
    person = Person("1", "a\x00b\ud83d" + "x" * 5_000, "'; DROP TABLE players; --", "", "http://h/" + "y" * 3_000)
    await database.write(lambda tx: observe_person(tx, player, person, 1))
    card = await database.look(lambda r: people.card(r, player))
    assert card.name.startswith("a\ufffdb\ufffdxxx")
    assert card.name.endswith("'; DROP TABLE players; --")
    assert len(card.name) < 500
    assert card.thumbnail_url == ""


async def test_a_name_is_searched_without_case_and_accents(database: Database) -> None:
    player = await player_of(database, "1")
    await database.write(lambda tx: observe_person(tx, player, Person("1", "Åsa  Élise", "STRAẞE"), 1))
    assert await stored(database, "search_name", player) == "asa elise strasse" == search_key(" åsa ÉLISE\tStraße ")


async def test_a_friend_goes_only_when_two_completed_walks_in_a_row_missed_them(database: Database) -> None:
    me, jane, mary = [await player_of(database, user_id) for user_id in "123"]
    await walk(database, me, [jane, mary], 1)
    await walk(database, me, [mary], 2)
    assert await friends_of(database, me) == [jane, mary]
    await walk(database, me, [jane, mary], 3)  # back: the count begins again
    await walk(database, me, [mary], 4)
    assert await friends_of(database, me) == [jane, mary]
    await walk(database, me, [mary], 5)
    assert await friends_of(database, me) == [mary]
    await walk(database, me, [jane, mary], 6)
    assert await friends_of(database, me) == [jane, mary]


async def test_a_walk_that_began_before_the_last_one_is_ignored(database: Database) -> None:
    me, jane, mary = [await player_of(database, user_id) for user_id in "123"]
    await walk(database, me, [jane], 10)
    for observed_ms in (9, 10, 8):
        await walk(database, me, [mary], observed_ms)
    assert await friends_of(database, me) == [jane]


async def test_nobody_is_their_own_friend_and_duplicates_count_once(database: Database) -> None:
    me, jane = [await player_of(database, user_id) for user_id in "12"]
    await walk(database, me, [jane, me, jane], 1)
    assert await friends_of(database, me) == [jane]


async def test_two_walks_at_the_same_time_are_applied_one_after_the_other(database: Database) -> None:
    me, *others = [await player_of(database, str(number)) for number in range(12)]
    await asyncio.gather(*(walk(database, me, others[n:], n + 1) for n in range(10)))
    assert others[-1] in await friends_of(database, me)
    await walk(database, me, others[-1:], 20)
    await walk(database, me, others[-1:], 21)
    assert await friends_of(database, me) == others[-1:]


async def test_the_time_of_a_sync_never_goes_back(database: Database) -> None:
    player = await player_of(database, "1")
    assert await database.look(lambda r: people.synced_ms(r, player)) is None

    async def synced(tx: Transaction) -> None:
        await freshness.set_asked(tx, [freshness.Asked(player, 2_000, None, None)])
        await freshness.set_asked(tx, [freshness.Asked(player, 1_000, None, None)])

    await database.write(synced)
    assert await database.look(lambda r: people.synced_ms(r, player)) == 2_000
