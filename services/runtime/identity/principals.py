"""Records of the `access` topic: principals, tokens, accounts, one-time codes, sources.

They hold no name of a person, only tokens and logins. The topic key is `<kind>:<id>`. Values are
encrypted with a key of the installation; hashes of tokens and codes are keyed, passwords are
argon2id.
"""

import base64
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TypeVar
from unicodedata import normalize

import orjson
import structlog
from pydantic import Field, ValidationError

from schemas.base import Instant, Model
from schemas.topics import is_live
from schemas.words import EventType
from services.runtime.identity.permissions import (
    PERMISSIONS_BY_ROLE,
    Permission,
    Role,
    build_forbidden,
)
from services.runtime.secrets.keyring import decrypt, encrypt, write_private

SIMULATED_REALMS: Final = "~*"
"""End of the entry of a scope that stands for all simulated realms of a territory."""
MAX_LOGIN_CHARS: Final = 64
"""Greatest length of a login."""


class Scope(Model):
    """Limits of a principal's reports and acts; an empty tuple sets no limit."""

    sites: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    poles: tuple[str, ...] = ()
    realms: tuple[str, ...] = ()


class Principal(Model):
    """A person or program that can act: author of commands, `source_key` of reports."""

    kind: ClassVar[str] = "principal"
    id: str = Field(min_length=1, max_length=64)
    role: Role
    duty: str | None = Field(
        default=None,
        max_length=64,
        description="role of the organisation (escalade.yaml) held by this account",
    )
    scope: Scope = Scope()
    speaks_as: str | None = Field(
        default=None, max_length=64, description="kind of source of its reports; null = its role"
    )
    label: str = Field(
        default="", max_length=100, description="purpose, for lists; never a person's name"
    )
    person: str | None = Field(default=None, max_length=64, description="token in the directory")
    rate_per_s: float | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="largest number of reports per second; 0 = no limit, null = that of the role",
    )
    created_at: Instant = 0
    disabled_at: Instant | None = None

    def may(self, permission: Permission) -> bool:
        """Return whether its role has a permission. The scope is checked separately."""
        return permission in PERMISSIONS_BY_ROLE[self.role]

    def require(self, permission: Permission) -> None:
        """Check that its role has a permission. Raises ProblemError `forbidden`."""
        if not self.may(permission):
            raise build_forbidden(self.role, permission)

    def sees(self, realm: str | None) -> bool:
        """Return whether its scope holds a realm. Only an unlimited scope holds an unknown one.

        `93~*` in a scope stands for every exercise, simulation and test of 93.
        """
        realms = self.scope.realms
        if not realms or realm in realms:
            return True
        territory, sign, _ = (realm or "").partition("~")
        return bool(sign) and f"{territory}{SIMULATED_REALMS}" in realms

    def sees_account(self, other: "Principal | None") -> bool:
        """Return whether it may see another account: one that is limited to realms of its scope."""
        if not self.scope.realms:
            return True
        realms = () if other is None else other.scope.realms
        return bool(realms) and all(map(self.sees, realms))

    def own_realm(self, live: str) -> str:
        """Return the realm of reports that name none: the first of its scope, else `live`."""
        own_realms = (realm for realm in self.scope.realms if not realm.endswith(SIMULATED_REALMS))
        return next(own_realms, live)

    def own_territory(self, home: str) -> str:
        """Return the live realm where it has its person: of `own_realm`, else `home`."""
        return self.own_realm(home).partition("~")[0]

    def person_in(self, realm: str, home: str) -> str | None:
        """Return its person, if that is a person of this realm's territory. Rule D140.

        Tokens of people are unique in one live realm only. The person of an account is one of the
        first realm of its scope; without a scope, of the home realm.
        """
        return self.person if realm.partition("~")[0] == self.own_territory(home) else None

    @property
    def acting_role(self) -> str:
        """Role of its commands: the duty if it has one (`schemas.ranks` knows both words)."""
        return self.duty or self.role.value

    @property
    def source_kind(self) -> str:
        """Kind of source of its reports. Rule D6, rumours."""
        return self.speaks_as or self.role.value


class Token(Model):
    """A bearer token of a principal. The token itself is shown once and stored nowhere."""

    kind: ClassVar[str] = "token"
    id: str
    principal: str
    hash: str
    created_at: Instant
    expires_at: Instant | None = None
    revoked_at: Instant | None = None

    def valid(self, now: Instant) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Passkey(Model):
    """A public key for a private key in the person's device (WebAuthn). Nothing in it is secret."""

    id: str = Field(max_length=1400, description="id of the passkey on the device, base64url")
    host: str = Field(max_length=253, description="name of the host that it is bound to")
    public_key: str = Field(max_length=4000, description="COSE, base64url")
    sign_count: int = 0
    label: str = Field(
        default="", max_length=60, description="name of the device, as the person wrote it"
    )
    created_at: Instant
    used_at: Instant | None = None


