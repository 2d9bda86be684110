"""The command line: every command, by its words and its exit status; the server as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from homeserver import __version__, config_example, logs
from homeserver.cli import main
from tests.patience import PATIENCE_S
from tests.ports import free_port
from tests.saml_kit import metadata_file


@pytest.fixture(autouse=True)
def _this_process_keeps_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that run in the test's own process must not bind its log to a stream that ends with the test."""
    monkeypatch.setattr(logs, "configure", lambda **_: None)


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete settings file, with a database and a spool of its own."""
    path = tmp_path / "homeserver.toml"
    path.write_text(config_example.example())
    monkeypatch.setenv("HOMESERVER_DATABASE__URL", f"sqlite:///{tmp_path / 'homeserver.db'}")
    monkeypatch.setenv("HOMESERVER_MESDONNEES__SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("HOMESERVER_SIGN_IN__METADATA", str(metadata_file(tmp_path)))
    monkeypatch.setenv("HOMESERVER_SERVER__PORT", str(free_port()))
    monkeypatch.setenv("HOMESERVER_SERVER__BOARDS_VISIBLE_TO", "everyone")
    return path


@contextmanager
def served(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`homeserver ...` as a process, answering; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "homeserver", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    try:
        deadline_s = time.monotonic() + PATIENCE_S
        while status_of("/healthz") != 200:
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < deadline_s, "it does not answer"
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def status_of(path: str) -> int | None:
    """What the server in the settings answers; None where nobody listens."""
    try:
        with urlopen(f"http://127.0.0.1:{os.environ['HOMESERVER_SERVER__PORT']}{path}", timeout=PATIENCE_S) as response:
            return int(response.status)
    except HTTPError as error:
        return error.code
    except OSError:
        return None


def ended(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Exit status and words after a signal."""
    process.send_signal(number)
    words, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, words


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"homeserver {__version__}\n"


def test_without_a_command_it_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    listed = capsys.readouterr().out
    commands = ("serve", "demo", "sandbox", "migrate", "sync", "admin", "doctor", "config")
    assert all(f"\n    {command} " in listed for command in commands)


def test_config_example_prints_a_file_that_config_check_accepts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "example"]) == 0
    (tmp_path / "settings.toml").write_text(capsys.readouterr().out)
    assert tomllib.loads((tmp_path / "settings.toml").read_text())["server"]
    assert main(["--config", str(tmp_path / "settings.toml"), "config", "check"]) == 0


