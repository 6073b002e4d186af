"""Entry point of `vigie`: one line in `COMMANDS` and one module per command.

A module is imported only when its command runs.
"""

import ast
import errno
import getpass
import io
import logging
import sys
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

COMMANDS_BY_PANEL = {
    "Operation": {
        "up": "services.cli.system.up:up",
        "prepare": "services.cli.system.prepare:prepare",
        "cluster": "services.cli.system.cluster:app",
        "status": "services.cli.system.status:status",
        "verify": "services.cli.data.verify:verify",
        "doctor": "services.cli.system.doctor:doctor",
        "commission": "services.cli.system.commission:commission",
        "dlq": "services.cli.data.dlq:app",
        "rebuild": "services.cli.data.repair:rebuild",
        "backup": "services.cli.data.backup:backup",
        "restore": "services.cli.data.backup:restore",
        "seal": "services.cli.data.seal:seal",
        "repair": "services.cli.data.repair:repair",
        "support": "services.cli.system.support:support",
        "kit": "services.cli.system.kit:kit",
        "paper": "services.cli.crisis.paper:paper",
        "bench": "services.cli.system.bench:bench",
    },
    "Administration": {
        "territory": "services.cli.data.territory:app",
        "token": "services.cli.system.token:app",
        "user": "services.cli.system.user:app",
        "source": "services.cli.system.source:app",
        "feed": "services.cli.system.feed:app",
        "directory": "services.cli.oncall.directory:app",
        "channels": "services.cli.oncall.channels:channels",
        "bounce": "services.cli.oncall.bounce:bounce",
    },
    "Reports": {
        "report": "services.cli.crisis.report:report",
        "line": "services.cli.crisis.report:line",
        "cap": "services.cli.crisis.documents:cap",
    },
    "Lists": {
        "incidents": "services.cli.crisis.read:incidents",
        "sites": "services.cli.crisis.read:sites",
        "activities": "services.cli.crisis.read:activities",
        "plans": "services.cli.crisis.read:plans",
        "reassignments": "services.cli.crisis.read:reassignments",
        "notifications": "services.cli.crisis.read:notifications",
        "timeline": "services.cli.crisis.read:timeline",
        "changes": "services.cli.crisis.read:changes",
        "dependencies": "services.cli.crisis.dependencies:dependencies",
        "risks": "services.cli.crisis.hazards:risks",
        "hazards": "services.cli.crisis.hazards:hazards",
    },
    "Documents": {
        "sitrep": "services.cli.crisis.documents:sitrep",
        "export": "services.cli.crisis.documents:export",
        "retex": "services.cli.crisis.documents:retex",
        "improvement": "services.cli.crisis.documents:improvement",
    },
    "Decisions": {
        "ack": "services.cli.crisis.decide:ack",
        "escalate": "services.cli.crisis.decide:escalate",
        "reapply": "services.cli.crisis.decide:reapply",
        "resolve": "services.cli.crisis.decide:resolve",
        "level": "services.cli.crisis.decide:level",
        "plan": "services.cli.crisis.plan:plan",
        "card": "services.cli.crisis.decide:card",
        "action": "services.cli.crisis.action:app",
        "note": "services.cli.crisis.decide:note",
        "text": "services.cli.data.text:app",
        "resend": "services.cli.crisis.decide:resend",
        "hold": "services.cli.crisis.decide:hold",
        "maintenance": "services.cli.crisis.maintenance:app",
        "resource": "services.cli.crisis.resource:app",
        "callout": "services.cli.oncall.callout:app",
        "handover": "services.cli.crisis.handover:app",
        "statement": "services.cli.crisis.statement:app",
        "public": "services.cli.crisis.public:app",
        "obligation": "services.cli.crisis.obligation:app",
        "ledger": "services.cli.crisis.ledger:app",
    },
    "Preparedness": {
        "reassignment": "services.cli.crisis.reassignment:app",
        "contingency": "services.cli.crisis.contingency:contingency",
        "whatif": "services.cli.exercises.whatif:whatif",
        "tune": "services.cli.exercises.tune:tune",
        "oncall": "services.cli.oncall.oncall:app",
        "readiness": "services.cli.oncall.oncall:readiness",
        "drill": "services.cli.oncall.oncall:drill",
        "headcount": "services.cli.oncall.callout:headcount_app",
    },
    "Exercises": {
        "play": "services.cli.exercises.play:play",
        "scenario": "services.cli.exercises.scenario:app",
        "stimulus": "services.cli.exercises.stimulus:app",
    },
}
"""Panel of the help → name → `module:object`.

The object is a function (one command) or a `typer.Typer` (a group).
"""
COMMANDS = {name: target for panel in COMMANDS_BY_PANEL.values() for name, target in panel.items()}
PANELS = {name: panel for panel, commands in COMMANDS_BY_PANEL.items() for name in commands}


