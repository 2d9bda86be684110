"""The command line: `homeserver <command>`. A command that fails says why in words and ends with 1, or 2 for usage."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from homeserver import __version__, cli_admin, cli_appdata, cli_office, cli_operate, config, config_example, logs
from homeserver.errors import BadSettings, HomeServerError
from homeserver.model import Action

if TYPE_CHECKING:
    from homeserver.players_command import PlayersCommand

T = TypeVar("T")

DEMO_FOLDER: Final = Path("var/demo")
DEMO_PORT: Final = 8080
SANDBOX_PORT: Final = 8081

_PLAYER: Final = "the container's user id"


def say(text: str) -> None:
    """Tell the person at the terminal, at once."""
    print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "command"):
        parser.print_help()
        return 2
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except HomeServerError as error:
        print(f"homeserver: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="homeserver", description="The home server of a social gadget.")
    parser.add_argument("--version", action="version", version=f"homeserver {__version__}")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the settings file (or HOMESERVER_CONFIG)",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the server")
    serve.add_argument("--workers", type=int, metavar="N", help="so many processes on one port")
    serve.add_argument("--no-jobs", action="store_true", help="leave the clean-up to other processes")
    serve.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    serve.set_defaults(command=_serve)

    demo = commands.add_parser("demo", help="run the server with a sandbox of both remote services")
    demo.add_argument("--once", action="store_true", help="walk the main job without a browser, report, and end")
    demo.add_argument("--folder", type=Path, default=DEMO_FOLDER, help=f"what the demo keeps ({DEMO_FOLDER})")
    demo.add_argument("--port", type=int, default=DEMO_PORT, help=f"of the home server ({DEMO_PORT})")
    demo.add_argument("--sandbox-port", type=int, default=SANDBOX_PORT, help=f"of the sandbox ({SANDBOX_PORT})")
    demo.set_defaults(command=_demo)

    sandbox = commands.add_parser("sandbox", help="run the stand-ins alone, for a server of yours")
    sandbox.add_argument("--home-url", default=f"http://127.0.0.1:{DEMO_PORT}", help="where the home server is")
    sandbox.add_argument("--port", type=int, default=SANDBOX_PORT, help=f"to listen on ({SANDBOX_PORT})")
    sandbox.add_argument("--folder", type=Path, default=Path("var/sandbox"), help="where its key is kept")
    sandbox.add_argument("--seed", type=int, default=1, help="decides people, friends and scores")
    sandbox.set_defaults(command=_sandbox)

    migrate = commands.add_parser("migrate", help="bring the database's tables up to date")
    migrate.set_defaults(command=_migrate)

    sync = commands.add_parser("sync", help="fetch players' friends and scores from the container now")
    who = sync.add_mutually_exclusive_group(required=True)
    who.add_argument("--player", metavar="ID", help="the container's user id")
    who.add_argument("--all", action="store_true", help="everybody we know, one after the other")
    sync.set_defaults(command=_sync)

    appdata = commands.add_parser("appdata", help="a player's AppData: read, write, or write at a time")
    cli_appdata.add(appdata.add_subparsers(metavar="ACTION", required=True), settings_of, say)

    office = cli_office.Adder(settings_of, say, cli_admin.actor_of, agreed)
    boards = _add_boards(
        commands.add_parser("boards", help="the leaderboards: list, apply, rebuild, import, export, review")
    )

    players = _add_players(commands.add_parser("players", help="about a player: show, hide, restore, remove, erase"))

    admin = cli_admin.add(commands.add_parser("admin", help="operators' accounts and tokens"), settings_of, say)
    cli_office.add_boards(boards, office)
    cli_office.add_players(players, office)
    cli_office.add_admin(admin, office)
    keys = cli_operate.add(commands, settings_of, agreed, say)

    doctor = commands.add_parser("doctor", help="check a real set-up: database, clock, a signed call, the storage")
    doctor.add_argument("--player", metavar="ID", help="somebody who has the application, for the signed call")
    doctor.set_defaults(command=_doctor)

    settings = commands.add_parser("config", help="about the settings").add_subparsers(metavar="ACTION", required=True)
    settings.add_parser("example", help="print a commented settings file").set_defaults(command=_config_example)
    settings.add_parser("check", help="read the settings and say what is wrong").set_defaults(command=_config_check)
    for group in (commands, boards, players, admin, keys, settings):
        for command in group.choices.values():  # also behind the command, where one writes it without thinking
            command.add_argument("--config", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def _add_boards(parser: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """`homeserver boards ...`; its actions."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="the boards in force, and what the settings have other than they")
    listed.set_defaults(command=_boards_list)

    apply = actions.add_parser("apply", help="let the boards of the settings be in force; says first what that means")
    apply.add_argument("--yes", action="store_true", help="do not ask")
    apply.set_defaults(command=_boards_apply)

    rebuild = actions.add_parser("rebuild", help="make a board's lists anew from all changes, while people play")
    rebuild.add_argument("board", metavar="BOARD")
    rebuild.set_defaults(command=_boards_rebuild)

    load = actions.add_parser("import", help="let the scores in a file count; running it twice changes nothing more")
    load.add_argument("file", metavar="FILE", type=Path, help="columns: player, value, and if need be name, time")
    load.add_argument("--board", required=True)
    load.add_argument("--format", choices=["csv", "ndjson"], help="what the file's name does not say (csv)")
    load.add_argument("--verified", action="store_true", help="you vouch for these scores; each needs its time")
    load.set_defaults(command=_boards_import)

    export = actions.add_parser("export", help="a whole list to standard output")
    export.add_argument("board", metavar="BOARD")
    export.add_argument("--period", default="all", help="all, month, week, day, or one such as week:2026-W47")
    export.add_argument("--format", choices=["csv", "ndjson"], default="csv")
    export.set_defaults(command=_boards_export)

    review = actions.add_parser("review", help="the claimed scores that wait to be looked at")
    review.add_argument("board", metavar="BOARD")
    review.set_defaults(command=_boards_review)
    for action, words in (
        (Action.APPROVE, "let a claim that waits count"),
        (Action.REJECT, "say that a claim that waits never counts"),
        (Action.REOPEN, "take back what was said of a claim"),
    ):
        decide = actions.add_parser(action, help=words)
        decide.add_argument("board", metavar="BOARD")
        decide.add_argument("claim", metavar="CLAIM", type=int, help="its number in the review")
        _add_reason(decide)
        decide.set_defaults(command=_boards_decide, action=action)
    return actions


