"""Importing a file of scores into a board: checked line by line, and kept as events.

Few scores are counted as they come. Many are only kept, and then the boards of their field are rebuilt, which takes a
tenth of the time; until that is done, the database remembers that it is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from homeserver.domain import score_files
from homeserver.domain.boards import BoardInForce
from homeserver.domain.score_files import BadLine, FileFormat, Score
from homeserver.errors import BadInput, NotFound
from homeserver.model import Action, Board, NowMs, Person
from homeserver.services import reasons
from homeserver.services.rebuilds import Progress, Rebuilds
from homeserver.storage import imports, moderation, people, rebuild
from homeserver.storage import leaderboards as store
from homeserver.storage.database import Database, Reader, Transaction
from homeserver.storage.imports import Imported

T = TypeVar("T")

BATCH: Final = 500
"""Scores that one transaction keeps and counts. SQLite's writers wait meanwhile: about 50 ms."""
MANY_BATCH: Final = 2_000
"""Scores that one transaction keeps, to be counted later."""
MANY: Final = 10_000
"""From so many on it may be worth a rebuild."""
WORTH: Final = 5
"""It is, when the board has at most so many times as many entries: a rebuild folds all of them."""
KEPT_BAD_LINES: Final = 1_000


@dataclass(slots=True)
class Import:
    """What came of a file."""

    new: int = 0
    known: int = 0
    """Scores that were there already."""
    bad: int = 0
    bad_lines: list[BadLine] = field(default_factory=list)
    """The first `KEPT_BAD_LINES` of them."""

    def refuse(self, line: BadLine) -> None:
        """Count a line that says nothing usable."""
        self.bad += 1
        if len(self.bad_lines) < KEPT_BAD_LINES:
            self.bad_lines.append(line)


class BoardImport:
    """Imports files for players of one container."""

    def __init__(self, database: Database, rebuilds: Rebuilds, container: str, now_ms: NowMs) -> None:
        self._database = database
        self._rebuilds = rebuilds
        self._container = container
        self._now_ms = now_ms

    async def load(
        self,
        board_id: str,
        lines: Iterable[bytes],
        form: FileFormat,
        *,
        verified: bool,
        expected: int,
        progress: Callable[[Import], None],
        rebuilding: Progress,
        actor: str = "-",
    ) -> Import:
        """Let each line count that is right; a bad one stops nothing. Running it twice changes nothing more.

        What counts on this board counts on every board of the same field. Whoever is new becomes a player, under the
        name that the file gives; names that the container gave stay.

        Args:
            lines: Read as they are needed, so a file may be larger than the memory.
            verified: The operator vouches for the scores, each of which then needs its time.
            expected: About how many lines there are: decides how they are counted, not what comes of it.
            progress: Told after each batch.
            rebuilding: Told how far the rebuild is, if there is one.
            actor: Who does it, for the log.

        Raises:
            NotFound: No such board.
            BadInput: The file's first line does not name its columns.
            Conflict: A board of this field is being rebuilt. What was read is kept; run it again.
        """
        in_force = await self._database.look(lambda reader: store.board_in_force(reader, board_id))
        if in_force is None:
            raise NotFound(f"There is no board {board_id}.")
        result = Import()
        read = score_files.read(lines, form, in_force.board, self._now_ms())
        many = await self._is_many(in_force, expected)
        work = partial(self._add, board=in_force.board, verified=verified, count=not many)
        for batch in _batches(self._usable(read, result, verified=verified), MANY_BATCH if many else BATCH):
            added, erased = await self._database.write(partial(work, batch=batch))
            result.new += added
            result.known += len(batch) - added - len(erased)
            for score in erased:
                result.refuse(BadLine(score.line, "player: this person was erased, and has not come back"))
            progress(result)
        progress(result)
        words = f"new {result.new}, known {result.known}, bad {result.bad}{', verified' if verified else ''}"
        act = reasons.unexplained(Action.IMPORT, self._now_ms(), actor, board_id, words)
        await self._database.write(lambda tx: moderation.log(tx, act))
        await self._rebuild_what_is_due(in_force.board, rebuilding)
        return result

    async def _is_many(self, in_force: BoardInForce, expected: int) -> bool:
        if expected < MANY:
            return False
        return expected * WORTH >= await self._database.look(lambda reader: rebuild.entries_of_all(reader, in_force))

    async def _rebuild_what_is_due(self, board: Board, progress: Progress) -> None:
        """Also what an import has left that was killed."""

        async def work(reader: Reader) -> list[BoardInForce]:
            due = await rebuild.due(reader)
            in_force = await store.boards_in_force(reader)
            return [each for each in in_force if each.board.field == board.field and each.board.id in due]

        for each in await self._database.look(work):
            await self._rebuilds.rebuild(each.board, revision=each.revision, progress=progress)

    def _usable(self, read: Iterable[Score | BadLine], result: Import, *, verified: bool) -> Iterator[Score]:
        for each in read:
            if isinstance(each, BadLine):
                result.refuse(each)
            elif not people.usable_user_id(each.player):
                result.refuse(BadLine(each.line, "player: this is nobody's id in a container"))
            elif verified and each.at_ms is None:
                result.refuse(BadLine(each.line, "time: a verified score needs one"))
            else:
                yield each

    async def _add(
        self, tx: Transaction, *, board: Board, batch: list[Score], verified: bool, count: bool
    ) -> tuple[int, list[Score]]:
        """Keep these scores, and count them or remember that it is to be done.

        Returns:
            How many were new, and those of people who were erased.
        """
        now_ms = self._now_ms()
        boards = await store.begin(tx, [board.field])
        if board not in [each.board for each in boards]:
            raise BadInput(f"the board {board.id} was changed meanwhile; import the file again")
        numbers = await people.players_of(tx, self._container, {score.player for score in batch})
        erased = [score for score in batch if score.player not in numbers]
        batch = [score for score in batch if score.player in numbers]
        named = {numbers[score.player]: score for score in batch if score.name}
        # Observed never: whatever the container says of them, or has said, is newer.
        await people.observe_people(
            tx, {player: Person(score.player, display_name=score.name) for player, score in named.items()}, 0
        )
        scores = [Imported(numbers[score.player], score.value, score.at_ms) for score in batch]
        changes = await imports.add(tx, board.field, scores, verified=verified, now_ms=now_ms)
        if count:
            await store.record(tx, boards, changes, now_ms)
        elif changes:
            await rebuild.set_due(tx, [each.board.id for each in boards])
        return len(changes), erased


def _batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while batch := list(islice(items, size)):
        yield batch
