"""Judge the conditions of a new installation: each from a deed, none ticked by hand. Pure.

Deeds are done before the first crisis; their values are here, too. Rule D111.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from schemas.delivery import ProbeRow
from schemas.oncall import DrillRow, ReadinessRow
from services.console.feeds.resources import OfficialFeeds
from services.console.i18n import N_, Translator
from services.console.oncall.schedule import has_no_provider
from services.console.resource_base import to_datetime
from services.console.texts import words as w

CheckState = Literal["done", "partly", "open"]
TERRITORY_MAX_AGE: Final = timedelta(days=365)
DRILL_MAX_AGE: Final = timedelta(days=31)
PROOF_MAX_AGE: Final = timedelta(days=2)
EXERCISE_MAX_AGE: Final = timedelta(days=92)
BACKUP_MAX_AGE: Final = timedelta(days=2)
SOURCE_MAX_AGE: Final = timedelta(days=1)
DECIDERS_NEEDED: Final = 2
_TROUBLED_FEEDS: Final = frozenset({"silent", "auth", "drift", "refused", "stale"})
STATE_LABELS: Final[Mapping[CheckState, str]] = {
    "done": N_("fait"),
    "partly": N_("en partie"),
    "open": N_("à faire"),
}


@dataclass(frozen=True, slots=True)
class LiveRealm:
    """The preparation of a live realm, as its log tells it."""

    version: str | None = None
    """Version of the reference data in force."""
    sites: int = 0
    plans: int = 0
    approval_times: Mapping[str, datetime] = field(default_factory=dict)
    """Version → time when a second person approved it."""
    on_call: frozenset[str] = frozenset()
    """Holders and deputies of all roles now, as tokens."""
    readiness: ReadinessRow | None = None
    drill: DrillRow | None = None
    """The newest drill."""
    probe: ProbeRow | None = None
    """The newest test of the channels that ended."""
    exercise_at: datetime | None = None
    """Opening of the newest exercise where something was reported."""


@dataclass(frozen=True, slots=True)
class PersonalAccounts:
    """Open accounts of people."""

    total: int = 0
    deciding: int = 0
    """Accounts with the right to approve changes: two people are needed for one."""
    protected_count: int = 0
    """Accounts with a second factor."""


@dataclass(frozen=True, slots=True)
class PreparationDeeds:
    """Everything that the conditions are computed from."""

    now: datetime
    live: LiveRealm
    accounts: PersonalAccounts
    reachable: frozenset[str]
    """People on call with a number or an address in the directory."""
    confirmation_times: Mapping[str, datetime]
    """Version of the reference data → time when a person confirmed it."""
    backup_at: datetime | None
    feeds: OfficialFeeds
    sources: Sequence[Mapping[str, Any]] | None
    """Sources as the front lists them; None if it was not asked, or does not answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The state where a condition was found."""

    state: CheckState
    text: str
    at: datetime | None = None
    """Time of the deed."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: its name, the rule that judges it, and the page that fulfils it."""

    key: str
    title: str
    judge: Callable[[PreparationDeeds, Translator], Finding]
    path: str
    button: str
    command: str = ""
    """Command line, if no page does it."""
    grave: bool = False
    """Without it a crisis would reach nobody, or its data would be lost."""


@dataclass(frozen=True, slots=True)
class JudgedCondition:
    condition: Condition
    finding: Finding

    @property
    def is_grave(self) -> bool:
        """Return whether it is missing and must not be."""
        return self.condition.grave and self.finding.state == "open"


def judge_conditions(deeds: PreparationDeeds, _: Translator) -> list[JudgedCondition]:
    """Judge all conditions, in the order of an installation."""
    return [JudgedCondition(one, one.judge(deeds, _)) for one in CONDITIONS]


def list_grave(judged_conditions: Sequence[JudgedCondition]) -> list[JudgedCondition]:
    """Return the conditions that are missing and must not be."""
    return [one for one in judged_conditions if one.is_grave]