def _add_players(parser: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """`homeserver players ...`; its actions."""
    players = parser.add_subparsers(metavar="ACTION", required=True)
    show = players.add_parser("show", help="where they stand, what was decided about them, and why")
    show.add_argument("player", metavar="PLAYER", help=_PLAYER)
    show.set_defaults(command=_players_show)
    for action, words in (
        (Action.HIDE, "let nobody but themselves see them, until they are restored"),
        (Action.REMOVE, "remove what they have reached; what they reach later counts"),
        (Action.RESTORE, "undo `hide`, or else `remove`"),
    ):
        act = players.add_parser(action, help=words)
        act.add_argument("player", metavar="PLAYER", help=_PLAYER)
        act.add_argument("--board", help="on this board alone (all)")
        _add_reason(act)
        act.set_defaults(command=_players_act, action=action)
    erase = players.add_parser("erase", help="erase a person everywhere; there is no way back")
    erase.add_argument("player", metavar="PLAYER", help=_PLAYER)
    _add_reason(erase)
    erase.add_argument("--yes", action="store_true", help="do not ask")
    erase.set_defaults(command=_players_erase)
    log = players.add_parser("log", help="what operators did last: who, when, why")
    log.add_argument("--board", help="on this board alone (all)")
    log.set_defaults(command=_players_log)
    return players


def _add_reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", required=True, help="why; it stays in the log")
    parser.add_argument("--by", help="who does it (the user of this machine who is signed in)")


def settings_of(options: argparse.Namespace) -> config.Settings:
    """The settings that this command runs with."""
    path: Path | None = options.config
    if path is None and (named := os.environ.get("HOMESERVER_CONFIG")):
        path = Path(named)
    return config.load(path)


# --- commands ---------------------------------------------------------------------------------------------------------
# Each imports what it needs when it runs: `homeserver --help` answers at once.


def _serve(options: argparse.Namespace) -> int:
    from homeserver.serving import run, serve, serve_by_workers  # noqa: PLC0415
    from homeserver.wiring import make_app  # noqa: PLC0415

    settings = settings_of(options)
    logs.configure()
    server = settings.server
    workers: int = server.workers if options.workers is None else options.workers
    if not 1 <= workers <= config.MAX_WORKERS:
        raise BadSettings(f"--workers: found {workers}; allowed: 1 to {config.MAX_WORKERS}.")
    if workers > 1 and not options.worker:
        if server.port == 0:
            raise BadSettings("server.port: several workers need a port of their own choice, not 0.")
        named = ["--config", str(options.config)] if options.config else []
        idle = ["--no-jobs"] if options.no_jobs else []
        again = ["-m", "homeserver", *named, "serve", "--worker", *idle]
        return serve_by_workers(again, workers, server.host, server.port, say, grace_s=server.grace_s)

    async def serving() -> None:
        app = make_app(settings, jobs=not options.no_jobs)
        await serve(app, server.host, server.port, say, shared=options.worker, grace_s=server.grace_s)

    run(serving())
    return 0


def _demo(options: argparse.Namespace) -> int:
    from homeserver.demo import prepare, serve_demo  # noqa: PLC0415
    from homeserver.serving import run  # noqa: PLC0415
    from homeserver.walk import walk  # noqa: PLC0415

    if options.once:
        logs.configure(least=logging.ERROR)
        return 0 if run(walk(say)) else 1
    logs.configure()
    folder: Path = options.folder.resolve()
    run(serve_demo(prepare(folder, options.port, options.sandbox_port), folder, say))
    return 0


def _sandbox(options: argparse.Namespace) -> int:
    from homeserver.demo import serve_sandbox  # noqa: PLC0415
    from homeserver.serving import run  # noqa: PLC0415

    logs.configure()
    run(serve_sandbox(options.folder.resolve(), options.home_url, options.port, options.seed, say))
    return 0


def _migrate(options: argparse.Namespace) -> int:
    from homeserver.storage.migrate import migrate  # noqa: PLC0415

    settings = settings_of(options)
    migrate(settings.database_url, settings.database.schema_name)
    say("The database is up to date.")
    return 0


def _sync(options: argparse.Namespace) -> int:
    from homeserver.serving import run  # noqa: PLC0415
    from homeserver.sync_command import sync_all, sync_one  # noqa: PLC0415

    settings = settings_of(options)
    logs.configure()
    done = sync_all(settings, say) if options.all else sync_one(settings, options.player, say)
    return 0 if run(done) else 1


def _boards_list(options: argparse.Namespace) -> int:
    from homeserver import boards_command  # noqa: PLC0415

    settings = settings_of(options)
    with_database(settings, lambda database: boards_command.show(database, settings, say))
    return 0


def _boards_apply(options: argparse.Namespace) -> int:
    from homeserver import boards_command  # noqa: PLC0415

    settings = settings_of(options)
    done = with_database(
        settings,
        lambda database: boards_command.apply(
            database, settings, say, agreed=lambda: agreed(options), actor=cli_admin.user()
        ),
    )
    return 0 if done else 1


def agreed(options: argparse.Namespace) -> bool:
    """Whether the person at the terminal says yes, or has with `--yes`."""
    try:
        return options.yes or input("Go on? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:  # nobody is there to be asked
        return False


def _boards_review(options: argparse.Namespace) -> int:
    return _with_players(options, lambda command: command.review(options.board))


def _boards_decide(options: argparse.Namespace) -> int:
    return _with_players(
        options,
        lambda command: command.decide(
            options.action, options.board, options.claim, actor=cli_admin.actor_of(options), reason=options.reason
        ),
    )


def _players_show(options: argparse.Namespace) -> int:
    from homeserver.players_command import PlayersCommand  # noqa: PLC0415
    from homeserver.wiring import open_core  # noqa: PLC0415

    settings = settings_of(options)

    async def shown() -> None:
        async with open_core(settings) as core:
            await PlayersCommand(core.database, settings.container.name, say).show(options.player, core.boards)

    asyncio.run(shown())
    return 0


def _players_act(options: argparse.Namespace) -> int:
    return _with_players(
        options,
        lambda command: command.act(
            options.action, options.player, options.board, actor=cli_admin.actor_of(options), reason=options.reason
        ),
    )


def _players_erase(options: argparse.Namespace) -> int:
    return _with_players(
        options,
        lambda command: command.erase(
            options.player, actor=cli_admin.actor_of(options), reason=options.reason, agreed=lambda: agreed(options)
        ),
    )


def _players_log(options: argparse.Namespace) -> int:
    return _with_players(options, lambda command: command.log(options.board))


def _with_players(options: argparse.Namespace, work: Callable[[PlayersCommand], Awaitable[bool | None]]) -> int:
    """Do one thing about players; 1 where nobody agreed to it."""
    from homeserver.players_command import PlayersCommand  # noqa: PLC0415

    settings = settings_of(options)
    logs.configure(least=logging.WARNING)
    done = with_database(settings, lambda database: work(PlayersCommand(database, settings.container.name, say)))
    return 1 if done is False else 0


def _boards_rebuild(options: argparse.Namespace) -> int:
    from homeserver import boards_command  # noqa: PLC0415

    with_database(
        settings_of(options), lambda database: boards_command.rebuild(database, options.board, say, cli_admin.user())
    )
    return 0


def _boards_import(options: argparse.Namespace) -> int:
    from homeserver import boards_command  # noqa: PLC0415
    from homeserver.domain.score_files import FileFormat  # noqa: PLC0415

    settings = settings_of(options)
    form = FileFormat(options.format) if options.format else None
    done = with_database(
        settings,
        lambda database: boards_command.load(
            database,
            settings,
            options.file,
            say,
            board=options.board,
            form=form,
            verified=options.verified,
            actor=cli_admin.user(),
        ),
    )
    return 0 if done else 1


def _boards_export(options: argparse.Namespace) -> int:
    from homeserver import boards_command  # noqa: PLC0415
    from homeserver.domain.score_files import FileFormat  # noqa: PLC0415

    try:
        with_database(
            settings_of(options),
            lambda database: boards_command.export(database, options.board, options.period, FileFormat(options.format)),
        )
    except BrokenPipeError:  # whoever reads it has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def with_database(settings: config.Settings, work: Callable[..., Awaitable[T]]) -> T:
    """Open the database for one piece of work."""
    from homeserver.wiring import database_of  # noqa: PLC0415

    async def opened() -> T:
        async with database_of(settings) as database:
            return await work(database)

    return asyncio.run(opened())


def _doctor(options: argparse.Namespace) -> int:
    from homeserver.doctor import examine  # noqa: PLC0415

    return 0 if asyncio.run(examine(settings_of(options), options.player, say)) else 1


def _config_example(options: argparse.Namespace) -> int:
    del options
    print(config_example.example(), end="")
    return 0


def _config_check(options: argparse.Namespace) -> int:
    settings_of(options)
    say("The settings are complete.")
    return 0
