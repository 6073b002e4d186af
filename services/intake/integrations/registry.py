"""Manage sources over HTTP for `vigie source`: records, keys and health."""

from typing import Annotated, Any, Final

import structlog
from pydantic import BaseModel, ConfigDict, Field

from schemas.catalogue.sources import COLOURS
from schemas.matchers import PatternInvalid, check_pattern
from schemas.topics import RealmNameInvalid, is_live, parse_realm
from schemas.words import EventType
from services.intake.integrations import cloudevents
from services.intake.integrations.cap.dialect import CapIntegration
from services.intake.integrations.cap.signature import check_certificate
from services.intake.integrations.dispatcher import Dispatcher
from services.intake.integrations.generic import FIELDS
from services.runtime.http.problems import (
    build_conflict,
    build_field_problem,
    build_unknown_problem,
)
from services.runtime.identity.accounts import AccessStore, create_principal
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal, Rule, Scope, Source
from services.runtime.process.machine import now_ms

KEY_BYTES: Final = 20
_RECORD_FIELDS: Final = {
    "name",
    "dialect",
    "site",
    "severity",
    "fields",
    "speaks_for",
    "heartbeat_s",
    "exercise_realm",
    "certificates",
}
POSTER_INTEGRATION: Final = "poster"
"""Integration of posters. Their keys are public and permit less."""
log = structlog.get_logger(__name__)


class NewSource(BaseModel):
    """A new source and its first key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64, pattern="^[a-z0-9][a-z0-9._-]*$")
    dialect: str = Field(max_length=32)
    key: str | None = Field(
        default=None,
        min_length=KEY_BYTES,
        max_length=128,
        description="existing key, e.g. a routing key",
    )
    site: str | None = Field(default=None, max_length=64)
    type: EventType = EventType.OUTAGE_IT
    severity: int | None = Field(default=None, ge=1, le=5)
    rules: tuple[Rule, ...] = Field(default=(), max_length=500)
    fields: dict[str, str] = Field(default_factory=dict, max_length=50)
    speaks_for: tuple[Annotated[str, Field(min_length=1, max_length=512)], ...] = Field(
        default=(), max_length=50
    )
    heartbeat_s: int | None = Field(default=None, ge=10, le=604_800)
    exercise_realm: str | None = Field(default=None, max_length=64)
    certificates: tuple[str, ...] = Field(default=(), max_length=10)
    speaks_as: str = Field(default="supervision", max_length=64)
    rate_per_s: float | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="largest number of reports per second; 0 = no limit",
    )
    scope: Scope = Scope()


class SourceChange(BaseModel):
    """Changes of a source. Omitted fields keep their value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: str | None = Field(default=None, max_length=64)
    type: EventType = EventType.OUTAGE_IT
    severity: int | None = Field(default=None, ge=1, le=5)
    rules: tuple[Rule, ...] = Field(default=(), max_length=500)
    fields: dict[str, str] = Field(default_factory=dict, max_length=50)
    heartbeat_s: int | None = Field(default=None, ge=10, le=604_800)
    exercise_realm: str | None = Field(default=None, max_length=64)
    certificates: tuple[str, ...] = Field(default=(), max_length=10)
    rate_per_s: float | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="largest number of reports per second; 0 = no limit",
    )


