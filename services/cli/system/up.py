"""`vigie up`: run the whole system on this machine."""

import asyncio
import json
import os
import shutil
import sys
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from services.appliance.supervisor.forking import ForkServer
from services.appliance.supervisor.plan import PRELOADED_MODULES
from services.appliance.supervisor.systemd import SystemdUnit
from services.appliance.supervisor.up import UpFailed, UpOptions
from services.appliance.supervisor.up import run_system as run_up
from services.runtime.kafka.security import KafkaSecurity
from services.runtime.process.cluster import ClusterFileInvalid, read_member
from services.runtime.process.settings import Settings
from services.runtime.secrets.files import describe_wrong_variables

PRIVATE_UMASK: Final = 0o077
"""Umask for created files: nobody else reads logs, states or the store's file."""


def build_greeting(settings: Settings, demo: bool) -> str:
    """Return the greeting once everything runs: address, login, first commands, how to stop."""
    command = command_name()
    code = settings.data.secrets / "admin.code"
    rows = (
        [("Log in", f"with the one-time administrator code: cat {code}")] if code.exists() else []
    )
    if settings.data.lost_keys.exists():
        rows += [
            (
                "Keys",
                f"{settings.data.lost_keys.read_text()} was gone: no text and no name from before",
            ),
            ("", f"can be read, and nobody is called. What to do: {command} doctor"),
        ]
    if (why := _read_kept_territory(settings)) is not None:
        rows += [
            ("Data", f"{settings.territory} is not published, the version in force stays:"),
            ("", f"{why}. Publish it with: {command} territory load {settings.territory}"),
        ]
    if demo:
        rows += [
            (
                "Look at",
                "exercise beside the empty live realm: S04, power cut Nanterre – La Défense",
            ),
            ("", "official feeds, played from samples: /flux, exercise FLUX"),
        ]
    rows += [
        ("Try", f"{command} report --site clg-0921353W --type outage_power --severity 3"),
        ("", f"{command} status, {command} incidents, {command} --help"),
        ("Logs", f"{settings.data.logs} ({command} up --verbose shows them here)"),
        ("Stop", "Ctrl-C, or SIGTERM: everything ends cleanly, nothing is lost"),
    ]
    lines = [f"    {name:<8} {text}" for name, text in rows]
    return "\n".join(["", f"  Vigie is ready: http://{settings.http}", "", *lines, ""])


def _read_kept_territory(settings: Settings) -> str | None:
    """Return why the start did not publish the changed territory, or None."""
    try:
        return str(json.loads(settings.data.kept_territory.read_text())["why"])
    except (OSError, ValueError, KeyError):
        return None


def command_name() -> str:
    """Return the name by which this command was started, relative to the current folder."""
    if shutil.which("vigie") is not None:
        return "vigie"
    program = Path(sys.argv[0])
    with suppress(ValueError):
        return str(program.absolute().relative_to(Path.cwd()))
    return str(program)


def up(
    data: Annotated[
        Path | None,
        typer.Option(help="Data directory [VIGIE_DATA_DIR, default ~/.local/share/vigie]"),
    ] = None,
    http: Annotated[
        str | None, typer.Option(help="HOST:PORT to listen on [VIGIE_HTTP, default 127.0.0.1:8092]")
    ] = None,
    territory: Annotated[
        Path | None,
        typer.Option(help="Reference data to publish to the live realm [VIGIE_TERRITORY]"),
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of an existing broker, in place of the embedded one"),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(
            help="redis://HOST:PORT/DB of an existing store, in place of the embedded one"
        ),
    ] = None,
    demo: Annotated[bool, typer.Option(help="Play S04 in an exercise realm")] = False,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Processes per decider")] = 1,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Show the log lines of all processes; default: write them to DATA/logs",
        ),
    ] = False,
) -> None:
    """Run the whole system on this machine until Ctrl-C."""
    flags: dict[str, Any] = {
        "data_dir": data,
        "http": http,
        "territory": territory,
        "kafka": kafka,
        "redis": redis,
    }
    setting_values = {
        name: value for name, value in flags.items() if value not in (None, "")
    }  # An empty value counts as not set, as in the environment.
    try:
        settings = Settings(**setting_values)
        security = KafkaSecurity()
    except ValueError as error:
        if (wrong := describe_wrong_variables(error)) is None:
            raise
        raise _print_failure(wrong) from error
    existing = settings.kafka or None
    if existing is None and (security.tls or security.user):
        raise _print_failure(
            "VIGIE_KAFKA_TLS and VIGIE_KAFKA_USER are for an existing broker: name it with "
            "--kafka, or unset them"
        )
    try:
        member = read_member(settings.data.secrets)
    except ClusterFileInvalid as error:
        raise _print_failure(str(error)) from error
    if member is not None and existing is not None:
        raise _print_failure(
            f"{settings.data_dir} belongs to a cluster with its own brokers: leave out --kafka"
        )
    options = UpOptions(
        settings=settings,
        kafka=existing,
        member=member,
        redis=settings.redis or None,
        demo=demo,
        workers=workers,
        preparation=(sys.executable, "-m", "services.cli.system.prepare"),
        greeting=lambda s: build_greeting(s, demo),
        verbose=verbose,
        unit=SystemdUnit.take_from(os.environ, os.getpid()),
        forks=ForkServer(PRELOADED_MODULES),
    )
    os.umask(PRIVATE_UMASK)
    with closing(options.forks) as forks:
        if wrong := forks.begin_as_fork(partial(_find_wrong_settings, setting_values)):
            raise _print_failure(wrong)
        try:
            asyncio.run(run_up(options))
        except UpFailed as error:
            raise _print_failure(str(error)) from error


def _find_wrong_settings(setting_values: dict[str, Any]) -> str:
    """Return the fault of settings that a started process would refuse; empty without one."""
    # The settings of all services weigh 9 MB, which `vigie up` would keep for months
    from services.cli.system.settings_reference import GROUPS

    try:
        for _, kind in GROUPS:
            kind(**(setting_values if issubclass(kind, Settings) else {}))
    except ValueError as error:
        if (wrong := describe_wrong_variables(error)) is None:
            raise
        return wrong
    return ""


def _print_failure(sentence: str) -> typer.Exit:
    typer.secho(f"vigie up: {sentence}", err=True, fg="red")
    return typer.Exit(1)
