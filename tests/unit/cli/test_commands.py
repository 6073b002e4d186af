"""`vigie --help` shows the help of each command without importing it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

from services.appliance.supervisor.up import UpOptions
from services.cli.__main__ import (
    COMMANDS,
    COMMANDS_BY_PANEL,
    _CommandGroup,
    _load_command,
    app,
    main,
)
from services.cli.client import ApiClient, VigieUnreachable
from services.cli.system.up import up
from services.runtime.kafka.dead_letters import DeadLetter, DeadLetterKind
from services.runtime.process.settings import REPOSITORY, Settings


def test_a_terminal_that_has_no_typographic_letter_shows_the_rest() -> None:
    """A machine with an old locale: `scenario list` ended at the first dash."""
    command = [sys.executable, "-m", "services.cli", "scenario", "list"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"S21" in done.stdout


def test_a_program_reads_which_exercises_come_along() -> None:
    invocation = CliRunner().invoke(app, ["scenario", "list", "--json"])
    first = json.loads(invocation.stdout)["items"][0]
    assert (invocation.exit_code, first["id"], first["start"]) == (
        0,
        "S01",
        "2027-01-25T05:00:00.000Z",
    )


def test_the_list_of_commands_matches_their_help() -> None:
    listed = {name: _CommandGroup().get_command(None, name) for name in COMMANDS}
    assert {name: command.get_short_help_str(1000) for name, command in listed.items()} == {
        name: _load_command(name).get_short_help_str(1000) for name in COMMANDS
    }
    assert [name for name, command in listed.items() if not command.help] == []


def test_a_command_that_is_listed_runs_as_itself() -> None:
    invocation = CliRunner().invoke(app, ["plan", "--help"])
    assert invocation.exit_code == 0
    assert "activate" in invocation.output
    assert CliRunner().invoke(app, ["nothing"]).exit_code == 2


def list_options_without_help(node: Any, path: str) -> list[str]:
    """List the options and arguments of a command and its subcommands that explain nothing."""
    unexplained = [f"{path} {one.name}" for one in node.params if not getattr(one, "help", None)]
    for name, command in getattr(node, "commands", {}).items():
        unexplained += list_options_without_help(command, f"{path} {name}")
    return unexplained


def test_every_option_and_argument_explains_itself() -> None:
    unexplained = [
        option
        for name in COMMANDS
        for option in list_options_without_help(_load_command(name), name)
    ]
    assert unexplained == []


def test_no_command_offers_to_change_the_shell() -> None:
    """Some groups offered `--install-completion`, for a program of the name of the group."""
    assert not [
        (name, parameter.name)
        for name in COMMANDS
        for parameter in _load_command(name).params
        if "completion" in (parameter.name or "")
    ]


@pytest.mark.parametrize(
    ("words", "offered"),
    [("vigie re", "report"), ("vigie play --", "--speed"), ("vigie feed ", "enable")],
)
def test_a_shell_completes_commands_and_their_options(words: str, offered: str) -> None:
    environment = {
        "_VIGIE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    invocation = CliRunner().invoke(app, [], prog_name="vigie", env=environment)
    assert offered in invocation.output.splitlines()


def test_each_command_stands_in_a_panel_of_the_help() -> None:
    invocation = CliRunner().invoke(app, ["--help"])
    assert [panel for panel in COMMANDS_BY_PANEL if f" {panel} " not in invocation.output] == []


def test_the_version_is_that_of_the_distribution() -> None:
    invocation = CliRunner().invoke(app, ["--version"])
    assert (invocation.exit_code, invocation.output) == (0, f"vigie {version('vigie-crise')}\n")


def test_help_imports_no_command() -> None:
    script = (
        "import sys; from typer.testing import CliRunner; from services.cli.__main__ import app;"
        "assert 'verify' in CliRunner().invoke(app, ['--help']).output;"
        "assert not [m for m in sys.modules if m.startswith(('services.cli.', 'schemas')) and m != 'services.cli.__main__']"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_supervisor_keeps_the_code_of_neither_services_nor_clusters() -> None:
    script = (
        "import sys, services.cli.system.up;"
        "foreign = ('services.appliance.cluster', 'services.delivery', 'services.messages', 'services.watch');"
        "assert not [m for m in sys.modules if m.startswith(foreign)]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_start_with_all_jars_imports_no_client_that_fetches_them(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from services.appliance.embedded import java;"
        "java.read_locked_jars = list; java.fetch_classpath(Path(sys.argv[1]), print);"
        "assert 'requests' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)


def test_a_forked_decider_finds_all_of_faust_imported() -> None:
    script = (
        "import importlib, sys; from services.appliance.supervisor.plan import PRELOADED_MODULES;"
        "[importlib.import_module(module) for module in PRELOADED_MODULES];"
        "from services.runtime.worker.faust_app import Membership, create_app;"
        "imported = set(sys.modules); app = create_app('127.0.0.1:9', Membership('g', ''), None);"
        "app.topics.add(app.topic('inputs')); app.tables; app.consumer;"
        "assert not sys.modules.keys() - imported, sys.modules.keys() - imported"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


EVERYDAY = (
    "services.cli.system.status",
    "services.cli.client",
    "services.runtime.worker.lag",
    "services.cli.crisis.report",
    "services.cli.crisis.decide",
)


def test_everyday_commands_import_neither_pages_nor_all_messages() -> None:
    """They took twice as long, most of it for classes that they never use."""
    script = (
        f"import sys, {', '.join(EVERYDAY)};"
        "assert not [m for m in sys.modules if m.startswith(('services.console', 'schemas.messages'))]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_commands_about_actions_and_deadlines_import_no_page() -> None:
    script = (
        "import sys, services.cli.crisis.action, services.cli.crisis.obligation;"
        "assert not [m for m in sys.modules if m.startswith('services.console.read_model')]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "incidents",
        "doctor",
        "verify",
        "rebuild",
        "whatif 92 --territory .",
        "play S04",
        "support x.zip",
    ],
)
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VIGIE_HTTP", "foo"),
        ("VIGIE_REDIS", "127.0.0.1:6379"),
        ("VIGIE_KAFKA_REPLICATION", "three"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named_in_one_line(
    command: str,
    variable: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "argv", ["vigie", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    error_text = capsys.readouterr().err
    assert ended.value.code == 1
    assert error_text.startswith(f"vigie: {variable}: ")
    assert error_text.count("\n") == 1


def test_a_data_directory_of_another_user_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `sudo -u vigie`, `vigie status` ended with a traceback."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/srv/vigie/run")

    monkeypatch.setattr("services.cli.__main__.app", refuse)
    monkeypatch.setattr("getpass.getuser", lambda: "jean")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "vigie: /srv/vigie/run: Permission denied for the user jean\n"


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"url": "http://[::1"}, "VIGIE_URL"),
        ({"token": "é"}, "VIGIE_TOKEN"),
        ({"token": "a\nb"}, "VIGIE_TOKEN"),
    ],
)
def test_an_address_or_a_token_that_is_none_is_named(
    settings: dict[str, Any], wrong: str, tmp_path: Path
) -> None:
    with pytest.raises(VigieUnreachable, match=wrong):
        ApiClient(Settings(data_dir=tmp_path, **settings))


@pytest.mark.parametrize("kafka", ["foo", "foo:", ":9092", "a:1,b"])
def test_a_broker_without_a_port_is_named_before_anything_starts(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("services.cli.system.up.run_up", lambda _: pytest.fail("started"))
    with pytest.raises(typer.Exit):
        up(data=tmp_path, kafka=kafka)
    assert "HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VIGIE_INTAKE_IN_FLIGHT", "0"),
        ("VIGIE_SMTP_URL", "mail:25"),
        ("VIGIE_LOG_LEVEL", "LOUD"),
        ("VIGIE_KAFKA_TLS", "maybe"),
    ],
)
def test_invalid_settings_of_a_process_are_named_before_the_start(
    variable: str,
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The process ended again and again, and the start waited for it for ever."""
    monkeypatch.setattr("services.cli.system.up.run_up", lambda _: pytest.fail("started"))
    monkeypatch.setenv(variable, value)
    with pytest.raises(typer.Exit):
        up(data=tmp_path)
    assert capsys.readouterr().err.startswith(f"vigie up: {variable}: ")


