"""`homeserver players ...` and `homeserver boards review ...` as an operator types them, on a database of its own."""

from __future__ import annotations

import asyncio
import getpass
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homeserver.cli import main
from homeserver.services.delisting import Delisting
from homeserver.storage import people
from homeserver.storage.database import open_database
from homeserver.wiring import wall_clock_ms
from tests.test_boards_command import define, settings_file

__all__ = ["settings_file"]

BOARD = '[[boards]]\nid = "letters"\ntitle = "Letters"\nfield = "letters_sent"\nlargest_step = "10"\n'
SCORES = b"player,name,value,time\n0042,Maria,5,2026-01-02T03:04:05Z\n17,Rui,7,2026-01-02T03:04:06Z\n"
WHY = ("--reason", "see ticket 7")

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(settings_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `homeserver ...` where Maria and Rui have scores: its exit status and what it says."""

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        status = main(words)
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    define(settings_file, BOARD)
    file = tmp_path / "scores.csv"
    file.write_bytes(SCORES)
    assert run("boards", "apply", "--yes")[0] == 0
    assert run("boards", "import", str(file), "--board", "letters")[0] == 0
    return run


def listed(run: Run) -> list[str]:
    return re.findall(r"Maria|Rui", run("boards", "export", "letters")[1])


def test_hide_and_restore_say_who_did_it_and_why(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert listed(run) == ["Rui", "Maria"]
    monkeypatch.setattr(getpass, "getuser", lambda: "paulo")
    assert run("players", "hide", "17", *WHY) == (0, "Rui is hidden from letters.\n")
    assert listed(run) == ["Maria"]
    status, said = run("players", "show", "17")
    assert status == 0
    assert re.search(r"letters +all +1 of 2 +7  hidden\n", said)
    assert re.search(r"letters: hidden since 20\S+Z by paulo: see ticket 7\n", said)
    assert re.search(r"20\S+Z paulo: hide on letters: see ticket 7\n", said)
    assert run("players", "hide", "17", *WHY)[0] == 1
    status, said = run("players", "restore", "17", "--board", "letters", "--by", "ana", "--reason", "it was possible")
    assert (status, said) == (0, "Rui is restored on letters.\n")
    assert listed(run) == ["Rui", "Maria"]
    assert run("players", "remove", "17", *WHY)[0] == 0
    assert listed(run) == ["Maria"]
    lines = run("players", "log", "--board", "letters")[1].splitlines()
    assert [each.split(": ")[1] for each in lines[3:]] == ["import on letters", "change board on letters"]
    assert [line.split(" ", 1)[1].split(" (")[0] for line in lines[:3]] == [
        "paulo: remove on letters: see ticket 7",
        "ana: restore on letters: it was possible",
        "paulo: hide on letters: see ticket 7",
    ]


def test_who_hides_themselves_is_said_to(run: Run, tmp_path: Path) -> None:
    async def hide() -> None:
        async with open_database(f"sqlite:///{tmp_path / 'homeserver.db'}") as database:
            player = await database.read(lambda reader: people.find_player(reader, "container", "17"))
            assert player is not None
            await Delisting(database, wall_clock_ms).decide(player, hidden=True, actor="self", reason="their own")

    asyncio.run(hide())
    assert listed(run) == ["Maria"]
    said = run("players", "show", "17")[1]
    assert re.search(r"letters +all +1 of 2 +7  withdrawn\n", said)
    assert re.search(r"all boards: hidden by themselves since 20\S+Z\n", said)
    assert re.search(r"20\S+Z self: withdraw on letters: their own\n", said)
    assert run("players", "restore", "17", *WHY)[0] == 1


def test_erase_says_whom_and_asks(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers: Iterator[str] = iter(["", "no", "y"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    for _ in range(2):
        status, said = run("players", "erase", "0042", *WHY)
        assert status == 1
        assert said.startswith("ERASE Maria, container 0042")
        assert said.endswith("Nothing was changed.\n")
    assert listed(run) == ["Rui", "Maria"]
    status, said = run("players", "erase", "0042", *WHY)
    assert (status, said.splitlines()[-1]) == (0, "They are erased.")
    assert listed(run) == ["Rui"]
    for gone in ("0042", "42", "nobody"):
        status, said = run("players", "erase", gone, "--yes", *WHY)
        assert (status, said) == (1, f"homeserver: There is no player {gone} of the container container.\n")
    status, said = run("boards", "import", str(tmp_path / "scores.csv"), "--board", "letters")
    assert status == 1
    assert "line 2: player: this person was erased" in said
    assert run("players", "erase", "17", "--yes", "--by", "ana", *WHY)[0] == 0
    assert "ana: erase: see ticket 7\n" in run("players", "log")[1]


def test_a_reason_is_asked_for(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ("players", "hide", "17"),
        ("players", "erase", "17", "--yes"),
        ("boards", "approve", "letters", "1"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        assert "--reason" in capsys.readouterr().err
    assert run("players", "hide", "17", "--reason", " ")[0] == 1
    assert listed(run) == ["Rui", "Maria"]


def test_review_of_a_board_where_nothing_waits(run: Run) -> None:
    assert run("boards", "review", "letters") == (0, "Nothing waits.\n")
    for word in ("approve", "reject", "reopen"):
        status, said = run("boards", word, "letters", "1", *WHY)
        assert (status, said) == (1, "homeserver: There is no such claim, or nothing to say of it any more.\n")