def judge_territory(deeds: PreparationDeeds, _: Translator) -> Finding:
    """Judge whether a person confirmed the reference data in force."""
    live = deeds.live
    if live.version is None:
        return Finding("open", _("Aucune donnée de référence en vigueur"))
    confirmations = {**live.approval_times}
    for version, at in deeds.confirmation_times.items():
        confirmations[version] = max(at, confirmations.get(version, at))
    content = _(
        "{sites} et {plans}",
        sites=_.plural("{n} site", "{n} sites", live.sites),
        plans=_.plural("{n} plan", "{n} plans", live.plans),
    )
    confirmed_at = confirmations.get(live.version)
    if confirmed_at is not None:
        return _judge_age(confirmed_at, deeds.now, TERRITORY_MAX_AGE, content, _)
    if confirmations:
        text = _("Changé depuis la dernière confirmation : {content} à relire", content=content)
        return Finding("partly", text, max(confirmations.values()))
    return Finding("open", _("Jamais confirmé : {content} à relire", content=content))


def judge_accounts(deeds: PreparationDeeds, _: Translator) -> Finding:
    """Judge whether two people can decide: a change needs a second person."""
    accounts = deeds.accounts
    text = _(
        "{accounts}, dont {n} pour décider",
        accounts=_.plural("{n} compte", "{n} comptes", accounts.total),
        n=accounts.deciding,
    )
    return Finding(_judge_count(accounts.deciding, DECIDERS_NEEDED), text)


def judge_second_factors(deeds: PreparationDeeds, _: Translator) -> Finding:
    """Judge whether every account has a second factor."""
    accounts = deeds.accounts
    if not accounts.total:
        return Finding("open", _("Aucun compte"))
    text = _("{n} sur {of} ont un second facteur", n=accounts.protected_count, of=accounts.total)
    return Finding(_judge_count(accounts.protected_count, accounts.total), text)


def judge_directory(deeds: PreparationDeeds, _: Translator) -> Finding:
    """Judge whether the directory has a number for all people on call."""
    on_call_people = deeds.live.on_call
    if not on_call_people:
        return Finding("open", _("Personne n’est d’astreinte"))
    reachable_count = len(on_call_people & deeds.reachable)
    text = _(
        "Personnes d’astreinte joignables\u00a0: {n} sur {of}",
        n=reachable_count,
        of=len(on_call_people),
    )
    return Finding(_judge_count(reachable_count, len(on_call_people)), text)


def judge_channels(deeds: PreparationDeeds, _: Translator) -> Finding:
    """Judge whether the channels answered the newest silent test."""
    probe = deeds.live.probe
    if probe is None or probe.done_at is None:
        return Finding("open", _("Jamais essayés"))
    at = to_datetime(probe.done_at)
    if not probe.channels or has_no_provider(probe.channels):
        return Finding("open", _("Aucun fournisseur : aucun message ne partirait"), at)
    failed_channels = [c.channel for c in probe.channels if c.outcome == "failed"]
    if failed_channels:
        names = ", ".join(w.translate_code(w.CHANNEL, channel, _) for channel in failed_channels)
        return Finding("open", _("En échec : {channels}", channels=names), at)
    ready = [c for c in probe.channels if c.outcome != "not_configured"]
    text = _.plural("{n} canal prêt", "{n} canaux prêts", len(ready))
    return _judge_age(at, deeds.now, DRILL_MAX_AGE, text, _)


def judge_on_call(deeds: PreparationDeeds, _: Translator) -> Finding:
    """Judge whether somebody would be reached, by the readiness proof and the newest drill."""
    proof, drill = deeds.live.readiness, deeds.live.drill
    if proof is None or not proof.hours:
        return Finding("open", _("Jamais contrôlées"))
    at = to_datetime(proof.at)
    if proof.urgent:
        text = _.plural(
            "{n} poste bientôt sans personne", "{n} postes bientôt sans personne", proof.urgent
        )
        return Finding("open", text, at)
    if drill is None:
        return Finding("partly", _("Pourvues ; l’essai du mois reste à faire"), at)
    drilled_at = to_datetime(drill.at)
    if any(rung.reached < rung.posts or rung.late for rung in drill.rungs):
        text = _("L’essai a trouvé des appels qui n’aboutiraient pas à temps")
        return Finding("partly", text, drilled_at)
    ready_pct = 100 * proof.ready // proof.hours
    text = _("{pct} % des heures pourvues", pct=ready_pct)
    if deeds.now - at > PROOF_MAX_AGE:
        return Finding("partly", _("{text} ; trop ancien", text=text), at)
    return _judge_age(drilled_at, deeds.now, DRILL_MAX_AGE, text, _)