def test_the_servers_may_be_named_in_secret_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It started servers of its own beside them."""
    (tmp_path / "vigie_redis").write_text("redis://vigie:secret@store:6379/0\n")
    (tmp_path / "vigie_kafka").write_text("kafka:9092\n")
    monkeypatch.setenv("VIGIE_SECRETS_DIR", str(tmp_path))
    option_sets: list[UpOptions] = []

    async def run_up(options: UpOptions) -> None:
        option_sets.append(options)

    monkeypatch.setattr("services.cli.system.up.run_up", run_up)
    up(data=tmp_path / "data")
    assert [(o.kafka, o.redis) for o in option_sets] == [
        ("kafka:9092", "redis://vigie:secret@store:6379/0")
    ]


def test_an_empty_flag_counts_as_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script with `--http "$ADDRESS"` ended in a traceback."""
    option_sets: list[UpOptions] = []

    async def run_up(options: UpOptions) -> None:
        option_sets.append(options)

    monkeypatch.setattr("services.cli.system.up.run_up", run_up)
    up(data=tmp_path, http="", kafka="", redis="")
    assert [(o.settings.http, o.kafka, o.redis) for o in option_sets] == [
        ("127.0.0.1:8092", None, None)
    ]


@pytest.mark.parametrize("until", ["nan", "-5", "inf", "soon"])
def test_a_scenario_is_played_until_a_minute_that_there_is(until: str) -> None:
    assert CliRunner().invoke(app, ["play", "S04", "--until", until]).exit_code == 2


