"""Describe the front's routes and merge them into the console's OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.intake.administration import NewPassword, NewSecondFactor, NewToken, NewUser
from services.intake.answers import (
    ANSWERS,
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
from services.intake.body_examples import BODY_EXAMPLES
from services.intake.field import poster, sms
from services.intake.integrations.cap.dialect import MEDIA_TYPES, CapIntegration
from services.intake.integrations.discovery import load_integrations
from services.intake.integrations.registry import NewSource, SourceChange
from services.intake.photos.image import JPEG, PNG
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
_RECEIPT: Final[dict[str, Any]] = {
    "type": "object",
    "required": list(_RECEIPT_FIELDS),
    "properties": _RECEIPT_FIELDS,
}
_RESULT_FIELDS: Final[dict[str, Any]] = {
    "status": {"type": "integer"},
    "replayed": {"type": "boolean"},
    "problem": {"$ref": "#/components/schemas/Problem"},
}
_RESULT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["status"],
    "properties": _RECEIPT_FIELDS | _RESULT_FIELDS,
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


def _describe_body(model: type[BaseModel]) -> dict[str, Any]:
    return {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": _REFERENCE_TEMPLATE.format(model=model.__name__)}
            }
        },
    }


def _describe_responses(
    ok: str, what: str, schema: dict[str, Any] | None, *problems: str
) -> dict[str, Any]:
    found: dict[str, Any] = {
        ok: {"description": what}
        | ({"content": {"application/json": {"schema": schema}}} if schema else {})
    }
    problem = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    return found | {
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
    return {"$ref": _REFERENCE_TEMPLATE.format(model=model.__name__)}


def _refer_page(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": _REFERENCE_TEMPLATE.format(model=f"{model.__name__}Page")}


def _describe_page(model: type[BaseModel]) -> dict[str, Any]:
    properties = _LISTING["properties"] | {"items": {"type": "array", "items": _refer(model)}}
    return _LISTING | {"properties": properties}


def _describe_path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


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
    found: dict[str, Any] = {
        "summary": f"Send a message of {dialect} (docs/how-to/sources.md)",
        "operationId": "post" + "".join(word.capitalize() for word in words),
        "responses": _INTEGRATION_RESPONSES,
    }
    named = re.findall(r"{(\w+)}", path)
    return found | (
        {"parameters": [_describe_path_parameter(name) for name in named]} if named else {}
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
    raw = {
        "200": {"description": "the original bytes", "content": {"*/*": {"schema": _BYTES}}}
    } | _describe_responses("404", "unknown", None, "401", "403", "410", "503")
    ready = _describe_responses("200", "accepts reports; JSON also shows the console", _OBJECT) | {
        "503": {"description": "not ready; the reason is in the JSON"}
    }
    open_to_all: dict[str, Any] = {"security": []}
    paths: dict[str, Any] = {
        "/api/v1/reports": {
            "post": {
                "summary": "Send one report",
                "operationId": "postReport",
                "parameters": [_IDEMPOTENCY_KEY],
                "requestBody": _describe_body(NativeReport),
                "responses": _describe_responses(
                    "202",
                    "in the log",
                    {"$ref": _REFERENCE_TEMPLATE.format(model="Receipt")},
                    *_REFUSALS,
                ),
            }
        },
        "/api/v1/reports:batch": {
            "post": {
                "summary": "Send several reports; each is accepted or refused by itself",
                "operationId": "postReports",
                "parameters": [_IDEMPOTENCY_KEY],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {"$ref": _REFERENCE_TEMPLATE.format(model="ReportBatch")}
                        }
                    },
                },
                "responses": _describe_responses(
                    "202", "all are in the log", _RESULTS_REFERENCE, *_REFUSALS
                )
                | _BATCH_RESPONSES,
            }
        },
        "/api/v1/reports:line": {
            "post": {
                "summary": "Send a report as one line, in the form of a text message",
                "operationId": "postLine",
                "parameters": [_IDEMPOTENCY_KEY],
                "requestBody": _describe_body(TypedLine),
                "responses": _describe_responses(
                    "202",
                    "in the log",
                    {"$ref": _REFERENCE_TEMPLATE.format(model="Receipt")},
                    *_REFUSALS,
                ),
            }
        },
        "/api/v1/reports/{id}/raw": {
            "get": {
                "summary": "Show the original bytes of a report",
                "operationId": "getRawReport",
                "parameters": [_describe_path_parameter("id")],
                "responses": raw,
            }
        },
        "/api/v1/attachments": {
            "post": {
                "summary": (
                    "Store a photo of a report, JPEG or PNG, without the metadata on author "
                    "and place"
                ),
                "operationId": "postAttachment",
                "parameters": [
                    {
                        "name": "realm",
                        "in": "query",
                        "required": False,
                        "schema": {"type": "string"},
                    }
                ],
                "requestBody": {
                    "required": True,
                    "content": {kind: {"schema": _BYTES} for kind in (JPEG, PNG)},
                },
                "responses": _describe_responses(
                    "201",
                    "stored; put its id into `attachments` of the report",
                    _OBJECT,
                    *_REFUSALS,
                ),
            }
        },
        "/api/v1/attachments/{id}": {
            "get": {
                "summary": "Show a photo; each reading is logged",
                "operationId": "getAttachment",
                "parameters": [_describe_path_parameter("id")],
                "responses": {
                    "200": {
                        "description": "the photo",
                        "content": {JPEG: {"schema": _BYTES}, PNG: {"schema": _BYTES}},
                    }
                }
                | _describe_responses("404", "unknown", None, "401", "403", "503"),
            }
        },
        "/api/v1/whoami": {
            "get": {
                "summary": "Show the account of this token or session",
                "operationId": "whoami",
                "responses": _describe_responses(
                    "200", "the principal", _refer(Caller), "401", "503"
                ),
            }
        },
        "/api/v1/intake/strangers": {
            "get": {
                "summary": (
                    "List messages of unknown senders: a count and the last of each address"
                ),
                "operationId": "listStrangers",
                "responses": _describe_responses("200", "counts", _OBJECT, "401", "403", "503"),
            }
        },
        "/api/v1/refused": {
            "get": {
                "summary": "List refused messages of known senders, newest first",
                "operationId": "listRefused",
                "parameters": [
                    {
                        "name": "source",
                        "in": "query",
                        "required": False,
                        "schema": {"type": "string"},
                    },
                    *_PAGED,
                ],
                "responses": _describe_responses(
                    "200", "without their bytes", _LIST, "401", "403", "422", "503"
                ),
            }
        },
        "/api/v1/refused/{id}": {
            "get": {
                "summary": "Show a refused message with its bytes; each reading is logged",
                "operationId": "getRefused",
                "parameters": [_describe_path_parameter("id")],
                "responses": _describe_responses(
                    "200", "the message", _OBJECT, "401", "403", "404", "503"
                ),
            }
        },
        "/api/v1/refused/{id}/replay": {
            "post": {
                "summary": (
                    "Replay a refused message as its sender, unchanged or with this body; the "
                    "answer has the form of its integration"
                ),
                "operationId": "replayRefused",
                "parameters": [_describe_path_parameter("id")],
                "requestBody": {
                    "required": False,
                    "content": {_ANY_BYTES: {"schema": _BYTES}},
                },
                "responses": _INTEGRATION_RESPONSES
                | _describe_responses("404", "unknown", None, "401", "403", "409", "410"),
            }
        },
        "/api/v1/tokens": {
            "get": {
                "summary": "List tokens, without their secrets",
                "operationId": "listTokens",
                "parameters": _PAGED,
                "responses": _describe_responses(
                    "200", "tokens", _refer_page(TokenEntry), "401", "403", "422", "503"
                ),
            },
            "post": {
                "summary": "Create a token; it is shown once",
                "operationId": "createToken",
                "requestBody": _describe_body(NewToken),
                "responses": _describe_responses(
                    "201", "the token", _refer(CreatedToken), *_REFUSALS, "404"
                ),
            },
        },
        "/api/v1/tokens/{id}": {
            "delete": {
                "summary": "Revoke a token",
                "operationId": "revokeToken",
                "parameters": [_describe_path_parameter("id")],
                "responses": _describe_responses(
                    "200", "revoked", _refer(RevokedToken), "401", "403", "404", "503"
                ),
            }
        },
        "/api/v1/users": {
            "get": {
                "summary": "List accounts",
                "operationId": "listUsers",
                "parameters": _PAGED,
                "responses": _describe_responses(
                    "200", "accounts", _refer_page(AccountEntry), "401", "403", "422", "503"
                ),
            },
            "post": {
                "summary": "Create an account with a one-time code",
                "operationId": "createUser",
                "requestBody": _describe_body(NewUser),
                "responses": _describe_responses(
                    "201", "the code", _refer(CreatedAccount), *_REFUSALS, "409"
                ),
            },
        },
        "/api/v1/users/{login}/code": {
            "post": {
                "summary": "Create a one-time code",
                "operationId": "issueCode",
                "parameters": [_describe_path_parameter("login")],
                "responses": _describe_responses(
                    "201", "the code", _refer(OneTimeCode), "401", "403", "404", "503"
                ),
            }
        },
        "/api/v1/users/{login}/password": {
            "post": {
                "summary": "Set a password",
                "operationId": "setPassword",
                "parameters": [_describe_path_parameter("login")],
                "requestBody": _describe_body(NewPassword),
                "responses": _describe_responses(
                    "200", "the account", _refer(AccountEntry), *_REFUSALS, "404"
                ),
            }
        },
        "/api/v1/users/{login}/second-factor": {
            "post": {
                "summary": "Enrol TOTP as second factor",
                "operationId": "enrolSecondFactor",
                "parameters": [_describe_path_parameter("login")],
                "requestBody": _describe_body(NewSecondFactor),
                "responses": _describe_responses(
                    "200", "printed codes", _refer(EnrolledFactor), *_REFUSALS, "404"
                ),
            }
        },
        "/api/v1/users/{login}/link": {
            "post": {
                "summary": (
                    "Allow for seven days that an identity of the organisation's provider is "
                    "linked to the account"
                ),
                "operationId": "linkUser",
                "parameters": [_describe_path_parameter("login")],
                "responses": _describe_responses(
                    "200", "the account", _refer(AccountEntry), "401", "403", "404", "503"
                ),
            }
        },
        "/api/v1/users/{login}/unlink": {
            "post": {
                "summary": (
                    "Unlink the account from the organisation's provider; its sessions end"
                ),
                "operationId": "unlinkUser",
                "parameters": [_describe_path_parameter("login")],
                "responses": _describe_responses(
                    "200", "the account", _refer(AccountEntry), "401", "403", "404", "503"
                ),
            }
        },
        "/api/v1/users/{login}/sign-out": {
            "post": {
                "summary": "End all sessions of an account",
                "operationId": "signOutUser",
                "parameters": [_describe_path_parameter("login")],
                "responses": _describe_responses(
                    "200", "the account", _refer(AccountEntry), "401", "403", "404", "503"
                ),
            }
        },
        "/api/v1/users/{login}/enable": {
            "post": {
                "summary": "Enable an account",
                "operationId": "enableUser",
                "parameters": [_describe_path_parameter("login")],
                "responses": _describe_responses(
                    "200", "the account", _refer(AccountEntry), "401", "403", "404", "503"
                ),
            }
        },
        "/api/v1/users/{login}/disable": {
            "post": {
                "summary": "Disable an account; its tokens and sessions end at once",
                "operationId": "disableUser",
                "parameters": [_describe_path_parameter("login")],
                "responses": _describe_responses(
                    "200", "the account", _refer(AccountEntry), "401", "403", "404", "503"
                ),
            }
        },
        "/api/v1/sources": {
            "get": {
                "summary": "List sources with their health, without their keys",
                "operationId": "listSources",
                "parameters": _PAGED,
                "responses": _describe_responses(
                    "200", "sources", _refer_page(SourceEntry), "401", "403", "422", "503"
                ),
            },
            "post": {
                "summary": "Create a source; its key is shown once",
                "operationId": "createSource",
                "requestBody": _describe_body(NewSource),
                "responses": _describe_responses(
                    "201", "the source with its key", _refer(CreatedSource), *_REFUSALS, "409"
                ),
            },
        },
        "/api/v1/sources/{name}": {
            "patch": {
                "summary": "Change a source; absent fields keep their values",
                "operationId": "changeSource",
                "parameters": [_describe_path_parameter("name")],
                "requestBody": _describe_body(SourceChange),
                "responses": _describe_responses(
                    "200", "the source", _refer(SourceEntry), *_REFUSALS, "404"
                ),
            }
        },
        "/api/v1/sources/{name}/enable": {
            "post": {
                "summary": "Enable a source; its keys are valid again",
                "operationId": "enableSource",
                "parameters": [_describe_path_parameter("name")],
                "responses": _describe_responses(
                    "200", "the source", _refer(SourceEntry), "401", "403", "404", "503"
                ),
            }
        },
        "/api/v1/sources/{name}/disable": {
            "post": {
                "summary": "Disable a source; its keys are invalid at once",
                "operationId": "disableSource",
                "parameters": [_describe_path_parameter("name")],
                "responses": _describe_responses(
                    "200", "the source", _refer(SourceEntry), "401", "403", "404", "503"
                ),
            }
        },
        "/livez": {
            "get": {
                "summary": "Show that the front is alive",
                "operationId": "livez",
                "responses": _describe_responses("200", "alive", _OBJECT),
            }
            | open_to_all
        },
        "/readyz": {
            "get": {
                "summary": "Show whether the front is ready to accept reports",
                "operationId": "readyz",
                "responses": ready,
            }
            | open_to_all
        },
        "/metrics": {
            "get": {
                "summary": "Show the metrics for Prometheus",
                "operationId": "metrics",
                "responses": {
                    "200": {
                        "description": "text format",
                        "content": {"text/plain": {"schema": {"type": "string"}}},
                    }
                },
            }
            | open_to_all
        },
    }
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
        "parameters": [
            {
                "name": "realm",
                "in": "query",
                "required": False,
                "schema": {"type": "string"},
                "description": "default: realm of the sender",
            }
        ],
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": _BYTES} for kind in MEDIA_TYPES},
        },
        "responses": _describe_responses(
            "202", "on the log; `reports` has one receipt per report", _OBJECT, *_REFUSALS
        ),
    }
    paths |= _describe_alertmanager(open_to_all)
    for path, operations in paths.items():
        for operation in operations.values():
            operation["tags"] = [_choose_subject(path)]
    named = schemas["$defs"] | {
        "Listing": _LISTING,
        "Problem": SCHEMA,
        "Receipt": _RECEIPT,
        "ReportBatch": _BATCH,
        "ReportResult": _RESULT,
        "ReportResults": _RESULTS,
        **{f"{model.__name__}Page": _describe_page(model) for model in LISTED},
    }
    _drop_list_defaults(named)
    for name, example in BODY_EXAMPLES.items():
        named[name] = named[name] | {"examples": [example]}
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
            "schemas": named,
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
