"""Operators: who gets in, who stays out, and when a session ends; on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, cast

import pytest
from argon2 import PasswordHasher

from homeserver.errors import BadInput, Conflict, NotFound, NotSignedIn, TooMany
from homeserver.model import Operator, Role
from homeserver.services.operators import Operators
from homeserver.storage import operator_tokens as calls
from homeserver.storage import operators as store
from homeserver.storage.database import Database, Reader, Row, Transaction
from homeserver.storage.operator_tokens import Call
from homeserver.storage.sessions import secret_hash
from tests.clock import Clock

PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
async def operators(database: Database, clock: Clock) -> Operators:
    made = Operators(database, clock.now_ms, hasher=CHEAP)
    await made.add("ada", PASSWORD, Role.MODERATE)
    return made


async def column(database: Database, sql: str) -> list[object]:
    async def work(reader: Reader) -> list[object]:
        return [row[0] for row in await reader.fetch(sql)]

    return await database.read(work)


async def test_an_operator_signs_in_and_out(operators: Operators) -> None:
    cookie = await operators.sign_in("ada", PASSWORD, "192.0.2.1")
    found = await operators.find(cookie)
    assert found is not None
    assert found == Operator(found.id, "ada", Role.MODERATE)
    await operators.sign_out(cookie)
    assert await operators.find(cookie) is None


async def test_nobody_is_signed_in_without_a_cookie_of_ours(operators: Operators) -> None:
    for cookie in (None, "", "x", "\ud800", "'; --"):
        assert await operators.find(cookie) is None
        await operators.sign_out(cookie)


async def test_neither_password_nor_cookie_lies_in_the_database(operators: Operators, database: Database) -> None:
    cookie = await operators.sign_in("ada", PASSWORD, "192.0.2.1")
    [password_hash] = await column(database, "SELECT password_hash FROM operators")
    assert str(password_hash).startswith("$argon2id$")
    assert await column(database, "SELECT token_hash FROM operator_sessions") == [secret_hash(cookie)]
    assert len(cookie) >= 43


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", "wrong horse"),
        ("ada", ""),
        ("ada", "x" * 2_000),
        ("ada", "\ud800"),
        ("eve", PASSWORD),
        ("\x00", PASSWORD),
    ],
)
async def test_a_wrong_name_and_a_wrong_password_are_answered_alike(
    operators: Operators, name: str, password: str
) -> None:
    with pytest.raises(NotSignedIn, match=r"^The name or the password is wrong\.$"):
        await operators.sign_in(name, password, "192.0.2.1")


class CountingHasher(PasswordHasher):
    """Counts how often a password is looked at: the part of a sign-in that takes time."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - the name is argon2's
        self.verified += 1
        return super().verify(hash, password)


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong horse"), ("eve", PASSWORD), ("ada", "x" * 2_000)])
async def test_every_refusal_costs_one_look_at_a_hash(
    database: Database, clock: Clock, name: str, password: str
) -> None:
    """So that the time which an answer takes does not tell which names there are."""
    hasher = CountingHasher()
    operators = Operators(database, clock.now_ms, hasher=hasher)
    await operators.add("ada", PASSWORD, Role.VIEW)
    with pytest.raises(NotSignedIn):
        await operators.sign_in(name, password, "192.0.2.1")
    assert hasher.verified == 1


