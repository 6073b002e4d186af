"""Export the published contract from the models.

Writes one JSON Schema per type, AsyncAPI 3, and a first golden sample of each new type.

* `python -m schemas.export` writes `schemas/json/`, `schemas/asyncapi.json` and missing
  `schemas/golden/`. Definitions of several types are in `schemas/json/shared.json`.
* `python -m schemas.export --check` exits with 1 and names outdated files.

Golden samples are written once and never changed: a record of any log must parse for ever.
"""

import argparse
import json
import sys
import types
from collections import Counter
from collections.abc import Iterator
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from schemas import wire as ce
from schemas.base import Command, Fact, Message, load_messages
from schemas.topics import PUBLIC_FACTS, ROUTES, SERVICES, TOPICS, Topic

PUBLISHED = {
    wire: cls for wire, cls in load_messages().items() if cls.__module__.startswith("schemas.")
}
"""Messages of the contract; a test may have registered others."""
FOLDER = Path(__file__).resolve().parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SHARED_FILE = "shared.json"
"""File with the definitions that several types use, beside the schemas of the types."""
_LOCAL_REF = "#/$defs/"


def build_json_schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas by file name: one per type, and the shared definitions.

    They are the closed schemas of a producer's messages; a consumer ignores unknown fields.
    References are relative to the address of the file.
    """
    bodies = {
        f"{wire}.json": cls.model_json_schema(mode="serialization")
        for wire, cls in sorted(PUBLISHED.items())
    }
    uses = Counter(name for body in bodies.values() for name in body.get("$defs", {}))
    shared_definitions: dict[str, Any] = {}
    for body in bodies.values():
        own = body.pop("$defs", {})
        for name in [name for name in own if uses[name] > 1]:
            definition = own.pop(name)
            if shared_definitions.setdefault(name, definition) != definition:
                raise ValueError(f"two definitions are called {name}")
        if own:
            body["$defs"] = own
        _point_to_shared(body, shared_names={name for name, count in uses.items() if count > 1})
    files = {file: {"$schema": DIALECT, **body} for file, body in bodies.items()}
    return {SHARED_FILE: {"$schema": DIALECT, "$defs": shared_definitions}, **files}


def _point_to_shared(node: Any, shared_names: set[str]) -> None:
    """Replace references to shared definitions by references into their file."""
    if isinstance(node, list):
        for part in node:
            _point_to_shared(part, shared_names)
    elif isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str) and value.removeprefix(_LOCAL_REF) in shared_names:
                # References, and the targets of a discriminator's mapping.
                if value.startswith(_LOCAL_REF):
                    node[key] = SHARED_FILE + value
            else:
                _point_to_shared(value, shared_names)


def _message_kind(cls: type[Message]) -> str:
    return "command" if issubclass(cls, Command) else "fact" if issubclass(cls, Fact) else "input"


def _list_messages(topic: Topic) -> list[str]:
    """List the names of the messages on a topic."""
    service, _, part = topic.name.partition(".")
    if topic.name in PUBLIC_FACTS:
        return list(PUBLIC_FACTS[topic.name])
    if part == "inputs":
        forwarded_names = {
            f
            for table in ROUTES.values()
            for routes in table.values()
            for f, to in routes.items()
            if service in to
        }
        own = {c.__name__ for c in PUBLISHED.values() if _message_kind(c) != "fact"}
        return sorted((forwarded_names & {c.__name__ for c in PUBLISHED.values()}) | own)
    return []


def _describe_headers() -> dict[str, Any]:
    """Describe the headers of every message."""
    text, date_time = {"type": "string"}, {"type": "string", "format": "date-time"}
    return {
        "type": "object",
        "properties": {
            ce.CE_SPECVERSION: {"const": "1.0"},
            ce.CE_ID: {
                **text,
                "description": (
                    "Id of the input or the fact: the same (source, id) is the same event"
                ),
            },
            ce.CE_SOURCE: text,
            ce.CE_TYPE: {
                **text,
                "description": "Name and version of the message: `vigie.<name>.v<version>`",
            },
            ce.CONTENT_TYPE: {"const": "application/json"},
            ce.CE_TIME: {
                **date_time,
                "description": (
                    "Informs only: in a live realm the broker's append time is the clock"
                ),
            },
            ce.CE_AT: {
                **text,
                "description": "Logical time in milliseconds, simulated realms only",
            },
            ce.CE_CORRELATION: {**text, "description": "Id of the first input of the causal chain"},
            ce.CE_CAUSATION: {
                **text,
                "description": "Id of the fact or input that caused this one",
            },
            ce.CE_PLACE: {
                **text,
                "description": (
                    "Facts: `service/partition/history/seq/ordinal` in the source log, in order "
                    "per service and partition"
                ),
            },
            ce.CE_PLACEHASH: {**text, "description": "Facts: hash of the source log record"},
            ce.MARK: {
                **text,
                "description": "Inputs: HMAC-SHA256 over topic, key, value and the other headers",
            },
            ce.CE_TRACEPARENT: {
                **text,
                "description": "W3C trace context, only while traces are wanted",
            },
        },
        "required": [ce.CE_SPECVERSION, ce.CE_ID, ce.CE_SOURCE, ce.CE_TYPE, ce.CONTENT_TYPE],
    }


def build_asyncapi() -> dict[str, Any]:
    """Build the AsyncAPI 3.0 document: every topic, its messages and their schemas."""
    messages = {
        cls.__name__: {
            "name": wire,
            "title": cls.__name__,
            "summary": (cls.__doc__ or "").strip().split("\n")[0],
            "contentType": "application/json",
            "payload": {"$ref": f"json/{wire}.json"},
            "tags": [{"name": _message_kind(cls)}],
            "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        }
        for wire, cls in sorted(PUBLISHED.items())
    }
    channels = {
        topic.name: {
            "address": topic.name,
            "description": topic.holds,
            "messages": {
                name: {"$ref": f"#/components/messages/{name}"} for name in _list_messages(topic)
            },
            "bindings": {"kafka": {"topic": topic.name, "partitions": topic.partitions}},
            "x-key": topic.key,
            "x-retention": str(topic.retention),
        }
        for topic in TOPICS
    }
    operations = {
        f"{service}Decides": {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{service}.inputs"},
        }
        for service in SERVICES
    } | {
        f"publish{name.title()}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
        for name in PUBLIC_FACTS
        if name in channels
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Vigie",
            "version": "1",
            "description": (
                "CloudEvents 1.0 in Kafka binary mode; record key = realm; producers are closed, "
                "consumers open."
            ),
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "messageTraits": {"cloudEvent": {"headers": _describe_headers()}},
        },
    }


def build_sample(cls: type[BaseModel], *, full: bool) -> dict[str, Any]:
    """Build a valid value with required fields only, or with every field."""
    return {
        field.alias or name: field.examples[0]
        if field.examples
        else _sample_value(field.rebuild_annotation(), field.metadata, full)
        for name, field in cls.model_fields.items()
        if full
        or field.is_required()
        or get_origin(field.annotation) is Literal  # The tag of a union.
    }


def _sample_value(kind: Any, metadata: list[Any], full: bool) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    match kind, origin:
        case _, _ if origin is Annotated:
            return _sample_value(args[0], [*metadata, *args[1:]], full)
        case _, _ if origin is Literal:
            first = args[0]
            return first.value if isinstance(first, Enum) else first
        case _, _ if origin in (Union, types.UnionType):
            return _sample_value(next(a for a in args if a is not type(None)), metadata, full)
        case _, _ if origin is tuple:
            return [_sample_value(a, [], full) for a in args if a is not Ellipsis]
        case _, _ if origin is dict:
            return {"key": _sample_value(args[1], [], full)}
        case type(), _ if issubclass(kind, BaseModel):
            return build_sample(kind, full=full)
        case type(), _ if issubclass(kind, Enum):
            return next(iter(kind)).value
    low = next((m.ge for m in metadata if getattr(m, "ge", None) is not None), None)
    scalars: dict[Any, Any] = {
        str: "x",
        int: 1 if low is None else max(int(low), 1),
        float: 1.5,
        bool: True,
        bytes: "eA==",
        date: "2027-02-11",
    }
    return scalars.get(kind, "x")


def _build_golden(cls: type[Message]) -> dict[str, Any]:
    samples = [build_sample(cls, full=False), build_sample(cls, full=True)]
    for one in samples:
        cls.model_validate(one)
    return {"type": cls.wire_type(), "samples": samples}


def _format_json(document: Any) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def build_files() -> Iterator[tuple[Path, str, bool]]:
    """Yield (path, content, whether it is fixed once written)."""
    for file, schema in build_json_schemas().items():
        yield FOLDER / "json" / file, _format_json(schema), False
    for wire, cls in sorted(PUBLISHED.items()):
        yield FOLDER / "golden" / f"{wire}.json", _format_json(_build_golden(cls)), True
    yield FOLDER / "asyncapi.json", _format_json(build_asyncapi()), False


def list_outdated_files() -> list[Path]:
    """List files that are missing, outdated, or without a message."""
    files = list(build_files())
    wrong = [
        p
        for p, content, is_fixed in files
        if not p.exists() or (not is_fixed and p.read_text(encoding="utf-8") != content)
    ]
    return wrong + sorted(set((FOLDER / "json").glob("*.json")) - {p for p, _, _ in files})


def write_files() -> None:
    """Write outdated files, and golden samples that do not exist yet."""
    for path in list_outdated_files():
        path.unlink(missing_ok=True)
    for path, content, _ in build_files():
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_text(content, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        outdated_files = list_outdated_files()
        print("\n".join(f"not current: {p.relative_to(FOLDER.parent)}" for p in outdated_files))
        return bool(outdated_files)
    write_files()
    return 0


if __name__ == "__main__":
    sys.exit(main())
