"""`vigie play`: open an exercise realm and play a scenario into it through the HTTP intake.

Before each report, the realm is stepped to the report's time and is quiet. So every speed gives the
same facts.
"""

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from schemas.base import MINUTE_MS
from schemas.people.responders import RespondersInvalid, parse_responders
from schemas.topics import MAX_STEP_MINUTES
from services.cli.client import (
    ApiClient,
    ApiRefused,
    VigieUnreachable,
    open_api,
    print_error,
    require_broker,
)
from services.cli.output import reserve_progress
from services.console.i18n import get_translator
from services.console.texts import words as w
from services.runtime.process.exits import Stop
from services.runtime.process.settings import SHIPPED, Settings
from services.simulation.checks import (
    Check,
    CheckResult,
    ChecksInvalid,
    RealmHistory,
    load_checks,
    run_checks,
)
from services.simulation.exercise_file import ExerciseInvalid, load_exercise
from services.simulation.history import read_history
from services.simulation.scenarios import (
    REPORTS_PATH,
    Event,
    PlannedAction,
    Scenario,
    ScenarioInvalid,
    ScenarioUnknown,
    load_scenario,
)
from services.territory import TerritoryInvalid, load_territory
from services.territory.source import (
    YamlInvalid,
    find_line,
    is_too_large,
    read_yaml,
    to_plain_value,
)

_ = get_translator("fr")
MAX_WAIT_S = 60.0
"""Seconds for which a report or step is repeated while Vigie is away or overloaded."""
STEP_TIMEOUT_S = 20
"""Seconds for which one call waits for a step, before it asks again."""


def _parse_speed(speed: str) -> float | None:
    """Parse simulated seconds per second; None for `max`.

    Raises typer.BadParameter.
    """
    if speed == "max":
        return None
    try:
        pace = float(speed)
    except ValueError:
        pace = 0.0
    if not 0 < pace < float("inf"):
        raise typer.BadParameter(
            f"{speed!r} is neither `max` nor a number above 0", param_hint="--speed"
        )
    return pace


def _read_responders(file: Path) -> list[dict[str, Any]]:
    """Read the lines of a responders file.

    Raises RespondersInvalid with the line, and OSError.
    """
    try:
        document = read_yaml(file)
    except YamlInvalid as error:
        raise RespondersInvalid(f"{file}:{error.line}: {error}") from error
    lines = document.get("responders") if isinstance(document, dict) else None
    if not isinstance(lines, list):
        raise RespondersInvalid(
            f"{file}: a list named `responders:` is expected (docs/reference/responders.md)"
        )
    return [_read_responder(f"{file}:{find_line(lines, n)}", line) for n, line in enumerate(lines)]


def _read_responder(where: str, line: Any) -> dict[str, Any]:
    if not isinstance(line, dict) or is_too_large(line):
        raise RespondersInvalid(f"{where}: a line is a mapping (docs/reference/responders.md)")
    values: dict[str, Any] = to_plain_value(line)
    try:
        parse_responders([values])
    except RespondersInvalid as error:
        raise RespondersInvalid(f"{where}: {str(error).removeprefix('responder 1: ')}") from error
    return values


def _find_shipped(file: Path) -> Path:
    """Return a file as it is named, else the one of this name that came with Vigie.

    An installed wheel has no folder `scenarios` at the place where the command runs.
    """
    shipped_file = SHIPPED / file
    return shipped_file if shipped_file.is_file() and not file.exists() else file


def _load_exercise(
    name: str, folder: Path, settings: Settings
) -> tuple[Scenario, list[dict[str, Any]], list[dict[str, Any]]]:
    """Load (scenario, responders, expectations) of an id or a file.

    Raises ScenarioUnknown, ScenarioInvalid, ExerciseInvalid and OSError.
    """
    file = Path(name)
    if file.suffix not in (".yaml", ".yml"):
        return load_scenario(folder, name), [], []
    exercise = load_exercise(file, load_territory(settings.territory))
    return exercise.scenario, list(exercise.responders), list(exercise.checks)