async def test_guessing_one_name_is_stopped_from_wherever_it_comes(operators: Operators, clock: Clock) -> None:
    async def guess(n: int) -> None:
        await operators.sign_in("ada", "wrong horse", f"192.0.2.{n}")

    results = await asyncio.gather(*map(guess, range(110)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NotSignedIn"] * 100 + ["TooMany"] * 10
    with pytest.raises(TooMany) as refused:
        await operators.sign_in("ada", PASSWORD, "198.51.100.1")
    assert 0 < refused.value.wait_s <= 15 * 60
    clock.advance(minutes=15)
    await operators.sign_in("ada", PASSWORD, "198.51.100.1")


async def test_guessing_from_one_address_does_not_lock_the_operator_out(operators: Operators) -> None:
    for _ in range(10):
        with pytest.raises(NotSignedIn):
            await operators.sign_in("ada", "wrong horse", "192.0.2.1")
    with pytest.raises(TooMany):
        await operators.sign_in("ada", PASSWORD, "192.0.2.1")
    await operators.sign_in("ada", PASSWORD, "198.51.100.1")


async def test_guessing_many_names_from_one_network_is_stopped(operators: Operators) -> None:
    async def guess(n: int) -> None:
        await operators.sign_in(f"name {n}", PASSWORD, f"2001:db8::{n:x}")

    results = await asyncio.gather(*map(guess, range(40)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NotSignedIn"] * 30 + ["TooMany"] * 10
    await operators.sign_in("ada", PASSWORD, "2001:db8:1::1")


async def test_signing_in_rightly_is_never_too_often(operators: Operators) -> None:
    for _ in range(40):
        await operators.sign_in("ada", PASSWORD, "192.0.2.1")


async def test_a_session_ends_by_itself(operators: Operators, clock: Clock, database: Database) -> None:
    cookie = await operators.sign_in("ada", PASSWORD, "192.0.2.1")
    clock.advance(hours=12, ms=-1)
    assert await operators.find(cookie) is not None
    assert await database.write(lambda tx: store.prune(tx, clock.now_ms())) == 0
    clock.advance(ms=1)
    assert await operators.find(cookie) is None
    assert await database.write(lambda tx: store.prune(tx, clock.now_ms())) == 1


async def test_a_changed_password_ends_all_sessions_of_that_operator_alone(operators: Operators) -> None:
    await operators.add("bob", PASSWORD, Role.VIEW)
    adas = [await operators.sign_in("ada", PASSWORD, "192.0.2.1") for _ in range(2)]
    bobs = await operators.sign_in("bob", PASSWORD, "192.0.2.1")
    await operators.set_password("ada", "another password")
    assert [await operators.find(cookie) for cookie in adas] == [None, None]
    assert await operators.find(bobs) is not None
    with pytest.raises(NotSignedIn):
        await operators.sign_in("ada", PASSWORD, "192.0.2.1")
    await operators.sign_in("ada", "another password", "192.0.2.1")


async def test_a_changed_role_ends_all_sessions(operators: Operators) -> None:
    cookie = await operators.sign_in("ada", PASSWORD, "192.0.2.1")
    await operators.set_role("ada", Role.CONFIGURE)
    assert await operators.find(cookie) is None
    found = await operators.find(await operators.sign_in("ada", PASSWORD, "192.0.2.1"))
    assert found is not None
    assert found.role is Role.CONFIGURE


async def test_a_removed_operator_is_out_at_once(operators: Operators) -> None:
    cookie = await operators.sign_in("ada", PASSWORD, "192.0.2.1")
    await operators.remove("ada")
    assert await operators.find(cookie) is None
    assert await operators.names() == ()


async def test_a_password_changed_while_it_was_checked_opens_no_session(
    operators: Operators, database: Database, clock: Clock
) -> None:
    account = await database.look(lambda reader: store.find(reader, "ada"))
    assert account is not None
    await operators.set_password("ada", "another password")
    assert not await database.write(lambda tx: store.add_session(tx, "hash", account, clock.now_ms() + 1_000))


async def test_a_hash_from_weaker_days_is_made_anew(database: Database, clock: Clock, operators: Operators) -> None:
    stronger = Operators(database, clock.now_ms, hasher=PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    assert await stronger.find(await stronger.sign_in("ada", PASSWORD, "192.0.2.1")) is not None
    [password_hash] = await column(database, "SELECT password_hash FROM operators")
    assert "m=16,t=2" in str(password_hash)


async def test_accounts_that_cannot_be(operators: Operators) -> None:
    with pytest.raises(Conflict):
        await operators.add("ada", PASSWORD, Role.VIEW)
    for name in ("", "x" * 65, " ada", "a\nb", "a\x00b"):
        with pytest.raises(BadInput) as refused:
            await operators.add(name, PASSWORD, Role.VIEW)
        assert refused.value.field == "name"
    for password in ("", "1234567", "x" * 1_001):
        with pytest.raises(BadInput) as refused:
            await operators.add("bob", password, Role.VIEW)
        assert refused.value.field == "password"
        with pytest.raises(BadInput):
            await operators.set_password("ada", password)
    assert await operators.names() == ("ada",)


async def test_what_is_changed_must_be_there(operators: Operators) -> None:
    with pytest.raises(NotFound):
        await operators.set_role("eve", Role.VIEW)
    with pytest.raises(NotFound):
        await operators.set_password("eve", PASSWORD)
    with pytest.raises(NotFound):
        await operators.remove("eve")


class Forgetting:
    """A transaction before whose first look the call that was made before is forgotten."""

    def __init__(self, tx: Transaction, forget: Callable[[], Awaitable[None]]) -> None:
        self._tx = tx
        self._forget = forget
        self.execute = tx.execute

    async def fetch_one(self, sql: str, *values: object) -> Row | None:
        await self._forget()
        return await self._tx.fetch_one(sql, *values)


@pytest.mark.parametrize("database_kind", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
async def test_a_call_whose_name_was_set_free_just_then_is_kept_like_any_other(database: Database) -> None:
    """Where there is more than one writer at a time. If it were not kept, the same call could be made twice at once."""
    await database.write(lambda tx: calls.begin_call(tx, 1, "k", "hash", 1))

    async def forget() -> None:
        await database.write(lambda tx: calls.forget_call(tx, 1, "k"))

    async def begin(tx: Transaction) -> Call | None:
        return await calls.begin_call(cast("Transaction", Forgetting(tx, forget)), 1, "k", "other", 1)

    assert await database.write(begin) is None
    assert await database.write(lambda tx: calls.begin_call(tx, 1, "k", "third", 1)) == Call("other", None, None)