class SourceRegistry:
    """Register of sources. All methods raise ProblemError and BrokerAway."""

    def __init__(self, access: AccessStore, machines: Dispatcher) -> None:
        self._access = access
        self._machines = machines

    def list_sources(self, reader: Principal) -> list[dict[str, Any]]:
        """List sources with their health, never with a key.

        A reader limited to some realms sees the sources that report only there.
        """
        spoken = {p.id: p.scope.realms for p in self._access.all(Principal)}
        visible_sources = [
            s for _, s in sorted(self._sources().items()) if _can_see_realms(reader, spoken[s.id])
        ]
        return [self._describe(s) for s in visible_sources]

    def _sources(self) -> dict[str, Source]:
        """Return sources by name.

        A record without a principal is left by a crash during `add` and does not count.
        """
        whole = {p.id for p in self._access.all(Principal)}
        return {s.name: s for s in self._access.all(Source) if s.id in whole}

    async def add(self, new_source: NewSource, author: Principal) -> dict[str, Any]:
        """Add a source and return it with its key; it is shown only now."""
        self._check_dialect(new_source)
        if new_source.name in self._sources():
            raise build_conflict(
                f"Source {new_source.name} : déjà prise.",
                f"Source {new_source.name}: taken already.",
            )
        if new_source.key is not None and self._access.bearer(new_source.key) is not None:
            raise build_conflict(
                "Cette clé est déjà utilisée : donnez-en une autre.",
                "This key is in use already: give another one.",
            )
        self._check_speaks_for(new_source)
        _check_mapping(new_source)
        poster_ = new_source.dialect == POSTER_INTEGRATION
        principal = create_principal(
            Role.POSTER if poster_ else Role.SOURCE,
            scope=new_source.scope,
            speaks_as="public" if poster_ else new_source.speaks_as,
            label=new_source.name,
        ).model_copy(update={"rate_per_s": new_source.rate_per_s})
        record = Source(
            id=principal.id,
            created_at=now_ms(),
            **new_source.model_dump(include=_RECORD_FIELDS),
            rules=new_source.rules,
            type=new_source.type
            if "type" in new_source.model_fields_set or new_source.dialect != CapIntegration.NAME
            else EventType.INFO,
        )
        await self._access.put(record)
        _, key = await self._access.create_token(principal, token=new_source.key)
        self._access.trace(author, "source.added", new_source.name)
        log.info(
            "source.created",
            source=new_source.name,
            dialect=new_source.dialect,
            principal=principal.id,
            author=author.id,
        )
        return self._describe(record) | {"key": key}

    def _check_dialect(self, new_source: NewSource) -> None:
        if new_source.dialect not in self._machines.names:
            dialect_names = ", ".join(self._machines.names)
            raise build_field_problem(
                "dialect",
                "enum",
                f"dialectes connus : {dialect_names}",
                f"known dialects: {dialect_names}",
            )
        if new_source.dialect == POSTER_INTEGRATION and new_source.site is None:
            raise build_field_problem(
                "site",
                "missing",
                "une affiche appartient à un site : indiquez-le",
                "a poster belongs to a site: name it",
            )

    def _check_speaks_for(self, new_source: NewSource) -> None:
        """Check that no other source has these CloudEvents `source` names."""
        if new_source.speaks_for and new_source.dialect != cloudevents.NAME:
            raise build_field_problem(
                "speaks_for",
                "dialect",
                f"seulement avec le dialecte {cloudevents.NAME}",
                f"with the dialect {cloudevents.NAME} only",
            )
        name_owners = {name: s.name for s in self._sources().values() for name in s.speaks_for}
        for name in new_source.speaks_for:
            if name in name_owners:
                raise build_conflict(
                    f"speaks_for {name} : déjà celui de {name_owners[name]}.",
                    f"speaks_for {name}: already that of {name_owners[name]}.",
                )

    async def change(
        self, name: str, source_change: SourceChange, author: Principal
    ) -> dict[str, Any]:
        """Change the mapping of a source from now on. Refused messages can be replayed under it."""
        of_the_record = source_change.model_fields_set - {"rate_per_s"}
        record = self._record(name).model_copy(
            update={n: getattr(source_change, n) for n in of_the_record}
        )
        _check_mapping(record)
        if record.dialect == POSTER_INTEGRATION and record.site is None:
            raise build_field_problem(
                "site",
                "missing",
                "une affiche appartient à un site : indiquez-le",
                "a poster belongs to a site: name it",
            )
        if "rate_per_s" in source_change.model_fields_set:
            await self._set_rate(record.id, source_change.rate_per_s)
        await self._access.put(record)
        self._access.trace(author, "source.changed", name)
        log.info(
            "source.changed",
            source=name,
            changed=sorted(source_change.model_fields_set),
            author=author.id,
        )
        return self._describe(record)

    async def _set_rate(self, id: str, rate_per_s: float | None) -> None:
        """Set the rate on the principal, even a disabled one: all keys of a source share it."""
        principal = next((p for p in self._access.all(Principal) if p.id == id), None)
        if principal is not None:
            await self._access.put(principal.model_copy(update={"rate_per_s": rate_per_s}))

    def _record(self, name: str) -> Source:
        if (record := self._sources().get(name)) is None:
            raise build_unknown_problem("name", "aucune source de ce nom", "no source of this name")
        return record

    async def set_enabled(self, name: str, author: Principal, *, enabled: bool) -> dict[str, Any]:
        """Enable or disable all keys of a source at once."""
        record = self._record(name)
        await self._access.set_enabled(record.id, enabled=enabled)
        self._access.trace(author, "source.changed", name)
        log.info("source.changed", source=name, enabled=enabled, author=author.id)
        return self._describe(record)

    def _describe(self, record: Source) -> dict[str, Any]:
        health, now = self._machines.book.health(record.id), now_ms()
        principal = self._access.principal(record.id)
        limit = None if principal is None else self._machines.rates.limit_of(principal)
        return record.model_dump(mode="json") | {
            "enabled": principal is not None,
            "last_seen": health.last_seen,
            "accepted": health.accepted,
            "per_minute": health.per_minute(now),
            "rate_per_s": None if limit is None else limit.per_s,
            "over_rate": health.exceeds(now),
            "silent": record.id in self._machines.book.silent,
            "refused": dict(health.refused),
            "last_refusal": health.last_refusal,
        }


