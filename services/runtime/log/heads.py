"""Where every log ends, signed. Whoever keeps such a statement elsewhere can show later that nothing before it was changed or taken away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from schemas.base import Instant
from services.runtime.secrets.signing import PublicKey, SigningKey, SigningKeyInvalid

FORMAT: Final = "vigie.heads.v1"
Heads = Mapping[str, tuple[int, str]]
"""`alerts.log/0` → (seq, hash of the last accepted record), of every log partition that holds something."""


class StatementInvalid(ValueError):
    """No statement of this format, or not what was signed."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement whose signature holds."""

    at: str
    logs: dict[str, tuple[int, str]]
    about: dict[str, Any]
    key: str
    """Fingerprint of the key that signed it."""


def log_name(service: str, partition: int) -> str:
    """Name of a log partition in statements."""
    return f"{service}.log/{partition}"


def state(key: SigningKey, at: Instant, heads: Heads, **about: Any) -> dict[str, Any]:
    """The statement as JSON; the signature is over all of it but itself, in this order of fields, without spaces."""
    said: dict[str, Any] = {
        "format": FORMAT,
        "at": datetime.fromtimestamp(at / 1000, UTC).isoformat().replace("+00:00", "Z"),
        **about,
        "logs": {name: {"seq": seq, "head": head} for name, (seq, head) in sorted(heads.items())},
        "public_key": key.public.pem.decode(),
    }
    return said | {"signature": key.sign(orjson.dumps(said)).hex()}


def read_statement(raw: bytes, known: PublicKey | None = None) -> Statement:
    """Raises StatementInvalid, also when another key than `known` signed it."""
    try:
        said = orjson.loads(raw)
        if said.get("format") != FORMAT:
            raise StatementInvalid(f"format {said.get('format')!r}, this program knows {FORMAT}")
        signature, key = (
            bytes.fromhex(said.pop("signature")),
            PublicKey.load(said["public_key"].encode()),
        )
        logs = {name: (int(at["seq"]), str(at["head"])) for name, at in said["logs"].items()}
        at = str(said["at"])
    except (ValueError, KeyError, TypeError, AttributeError, SigningKeyInvalid) as error:
        raise (
            error
            if isinstance(error, StatementInvalid)
            else StatementInvalid(f"no statement of heads: {error}")
        ) from error
    if not key.signed(orjson.dumps(said), signature):
        raise StatementInvalid("not what was signed: it was changed")
    if known is not None and known.fingerprint != key.fingerprint:
        raise StatementInvalid(f"signed by {key.fingerprint}, not by {known.fingerprint}")
    return Statement(at, logs, said, key.fingerprint)