class _LazyCommand(TyperCommand):
    """Command that is imported when it runs; until then only its name and help line are known."""

    def __init__(self, name: str) -> None:
        help_line = _read_help_line(*COMMANDS[name].split(":"))
        super().__init__(name, help=help_line, rich_help_panel=PANELS[name])

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Return the context of the real command; it takes over."""
        return _load_command(self.name or "").make_context(info_name, args, parent, **extra)


def _load_command(name: str) -> Any:
    module, _, object = COMMANDS[name].partition(":")
    typer_app = getattr(import_module(module), object)
    if not isinstance(typer_app, typer.Typer):
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(name)(typer_app)
        typer_app = app
    command = get_command(typer_app)
    command.name = name
    return command


def _read_help_line(module: str, object: str) -> str:
    """Return the help line of a command from its source.

    It is the first paragraph of a function's docstring, or the argument of `create_group`. Importing every
    module would take seconds.
    """
    source = Path(__file__).parents[2] / f"{module.replace('.', '/')}.py"
    for node in ast.parse(source.read_bytes()).body:
        match node:
            case ast.FunctionDef(name=name) if name == object:
                return (ast.get_docstring(node) or "").partition("\n\n")[0]
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Call(args=[ast.Constant(value=help)])
            ) if name == object:
                return str(help)
    raise LookupError(f"no {object} in {source}")


class _CommandGroup(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  the signature of typer
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        return _LazyCommand(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; suggest similar names for an unknown one."""
        if args and args[0] not in COMMANDS and (near := get_close_matches(args[0], COMMANDS)):
            ctx.fail(f"No such command '{args[0]}'. Did you mean {' or '.join(near)}?")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Vigie: crisis and continuity of a département.",
)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        from services.runtime.process.settings import find_version

        typer.echo(f"vigie {find_version()}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Run Vigie, the crisis and continuity system of a département."""


def main() -> None:
    """Run `vigie`; report bad settings, rights, output and encoding in one line.

    Exits with 1 if a variable is invalid, a file is not for this user or the output cannot be
    written, with 2 if an argument is not UTF-8, as from a terminal with another encoding.
    """
    for stream in (
        sys.stdout,
        sys.stderr,
    ):  # A terminal without ’ shows ? instead, and the command goes on.
        if isinstance(stream, io.TextIOWrapper):
            with suppress(
                OSError
            ):  # Streams of the supervisor are neither file nor terminal and raise OSError.
                stream.reconfigure(errors="replace")
    # Without a handler its lines would stand raw before the one sentence of a command
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        app(prog_name="vigie")
    except UnicodeEncodeError as error:
        if not any("\udc80" <= letter <= "\udcff" for letter in str(error.object)):
            raise
        typer.secho(
            f"vigie: not UTF-8: {error.object!a}; is the terminal set to another encoding?",
            err=True,
            fg="red",
        )
        raise SystemExit(2) from error
    except OSError as error:
        if error.filename is not None and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            whom = "" if error.errno == errno.EROFS else f" for the user {getpass.getuser()}"
            typer.secho(f"vigie: {error.filename}: {error.strerror}{whom}", err=True, fg="red")
            raise SystemExit(1) from error
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
            raise
        typer.secho(f"vigie: the output cannot be written: {error.strerror}", err=True, fg="red")
        raise SystemExit(1) from error
    except ValueError as error:
        from services.runtime.secrets.files import describe_wrong_variables
        from services.runtime.secrets.keyring import MasterKeyInvalid

        wrong = (
            str(error) if isinstance(error, MasterKeyInvalid) else describe_wrong_variables(error)
        )
        if wrong is None:
            raise
        typer.secho(f"vigie: {wrong}", err=True, fg="red")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
