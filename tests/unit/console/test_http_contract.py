"""The HTTP contract without a server: document, parameters and ids of commands."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from fastapi.testclient import TestClient

from schemas.crisis.maintenance import EndMaintenance
from services.console.app import build_openapi, create_app
from services.console.exercises import api as exercises_api
from services.console.http.answers import build_answer
from services.console.http.context import DecisionBody, check_scope, parse_time
from services.console.http.decisions import CommandDispatcher, CommandOutcome, IdempotencyKey
from services.console.maintenance.api import WindowRequest
from services.runtime.http.problems import MEDIA_TYPE, SCHEMA, Problem, ProblemError, build_fault
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal, Scope
from services.runtime.process.health import HealthChecks
from tests.api_documents import console_document
from tests.shipped import territory

READS = (
    "realms",
    "overview",
    "incidents",
    "incidents/{id}",
    "incidents/{id}/timeline",
    "incidents/{id}/explain",
    "sites",
    "sites/{id}",
    "activities",
    "activities/{id}",
    "plans",
    "plans/{id}",
    "plans/{id}/proof",
    "plan-proofs",
    "poles",
    "communes",
    "tasks",
    "notifications",
    "escalations",
    "escalations/{id}",
    "reports/{id}",
    "log",
    "commands/{id}",
    "reference",
    "levels",
    "flags",
    "sending/hold",
    "stream",
    "changes",
)
DECISIONS = (
    "realms",
    "realms/{name}/step",
    "realms/{name}/pause",
    "realms/{name}/close",
    "incidents/{id}/acknowledge",
    "incidents/{id}/escalate",
    "incidents/{id}/reapply-policy",
    "incidents/{id}/resolve",
    "incidents/{id}/reopen",
    "incidents/{id}/merge",
    "incidents/{id}/split",
    "incidents/{id}/notes",
    "level",
    "reports/{id}/confirm",
    "reports/{id}/deny",
    "reports/{id}/link",
    "plans/{id}/activate",
    "plans/{id}/refuse",
    "plans/{id}/postpone",
    "plans/{id}/stand-down",
    "plans/{id}/cards/{card}/start",
    "plans/{id}/cards/{card}/done",
    "plans/{id}/cards/{card}/not-applicable",
    "tasks/{id}/take",
    "tasks/{id}/done",
    "sending/hold",
    "log",
)


def test_the_files_referenced_by_the_asyncapi_document_exist() -> None:
    """A consumer of the document over HTTP found no schema of any message."""
    with TestClient(create_app(HealthChecks()), base_url="http://console") as http:
        messages = http.get("/asyncapi.json").json()["components"]["messages"]
        for wire in ("vigie.IncidentChanged.v1", "vigie.NotificationPlanned.v1"):
            (points_to,) = [
                message["payload"]["$ref"]
                for message in messages.values()
                if message["name"] == wire
            ]
            schema = http.get(f"/{points_to}").json()
            assert wire == f"vigie.{schema['title']}.v1"
            used = set(re.findall(r'"([^"#]+)#/\$defs/', json.dumps(schema)))
            assert used == {"shared.json"}
        assert http.get("/json/shared.json").json()["$defs"]
        assert http.get("/json/vigie.Nothing.v1.json").json()["code"] == "not_found"


def test_the_document_is_openapi_3_1_and_holds_every_promised_path() -> None:
    document = console_document()
    assert document["openapi"].startswith("3.1")
    paths = document["paths"]
    for path in READS:
        assert "get" in paths[f"/api/v1/{path}"], path
    for path in DECISIONS:
        answers = paths[f"/api/v1/{path}"]["post"]["responses"]
        assert {"200", "202", "403", "404", "409", "412"} <= answers.keys(), path


def test_every_read_of_a_realm_takes_as_of() -> None:
    free = {
        "/api/v1/accounts",
        "/api/v1/realms",
        "/api/v1/realms/{name}",
        "/api/v1/commands/{id}",
        "/api/v1/me/push",
        "/api/v1/commissioning",
    }
    for path, methods in console_document()["paths"].items():
        if "get" in methods and path not in free:
            assert {"realm", "as_of"} <= {p["name"] for p in methods["get"]["parameters"]}, path


COLLIDING = (
    "level",
    "incidents/{id}/resolve",
    "incidents/{id}/merge",
    "incidents/{id}/split",
    "plans/{id}/activate",
    "plans/{id}/refuse",
    "plans/{id}/postpone",
    "plans/{id}/stand-down",
    "plans/{id}/retex-closed",
    "reassignments/{proposal}/approve",
    "reassignments/{proposal}/decline",
    "maintenance/{id}/change",
    "maintenance/{id}/end",
    *(
        f"statements/{{id}}:{verb}"
        for verb in ("revise", "readdress", "submit", "validate", "refuse", "publish", "retract")
    ),
    "questions/{id}:answer",
    "publications/{page}:publish",
    "publications/{page}:retract",
    *(f"handovers/{{id}}:{verb}" for verb in ("revise", "sign", "accept", "withdraw")),
    "obligations/{id}:done",
    "obligations/{id}:dismiss",
    "stimuli/{id}:skip",
    "stimuli/{id}:restore",
    *(
        f"resource-requests/{{id}}:{verb}"
        for verb in ("offer", "commit", "depart", "arrive", "release", "cancel")
    ),
    "reference/changes/{id}/approve",
    "reference/changes/{id}/decline",
    "reference/changes/{id}/withdraw",
)


def test_the_headers_of_decisions_stand_in_the_document() -> None:
    """A program that is made from it knew neither a key nor a version."""
    app = create_app(HealthChecks())
    app.openapi()
    for path, methods in app.openapi()["paths"].items():
        if "412" in methods.get("post", {}).get("responses", {}):
            names = [p["name"] for p in methods["post"]["parameters"] if p["in"] == "header"]
            assert sorted(names) == [
                "Idempotency-Key",
                *["If-Match"] * (path.removeprefix("/api/v1/") in COLLIDING),
                "Prefer",
            ], path


def test_every_operation_lists_its_possible_problems() -> None:
    """422 had FastAPI's form, unlike every answer.

    Other problems were missing.
    """
    document = console_document()
    assert not {"HTTPValidationError", "ValidationError"} & document["components"]["schemas"].keys()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            answers = operation["responses"]
            assert {"503"} | (
                {"401", "403"} if path.startswith("/api/") else set()
            ) <= answers.keys(), path
            assert "404" in answers or not {"id", "realm"} & {
                p["name"] for p in operation.get("parameters", ())
            }, path
            for status, response in answers.items():
                if status >= "400":
                    assert response["content"] == {
                        MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}
                    }, (path, status)


def test_a_problem_matches_its_documentation() -> None:
    refused = Problem(
        "invalid", faults=(build_fault("a", "b", "c", "d"),), retry_after_s=2
    ).document("fr", "/x")
    assert set(SCHEMA["required"]) <= refused.keys() <= SCHEMA["properties"].keys()
    assert (
        refused["errors"][0].keys() == SCHEMA["properties"]["errors"]["items"]["properties"].keys()
    )


def test_every_list_is_paged() -> None:
    """`?limit=` was read over by a dozen lists."""
    document = console_document()
    for path, methods in document["paths"].items():
        answer = (
            methods.get("get", {})
            .get("responses", {})
            .get("200", {})
            .get("content", {})
            .get("application/json", {})
            .get("schema", {})
        )
        fields = (
            document["components"]["schemas"]
            .get(answer.get("$ref", "").rpartition("/")[2], {})
            .get("properties", {})
        )
        if "anyOf" in fields.get("next", {}):  # null alone: one document, as the readiness proof
            assert {"limit", "cursor"} <= {p["name"] for p in methods["get"]["parameters"]}, path


@pytest.mark.parametrize(
    "text",
    [
        "2027-02-11T09:40:00+01:00",
        "2027-02-11T09:40:00 01:00",
        "2027-02-11T08:40:00Z",
        "1802335200000",
    ],
)
def test_times_are_understood_as_they_arrive(text: str) -> None:
    assert parse_time(text) == 1_802_335_200_000


@pytest.mark.parametrize(
    "text",
    [
        "2027-02-11T09:40:00",
        "yesterday",
        "",
        "2027-13-01T00:00:00Z",
        "1802335200.5",
        "+1802335200000",
        "1e12",
        "١٨٠٢٣٣٥٢٠٠٠٠٠",
    ],
)
def test_invalid_times_are_refused_by_name(text: str) -> None:
    with pytest.raises(ProblemError) as refused:
        parse_time(text)
    assert refused.value.problem.faults[0].field == "as_of"


def test_a_scope_of_sites_and_poles_must_include_the_target() -> None:
    manager = Principal(id="p", role=Role.SITE_MANAGER, scope=Scope(sites=("pmi-04",)))
    check_scope(manager, sites=["cen-1", "pmi-04"])
    with pytest.raises(ProblemError):
        check_scope(manager, sites=["cen-1"])
    check_scope(Principal(id="a", role=Role.ADMIN), sites=["cen-1"])


def test_unknown_fields_of_a_body_are_ignored() -> None:
    assert DecisionBody.model_validate({"reason": "x", "later": 1}).reason == "x"


@pytest.mark.parametrize(
    ("pattern", "understood"),
    [("(", False), (r"(a)\1", False), ("(?=a)b", False), ("web-.*|[[:alpha:]]+", True)],
)
def test_an_unreadable_matcher_is_refused_at_its_position(pattern: str, understood: bool) -> None:
    """The command refused it, which answered 500."""
    matchers = [
        {"name": "job", "value": "x"},
        {"name": "alertname", "value": pattern, "regex": True},
    ]
    window = WindowRequest.model_validate(
        {
            "reason": "travaux",
            "starts_at": "2027-02-11T09:40:00Z",
            "ends_at": "2027-02-11T10:40:00Z",
            "matchers": matchers,
        }
    )
    author: Any = SimpleNamespace(principal=Principal(id="a", role=Role.CELL))
    if understood:
        assert [m.value for m in window.fields(author)["covers"].matchers] == ["x", pattern]
        return
    with pytest.raises(ProblemError) as refused:
        window.fields(author)
    assert [(f.field, f.code) for f in refused.value.problem.faults] == [
        ("matchers.1.value", "regex")
    ]


class _Nothing:
    """Stands where this test sends nothing."""


async def test_a_value_outside_a_command_is_a_client_error() -> None:
    decisions = CommandDispatcher(_Nothing(), _Nothing(), _Nothing(), b"k" * 32)  # type: ignore[arg-type]

    def make(by: str, role: str, reason: str | None) -> EndMaintenance:
        return EndMaintenance.model_validate(
            {"author": by, "role": role, "reason": reason, "window": 7}
        )

    with pytest.raises(ProblemError) as refused:
        await decisions.decide("alerts", "92", Principal(id="a", role=Role.CELL), make)
    assert [f.field for f in refused.value.problem.faults] == ["window"]


@pytest.mark.parametrize("state", ["applied", "refused"])
def test_an_applied_decision_lists_its_unknown_fields(state: str) -> None:
    decided = {
        "id": "cmd-1",
        "realm": "92",
        "command": "ResolveIncident",
        "state": state,
        "values": {},
        "at": 0,
    }
    if state == "refused":
        decided |= {"status": 409, "code": "causes_open"}
    for unknown in (["forse"], []):
        request: Any = SimpleNamespace(
            state=SimpleNamespace(unknown_fields=unknown),
            url=SimpleNamespace(path="/api/v1/incidents/i-1/resolve"),
        )
        answered = build_answer(request, CommandOutcome("cmd-1", "92", decided), "fr")
        assert answered.status_code == (200 if state == "applied" else 409)
        assert orjson.loads(answered.body).get("unknown_fields", []) == unknown


def test_the_id_of_a_command_is_its_key() -> None:
    decisions = CommandDispatcher(_Nothing(), _Nothing(), _Nothing(), b"k" * 32)  # type: ignore[arg-type]
    one, other = Principal(id="a", role=Role.CELL), Principal(id="b", role=Role.CELL)
    id = decisions.command_id(one, "92", IdempotencyKey("key", ""))
    assert id == decisions.command_id(one, "92", IdempotencyKey("key", ""))
    different = {
        decisions.command_id(other, "92", IdempotencyKey("key", "")),
        decisions.command_id(one, "92~ex-1", IdempotencyKey("key", "")),
        decisions.command_id(one, "92", None),
    }
    assert id not in different
    assert len(different) == 3
    assert decisions.has_issued(id)
    for forged in (
        id[:-1] + ("0" if id[-1] != "0" else "1"),
        "cmd-x-y",
        "",
        "nope",
        id.replace("cmd", "cme"),
    ):
        assert not decisions.has_issued(forged)


def test_a_missing_address_is_a_page_for_browsers_and_a_problem_for_programs() -> None:
    client = TestClient(create_app(HealthChecks(ready={})))
    browser = {"accept": "text/html,application/xhtml+xml", "accept-language": "fr"}
    page = client.get("/incident", headers=browser)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "Cette adresse n’existe pas\u00a0: vérifiez-la" in page.text
    for path, headers in (("/incident", {}), ("/api/v1/incident", browser)):
        problem = client.get(path, headers=headers)
        assert (problem.status_code, problem.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/connexion/?suite=%2F", "/connexion?suite=%2F"),
        ("//evil.example/", "/evil.example"),
        ("/%5Cevil.example/", "/%5Cevil.example"),
    ],
)
def test_a_slash_too_many_leads_back_to_the_same_host(path: str, location: str) -> None:
    """The redirect named the host that the request claimed."""
    client = TestClient(create_app(HealthChecks(ready={})), follow_redirects=False)
    answer = client.get(f"http://vigie{path}", headers={"host": "evil.example"})
    assert (answer.status_code, answer.headers["location"]) == (307, location)


def test_an_answer_without_content_is_in_the_document() -> None:
    """Clients made from the document raised on the 204 that a summary named."""
    operations = [one for path in build_openapi()["paths"].values() for one in path.values()]
    empty = [one for one in operations if "204" in one["summary"]]
    assert len(empty) >= 2
    assert [one["operationId"] for one in empty if "204" not in one["responses"]] == []


def test_the_front_learns_the_managers_of_the_sites() -> None:
    async def reference() -> Any:
        return SimpleNamespace(version="v1", sections=territory().sections)

    app = create_app(HealthChecks())
    app.state.model = SimpleNamespace(of=lambda _realm: SimpleNamespace(reference=reference))
    answer = TestClient(app).get("/managers.json?realm=92").json()
    assert answer["version"] == "v1"
    assert answer["managers"]["rs-cen-1"] == ["cen-1"]
    assert not any(person.startswith("dir-") for person in answer["managers"])


def test_the_front_learns_which_measures_the_version_in_force_reserves() -> None:
    requested_realms: list[str] = []

    async def reference() -> Any:
        version = territory()
        return SimpleNamespace(version="v1", sections=version.sections)

    def of(realm: str) -> Any:
        requested_realms.append(realm)
        return SimpleNamespace(reference=reference)

    app = create_app(HealthChecks())
    app.state.live_realm, app.state.model = "92", SimpleNamespace(of=of)
    measures = TestClient(app).get("/measures.json").json()
    assert requested_realms == ["92"]
    assert measures["version"] == "v1"
    assert "rssi" in measures["reserved"]["total_isolation"]
    assert "river_level" not in measures["reserved"], "what a person may confirm is let in"


class ReadSoFar:
    """Stands for a read model that follows the log record by record."""

    def __init__(
        self, opened_by: int | None, *, end: int, stops_at: int = 1_000, state: str = "open"
    ) -> None:
        self.position, self._opened_by, self._state = 0, opened_by, state
        self._end, self._stops_at = end, stops_at

    async def find_own_realm(self) -> tuple[str | None, int]:
        self.position = min(self.position + 1, self._stops_at)
        is_known = self._opened_by is not None and self.position > self._opened_by
        return self._state if is_known else None, self.position

    async def find_log_end(self, kafka: str) -> int:  # noqa: ARG002
        return self._end


@pytest.mark.parametrize(
    ("model", "known"),
    [
        (ReadSoFar(0, end=9), (True, False)),
        (ReadSoFar(0, end=9, state="closed"), (True, True)),
        (ReadSoFar(None, end=3), (False, False)),
        (ReadSoFar(4, end=5), (True, False)),
        (ReadSoFar(None, end=9, stops_at=2), (None, False)),
    ],
    ids=["known", "closed", "unknown", "opened a moment ago elsewhere", "behind the log"],
)
async def test_a_realm_is_unknown_only_after_all_of_the_log(
    model: Any, known: tuple[bool | None, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exercises_api, "LOG_PAUSE_S", 0.0)
    monkeypatch.setattr(exercises_api, "LOG_WAIT_S", 0.05)
    assert await exercises_api.find_realm(model, "kafka:9092") == known