def _can_see_realms(reader: Principal, realms: tuple[str, ...]) -> bool:
    """Return whether the reader sees all realms of a source.

    A source without realms reports in every realm.
    """
    return not reader.scope.realms or (bool(realms) and all(map(reader.sees, realms)))


def _check_mapping(source: NewSource | Source) -> None:
    """Check rules and mapped fields of a source. Raises ProblemError `invalid`."""
    _check_rules(source.rules)
    _check_cap(source)
    if unknown := sorted(set(source.fields) - set(FIELDS)):
        raise build_field_problem(
            f"fields.{unknown[0]}",
            "enum",
            f"champs connus : {', '.join(FIELDS)}",
            f"known fields: {', '.join(FIELDS)}",
        )


def _check_cap(source: NewSource | Source) -> None:
    """Refuse CAP settings for other integrations, and rules with a state for CAP.

    CAP messages carry their own state.
    """
    for name in ("exercise_realm", "certificates"):
        if getattr(source, name) and source.dialect != CapIntegration.NAME:
            raise build_field_problem(
                name,
                "dialect",
                f"seulement avec le dialecte {CapIntegration.NAME}",
                f"with the dialect {CapIntegration.NAME} only",
            )
    if source.dialect == CapIntegration.NAME and (
        rule_number := next(
            (n for n, r in enumerate(source.rules, start=1) if r.state is not None), None
        )
    ):
        raise build_field_problem(
            f"rules.{rule_number}.state",
            "dialect",
            "un message CAP le dit lui-même (msgType)",
            "a CAP message says so itself (msgType)",
        )
    if source.exercise_realm is not None:
        try:
            parse_realm(source.exercise_realm)
        except RealmNameInvalid:
            raise build_field_problem(
                "exercise_realm",
                "realm_name",
                "par exemple « 92~ex-nom »",
                "for example “92~ex-name”",
            ) from None
        if is_live(source.exercise_realm):
            raise build_field_problem(
                "exercise_realm",
                "live",
                "un exercice n’entre jamais dans un territoire réel",
                "an exercise never enters a live realm",
            )
    for number, pem in enumerate(source.certificates, start=1):
        try:
            check_certificate(pem)
        except ValueError:
            raise build_field_problem(
                f"certificates.{number}",
                "pem",
                "certificat PEM illisible",
                "unreadable PEM certificate",
            ) from None


def _check_rules(rules: tuple[Rule, ...]) -> None:
    for number, rule in enumerate(rules, start=1):
        if rule.colour is not None and rule.colour not in COLOURS:
            raise build_field_problem(
                f"rules.{number}.colour",
                "enum",
                f"couleurs connues : {', '.join(COLOURS)}",
                f"known colours: {', '.join(COLOURS)}",
            )
        for label, pattern in rule.when.items():
            try:
                check_pattern(pattern)
            except PatternInvalid as error:
                raise build_field_problem(
                    f"rules.{number}.when.{label}",
                    "regex",
                    f"expression illisible : {error}",
                    f"unreadable expression: {error}",
                ) from None
