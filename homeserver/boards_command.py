"""`homeserver boards`: what is in force, bringing it in line with the settings, rebuilding, import and export."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final

from homeserver import config
from homeserver.domain.score_files import MAX_LINE_BYTES, FileFormat
from homeserver.errors import BadSettings
from homeserver.model import NowMs
from homeserver.progress import Bar
from homeserver.services.board_admin import Action, BoardAdmin, Plan, Step
from homeserver.services.board_import import KEPT_BAD_LINES, BoardImport, Import
from homeserver.services.rebuilds import Rebuilds, Rebuilt
from homeserver.serving import Say
from homeserver.storage.database import Database
from homeserver.wiring import wall_clock_ms

BYTES_A_LINE: Final = 40
"""About: how many lines a file has decides how they are counted, not what comes of them."""

_WILL: Final = {
    Action.ADD: "add {board}, with what is known of its field",
    Action.CHANGE: "change {board} as it is shown; places stay",
    Action.REBUILD: "rebuild {board}: places may change, and pages that people have open begin anew",
    Action.DROP: "DROP {board}: its lists are deleted (players' data stays)",
}
_DOES: Final = {
    Action.ADD: "Adding {board}",
    Action.CHANGE: "Changing {board}",
    Action.REBUILD: "Rebuilding {board}",
    Action.DROP: "Dropping {board}",
}


def board_admin(database: Database, now_ms: NowMs = wall_clock_ms) -> BoardAdmin:
    """The operator's view of the boards in this database."""
    return BoardAdmin(database, Rebuilds(database, now_ms), now_ms)


async def show(database: Database, settings: config.Settings, say: Say) -> None:
    """`boards list`: the boards in force, and what the settings have other than they."""
    admin = board_admin(database)
    listed = await admin.listed(settings.boards)
    say(f"{'board':<20} {'entries':>12} {'generation':>10}  title")
    for each in listed:
        board = each.in_force.board
        say(f"{board.id:<20} {each.entries:>12,} {each.in_force.generation:>10}  {board.title}")
        for words in each.differences:
            say(f"  {words}")
        if each.rebuild_due:
            say(f"  lacks scores of an import that was broken off: homeserver boards rebuild {board.id}")
    for step in (await admin.plan(settings.boards)).steps:
        if step.action is Action.ADD:
            say(f"{step.board.id:<20} {'-':>12} {'-':>10}  {step.board.title}\n  in the settings only")


async def apply(
    database: Database, settings: config.Settings, say: Say, *, agreed: Callable[[], bool], actor: str = "-"
) -> bool:
    """`boards apply`: say what would be done, ask, do it.

    Args:
        agreed: Asks whether to go on.
        actor: Who does it, for the log.

    Returns:
        Whether the boards in force are those of the settings now.
    """
    admin = board_admin(database)
    plan = await admin.plan(settings.boards)
    if not plan:
        say("The boards in force are those of the settings. Nothing to do.")
        return True
    _say_plan(plan, say)
    if not agreed():
        say("Nothing was changed.")
        return False
    bars = [Bar("players")]

    def started(step: Step) -> None:
        bars[-1].end()
        bars.append(Bar("players"))
        say(_DOES[step.action].format(board=step.board.id))

    def progress(done: int, total: int) -> None:
        bars[-1].show(done, total)

    try:
        built = await admin.apply(plan, started, progress, actor=actor)
    finally:
        bars[-1].end()
    for rebuilt in built:
        say(_of(rebuilt))
    say("The boards in force are those of the settings now.")
    return True


def _say_plan(plan: Plan, say: Say) -> None:
    say("To bring the boards in line with the settings:")
    for step in plan.steps:
        say(f"  {_WILL[step.action].format(board=step.board.id)}")
        for words in step.words:
            say(f"    {words}")
    if plan.moved:
        say(f"  change their order to {', '.join(plan.order)}")


async def rebuild(database: Database, board: str, say: Say, actor: str = "-") -> None:
    """`boards rebuild`: build one board's lists anew, and say what came of it."""
    bar = Bar("players")
    try:
        rebuilt = await board_admin(database).rebuild(board, bar.show, actor=actor)
    finally:
        bar.end()
    say(f"{board}: {_of(rebuilt)}")


def _of(rebuilt: Rebuilt) -> str:
    entries = f"entries {rebuilt.entries:,} (before: {rebuilt.entries_before:,})"
    return f"{entries}, lists {rebuilt.lists:,}, made from changes {rebuilt.events:,}."


async def load(
    database: Database,
    settings: config.Settings,
    file: Path,
    say: Say,
    *,
    board: str,
    form: FileFormat | None,
    verified: bool,
    actor: str = "-",
) -> bool:
    """`boards import`: every line of the file that is right counts; those that are not are listed.

    Returns:
        Whether all lines were right.
    """
    opened, size = _opened(file)
    importer = BoardImport(database, Rebuilds(database, wall_clock_ms), settings.container.name, wall_clock_ms)
    bar, building = Bar("bytes"), Bar("players")
    with closing(opened):
        try:
            result = await importer.load(
                board,
                _lines(opened),
                form or (FileFormat.NDJSON if file.suffix in {".ndjson", ".jsonl"} else FileFormat.CSV),
                verified=verified,
                expected=size // BYTES_A_LINE,
                progress=lambda _: bar.show(opened.tell(), max(size, opened.tell())),
                rebuilding=building.show,
                actor=actor,
            )
        finally:
            bar.end()
    _say_import(result, say)
    return not result.bad


def _opened(file: Path) -> tuple[BinaryIO, int]:
    """The file, and how many bytes it has."""
    try:
        return file.open("rb"), file.stat().st_size
    except OSError as error:
        raise BadSettings(f"{file} cannot be read: {error.strerror or error}") from error


def _lines(opened: BinaryIO) -> Iterator[bytes]:
    """Its lines. Of one that is too long, just enough to be refused: its rest must not pass for another line."""
    while line := opened.readline(MAX_LINE_BYTES + 1):
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = opened.readline(MAX_LINE_BYTES + 1)
        yield line


def _say_import(result: Import, say: Say) -> None:
    say(f"Scores: {result.new:,} new, {result.known:,} known already. Bad lines: {result.bad:,}.")
    for line in result.bad_lines:
        say(f"line {line.line}: {line.reason}")
    if result.bad > KEPT_BAD_LINES:
        say(f"and {result.bad - KEPT_BAD_LINES:,} more")


async def export(database: Database, board: str, period: str, form: FileFormat) -> None:
    """`boards export`: a whole list to standard output, in UTF-8."""
    out = sys.stdout.buffer
    await board_admin(database).export(board, period, form, lambda text: _put(out.write, text))
    out.flush()


def _put(write: Callable[[bytes], object], text: str) -> None:
    write(text.encode())