def normalize_login(login: str) -> str:
    """Return the form of a login for look-ups, without case and encoding of accents."""
    return normalize("NFC", login).casefold()


def is_valid_login(text: str) -> bool:
    """Return whether a login can be typed and used in an address.

    It must be printable, without spaces around it.
    """
    return (
        0 < len(text) <= MAX_LOGIN_CHARS
        and text.isprintable()
        and text == text.strip()
        and text not in (".", "..")
    )


class Account(Model):
    """Login data of a principal. `id` is the principal's."""

    kind: ClassVar[str] = "account"
    id: str
    login: str = Field(min_length=1, max_length=MAX_LOGIN_CHARS)
    password_hash: str | None = None
    totp_secret: str | None = None
    totp_used: int = Field(
        default=0, description="counter of the last accepted TOTP; none is accepted twice"
    )
    printed: tuple[str, ...] = Field(
        default=(), description="hashes of printed second-factor codes not used yet"
    )
    passkeys: tuple[Passkey, ...] = Field(default=(), max_length=20)
    subject: str | None = Field(
        default=None,
        max_length=64,
        description="keyed hash of issuer and subject at the organisation's provider",
    )
    link_until: Instant | None = Field(
        default=None,
        description="end of the time in which an identity of the provider may be linked to it",
    )
    epoch: int = Field(default=0, description="raising it ends all sessions")


class Code(Model):
    """A one-time code that opens a session: first start, enrolment, lost password."""

    kind: ClassVar[str] = "code"
    id: str
    principal: str
    hash: str
    purpose: Literal["first_start", "issued"] = "issued"
    expires_at: Instant | None = None
    used_at: Instant | None = None


class Rule(Model):
    """A rule for messages of a source. The first rule applies if all its labels match.

    `when`: label → regular expression (RE2) that must match the whole value, ignoring case.
    """

    when: dict[str, str] = Field(min_length=1, max_length=20)
    site: str | None = Field(default=None, max_length=64)
    type: EventType | None = None
    severity: int | None = Field(default=None, ge=1, le=5)
    phenomenon: str | None = Field(
        default=None, max_length=64, description="phenomenon of a weather alert"
    )
    colour: str | None = Field(
        default=None,
        max_length=16,
        description="colour of a weather alert: vert, jaune, orange, rouge",
    )
    state: Literal["open", "acknowledged", "closed", "info"] | None = Field(
        default=None,
        description="new state of the cause, if the message has its own word for it; not for cap",
    )
    drop: bool = Field(
        default=False, description="true to accept the message and drop it: no concern of Vigie"
    )


class Source(Model):
    """A program that reports through an integration.

    `id` is its principal's; its keys are tokens of that principal.
    """

    kind: ClassVar[str] = "source"
    id: str
    name: str = Field(min_length=1, max_length=64, pattern="^[a-z0-9][a-z0-9._-]*$")
    dialect: str = Field(max_length=32)
    site: str | None = Field(
        default=None, max_length=64, description="site of its signals if nothing else names one"
    )
    type: EventType = EventType.OUTAGE_IT
    severity: int | None = Field(default=None, ge=1, le=5, description="null = from the message")
    rules: tuple[Rule, ...] = Field(default=(), max_length=500)
    fields: dict[str, str] = Field(
        default_factory=dict,
        max_length=50,
        description="generic dialect: field → JSON pointer into the body",
    )
    speaks_for: tuple[str, ...] = Field(
        default=(),
        max_length=50,
        description=(
            "cloudevents: values of `source` on events.external that belong to this source; a "
            "trailing * matches a prefix"
        ),
    )
    heartbeat_s: int | None = Field(
        default=None,
        ge=10,
        le=604_800,
        description="promised period in seconds; a longer silence is reported",
    )
    exercise_realm: str | None = Field(
        default=None, max_length=64, description="cap: realm for messages of status Exercise"
    )
    certificates: tuple[str, ...] = Field(
        default=(), max_length=10, description="cap: PEM certificates of accepted signers"
    )
    created_at: Instant = 0


class EndedSession(Model):
    """A session that was closed before its time."""

    kind: ClassVar[str] = "ended"
    id: str
    until: Instant


class Trace(Model):
    """An act with rights, or an access to the directory (D59).

    Kept for `TRACE_DAYS`, shown to administrators and auditors.
    """

    kind: ClassVar[str] = "trace"
    id: str = Field(description="sorts by time")
    at: Instant
    author: str = Field(description="id of the principal")
    act: str = Field(max_length=40, description="`account.disabled`, `directory.read`, …")
    about: str = Field(
        default="",
        max_length=120,
        description="login, token id, person token: never a name or an address of a person",
    )