@pytest.mark.parametrize("command", [["repair"], ["seal", "archive.zip"]])
def test_a_command_never_creates_an_installation(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It made an empty one and started its broker, to say after forty seconds that topics were missing."""
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path / "typo"))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "pas d’installation de Vigie" in done.output
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_dead_is_tried_again_although_one_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    def decided(path: str, *_: Any, **__: Any) -> None:
        tried.append(path)
        if "n1" in path:
            raise typer.Exit(1)

    monkeypatch.setattr(
        "services.cli.crisis.decide.fetch_list",
        lambda *_, **__: {"items": [{"id": "n1"}, {"id": "n2"}]},
    )
    monkeypatch.setattr("services.cli.crisis.decide.post_decision", decided)
    done = CliRunner().invoke(app, ["resend", "--dead", "--yes"])
    assert (done.exit_code, tried) == (1, ["notifications/n1/replay", "notifications/n2/replay"])


@pytest.mark.parametrize(
    ("options", "answer", "expected"),
    [
        ((), "n", []),
        ((), "y", ["danger", "n4", "mail"]),
        (("--channel", "sms"), "y", ["danger", "n4"]),
        (("--channel", "voice"), "y", []),
    ],
)
def test_dead_messages_of_a_channel_go_after_a_confirmation_danger_first(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], answer: str, expected: list[str]
) -> None:
    messages = [
        {"id": "mail", "channel": "email", "level": 2, "danger": False},
        {"id": "n4", "channel": "sms", "level": 4, "danger": False},
        {"id": "danger", "channel": "sms", "level": 1, "danger": True},
    ]
    resent: list[str] = []
    monkeypatch.setattr(
        "services.cli.crisis.decide.fetch_list", lambda *_, **__: {"items": messages}
    )
    monkeypatch.setattr(
        "services.cli.crisis.decide.post_decision",
        lambda path, *_, **__: resent.append(path.split("/")[1]),
    )
    CliRunner().invoke(app, ["resend", "--dead", *options], input=answer)
    assert resent == expected


@pytest.mark.parametrize(
    ("arguments", "answer", "expected"),
    [
        (("a1", "a2"), "", ["a1", "a2"]),
        (("--service", "alerts"), "y", ["a1", "a2"]),
        (("--service", "alerts", "--yes"), "", ["a1", "a2"]),
        (("--service", "alerts"), "n", []),
        (("--service", "delivery"), "", []),
        ((), "", []),
        (("a1", "--service", "alerts"), "y", []),
        (("a1", "a2", "--realm", "92"), "", []),
    ],
)
def test_several_dead_letters_or_all_of_a_service_are_replayed(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], answer: str, expected: list[str]
) -> None:
    """One that fails again keeps none of the others."""
    letters = [
        DeadLetter(id, DeadLetterKind.FAILED, service, "92", at, "input_failed", "why")
        for id, service, at in (("a2", "alerts", 2), ("i1", "intake", 0), ("a1", "alerts", 1))
    ]
    replayed: list[str] = []

    async def read(_: object) -> AsyncIterator[DeadLetter]:
        for letter in letters:
            yield letter

    def replay(letter: DeadLetter, *_: object) -> None:
        replayed.append(letter.id)
        if letter.id == "a1":
            raise typer.Exit(1)

    monkeypatch.setattr("services.cli.data.dlq._read_letters", read)
    monkeypatch.setattr("services.cli.data.dlq._replay_letter", replay)
    done = CliRunner().invoke(app, ["dlq", "replay", *arguments], input=answer)
    assert replayed == expected
    assert bool(done.exit_code) is (arguments[1:] != ("delivery",))


def test_a_decision_quotes_the_ids_of_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    posted: dict[str, Any] = {}

    def note(path: str, realm: str | None, body: dict[str, Any], **options: Any) -> None:
        posted.update(path=path, realm=realm, body=body, **options)

    monkeypatch.setattr("services.cli.crisis.decide.post_decision", note)
    command = ["statement", "refuse", "s/1", "--reason", "faux", "--if-version", "3"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert posted == {
        "path": "statements/s%2F1:refuse",
        "realm": None,
        "body": {"reason": "faux"},
        "key": None,
        "expected": 3,
        "as_json": False,
        "success_text": "Communiqué refusé",
        "creates": None,
    }


@pytest.mark.parametrize(
    "command",
    [
        ["directory", "count"],
        ["directory", "erase", "dgs"],
        ["play", "S04"],
        ["verify"],
        ["dlq", "list"],
        ["whatif", "92", "--territory", str(REPOSITORY / "territories" / "92")],
    ],
)
def test_a_missing_broker_is_reported_and_nothing_is_created(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`vigie directory` created keys in an empty folder, so no backup could be restored there.

    `vigie play` played to its end and then failed.
    """
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path / "empty"))
    monkeypatch.delenv("VIGIE_KAFKA", raising=False)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    expected = f"no broker: Vigie does not run on {tmp_path / 'empty'}; start `vigie up`, "
    assert done.output.strip().removeprefix("vigie dlq: ").startswith(expected)
    assert list(tmp_path.iterdir()) == []


