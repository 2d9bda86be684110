"""The embedded PostgreSQL that other tests use: it answers, and it leaves nothing behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).resolve().parent.parent
HOLDER = """
import sys
from tests.embedded_postgres import embedded_postgres
with embedded_postgres() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


async def test_it_answers_and_orders_text_alike_on_every_machine(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        assert await connection.fetchval("SHOW server_version_num") >= "160000"
        found = await connection.fetch("SELECT t FROM unnest(ARRAY['b', 'É', 'B', 'a']) AS t ORDER BY t")
    finally:
        await connection.close()
    assert [row["t"] for row in found] == ["B", "a", "b", "É"]


def test_each_test_gets_a_schema_of_its_own(postgres_schema: str, request: pytest.FixtureRequest) -> None:
    assert postgres_schema.isidentifier()
    assert request.getfixturevalue("postgres_schema") == postgres_schema


def test_nothing_is_left_when_its_user_is_killed() -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        folder = Path(holder.stdout.readline().strip().partition("?host=")[2])
        postmaster = int((folder / "data/postmaster.pid").read_text().splitlines()[0])
        server = os.pidfd_open(postmaster)
        holder.send_signal(signal.SIGKILL)
    ended, _, _ = select.select([server], [], [], 20)
    os.close(server)
    assert ended, "the server outlived the process that started it"
