"""`homeserver backup`, `restore` and `keys`, as an operator types them."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from homeserver.cli import main
from homeserver.services.secret_box import SecretBox, derive
from tests.test_cli import served, settings_file

__all__ = ["settings_file"]

OLD, NEW = "the secret key of before, which is long", "the secret key from now on, also long"


class Command:
    """The command line, with the settings of a test."""

    def __init__(self, settings: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._settings = settings
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str]:
        """Status, and what was said, on standard error too."""
        status = main(["--config", str(self._settings), *words])
        said = self._capsys.readouterr()
        return status, said.out + said.err

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with sqlite3.connect(self.folder / "homeserver.db") as database:
            found = database.execute(sql).fetchall()
        database.close()
        return found


@pytest.fixture
def command(settings_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    made = Command(settings_file, tmp_path, capsys)
    assert made("migrate")[0] == 0
    made.rows("INSERT INTO players (public_id, container, user_id, given_name) VALUES ('a', 'c', '1', 'Ana')")
    return made


def test_a_backup_is_made_while_a_server_runs_and_restored_when_it_does_not(
    command: Command, settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = command.folder / "one.backup"
    with served("--config", str(settings_file), "serve"):
        status, said = command("backup", str(file))
        assert status == 0
        assert said.startswith(f"{file} holds the database of 20")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        status, said = command("restore", str(file), "--replace", "--yes")
        assert status == 1
        assert "The database is in use. Stop all servers" in said
    command.rows("UPDATE players SET given_name = 'Somebody else'")
    status, said = command("restore", str(file))
    assert status == 1
    assert "--replace" in said
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert command("restore", str(file), "--replace")[0] == 1
    assert command.rows("SELECT given_name FROM players") == [("Somebody else",)]
    status, said = command("restore", str(file), "--replace", "--yes")
    assert status == 0
    assert "All boards are counted, and right." in said
    assert command.rows("SELECT given_name FROM players") == [("Ana",)]


def test_a_backup_is_checked_without_a_database(
    command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = command.folder / "one.backup"
    assert command("backup", str(file))[0] == 0
    monkeypatch.setenv("HOMESERVER_DATABASE__URL", "sqlite:////nowhere/at/all.db")
    status, said = command("restore", str(file), "--check")
    assert status == 0
    assert said.startswith(f"{file} is whole: of 20")
    file.write_bytes(file.read_bytes()[:-20])
    status, said = command("restore", str(file), "--check")
    assert status == 1
    assert "cut" in said


def test_a_backup_never_replaces_another(command: Command) -> None:
    file = command.folder / "one.backup"
    assert command("backup", str(file))[0] == 0
    before = file.read_bytes()
    status, said = command("backup", str(file))
    assert status == 1
    assert "is there already" in said
    assert file.read_bytes() == before


def test_keys_are_rotated_where_there_is_an_old_one(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = SecretBox([derive(OLD, "page sessions")]).seal("token", bound_to="session")
    command.rows(
        "INSERT INTO page_sessions (token_hash, storage_user, sealed_token, expires_ms) "
        f"VALUES ('session', 'marie', '{sealed}', 9999999999999)"
    )
    monkeypatch.setenv("HOMESERVER_SERVER__SECRET_KEY", NEW)
    status, said = command("keys", "rotate")
    assert status == 1
    assert "server.old_secret_key is not set" in said
    monkeypatch.setenv("HOMESERVER_SERVER__OLD_SECRET_KEY", OLD)
    status, said = command("keys", "rotate")
    assert status == 0
    assert "Sealed anew: 1. Sealed with the new key already: 0." in said
    ((text,),) = command.rows("SELECT sealed_token FROM page_sessions")
    assert SecretBox([derive(NEW, "page sessions")]).open(str(text), bound_to="session") == "token"
    assert OLD not in said
    assert "token" not in said.replace("tokens", "")
