"""Shapes of the front's answers and examples of its bodies, for its description.

Tests hold real answers to the shapes, and validate each example.
"""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from schemas.base import Instant
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal, Scope, Source

_REPORT: Final[dict[str, Any]] = {
    "site_id": "cen-1",
    "type": "outage_power",
    "severity": 3,
    "occurred_at": "2027-02-11T09:40:00+01:00",
    "headline": "Panne de courant",
}
BODY_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "BatchItem": _REPORT | {"idempotency_key": "gtb-7f3a"},
    "NativeReport": _REPORT | {"capacity_lost_pct": 50, "expected_duration_h": 2},
    "NewPassword": {"password": "quatre mots sans aucun lien"},
    "NewSecondFactor": {"secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "second": "492039"},
    "NewSource": {
        "name": "gtb-nord",
        "dialect": "generic",
        "site": "cen-1",
        "type": "outage_heating",
        "heartbeat_s": 300,
    },
    "NewToken": {"role": "observer", "label": "tableau de bord", "days": 90},
    "NewUser": {"login": "m.durand", "role": "cell", "person": "p-0042"},
    "ReportBatch": {"reports": [_REPORT]},
    "SourceChange": {"heartbeat_s": 600},
    "TypedLine": {"text": "117 ELEC", "caller": "telephone"},
}


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Caller(_Answer):
    """The account of a token or session, with its rights."""

    id: str
    role: Role
    acting_role: str = Field(description="role of the organisation under which it decides")
    source: str = Field(description="kind of source of its reports")
    scope: Scope
    permissions: list[str]


class TokenEntry(_Answer):
    """A token without its secret. Times are ms since 1970."""

    id: str
    principal: str
    created_at: Instant
    expires_at: Instant | None = Field(description="null = until it is revoked")
    revoked_at: Instant | None
    role: Role | None
    label: str | None
    scope: Scope | None


class CreatedToken(_Answer):
    """A new token; `token` is shown only now."""

    id: str
    token: str
    principal: Principal
    expires_at: Instant | None


class RevokedToken(_Answer):
    """A token that is no longer valid."""

    id: str
    revoked: bool


class AccountEntry(_Answer):
    """An account of a person, without secrets."""

    id: str
    login: str
    role: Role | None
    duty: str | None
    scope: Scope | None = Field(description="limits of the account; empty lists = no limit")
    enabled: bool
    has_password: bool
    has_second_factor: bool
    passkeys: int
    linked: bool = Field(description="to an identity of the organisation's provider")


class OneTimeCode(_Answer):
    """A code for the first login, or after a lost password; shown only now."""

    code: str
    expires_at: Instant


class CreatedAccount(AccountEntry, OneTimeCode):
    """A new account with its one-time code."""


class EnrolledFactor(_Answer):
    """Printed codes in case the device is lost, shown only now, and the address of the secret."""

    printed: list[str]
    uri: str


class SourceEntry(Source):
    """A source with its health, without its keys. Times are ms since 1970."""

    enabled: bool
    last_seen: Instant | None
    accepted: int
    per_minute: float
    rate_per_s: float | None
    over_rate: bool
    silent: bool
    refused: dict[str, int]
    last_refusal: Any = None


class CreatedSource(SourceEntry):
    """A new source with its first key; it is shown only now."""

    key: str


ANSWERS: Final[tuple[type[BaseModel], ...]] = (
    Caller,
    TokenEntry,
    CreatedToken,
    RevokedToken,
    AccountEntry,
    OneTimeCode,
    CreatedAccount,
    EnrolledFactor,
    SourceEntry,
    CreatedSource,
)
LISTED: Final[tuple[type[BaseModel], ...]] = (TokenEntry, AccountEntry, SourceEntry)
"""Answers that come in pages."""