def test_wrong_settings_end_with_1_and_words(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOMESERVER_SERVER__PORT", "high")
    assert main(["--config", str(settings_file), "serve"]) == 1
    assert "server.port: found 'high'" in capsys.readouterr().err


def test_the_settings_file_may_be_named_by_the_environment(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMESERVER_CONFIG", str(settings_file))
    assert main(["config", "check"]) == 0


def test_a_database_without_tables_is_refused_and_the_command_is_named(settings_file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "homeserver", "--config", str(settings_file), "serve"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("The database has no tables yet. Run `homeserver migrate` first.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_comes(settings_file: Path, number: signal.Signals) -> None:
    assert main(["--config", str(settings_file), "migrate"]) == 0
    with served("--config", str(settings_file), "serve") as process:
        assert (status_of("/"), status_of("/readyz"), status_of("/nowhere")) == (200, 200, 404)
        code, words = ended(process, number)
    assert code == 0
    assert "Traceback" not in words


def test_workers_share_the_port_and_stop_together(settings_file: Path) -> None:
    assert main(["--config", str(settings_file), "migrate"]) == 0
    with served("--config", str(settings_file), "serve", "--workers", "2") as process:
        assert {status_of("/readyz") for _ in range(10)} == {200}
        code, words = ended(process, signal.SIGTERM)
    assert code == 0
    assert words.startswith("2 workers share port")
    assert status_of("/healthz") is None


def test_a_taken_port_is_said_once(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(settings_file), "migrate"]) == 0
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("HOMESERVER_SERVER__PORT", str(other.getsockname()[1]))
        for more in ([], ["--workers", "2"]):
            assert main(["--config", str(settings_file), "serve", *more]) == 1
            assert capsys.readouterr().err.count("is taken by another program") == 1


def test_an_operator_is_made_with_a_password_from_a_file(
    settings_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--config", str(settings_file), "migrate"])
    (tmp_path / "password").write_text("correct horse battery staple\n")
    add = ["--config", str(settings_file), "admin", "add", "maria", "--password-file", str(tmp_path / "password")]
    assert main([*add, "--role", "moderate"]) == 0
    assert capsys.readouterr().out.endswith("maria may sign in at https://letters.example.org/admin (moderate).\n")
    assert main(add) == 1
    assert "maria" in capsys.readouterr().err


def test_a_password_file_that_cannot_be_read_is_said(
    settings_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add = ["--config", str(settings_file), "admin", "add", "maria", "--password-file"]
    assert main([*add, str(tmp_path / "nowhere")]) == 1
    (tmp_path / "bytes").write_bytes(b"\xff")
    assert main([*add, str(tmp_path / "bytes")]) == 1
    assert capsys.readouterr().err.count("cannot be read") == 2


@pytest.mark.parametrize("command", [["config", "check"], ["migrate"]])
def test_the_settings_file_may_be_named_behind_the_command(settings_file: Path, command: list[str]) -> None:
    assert main([*command, "--config", str(settings_file)]) == 0
    assert main([*command[:1], "--config", str(settings_file), *command[1:]]) == 0


@pytest.mark.parametrize("workers", ["0", "-1", "65"])
def test_a_number_of_workers_that_cannot_be_is_refused(
    settings_file: Path, workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--config", str(settings_file), "migrate"])
    assert main(["--config", str(settings_file), "serve", "--workers", workers]) == 1
    assert "1 to 64" in capsys.readouterr().err


def test_a_traceback_on_a_terminal_shows_no_local_variables(tmp_path: Path) -> None:
    """Where the package rich is installed, structlog would show them by default."""
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").touch()
    (tmp_path / "rich" / "console.py").write_text(
        "class Console:\n"
        "    def __init__(self, **given): self.file = given['file']\n"
        "    def print(self, text): self.file.write(text)\n"
    )
    (tmp_path / "rich" / "traceback.py").write_text(
        "class Traceback:\n    from_exception = lambda *_, **given: f'locals shown: {given}'\n"
    )
    code = (
        "import structlog; from homeserver import logs; logs.configure(as_json=False)\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: structlog.get_logger().exception('failed')\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert "ZeroDivisionError" in done.stderr
    assert "locals shown" not in done.stderr


def test_sync_all_says_when_there_is_nobody(settings_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--config", str(settings_file), "migrate"])
    assert main(["--config", str(settings_file), "sync", "--all"]) == 1
    assert "No player is known yet." in capsys.readouterr().err


def test_sync_all_is_refused_where_people_cannot_be_read_offline(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOMESERVER_CONTAINER__OFFLINE", "refused")
    main(["--config", str(settings_file), "migrate"])
    assert main(["--config", str(settings_file), "sync", "--all"]) == 1
    assert 'container.offline is "refused"' in capsys.readouterr().err


def test_a_signal_between_two_workers_leaves_none_behind() -> None:
    """The first child sends it while the next are still being made; each holds the pipe open as long as it lives."""
    code = (
        "import os, sys; from homeserver.serving import serve_by_workers\n"
        "child = f'import os, signal, time; os.kill({os.getpid()}, signal.SIGTERM); time.sleep(60)'\n"
        f"sys.exit(serve_by_workers(['-c', child], 8, '127.0.0.1', {free_port()}, print))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done


def test_an_account_is_changed_listed_and_removed(
    settings_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = ["--config", str(settings_file), "admin"]
    main(["--config", str(settings_file), "migrate"])
    (tmp_path / "password").write_text("correct horse battery staple\n")
    from_file = ["--password-file", str(tmp_path / "password")]
    assert main([*admin, "add", "maria", *from_file]) == 0
    (tmp_path / "password").write_text("another horse, another staple\n")
    capsys.readouterr()
    assert main([*admin, "password", "maria", *from_file]) == 0
    assert main([*admin, "role", "maria", "configure"]) == 0
    assert main([*admin, "list"]) == 0
    assert main([*admin, "remove", "maria"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "maria has the new password, and is signed out everywhere.",
        "maria may configure now, and is signed out everywhere.",
        "maria",
        "maria is no operator any more.",
    ]
    for action in (["password", "maria", *from_file], ["role", "maria", "view"], ["remove", "maria"]):
        assert main([*admin, *action]) == 1
        assert "operator" in capsys.readouterr().err