TRACE_DAYS: Final = 365

Record = Principal | Token | Account | Code | EndedSession | Source | Trace
RECORD_KINDS: dict[str, type[Record]] = {
    c.kind: c for c in (Principal, Token, Account, Code, EndedSession, Source, Trace)
}


def get_topic_key(record: Record) -> str:
    return f"{record.kind}:{record.id}"


def include_exercises(limits: Scope) -> Scope:
    """Add the simulated realms of each live realm of a person's limits. Rule D140."""
    live = (name for name in limits.realms if is_live(name))
    realms = (*limits.realms, *(f"{name}{SIMULATED_REALMS}" for name in live))
    return limits.model_copy(update={"realms": tuple(dict.fromkeys(realms))})


_R = TypeVar("_R", Principal, Token, Account, Code, EndedSession, Source, Trace)
_NOT_STORED = (-1, b"")
log = structlog.get_logger(__name__)


class AccessRecords:
    """Records by kind and id, with sealed value and offset on the topic (-1: not there)."""

    def __init__(self, file: Path, key: bytes) -> None:
        """Create empty records; `key` seals each value, on the topic and in the file."""
        self.sealed: dict[str, tuple[int, bytes]] = {}
        """Topic key → offset and sealed value."""
        self.pending: set[str] = set()
        """Topic keys that count here and have not reached the topic."""
        self._file = file
        self._key = key
        self._tables: dict[str, dict[str, Record]] = {kind: {} for kind in RECORD_KINDS}
        self._by_hash: dict[str, Token] = {}
        self._unreadable = 0

    def get(self, kind: type[_R], id: str) -> _R | None:
        """Return one record, even if it is disabled or revoked."""
        record = self._tables[kind.kind].get(id)
        return record if isinstance(record, kind) else None

    def all(self, kind: type[_R]) -> list[_R]:
        """Return every record of a kind, including disabled and revoked ones."""
        return [r for r in self._tables[kind.kind].values() if isinstance(r, kind)]

    def token(self, hash: str) -> Token | None:
        """Return a token by its hash, even if it is revoked or expired."""
        return self._by_hash.get(hash)

    def offset(self, key: str) -> int:
        """Return the offset of the newest known value on the topic."""
        return self.sealed.get(key, _NOT_STORED)[0]

    def put(self, key: str, offset: int, value: bytes, record: Record) -> None:
        """Store a record in place of the one with its key."""
        self.sealed[key] = (offset, value)
        self._tables[record.kind][record.id] = record
        if isinstance(record, Token):
            self._by_hash[record.hash] = record

    def drop(self, key: str) -> None:
        """Forget a record, if it is known."""
        self.sealed.pop(key, None)
        kind, _, id = key.partition(":")
        record: Any = self._tables.get(kind, {}).pop(id, None)
        if isinstance(record, Token):
            self._by_hash.pop(record.hash, None)

    def seal(self, record: Record) -> tuple[str, bytes]:
        """Return (topic key, sealed value) of a record."""
        key = get_topic_key(record)
        return key, encrypt(self._key, record.model_dump_json().encode(), key.encode())

    def open(self, key: str, value: bytes) -> Record | None:
        """Return the record of a value; None if it is unreadable, which is logged once."""
        kind = RECORD_KINDS.get(key.partition(":")[0])
        try:
            return (
                kind.model_validate_json(decrypt(self._key, value, key.encode()), extra="ignore")
                if kind
                else None
            )
        except (ValueError, ValidationError) as error:
            if not self._unreadable:
                log.error(
                    "access.unreadable",
                    key=key,
                    error=type(error).__name__,
                    hint="written with another secrets/master.key?",
                )
            self._unreadable += 1
            return None

    def load(self) -> None:
        """Read the local file, as far as it is readable."""
        try:
            content = orjson.loads(self._file.read_bytes())
            values = {key: base64.b64decode(text) for key, text in content["records"].items()}
            pending = set(content["pending"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("access.file_unreadable", file=str(self._file), error=str(error))
            return
        for key, value in values.items():
            if (record := self.open(key, value)) is not None:
                self.put(key, -1, value, record)
        self.pending |= pending & self.sealed.keys()

    def save(self) -> None:
        """Write the local file. May run in a thread. Raises OSError."""
        content = {
            key: base64.b64encode(value).decode() for key, (_, value) in list(self.sealed.items())
        }
        write_private(
            self._file,
            orjson.dumps({"records": content, "pending": sorted(self.pending)}),
            replace=True,
        )
