"""Describe the front's routes and merge them into the console's OpenAPI document."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.intake.administration import NewPassword, NewSecondFactor, NewToken, NewUser
from services.intake.answers import (
    ANSWERS,
    BODY_EXAMPLES,
    LISTED,
    AccountEntry,
    Caller,
    CreatedAccount,
    CreatedSource,
    CreatedToken,
    EnrolledFactor,
    OneTimeCode,
    RevokedToken,
    SourceEntry,
    TokenEntry,
)
from services.intake.field import poster, sms
from services.intake.integrations.cap.dialect import MEDIA_TYPES, CapIntegration
from services.intake.integrations.discovery import load_integrations
from services.intake.integrations.registry import NewSource, SourceChange
from services.intake.photos import JPEG, PNG
from services.intake.reports.native import BatchItem, NativeReport
from services.intake.reports.reports_api import TypedLine
from services.runtime.http.api_subjects import list_tags
from services.runtime.http.pagination import MAX_LIMIT
from services.runtime.http.problems import MEDIA_TYPE, SCHEMA

_REFERENCE_TEMPLATE: Final = "#/components/schemas/{model}"
_RECEIPT_FIELDS: Final[dict[str, Any]] = {
    "report_id": {"type": "string", "format": "uuid"},
    "realm": {"type": "string"},
    "recorded_at": {
        "type": "string",
        "format": "date-time",
        "description": (
            "time at which the log accepted it, or that of the player; in a simulated realm "
            "the report then has the time of the realm"
        ),
    },
    "status_url": {"type": "string"},
}
_WARNINGS: Final[dict[str, Any]] = {
    "type": "array",
    "description": (
        "what is unknown about the place, or a value: the report is accepted all the same, and a "
        "person links it or asks its sender"
    ),
    "items": {
        "type": "object",
        "required": ["field", "code", "detail"],
        "properties": {name: {"type": "string"} for name in ("field", "code", "detail")},
    },
}
_RECEIPT: Final[dict[str, Any]] = {
    "type": "object",
    "required": list(_RECEIPT_FIELDS),
    "properties": _RECEIPT_FIELDS | {"warnings": _WARNINGS},
}
_RESULT_FIELDS: Final[dict[str, Any]] = {
    "status": {"type": "integer"},
    "replayed": {"type": "boolean"},
    "problem": {"$ref": "#/components/schemas/Problem"},
}
_RESULT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["status"],
    "properties": _RECEIPT_FIELDS | {"warnings": _WARNINGS} | _RESULT_FIELDS,
}
_RESULTS: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["items"],
    "properties": {
        "items": {
            "type": "array",
            "items": {"$ref": _REFERENCE_TEMPLATE.format(model="ReportResult")},
        }
    },
}
_RESULTS_REFERENCE: Final = {"$ref": _REFERENCE_TEMPLATE.format(model="ReportResults")}
_BATCH: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["reports"],
    "properties": {
        "reports": {
            "type": "array",
            "items": {"$ref": _REFERENCE_TEMPLATE.format(model="BatchItem")},
        }
    },
}

_BATCH_RESPONSES: Final = {
    "207": {
        "description": "some are in the log",
        "content": {"application/json": {"schema": _RESULTS_REFERENCE}},
    },
    "422": {
        "description": "none is in the log, each with its reason; or the batch cannot be read",
        "content": {
            "application/json": {"schema": _RESULTS_REFERENCE},
            MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}},
        },
    },
    "503": {
        "description": "send the whole batch again: some reports, or all, were not accepted",
        "content": {
            "application/json": {"schema": _RESULTS_REFERENCE},
            MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}},
        },
    },
}


def _refer_name(model: str) -> dict[str, Any]:
    return {"$ref": _REFERENCE_TEMPLATE.format(model=model)}


def _describe_content(
    schemas: Mapping[str, dict[str, Any]], *, required: bool | None = True
) -> dict[str, Any]:
    """Describe a body by its media types; None: that of an answer."""
    content = {"content": {kind: {"schema": schema} for kind, schema in schemas.items()}}
    return content if required is None else {"required": required} | content


def _describe_responses(
    ok: str, what: str, schema: dict[str, Any] | None, *problems: str
) -> dict[str, Any]:
    responses: dict[str, Any] = {
        ok: {"description": what}
        | ({"content": {"application/json": {"schema": schema}}} if schema else {})
    }
    problem = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    return responses | {
        status: {"description": "see the problem document"} | problem for status in problems
    }


_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    "description": (
        "a repeated key with the same body gets the first answer, with another body 422; kept "
        "for at least 7 days"
    ),
}
_REFUSALS: Final = ("401", "403", "413", "415", "422", "503")
_OBJECT: Final = {"type": "object"}
_BYTES: Final = {"type": "string", "format": "binary"}
_ANY_BYTES: Final = "*/*"
_LISTING: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["items", "next"],
    "properties": {
        "items": {"type": "array", "items": _OBJECT},
        "next": {"type": ["string", "null"], "description": "`cursor` of the next page"},
    },
}
_LIST: Final = {"$ref": _REFERENCE_TEMPLATE.format(model="Listing")}
_INTEGRATION_RESPONSES: Final = {
    "2XX": {"description": "accepted"},
    "4XX": {"description": "refused, in the form of the integration"},
    "503": {"description": "send it again later"},
}


def _refer(model: type[BaseModel]) -> dict[str, Any]:
    return _refer_name(model.__name__)


def _refer_page(model: type[BaseModel]) -> dict[str, Any]:
    return _refer_name(f"{model.__name__}Page")


def _describe_page(model: type[BaseModel]) -> dict[str, Any]:
    properties = _LISTING["properties"] | {"items": {"type": "array", "items": _refer(model)}}
    return _LISTING | {"properties": properties}


def _describe_path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _describe_filter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}


_PAGED: Final = [
    {
        "name": "limit",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
    },
    {
        "name": "cursor",
        "in": "query",
        "required": False,
        "schema": {"type": "string", "maxLength": 400},
        "description": "`next` of the previous page",
    },
]
_PATHS_BY_PREFIX: Final = {
    "/v2/alerts": ("/v2/alerts", "/v2/alerts/{alias}/close", "/v2/alerts/{alias}/acknowledge"),
    "/v2/heartbeats": ("/v2/heartbeats/{name}/ping",),
    "/webhooks/generic": ("/webhooks/generic/{source}",),
}
"""Paths served under the prefix of an integration."""


def _describe_integration(dialect: str, path: str) -> dict[str, Any]:
    """Describe a route of an integration."""
    words = re.findall(r"\w+", path)
    operation: dict[str, Any] = {
        "summary": f"Send a message of {dialect} (docs/how-to/sources.md)",
        "operationId": "post" + "".join(word.capitalize() for word in words),
        "responses": _INTEGRATION_RESPONSES,
    }
    parameter_names = re.findall(r"{(\w+)}", path)
    return operation | (
        {"parameters": [_describe_path_parameter(name) for name in parameter_names]}
        if parameter_names
        else {}
    )


def _describe_alertmanager(open_to_all: dict[str, Any]) -> dict[str, Any]:
    """Describe the Alertmanager API. Authentication is bearer, or basic with a key as password."""

    def operation(name: str, summary: str, *parameters: dict[str, Any]) -> dict[str, Any]:
        return {
            "summary": f"Alertmanager API: {summary}",
            "operationId": name,
            "parameters": list(parameters),
            "responses": _INTEGRATION_RESPONSES,
        } | open_to_all

    return {
        "/api/v2/alerts": {
            "get": operation("alertmanagerAlerts", "list active alerts, silenced or not"),
            "post": operation(
                "alertmanagerPostAlerts",
                "send alerts that the sender keeps alive (docs/how-to/sources.md)",
            ),
        },
        "/api/v2/alerts/groups": {
            "get": operation("alertmanagerGroups", "list active alerts in one group")
        },
        "/api/v2/silences": {
            "get": operation("alertmanagerSilences", "list maintenance windows as silences"),
            "post": operation("alertmanagerSilence", "plan or change a maintenance window"),
        },
        "/api/v2/silence/{id}": {
            "get": operation(
                "alertmanagerOneSilence",
                "show a maintenance window as a silence",
                _describe_path_parameter("id"),
            ),
            "delete": operation(
                "alertmanagerExpire", "end a maintenance window", _describe_path_parameter("id")
            ),
        },
        "/api/v2/status": {"get": operation("alertmanagerStatus", "show version and uptime")},
        "/api/v2/receivers": {"get": operation("alertmanagerReceivers", "show the only receiver")},
        "/-/healthy": {"get": operation("alertmanagerHealthy", "show that the front is alive")},
        "/-/ready": {"get": operation("alertmanagerReady", "show that the front accepts alerts")},
    }


_SUBJECTS: Final = (
    ("/api/v1/reports", "reports"),
    ("/api/v1/attachments", "reports"),
    ("/api/v1/whoami", "accounts"),
    ("/api/v1/tokens", "accounts"),
    ("/api/v1/users", "accounts"),
    ("/api/v1/intake/strangers", "sources"),
    ("/api/v1/refused", "sources"),
    ("/api/v1/sources", "sources"),
    ("/livez", "system"),
    ("/readyz", "system"),
    ("/metrics", "system"),
    ("/-/", "alertmanager"),
    ("/api/v2/alerts", "alertmanager"),
    ("/api/v2/receivers", "alertmanager"),
    ("/api/v2/silence", "alertmanager"),
    ("/api/v2/status", "alertmanager"),
)
"""Subject by the beginning of a path; any other path is an integration."""


def _choose_subject(path: str) -> str:
    return next((name for start, name in _SUBJECTS if path.startswith(start)), "integrations")


def _drop_list_defaults(schemas: dict[str, Any]) -> None:
    """Drop in place the defaults that are lists where a string is allowed, too.

    A generated client sent the default of `zone` as the string `[]`, which is no INSEE code.
    """
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            kinds = {option.get("type") for option in field.get("anyOf", ())}
            if "string" in kinds and isinstance(field.get("default"), list):
                del field["default"]


_ACCOUNT_CHANGES: Final = (
    (
        "link",
        "linkUser",
        (
            "Allow for seven days that an identity of the organisation's provider is linked to the "
            "account"
        ),
    ),
    (
        "unlink",
        "unlinkUser",
        "Unlink the account from the organisation's provider; its sessions end",
    ),
    ("sign-out", "signOutUser", "End all sessions of an account"),
    ("enable", "enableUser", "Enable an account"),
    ("disable", "disableUser", "Disable an account; its tokens and sessions end at once"),
)
_SOURCE_CHANGES: Final = (
    ("enable", "enableSource", "Enable a source; its keys are valid again"),
    ("disable", "disableSource", "Disable a source; its keys are invalid at once"),
)


@cache
def build_own_document() -> dict[str, Any]:
    """Return the paths and schemas of the front's own routes."""
    models: tuple[type[BaseModel], ...] = (
        NativeReport,
        BatchItem,
        TypedLine,
        NewToken,
        NewUser,
        NewPassword,
        NewSecondFactor,
        NewSource,
        SourceChange,
        *ANSWERS,
    )
    _, schemas = models_json_schema(
        [(m, "validation") for m in models], ref_template=_REFERENCE_TEMPLATE
    )
    receipt = ("202", "in the log", _refer_name("Receipt"))
    account = ("200", "the account", _refer(AccountEntry))
    source = ("200", "the source", _refer(SourceEntry))
    realm = _describe_filter("realm")
    open_to_all: dict[str, Any] = {"security": []}
    paths: dict[str, Any] = {}

    def add(
        route: str,
        name: str,
        summary: str,
        answer: tuple[str, str, dict[str, Any] | None],
        *problems: str,
        body: type[BaseModel] | None = None,
        parameters: Sequence[dict[str, Any]] = (),
        **more: Any,
    ) -> None:
        method, _, path = route.partition(" ")
        usual = ("401", "403", "503") if body is None else _REFUSALS
        operation: dict[str, Any] = {
            "summary": summary,
            "operationId": name,
            "responses": _describe_responses(*answer, *usual, *problems),
        }
        if all_parameters := [
            *map(_describe_path_parameter, re.findall(r"{(\w+)}", path)),
            *parameters,
        ]:
            operation["parameters"] = all_parameters
        if body is not None:
            operation["requestBody"] = _describe_content({"application/json": _refer(body)})
        paths.setdefault(path, {})[method] = operation | more

    add(
        "post /api/v1/reports",
        "postReport",
        "Send one report",
        receipt,
        body=NativeReport,
        parameters=[realm, _IDEMPOTENCY_KEY],
    )
    add(
        "post /api/v1/reports:batch",
        "postReports",
        "Send several reports; each is accepted or refused by itself",
        receipt,
        parameters=[realm, _IDEMPOTENCY_KEY],
        requestBody=_describe_content({"application/json": _refer_name("ReportBatch")}),
        responses=_describe_responses("202", "all are in the log", _RESULTS_REFERENCE, *_REFUSALS)
        | _BATCH_RESPONSES,
    )
    add(
        "post /api/v1/reports:line",
        "postLine",
        "Send a report as one line, in the form of a text message",
        receipt,
        body=TypedLine,
        parameters=[realm, _IDEMPOTENCY_KEY],
    )
    unknown = ("404", "unknown", None)
    add(
        "get /api/v1/reports/{id}/raw",
        "getRawReport",
        "Show the original bytes of a report",
        unknown,
        responses={
            "200": {"description": "the original bytes", "content": {"*/*": {"schema": _BYTES}}}
        }
        | _describe_responses(*unknown, "401", "403", "410", "503"),
    )
    photos = {JPEG: _BYTES, PNG: _BYTES}
    add(
        "post /api/v1/attachments",
        "postAttachment",
        "Store a photo of a report, JPEG or PNG, without the metadata on author and place",
        ("201", "stored; put its id into `attachments` of the report", _OBJECT),
        *_REFUSALS,
        parameters=[realm],
        requestBody=_describe_content(photos),
    )
    add(
        "get /api/v1/attachments/{id}",
        "getAttachment",
        "Show a photo; each reading is logged",
        unknown,
        responses={"200": {"description": "the photo"} | _describe_content(photos, required=None)}
        | _describe_responses(*unknown, "401", "403", "503"),
    )
    add(
        "get /api/v1/whoami",
        "whoami",
        "Show the account of this token or session",
        unknown,
        responses=_describe_responses("200", "the principal", _refer(Caller), "401", "503"),
    )
    add(
        "get /api/v1/intake/strangers",
        "listStrangers",
        "List messages of unknown senders: a count and the last of each address",
        ("200", "counts", _OBJECT),
    )
    add(
        "get /api/v1/refused",
        "listRefused",
        "List refused messages of known senders, newest first",
        ("200", "without their bytes", _LIST),
        "422",
        parameters=[_describe_filter("source"), *_PAGED],
    )
    add(
        "get /api/v1/refused/{id}",
        "getRefused",
        "Show a refused message with its bytes; each reading is logged",
        ("200", "the message", _OBJECT),
        "404",
    )
    add(
        "post /api/v1/refused/{id}/replay",
        "replayRefused",
        "Replay a refused message as its sender, unchanged or with this body; the answer has the "
        "form of its integration",
        unknown,
        requestBody=_describe_content({_ANY_BYTES: _BYTES}, required=False),
        responses=_INTEGRATION_RESPONSES
        | _describe_responses(*unknown, "401", "403", "409", "410"),
    )
    tokens = ("200", "tokens", _refer_page(TokenEntry))
    add(
        "get /api/v1/tokens",
        "listTokens",
        "List tokens, without their secrets",
        tokens,
        "422",
        parameters=_PAGED,
    )
    token = ("201", "the token", _refer(CreatedToken))
    add(
        "post /api/v1/tokens",
        "createToken",
        "Create a token; it is shown once",
        token,
        "404",
        body=NewToken,
    )
    revocation = ("200", "revoked", _refer(RevokedToken))
    add("delete /api/v1/tokens/{id}", "revokeToken", "Revoke a token", revocation, "404")
    accounts = ("200", "accounts", _refer_page(AccountEntry))
    add("get /api/v1/users", "listUsers", "List accounts", accounts, "422", parameters=_PAGED)
    add(
        "post /api/v1/users",
        "createUser",
        "Create an account with a one-time code",
        ("201", "the code", _refer(CreatedAccount)),
        "409",
        body=NewUser,
    )
    login, code = "post /api/v1/users/{login}", ("201", "the code", _refer(OneTimeCode))
    add(f"{login}/code", "issueCode", "Create a one-time code", code, "404")
    add(f"{login}/password", "setPassword", "Set a password", account, "404", body=NewPassword)
    add(
        f"{login}/second-factor",
        "enrolSecondFactor",
        "Enrol TOTP as second factor",
        ("200", "printed codes", _refer(EnrolledFactor)),
        "404",
        body=NewSecondFactor,
    )
    for verb, name, summary in _ACCOUNT_CHANGES:
        add(f"{login}/{verb}", name, summary, account, "404")
    sources = ("200", "sources", _refer_page(SourceEntry))
    add(
        "get /api/v1/sources",
        "listSources",
        "List sources with their health, without their keys",
        sources,
        "422",
        parameters=_PAGED,
    )
    add(
        "post /api/v1/sources",
        "createSource",
        "Create a source; its key is shown once",
        ("201", "the source with its key", _refer(CreatedSource)),
        "409",
        body=NewSource,
    )
    add(
        "patch /api/v1/sources/{name}",
        "changeSource",
        "Change a source; absent fields keep their values",
        source,
        "404",
        body=SourceChange,
    )
    for verb, name, summary in _SOURCE_CHANGES:
        add(f"post /api/v1/sources/{{name}}/{verb}", name, summary, source, "404")
    alive = _describe_responses("200", "alive", _OBJECT)
    ready = _describe_responses("200", "accepts reports; JSON also shows the console", _OBJECT) | {
        "503": {"description": "not ready; the reason is in the JSON"}
    }
    text = {"text/plain": {"schema": {"type": "string"}}}
    for path, summary, responses in (
        ("livez", "Show that the front is alive", alive),
        ("readyz", "Show whether the front is ready to accept reports", ready),
        (
            "metrics",
            "Show the metrics for Prometheus",
            {"200": {"description": "text format", "content": text}},
        ),
    ):
        add(f"get /{path}", path, summary, unknown, responses=responses, **open_to_all)
    add(
        "get /metrics/{process}",
        "processMetrics",
        "Show the metrics of one process of this machine, with `secrets/metrics.token`",
        unknown,
        responses=_describe_responses("200", "text format", None, "401", "404", "503")
        | {"200": {"description": "text format", "content": text}},
    )
    for name, own in [(d.NAME, d.PATHS) for d in load_integrations().values()] + [
        (sms.NAME, sms.PATHS),
        (poster.NAME, poster.PATHS),
        (CapIntegration.NAME, CapIntegration.PATHS),
    ]:
        for path in (p for prefix in own for p in _PATHS_BY_PREFIX.get(prefix, (prefix,))):
            paths[path] = {"post": _describe_integration(name, path) | open_to_all}
    paths["/v2/heartbeats/{name}/ping"]["get"] = (
        _describe_integration("opsgenie", "/v2/heartbeats/{name}/ping")
        | {"operationId": "getV2HeartbeatsNamePing"}
        | open_to_all
    )
    paths[CapIntegration.PATHS[0]]["post"] |= {
        "summary": "Send a CAP 1.2 message: one report per event that concerns the territory",
        "security": [{"bearer": []}],
        "parameters": [realm | {"description": "default: realm of the sender"}],
        "requestBody": _describe_content(dict.fromkeys(MEDIA_TYPES, _BYTES)),
        "responses": _describe_responses(
            "202", "on the log; `reports` has one receipt per report", _OBJECT, *_REFUSALS
        ),
    }
    paths |= _describe_alertmanager(open_to_all)
    for path, operations in paths.items():
        for operation in operations.values():
            operation["tags"] = [_choose_subject(path)]
    all_schemas = schemas["$defs"] | {
        "Listing": _LISTING,
        "Problem": SCHEMA,
        "Receipt": _RECEIPT,
        "ReportBatch": _BATCH,
        "ReportResult": _RESULT,
        "ReportResults": _RESULTS,
        **{f"{model.__name__}Page": _describe_page(model) for model in LISTED},
    }
    _drop_list_defaults(all_schemas)
    for name, example in BODY_EXAMPLES.items():
        all_schemas[name] = all_schemas[name] | {"examples": [example]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Vigie",
            "version": "1",
            "description": "Crisis and continuity of a département",
        },
        "tags": list_tags(),
        "paths": paths,
        "components": {
            "schemas": all_schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "vigie_session"},
            },
        },
        "security": [{"bearer": []}, {"session": []}],
    }


def merge_documents(console: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the front's routes into the console's document."""
    own = build_own_document()
    document = own | {k: v for k, v in console.items() if k in ("info", "tags", "servers")}
    document["paths"] = {
        p: (console["paths"].get(p, {}) | own["paths"].get(p, {}))
        for p in sorted({*console["paths"], *own["paths"]})
    }
    components = console["components"]
    document["components"] = {
        k: components.get(k, {}) | own["components"].get(k, {})
        for k in {*components, *own["components"]}
    }
    return document
