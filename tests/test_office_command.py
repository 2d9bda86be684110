"""What operators do beyond hiding and restoring, as they type it: `homeserver boards`, `players` and `admin`."""

from __future__ import annotations

import builtins
import getpass
import re
from pathlib import Path

import pytest

from tests.test_boards_command import settings_file
from tests.test_players_command import WHY, Run, listed, run

__all__ = ["run", "settings_file"]


def scores(run: Run) -> list[str]:
    return re.findall(r",(-?\d+),20", run("boards", "export", "letters")[1])


def test_a_board_is_closed_opened_reset_and_brought_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("boards", "close", "letters", *WHY)[0] == 0
    assert "closed since 20" in run("boards", "status")[1]
    assert run("boards", "close", "letters", *WHY)[0] == 1
    assert run("players", "score", "17", "9", "--board", "letters", *WHY)[0] == 1
    assert run("boards", "open", "letters", *WHY)[0] == 0
    monkeypatch.setattr(builtins, "input", lambda _: "n")
    status, said = run("boards", "reset", "letters", "--name", "spring", *WHY)
    assert (status, "its 2 entries go into the archive spring" in said) == (1, True)
    assert listed(run) == ["Rui", "Maria"]
    status, said = run("boards", "reset", "letters", "--name", "spring", "--yes", *WHY)
    assert (status, "letters: reset, task 1: done" in said) == (0, True)
    assert listed(run) == []
    assert re.search(r"1 20\S+ +2 entries  spring  \(\w+: see ticket 7\)", run("boards", "archives", "letters")[1])
    assert run("boards", "undo-reset", "letters", *WHY)[0] == 0
    assert listed(run) == ["Rui", "Maria"]
    assert run("boards", "undo-reset", "letters", *WHY)[0] == 1
    status, said = run("boards", "verify", "letters", *WHY)
    assert (
        status,
        re.search(r"verify, task 3: done, lists \d+, entries \d+, checksum \d+, wrong \[\]", said) is None,
    ) == (
        0,
        False,
    )
    assert len(run("boards", "tasks", "letters")[1].splitlines()) == 3


def test_a_bulk_act_says_whom_and_is_undone(run: Run) -> None:
    bulk = ("boards", "bulk", "letters", "hide", "--least", "6", *WHY)
    status, said = run(*bulk, "--dry-run")
    assert (status, said.splitlines()) == (0, ["HIDE 1 players of letters:", f"{'7':>18}  Rui", "Nothing was changed."])
    assert listed(run) == ["Rui", "Maria"]
    status, said = run(*bulk, "--yes")
    assert (status, "done, changed 1" in said) == (0, True)
    assert listed(run) == ["Maria"]
    assert run("boards", "undo-bulk", "1", *WHY)[0] == 0
    assert listed(run) == ["Rui", "Maria"]
    assert run("boards", "undo-bulk", "1", *WHY)[0] == 1
    assert run("boards", "bulk", "letters", "hide", "--least", "x", "--yes", *WHY)[0] == 1


def test_a_score_is_adjusted_given_and_looked_for(run: Run) -> None:
    assert run("players", "adjust", "17", "6", "--board", "letters", *WHY)[0] == 0
    assert scores(run) == ["6", "5"]
    status, said = run("players", "dossier", "17")
    assert status == 0
    assert re.search(r"letters: adjusted to 6 at 20\S+ by \w+: see ticket 7", said)
    assert run("players", "unadjust", "17", "--board", "letters", *WHY)[0] == 0
    assert scores(run) == ["7", "5"]
    assert run("players", "score", "0042", "50", "--board", "letters", "--time", "tomorrow", *WHY)[0] == 1
    assert run("players", "score", "0042", "50", "--board", "letters", *WHY)[0] == 0
    assert scores(run) == ["50", "7"]
    assert re.search(r"^0042 +\w{20} +Maria$", run("players", "find", "mar")[1], re.MULTILINE)
    assert "Nobody" in run("players", "find", "xyz")[1]
    assert re.search(r"2 +7  Rui  17", run("boards", "search", "letters", "17")[1])
    assert "Nothing is far" in run("boards", "suspects", "letters")[1]
    assert run("players", "clear", "17", "--board", "letters", *WHY)[0] == 0
    assert run("players", "unclear", "17", "--board", "letters", *WHY)[0] == 0
    assert run("players", "unclear", "17", "--board", "letters", *WHY)[0] == 1


def test_tokens_of_operators(run: Run, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse battery")
    assert run("admin", "add", "ada", "--password-file", str(password), "--role", "moderate", "--by", "root")[0] == 0
    assert run("admin", "token", "ada", "--name", "nightly", "--role", "configure")[0] == 1
    status, said = run("admin", "token", "ada", "--name", "nightly", "--role", "view", "--days", "7")
    assert (status, said.startswith("hsa_")) == (0, True)
    status, listing = run("admin", "tokens", "ada")
    assert re.fullmatch(r"\w{12} view +until 20\S+Z, never used  nightly\n", listing)
    assert said.split()[0] not in listing
    assert run("admin", "revoke", "ada", listing.split()[0])[0] == 0
    assert run("admin", "tokens", "ada") == (0, "")
    log = run("players", "log")[1]
    assert "root: add operator" in log
    assert "import on letters: - (new 2, known 0, bad 0)" in log
    assert "change board on letters: - (add: )" in log
    user = getpass.getuser()
    assert f"{user}: add token" in log
    assert f"{user}: revoke token" in log
