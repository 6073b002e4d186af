"""Signed statements of the end of every log.

A copy that is kept elsewhere can prove later that nothing before it was changed or removed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from schemas.base import Instant
from services.runtime.secrets.signing import PublicKey, SigningKey, SigningKeyInvalid

FORMAT: Final = "vigie.heads.v1"
HeadsByLog = Mapping[str, tuple[int, str]]
"""Log partition such as `alerts.log/0` → (seq, hash of the last accepted record).

Empty ones are left out.
"""


class HeadStatementInvalid(ValueError):
    """The bytes are no statement of this format, or the signature does not fit."""


@dataclass(frozen=True, slots=True)
class HeadStatement:
    """A statement with a valid signature."""

    at: str
    logs: dict[str, tuple[int, str]]
    about: dict[str, Any]
    key: str
    """Fingerprint of the key that signed it."""


def format_log_name(service: str, partition: int) -> str:
    """Return the name of a log partition in statements."""
    return f"{service}.log/{partition}"


def sign_statement(key: SigningKey, at: Instant, heads: HeadsByLog, **about: Any) -> dict[str, Any]:
    """Return a signed statement as JSON.

    The signature covers every other field, in this order, without spaces.
    """
    statement: dict[str, Any] = {
        "format": FORMAT,
        "at": datetime.fromtimestamp(at / 1000, UTC).isoformat().replace("+00:00", "Z"),
        **about,
        "logs": {name: {"seq": seq, "head": head} for name, (seq, head) in sorted(heads.items())},
        "public_key": key.public.pem.decode(),
    }
    return statement | {"signature": key.sign(orjson.dumps(statement)).hex()}


def read_statement(raw: bytes, expected_key: PublicKey | None = None) -> HeadStatement:
    """Read a statement and verify its signature.

    Raises StatementInvalid, also if another key than `expected_key` signed it.
    """
    try:
        statement = orjson.loads(raw)
        if statement.get("format") != FORMAT:
            raise HeadStatementInvalid(
                f"format {statement.get('format')!r}, this program knows {FORMAT}"
            )
        signature, key = (
            bytes.fromhex(statement.pop("signature")),
            PublicKey.load(statement["public_key"].encode()),
        )
        logs = {name: (int(at["seq"]), str(at["head"])) for name, at in statement["logs"].items()}
        at = str(statement["at"])
    except (ValueError, KeyError, TypeError, AttributeError, SigningKeyInvalid) as error:
        raise (
            error
            if isinstance(error, HeadStatementInvalid)
            else HeadStatementInvalid(f"no statement of heads: {error}")
        ) from error
    if not key.verify_signature(orjson.dumps(statement), signature):
        raise HeadStatementInvalid("not what was signed: it was changed")
    if expected_key is not None and expected_key.fingerprint != key.fingerprint:
        raise HeadStatementInvalid(
            f"signed by {key.fingerprint}, not by {expected_key.fingerprint}"
        )
    return HeadStatement(at, logs, statement, key.fingerprint)
