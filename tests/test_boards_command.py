"""`homeserver boards ...` as an operator types it, on a database of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homeserver import boards_command, config_example, progress
from homeserver.cli import main
from homeserver.domain.score_files import MAX_LINE_BYTES
from tests.patience import PATIENCE_S

LETTERS = '[[boards]]\nid = "letters"\ntitle = "Letters"\nfield = "letters_sent"\n'
FASTEST = '[[boards]]\nid = "fastest"\ntitle = "Fastest"\nfield = "seconds"\norder = "less"\n'
SCORES = b"player,name,value,time\n0042,Maria,5,2026-01-02T03:04:05Z\n17,=cmd,7,2026-01-02T03:04:06Z\n"


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings with the board of letters, and a migrated database."""
    path = tmp_path / "homeserver.toml"
    define(path, LETTERS)
    monkeypatch.setenv("HOMESERVER_DATABASE__URL", f"sqlite:///{tmp_path / 'homeserver.db'}")
    monkeypatch.setenv("HOMESERVER_CONFIG", str(path))
    assert main(["migrate"]) == 0
    return path


def define(path: Path, *boards: str) -> None:
    """Let these be the boards of the settings."""
    example = config_example.example()
    path.write_text(example[: example.index("[[boards]]")] + "".join(boards))


@pytest.fixture
def run(settings_file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs `homeserver boards ...`: its exit status and what it says."""

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        status = main(["boards", *words])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


Run = Callable[..., tuple[int, str]]


def test_apply_says_what_it_will_do_and_asks(run: Run, settings_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Iterator[str] = iter(["", "n", "yes"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    for _ in range(2):
        status, said = run("apply")
        assert status == 1
        assert "add letters" in said
        assert said.endswith("Nothing was changed.\n")
    assert "in the settings only" in run("list")[1]
    assert run("apply")[0] == 0
    assert run("apply") == (0, "The boards in force are those of the settings. Nothing to do.\n")
    define(settings_file, LETTERS.replace("Letters", "Sent") + 'keep = "latest"\n', FASTEST)
    status, said = run("apply", "--yes")
    assert status == 0
    assert "rebuild letters: places may change" in said
    assert '    keep is "best", the settings say "latest"\n' in said
    assert "add fastest" in said
    define(settings_file, FASTEST)
    status, said = run("apply", "--yes")
    assert "DROP letters" in said
    assert [line.split()[0] for line in run("list")[1].splitlines()] == ["board", "fastest"]


def test_apply_where_nobody_can_be_asked_changes_nothing(run: Run, settings_file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "homeserver", "boards", "apply"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith("Nothing was changed.\n")


def test_import_rebuild_export(run: Run, tmp_path: Path) -> None:
    run("apply", "--yes")
    file = tmp_path / "scores.csv"
    file.write_bytes(SCORES + b"9,,many,\n")
    status, said = run("import", str(file), "--board", "letters", "--verified")
    assert status == 1
    assert said == (
        "Scores: 2 new, 0 known already. Bad lines: 1.\nline 4: value: not a plain number, such as 12 or -3\n"
    )
    file.write_bytes(SCORES)
    assert run("import", str(file), "--board", "letters", "--verified") == (
        0,
        "Scores: 0 new, 2 known already. Bad lines: 0.\n",
    )
    rebuilt = "letters: entries 8 (before: 8), lists 4, made from changes 2.\n"
    assert run("rebuild", "letters") == (0, rebuilt)
    status, said = run("export", "letters")
    lines = said.splitlines()
    assert (status, len(lines)) == (0, 3)
    assert lines[0] == "rank,player,name,score,reached"
    assert lines[1].startswith("1,")
    assert lines[1].endswith(",'=cmd,7,2026-01-02T03:04:06.000Z")
    status, said = run("export", "letters", "--period", "month:2026-01", "--format", "ndjson")
    assert [json.loads(line)["name"] for line in said.splitlines()] == ["=cmd", "Maria"]
    assert run("list")[1].splitlines()[1].split() == ["letters", "2", "2", "Letters"]


def test_the_name_of_a_file_says_its_format(run: Run, tmp_path: Path) -> None:
    run("apply", "--yes")
    file = tmp_path / "scores.ndjson"
    file.write_text('{"player":"1","value":"5"}\n')
    assert run("import", str(file), "--board", "letters")[1].startswith("Scores: 1 new")
    assert run("import", str(file), "--board", "letters", "--format", "csv")[0] == 1


def test_a_line_that_is_too_long_is_one_bad_line(run: Run, tmp_path: Path) -> None:
    """What lies behind its beginning is not read as lines of its own."""
    run("apply", "--yes")
    file = tmp_path / "scores.csv"
    for end in (b"\n3,,5,\n", b"\n", b""):
        long = b"1," + b"x" * (MAX_LINE_BYTES - 1) + b"2,,9,".ljust(2 * MAX_LINE_BYTES + 5, b"x")
        file.write_bytes(b"player,name,value,time\n" + long + end)
        said = run("import", str(file), "--board", "letters")[1]
        assert said.endswith(f" Bad lines: 1.\nline 2: longer than {MAX_LINE_BYTES} bytes\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rebuild", "nobody"], "no such board"),
        (["export", "nobody"], "no such board"),
        (["export", "letters", "--period", "year"], "no such period"),
        (["import", "nowhere.csv", "--board", "letters"], "nowhere.csv cannot be read"),
        (["import", "pyproject.toml", "--board", "letters"], "the first line should name the columns"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, words: list[str], said: str) -> None:
    run("apply", "--yes")
    status, words_of_it = run(*words)
    assert status == 1
    assert words_of_it.startswith("homeserver: ")
    assert said in words_of_it


def test_a_reader_of_an_export_may_stop_reading(run: Run, tmp_path: Path) -> None:
    run("apply", "--yes")
    file = tmp_path / "scores.csv"
    file.write_bytes(b"player,value\n" + b"".join(b"p%d,%d\n" % (number, number) for number in range(3_000)))
    run("import", str(file), "--board", "letters")
    with subprocess.Popen(
        [sys.executable, "-m", "homeserver", "boards", "export", "letters"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as exporting:
        assert exporting.stdout is not None
        assert exporting.stderr is not None
        assert exporting.stdout.readline() == "rank,player,name,score,reached\n"
        exporting.stdout.close()
        assert exporting.stderr.read() == ""
    assert exporting.returncode == 0


def test_many_scores_are_counted_by_a_rebuild(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of the file is what tells."""
    monkeypatch.setattr(boards_command, "BYTES_A_LINE", 0.001)
    run("apply", "--yes")
    file = tmp_path / "scores.csv"
    file.write_bytes(SCORES)
    assert run("import", str(file), "--board", "letters")[0] == 0
    assert run("list")[1].splitlines()[1].split() == ["letters", "2", "2", "Letters"]


def test_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(progress, "_draw", drawn.append)
    bar = progress.Bar("players")
    bar.end()
    assert drawn == []  # nothing was begun
    for done in (0, 0, 1_000, 2_000):
        bar.show(done, 2_000)
    bar.end()
    assert [text.strip()[:32] for text in drawn] == [
        f"[{'.' * 30}]",
        f"[{'#' * 15}{'.' * 15}]",
        f"[{'#' * 30}]",
        "",
    ]
    assert "2,000 of 2,000 players" in drawn[2]
    progress.Bar().show(0, 0)
    assert drawn[-1].startswith(f"\r[{'#' * 30}] 0 of 0, ")