def judge_exercise(deeds: PreparationDeeds, _: Translator) -> Finding:
    """Judge whether an exercise was played within three months."""
    at = deeds.live.exercise_at
    if at is None:
        return Finding("open", _("Aucun exercice joué"))
    return _judge_age(at, deeds.now, EXERCISE_MAX_AGE, _("Le dernier a reçu des signalements"), _)


def judge_sources(deeds: PreparationDeeds, _: Translator) -> Finding:
    """Judge whether a source or an official feed reports, and none of them is silent."""
    if deeds.feeds.samples:
        return Finding("open", _("Des exemples enregistrés tournent : aucune source réelle"))
    feeds = [feed for feed in deeds.feeds.items if feed.state != "off"]
    sources = [source for source in deeds.sources or () if source["enabled"]]
    contact_times = [
        feed.understood_at for feed in feeds if feed.state == "ok" and feed.understood_at
    ]
    contact_times += [to_datetime(s["last_seen"]) for s in sources if s["last_seen"] is not None]
    at = max(contact_times, default=None)
    if at is None:
        return _judge_unheard(len(feeds) + len(sources), _)
    trouble_count = sum(feed.state in _TROUBLED_FEEDS for feed in feeds)
    trouble_count += sum(bool(source["silent"]) for source in sources)
    if trouble_count:
        text = _.plural("{n} ne transmet plus", "{n} ne transmettent plus", trouble_count)
        return Finding("partly", text, at)
    text = _.plural("{n} transmet", "{n} transmettent", len(contact_times))
    return _judge_age(at, deeds.now, SOURCE_MAX_AGE, text, _)


def _judge_unheard(source_count: int, _: Translator) -> Finding:
    """Judge sources and feeds that never reported."""
    if not source_count:
        return Finding("open", _("Aucune source, aucun flux"))
    text = _.plural(
        "{n} source ou flux, encore muet", "{n} sources ou flux, encore muets", source_count
    )
    return Finding("partly", text)


def judge_backup(deeds: PreparationDeeds, _: Translator) -> Finding:
    """Judge whether a backup was completed within two days."""
    if deeds.backup_at is None:
        return Finding("open", _("Aucune sauvegarde"))
    return _judge_age(deeds.backup_at, deeds.now, BACKUP_MAX_AGE, _("Achevée"), _)


def _judge_age(at: datetime, now: datetime, limit: timedelta, text: str, _: Translator) -> Finding:
    """Return a deed as done, or as one to repeat once it is older than `limit`."""
    if now - at > limit:
        return Finding("partly", _("{text} ; trop ancien", text=text), at)
    return Finding("done", text, at)


def _judge_count(count: int, needed_count: int) -> CheckState:
    if needed_count and count >= needed_count:
        return "done"
    return "partly" if count else "open"


CONDITIONS: Final = (
    Condition(
        "territory", N_("Territoire confirmé"), judge_territory, "/donnees", N_("Voir les données")
    ),
    Condition(
        "accounts",
        N_("Comptes ouverts"),
        judge_accounts,
        "/personnes#import-accounts",
        N_("Ouvrir des comptes"),
        grave=True,
    ),
    Condition(
        "second_factors",
        N_("Seconds facteurs en place"),
        judge_second_factors,
        "/personnes#accounts",
        N_("Voir les comptes"),
    ),
    Condition(
        "directory",
        N_("Annuaire importé"),
        judge_directory,
        "/personnes#import",
        N_("Importer l’annuaire"),
        grave=True,
    ),
    Condition(
        "channels",
        N_("Canaux essayés"),
        judge_channels,
        "/astreintes#drill",
        N_("Essayer les canaux"),
        grave=True,
    ),
    Condition(
        "on_call",
        N_("Astreintes éprouvées"),
        judge_on_call,
        "/astreintes#proof",
        N_("Voir les astreintes"),
        grave=True,
    ),
    Condition(
        "sources",
        N_("Sources et flux branchés"),
        judge_sources,
        "/flux",
        N_("Voir les flux"),
        "vigie feed enable vigicrues",
    ),
    Condition("exercise", N_("Exercice joué"), judge_exercise, "/realms", N_("Ouvrir un exercice")),
    Condition(
        "backup",
        N_("Sauvegarde faite"),
        judge_backup,
        "/guide/administrateur",
        N_("Lire le guide"),
        "vigie backup /media/cle/vigie.backup",
        grave=True,
    ),
)
"""All conditions, in the order in which an installation fulfils them."""