def _drop_none(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def _to_iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat().replace("+00:00", "Z")


class ScenarioPlayer:
    """Plays one scenario into one realm.

    A call that meets a restart is repeated under the same key, so it has no second effect.
    """

    def __init__(
        self,
        client: ApiClient,
        scenario: Scenario,
        realm: str,
        speed: float | None,
        patience_s: float = MAX_WAIT_S,
    ) -> None:
        self._client, self._scenario, self.realm, self._speed, self._patience_s = (
            client,
            scenario,
            realm,
            speed,
            patience_s,
        )
        self._reports: dict[str, str] = {}
        self._is_facilitated = False

    def _insist(self, method: str, path: str, body: Any, key: str | None) -> tuple[int, Any]:
        end = time.monotonic() + self._patience_s
        while True:
            try:
                headers = {"Prefer": f"wait={STEP_TIMEOUT_S}"} | (
                    {"Idempotency-Key": key} if key else {}
                )
                return self._client.call(method, path, body, headers)
            except (VigieUnreachable, ApiRefused) as exc:
                passing = isinstance(exc, VigieUnreachable) or exc.status in (502, 503, 504)
                if not passing or time.monotonic() > end:
                    raise
            time.sleep(0.2)

    def open(self, responders: list[dict[str, Any]]) -> None:
        """Open the realm with the scenario's clock."""
        body: dict[str, Any] = {
            "id": self.realm,
            "kind": "exercise",
            "title_code": self._scenario.id,
            "started_at": _to_iso(self._scenario.opening),
            "speed": self._speed,
            "responders": responders,
        }
        if (calendar := self._scenario.calendar) is not None:
            body["calendar"] = {
                "holidays": calendar.holidays,
                "school_holidays": calendar.school_holidays,
            }
        try:
            self._insist("POST", "/api/v1/realms", body, f"open:{self.realm}")
        except ApiRefused as exc:
            if exc.problem.get("code") != "key_reused":
                raise
            raise ApiRefused(
                exc.status,
                {
                    "detail": f"{self.realm} was opened with other responders, another speed or "
                    "another version of the scenario: repeat the same command to continue it, or "
                    "name another --realm"
                },
            ) from exc

    def step(self, to: int, nth: int) -> None:
        """Move the realm to `to` and wait until every deadline is done and nothing is pending.

        The key holds the time and the number of the step to it. So the same command continues a
        play that was interrupted or ended early.
        """
        status, answer = self._insist(
            "POST",
            f"/api/v1/realms/{self.realm}/step",
            {"to": _to_iso(to)},
            f"step:{self.realm}:{to}:{nth}",
        )
        while status == 202:
            path = f"/api/v1/commands/{answer['command_id']}?realm={self.realm}"
            _, answer = self._insist("GET", path, None, None)
            status = 202 if answer["state"] == "pending" else 200
            if answer["state"] not in ("pending", "applied"):
                raise ApiRefused(
                    409,
                    {"detail": answer.get("detail") or f"step to {_to_iso(to)}: {answer['state']}"},
                )

    def plan_stimuli(self, checks: list[dict[str, Any]]) -> None:
        """Put the reports on the organiser's list; from now on, those skipped or played stay out.

        The reaction expected of a report is the reason of the expectation that names it.
        """
        reasons = {check["event"]: check.get("why") for check in checks if "event" in check}
        for event in self._scenario.events:
            if event.path == REPORTS_PATH:
                body = {
                    "realm": self.realm,
                    "id": event.id,
                    "at": _to_iso(event.reported_at),
                    "title": event.body.get("headline") or event.body["type"],
                    "source": (event.body.get("source") or {}).get("name"),
                    "expected": reasons.get(event.id),
                    "body": {k: v for k, v in event.body.items() if k != "occurred_at"},
                }
                key = f"stimulus:{self.realm}:{event.id}"
                self._insist("POST", "/api/v1/stimuli", _drop_none(body), key)
        self._is_facilitated = True

    def _is_done(self, event: Event) -> bool:
        """Return whether the organiser skipped a report, or played it."""
        if not self._is_facilitated or event.path != REPORTS_PATH:
            return False
        path = f"/api/v1/stimuli?{urlencode({'realm': self.realm, 'limit': 1000})}"
        _, answer = self._insist("GET", path, None, None)
        done_ids = {one["id"] for one in answer["items"] if one["state"] in ("played", "skipped")}
        return event.id in done_ids

    def report(self, event: Event) -> None:
        """Post one report or request under the scenario's event id."""
        body = event.body | {"realm": self.realm}
        if event.path != REPORTS_PATH:
            self._insist("POST", event.path, body, f"{self.realm}:{event.id}")
            return
        if refs := body.get("references"):
            body["references"] = [self._reports.get(r, r) for r in refs]
        _, answer = self._insist("POST", "/api/v1/reports", body, f"{self.realm}:{event.id}")
        self._reports[event.id] = answer["report_id"]

    def request(self, action: PlannedAction) -> None:
        """Ask for one action, about the incident of its event."""
        body = action.body | {"realm": self.realm}
        if (report := self._reports.get(action.about or "")) is not None:
            path = f"/api/v1/reports/{report}?realm={self.realm}"
            _, report_row = self._insist("GET", path, None, None)
            body["incident"] = report_row.get("incident")
        self._insist("POST", "/api/v1/actions", body, f"{self.realm}:{action.id}")

    def play(self, until: int, advance: Any) -> None:
        """Play all events and actions up to `until`, then move the clock there.

        Calls `advance()` after each event. The effects of an event come before the next event, even
        at the same time. Actions come after the events of their time.
        """
        steps: Counter[int] = Counter()
        timed_steps: list[tuple[int, Event | PlannedAction]] = [
            *((e.reported_at, e) for e in self._scenario.events),
            *((a.at, a) for a in self._scenario.actions),
        ]
        for at, stimulus in sorted(timed_steps, key=lambda pair: pair[0]):
            if at > until:
                break
            self.step(at, steps[at])
            steps[at] += 1
            if isinstance(stimulus, PlannedAction):
                self.request(stimulus)
            else:
                if not self._is_done(stimulus):
                    self.report(stimulus)
                advance()
        self.step(until, steps[until])

    def close(self) -> None:
        """Close the realm; it accepts no report or decision, and stays readable."""
        self._insist("POST", f"/api/v1/realms/{self.realm}/close", {}, f"close:{self.realm}")


def _show_summary(
    console: Console, history: RealmHistory, realm: str, took_s: float, events: int
) -> None:
    rows = {
        name: history.rows(name, float("inf"))
        for name in ("incidents", "sites", "levels", "activities", "plans", "notifications")
    }
    played = _.plural("{n} événement", "{n} événements", events)
    table = Table(title=f"{realm} : {played} en {w.format_number(took_s, 'fr')} s")
    table.add_column("Quoi")
    table.add_column("Combien", justify="right")
    level = rows["levels"].get("territory", {}).get("level", 0)
    table.add_row("Niveau du territoire", f"N{level}")
    table.add_row(
        "Incidents ouverts",
        str(sum(r["state"] in ("open", "acknowledged") for r in rows["incidents"].values())),
    )
    for status, count in Counter(
        r["status"] for r in rows["sites"].values() if r["status"] != "normal"
    ).most_common():
        table.add_row(
            f"Sites : {w.translate_code(w.SITE_STATUS, status, _).lower()}",
            str(count),
        )
    table.add_row(
        "Activités interrompues",
        str(sum(r["state"] == "interrupted" for r in rows["activities"].values())),
    )
    table.add_row(
        "Plans proposés", str(sum(r["state"] == "proposed" for r in rows["plans"].values()))
    )
    table.add_row("Notifications", str(len(rows["notifications"])))
    console.print(table)


def select_due_checks(checks: Sequence[Check], played_ms: int) -> list[Check]:
    """Select the expectations up to the moment of the play."""
    return [check for check in checks if int(check["at_min"] * MINUTE_MS) <= played_ms]


def _show_results(console: Console, results: list[CheckResult], later: int) -> None:
    """Show the results, and how many expectations wait for a later minute."""
    if later:
        console.print(_.plural("{n} attente plus tard", "{n} attentes plus tard", later))
    if not results:
        return
    table = Table(title=f"{sum(r.ok for r in results)} / {len(results)} attentes tenues")
    for column in ("", "Attente", "Constaté", "Pourquoi"):
        table.add_column(column)
    for r in results:
        table.add_row(
            "[green]✓[/]" if r.ok else "[red]✗[/]", escape(r.id), escape(r.got), escape(r.why)
        )
    console.print(table)


def play(
    scenario: Annotated[
        str, typer.Argument(help="Scenario id, e.g. S04, or a file (`vigie scenario check`)")
    ],
    speed: Annotated[str, typer.Option(help="Simulated seconds per real second, or max")] = "max",
    realm: Annotated[str | None, typer.Option(help="Exercise realm; a new one by default")] = None,
    responders: Annotated[
        Path | None, typer.Option(help="Answers of simulated people (YAML)")
    ] = None,
    until: Annotated[
        float | None,
        typer.Option(min=0, max=MAX_STEP_MINUTES, help="Stop at this minute of the scenario"),
    ] = None,
    scenarios: Annotated[
        Path, typer.Option(help="Folder with scenarios.yaml and scenario_events.csv")
    ] = SHIPPED / "scenarios",
    facilitate: Annotated[
        bool, typer.Option("--facilitate", help="Put the reports on the list of /exercice")
    ] = False,
    check: Annotated[
        Path | None,
        typer.Option(
            help="Compare with these expectations, e.g. scenarios/expectations.yaml, which comes with Vigie"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Last line is JSON")] = False,
) -> None:
    """Play a scenario into an exercise realm through the HTTP intake.

    Simulated people answer its calls: nobody is called.
    """
    settings, console = Settings(), Console(stderr=as_json)
    pace = _parse_speed(speed)
    try:
        exercise, answers, checks = _load_exercise(scenario, scenarios, settings)
        checks = load_checks(_find_shipped(check), exercise.id) if check else checks
        answers = _read_responders(responders) if responders else answers
    except (
        ScenarioUnknown,
        ScenarioInvalid,
        ExerciseInvalid,
        ChecksInvalid,
        RespondersInvalid,
        TerritoryInvalid,
        OSError,
    ) as exc:
        raise print_error(exc) from exc
    require_broker(settings)  # The result is read from the logs at the end.
    name = realm or f"{settings.territory.name}~ex-{exercise.id}-{secrets.token_hex(3)}"
    last = max([exercise.end, *(exercise.start + int(c["at_min"] * MINUTE_MS) for c in checks)])
    end = exercise.start + int(until * MINUTE_MS) if until is not None else last
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    began = time.monotonic()
    with (
        open_api(settings) as client,
        Progress(*columns, console=console, transient=True) as progress,
        reserve_progress(),
    ):
        task = progress.add_task(
            f"{exercise.id} → {name}", total=sum(e.reported_at <= end for e in exercise.events)
        )
        player = ScenarioPlayer(client, exercise, name, pace)
        player.open(answers)
        if facilitate:
            player.plan_stimuli(checks)
        player.play(end, lambda: progress.advance(task))
    took = time.monotonic() - began
    sites = {
        s.id: {"kind": s.kind, "pole": s.pole} for s in load_territory(settings.territory).sites
    }
    try:
        history = RealmHistory(exercise.start, asyncio.run(read_history(settings, name)), sites)
    except (KafkaError, Stop, OSError) as exc:
        raise print_error(f"{name} was played, and its logs cannot be read: {exc}") from exc
    due_checks = select_due_checks(checks, end - exercise.start)
    results = run_checks(history, due_checks)
    _show_summary(console, history, name, took, sum(e.reported_at <= end for e in exercise.events))
    if checks:
        _show_results(console, results, len(checks) - len(due_checks))
    if as_json:
        document: dict[str, Any] = {
            "realm": name,
            "events": len(exercise.events),
            "seconds": round(took, 3),
        }
        if checks:
            document["checks"] = [{"id": r.id, "ok": r.ok, "got": r.got} for r in results]
            document["later"] = len(checks) - len(due_checks)
        print(json.dumps(document, ensure_ascii=False), flush=True)
    if not all(r.ok for r in results):
        raise typer.Exit(1)