def test_a_user_without_access_reads_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`vigie directory import` as another user said «start `vigie up`» beside a running Vigie."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path / "run")
    for command in (["directory", "count"], ["dlq", "list"]):
        assert "as the user that runs Vigie" in CliRunner().invoke(app, command).stderr


class _Decided:
    """API that applies every decision with one result."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def call(self, *_request: object) -> tuple[int, dict[str, Any]]:
        return 200, {"state": "applied", "result": self.result}


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ("action ask Fermez --to clg-1 --due 2027-02-11T11:00", "action"),
        ("statement draft --template power-usagers", "statement"),
        ("statement ask --from press --text Combien", "question"),
        ("resource ask generator 1 --site pmi-01", "request"),
        ("obligation start assureur-vol --incident i-1 --known 2027-02-11T08:00", "clock"),
        ("improvement add Groupe --owner dgs --due 2027-06-01T12:00", "improvement"),
        ("handover draft Tenir --to dgs", "number"),
        ("oncall override dgs personne --from 2027-02-11 --to 2027-02-12 --reason R", "duty"),
        ("note bonjour", "line"),
        ("maintenance add --from 2027-02-11 --to 2027-02-12 --site clg-1 --reason R", "window"),
    ],
)
def test_a_new_thing_is_printed_with_its_id(
    words: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next command of a how-to needs it, and a list had to be searched for it."""
    api = _Decided({field: "new-1", "version": 0})
    monkeypatch.setattr("services.cli.crisis.decide.ApiClient", lambda *_, **__: api)
    monkeypatch.setattr("services.cli.crisis.obligation.resolve_incident", lambda id, _realm: id)
    invocation = CliRunner().invoke(app, words.split())
    assert (invocation.exit_code, invocation.output.strip().endswith(" : new-1")) == (0, True)


def test_an_absent_broker_prints_one_sentence_of_the_command() -> None:
    """«Unable connect to "127.0.0.1:24299"…» stood above the table of `vigie status`."""
    script = (
        "import contextlib, logging, sys; sys.argv = ['vigie', '--version']\n"
        "from services.cli.__main__ import main\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "logging.getLogger('aiokafka.conn').error('Unable connect')"
    )
    command = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert command.stdout.startswith("vigie ")
    assert command.stderr == ""


def test_expectations_come_with_vigie_wherever_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path))
    check = ["play", "S04", "--check", "scenarios/expectations.yaml"]
    assert "no broker" in CliRunner().invoke(app, check).stderr
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "expectations.yaml").write_text("[")
    assert "no broker" not in CliRunner().invoke(app, check).stderr, "an own file goes first"


def list_parameters(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the help of every parameter of a command and of those below it."""
    for parameter in command.params:
        yield " ".join((*path, parameter.name)), getattr(parameter, "help", None) or ""
    for name, below in getattr(command, "commands", {}).items():
        yield from list_parameters(below, (*path, name))


def test_the_help_of_an_option_is_shown_whole() -> None:
    """`[sms]` is a colour to the console: the default channels of a call-out were not shown."""
    for name in COMMANDS:
        for path, text in list_parameters(_load_command(name), (name,)):
            assert Text.from_markup(text).plain == text, path


def test_an_account_command_refuses_in_the_language_of_its_answers() -> None:
    done = CliRunner().invoke(app, ["user", "password", "zoe"], input="\n")
    assert (done.exit_code, done.stderr[:19]) == (1, "aucun mot de passe ")
