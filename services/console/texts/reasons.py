"""Reasons (`Why`) as sentences: metric, value, threshold. Rules D31 and D47.

Metrics have their names and units in `METRIC_TEXTS`, one row each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from schemas.predicates import AllOf, AnyOf, Manual, Measured, Not, Predicate
from services.console.i18n import N_, Translator, get_translator
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames

Scalar = str | int | float | bool | None
Args = Mapping[str, Scalar | list[str] | list[int]]
_SIGNS = {">=": "≥", ">": ">", "<=": "≤", "<": "<", "==": "="}
RULE_SENTENCES = {
    "silence": N_("aucune information de ce site depuis que sa zone est touchée"),
    "D18": N_("aucune information de ce site depuis que sa zone est touchée"),
    "D20": N_("rétablissement annoncé, aucune nouvelle de ce site depuis 60 min"),
    "precedence": N_("la cause la plus grave l’emporte"),
    "D14": N_("la cause la plus grave l’emporte"),
    "cause": N_("signalé par ses sources"),
    "contested": N_("signalements contradictoires : le plus grave est retenu"),
    "D5": N_("signalements contradictoires : le plus grave est retenu"),
    "generator": N_("un groupe électrogène soutient le site"),
    "unconfirmed": N_("un seul signalement, non confirmé"),
    "confirmed": N_("confirmé par une seconde source"),
    "corrected": N_("message refusé, corrigé par une personne puis rejoué"),
    "reopening": N_("rouvert par un signalement"),
    "lifted": N_("toutes les causes sont levées"),
    "manual": N_("décidé par une personne"),
    "same_cause": N_("même site, même cause : compté une fois"),
    "same_id": N_("même identifiant : déjà reçu"),
    "references": N_("se rattache à un signalement connu"),
    "D4": N_("même site, même cause : compté une fois"),
    "D21": N_("se rattache à un signalement connu"),
    "D22": N_("même famille, même secteur, même moment"),
    "D23": N_("cause du même site"),
    "D26": N_("arrivé tard, rattaché par l’heure du fait"),
    "D25": N_("rattaché par une personne"),
    "D40": N_("capacité moyenne de ses sites, pondérée par leurs agents"),
    "D41": N_("capacité face au minimum"),
    "D42": N_("la capacité est passée sous le minimum"),
    "declared": N_("déclaré par une personne"),
    "D64": N_("travaux prévus : au tableau, sans appeler personne"),
    "D76": N_("ouvre un incident : un niveau monte et personne n’était appelé"),
    "D65": N_("conséquence d’une cause connue : au tableau, sans appeler personne"),
    "strategy": N_("capacité attendue d’une stratégie déclarée"),
}
"""Sentence of a rule code; a code may carry more after a colon (`D22:power`)."""


@dataclass(frozen=True, slots=True)
class MetricText:
    """Words for a metric."""

    name: Callable[[Args, TerritoryNames, Translator], str]
    """The quantity that it counts, without its value."""
    unit: str = ""


def _to_list(value: Scalar | list[str] | list[int] | None) -> list[str]:
    return (
        []
        if value is None
        else [str(v) for v in value]
        if isinstance(value, list)
        else [str(value)]
    )


def _name_kinds(args: Args, _: Translator) -> str:
    kinds = _to_list(args.get("kinds")) or _to_list(args.get("kind"))
    return (
        w.join_words([w.translate_code(world.KIND_MANY, k, _) for k in kinds], _)
        if kinds
        else _("sites")
    )


def _name_scope(scope: str | None, names: TerritoryNames, _: Translator) -> str:
    match (scope or "global").split(":", 1):
        case ["kind", kind]:
            return w.translate_code(world.KIND_MANY, kind, _)
        case ["pole", pole]:
            return names.pole(pole, _.lang)
        case ["site", site]:
            return names.site(site)
        case _:
            return _("tout le Département")


def _name_activities(args: Args, names: TerritoryNames, _: Translator) -> str:
    if ids := _to_list(args.get("activities")):
        return ", ".join(names.activity_label(id, _.lang) for id in ids)
    if crit := _to_list(args.get("criticality")):
        label = _(
            "les activités de criticité {list}",
            list=_("{first} ou {last}", first=crit[0], last=crit[-1]) if len(crit) > 1 else crit[0],
        )
        return f"{label}, {names.pole(str(args['pole']), _.lang)}" if "pole" in args else label
    return _("les activités")


def _get_first(value: Scalar | list[str] | list[int] | None) -> str | None:
    return next(iter(_to_list(value)), None)


def _name_severity(args: Args, _: Translator) -> str:
    if args.get("where") == "field":
        return _("gravité la plus forte sur le terrain")
    if args.get("where") == "territory":
        return _("gravité annoncée pour tout le territoire")
    return _("gravité la plus forte, {kinds}", kinds=_name_kinds(args, _))


RIVER_METRIC: Final = "river_level"
METRIC_TEXTS: Final[Mapping[str, MetricText]] = {
    "open_incidents": MetricText(lambda _args, _names, _: _("incidents ouverts")),
    "level": MetricText(lambda _args, _names, _: _("niveau du territoire")),
    "vigilance": MetricText(
        lambda args, _names, _: _(
            "vigilance {phenomenon}",
            phenomenon=w.join_words(
                [
                    w.translate_code(world.PHENOMENON, p, _)
                    for p in _to_list(args.get("phenomenon"))
                ],
                _,
            ),
        )
    ),
    RIVER_METRIC: MetricText(
        lambda args, _names, _: _(
            "niveau de la Seine à {station}",
            station=world.name_station(str(args.get("station", ""))),
        ),
        unit="m",
    ),
    "flag": MetricText(
        lambda args, _names, _: w.translate_code(world.FLAG, str(args.get("name", "")), _)
    ),
    "measure": MetricText(
        lambda args, _names, _: w.translate_code(world.MEASURE, str(args.get("name", "")), _)
    ),
    "max_severity": MetricText(lambda args, _names, _: _name_severity(args, _)),
    "sites_hit": MetricText(
        lambda args, _names, _: (
            _("sites touchés dans un même pôle")
            if args.get("per") == "pole"
            else _("{kinds} touchés", kinds=_name_kinds(args, _))
        )
    ),
    "sites_out": MetricText(
        lambda args, _names, _: _("{kinds} hors service", kinds=_name_kinds(args, _))
    ),
    "sites_closed": MetricText(
        lambda args, _names, _: _("{kinds} fermés", kinds=_name_kinds(args, _))
    ),
    "sites_evacuated": MetricText(
        lambda args, _names, _: _("{kinds} évacués", kinds=_name_kinds(args, _))
    ),
    "sites_partially_closed": MetricText(
        lambda args, _names, _: _(
            "{kinds} fermés, même en partie, sous {n} h",
            kinds=_name_kinds(args, _),
            n=args.get("horizon_h", 0),
        )
    ),
    "sites_staff_at_most": MetricText(
        lambda args, _names, _: _(
            "{kinds} à {pct} % d’agents au plus", kinds=_name_kinds(args, _), pct=args.get("pct", 0)
        )
    ),
    "sites_below_opening": MetricText(
        lambda args, _names, _: _("{kinds} sous le minimum d’ouverture", kinds=_name_kinds(args, _))
    ),
    "poles_out": MetricText(
        lambda args, _names, _: _(
            "pôles ayant chacun au moins {n} sites hors service", n=args.get("min_sites", 0)
        )
    ),
    "sites_with_cause": MetricText(
        lambda args, _names, _: (
            f"{_name_kinds(args, _)} {w.translate_code(w.CAUSE, str(args.get('cause', '')), _)}"
        )
    ),
    "outage_power_sites": MetricText(
        lambda args, _names, _: _("sites privés de courant en {n} min", n=args.get("window_min", 0))
    ),
    "expected_unavailability_h": MetricText(
        lambda args, _names, _: _("indisponibilité prévue ({kinds})", kinds=_name_kinds(args, _)),
        unit="h",
    ),
    "customers_cut": MetricText(lambda _args, _names, _: _("clients coupés")),
    "supplier_illness": MetricText(
        lambda args, _names, _: _(
            "malades rattachés à une même cuisine en {n} h",
            n=int(float(str(args.get("window_min") or 0)) / 60),
        )
    ),
    "catering_down": MetricText(
        lambda args, _names, _: _("{kinds} sans repas", kinds=_name_kinds(args, _))
    ),
    "absence_rate": MetricText(
        lambda args, names, _: _(
            "absences, {scope}", scope=_name_scope(_get_first(args.get("scope")), names, _)
        ),
        unit="%",
    ),
    "forecast_absence": MetricText(
        lambda args, names, _: _(
            "absences annoncées, {scope}",
            scope=_name_scope(_get_first(args.get("scope")), names, _),
        ),
        unit="%",
    ),
    "evacuees": MetricText(lambda _args, _names, _: _("personnes évacuées")),
    "security_events": MetricText(
        lambda args, _names, _: (
            _("événements de sûreté dans une commune")
            if args.get("per") == "commune"
            else _("événements de sûreté")
        )
    ),
    "security_communes": MetricText(
        lambda _args, _names, _: _("communes touchées par des violences")
    ),
    "road_closed": MetricText(
        lambda args, _names, _: _("{road} fermée", road=args.get("road", ""))
    ),
    "gas_leak_distance_m": MetricText(
        lambda _args, _names, _: _("fuite de gaz, distance du site le plus proche"), unit="m"
    ),
    "activity_rto_pct": MetricText(
        lambda args, names, _: _(
            "RTO consommé, {activities}", activities=_name_activities(args, names, _)
        ),
        unit="%",
    ),
    "activity_dmia_pct": MetricText(
        lambda args, names, _: _(
            "DMIA consommée, {activities}", activities=_name_activities(args, names, _)
        ),
        unit="%",
    ),
    "activity_capacity_min": MetricText(
        lambda args, names, _: _(
            "capacité la plus basse, {activities}", activities=_name_activities(args, names, _)
        ),
        unit="%",
    ),
    "activities_interrupted": MetricText(lambda _args, _names, _: _("activités interrompues")),
    "transverse_loss": MetricText(
        lambda _args, _names, _: _("perte transverse : isolement total ou site central perdu 72 h")
    ),
    "system_down": MetricText(
        lambda args, names, _: _(
            "systèmes arrêtés : {systems}",
            systems=", ".join(
                world.name_system(s, names, _) for s in _to_list(args.get("systems"))
            ),
        )
    ),
    "rumour_severity": MetricText(lambda _args, _names, _: _("rumeur la plus grave")),
    "logistics_need_sites": MetricText(
        lambda _args, _names, _: _("sites ayant besoin d’eau, de chauffage ou de froid")
    ),
    "restored_share": MetricText(lambda _args, _names, _: _("sites rétablis"), unit="%"),
    "headcount_pct": MetricText(lambda _args, _names, _: _("recensement"), unit="%"),
}


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A comparison without a measured value, as reasons are written."""

    metric: str | None
    args: Args
    op: str | None
    threshold: Scalar
    code: str = "predicate"
    value: Scalar = None
    reports: tuple[str, ...] = field(default=())


def describe_conditions(predicate: Predicate | None, names: TerritoryNames, lang: str) -> list[str]:
    """Return one sentence for each part of a condition: alternatives, or demands in common."""
    match predicate:
        case None:
            return []
        case AnyOf(any=parts) | AllOf(all=parts):
            return [describe_condition(part, names, lang) for part in parts]
        case _:
            return [describe_condition(predicate, names, lang)]


def describe_condition(predicate: Predicate, names: TerritoryNames, lang: str) -> str:
    """Describe one condition with all its parts."""
    _ = get_translator(lang)
    match predicate:
        case Measured(value=bool()):
            return _describe_state(predicate, names, lang)
        case Measured(metric=metric, args=args, op=op, value=value):
            reason = describe_reason(_Comparison(metric, args, op, value), names, lang)
            return f"{reason.label} {reason.threshold}".strip()
        case AnyOf(any=parts):
            return _(" ou ").join(describe_condition(part, names, lang) for part in parts)
        case AllOf(all=parts):
            return _(" et ").join(describe_condition(part, names, lang) for part in parts)
        case Not(negated=part):
            return _("le contraire de : {what}", what=describe_condition(part, names, lang))
        case Manual(manual=text):
            return text


def _describe_state(condition: Measured, names: TerritoryNames, lang: str) -> str:
    """Describe a condition that holds or does not, such as an activated COD."""
    _ = get_translator(lang)
    comparison = _Comparison(condition.metric, condition.args, condition.op, condition.value)
    label = describe_reason(comparison, names, lang).label
    return label if condition.value else _("le contraire de : {what}", what=label)


class ReasonLike(Protocol):
    """Common part of `schemas.alerts.Why` and the API's `Reason`."""

    @property
    def code(self) -> str: ...
    @property
    def metric(self) -> str | None: ...
    @property
    def args(self) -> Args: ...
    @property
    def op(self) -> str | None: ...
    @property
    def threshold(self) -> Scalar: ...
    @property
    def value(self) -> Scalar: ...
    @property
    def reports(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class ReasonText:
    """A reason in parts, so that a page can set the value in bold: `label : value (threshold)`."""

    label: str
    value: str = ""
    threshold: str = ""
    joint: str = "\u00a0: "

    @property
    def text(self) -> str:
        tail = self.value or self.threshold
        if self.value and self.threshold:
            tail = f"{self.value} ({self.threshold})"
        return f"{self.label}{self.joint}{tail}" if tail else self.label


def format_metric_value(metric: str | None, value: Scalar, _: Translator) -> str:
    """Format a value of a metric with its unit: `76 %`, `N3`, `orange`, `180 000`."""
    if isinstance(value, bool) or value is None:
        return "" if value is None else _("oui") if value else _("non")
    if isinstance(value, str):
        return w.translate_code(world.COLOUR, value, _)
    if metric == "level":
        return f"N{int(value)}"
    row = METRIC_TEXTS.get(metric or "")
    is_river = metric == RIVER_METRIC
    text = w.format_metres(value, _.lang) if is_river else w.format_number(value, _.lang)
    return f"{text}\u00a0{row.unit}" if row is not None and row.unit else text


def describe_reason(why: ReasonLike, names: TerritoryNames, lang: str) -> ReasonText:
    """Return a reason in parts, in the reader's language."""
    _ = get_translator(lang)
    if why.metric is None:
        return ReasonText(_describe_author(why, names, _) or _describe_rule(why, names, _))
    row = METRIC_TEXTS.get(why.metric)
    label = why.metric if row is None else row.name(why.args, names, _)
    if isinstance(why.threshold, bool):
        return (
            ReasonText(label)
            if why.value in (True, None)
            else ReasonText(
                label, format_metric_value(why.metric, why.value, _), joint=_("\u00a0: ")
            )
        )
    threshold = (
        ""
        if why.threshold is None
        else f"{_SIGNS.get(why.op or '', '')} {format_metric_value(why.metric, why.threshold, _)}".strip()
    )
    return ReasonText(
        label, format_metric_value(why.metric, why.value, _), threshold, _("\u00a0: ")
    )


def _describe_author(why: ReasonLike, names: TerritoryNames, _: Translator) -> str:
    """Name the person behind a level, or behind its refusal; empty for any other reason."""
    author = why.args.get("author")
    if why.code != "manual" or not isinstance(author, str):
        return ""
    who = w.name_person(author, names, _)
    if "refused" in why.args:
        return _("N{level} refusé par {who}", level=why.args["refused"], who=who)
    return _("décidé par {who}", who=who)


def _describe_rule(why: ReasonLike, names: TerritoryNames, _: Translator) -> str:
    code, _sep, rest = why.code.partition(":")
    sentence = RULE_SENTENCES.get(why.code) or RULE_SENTENCES.get(code)
    if why.code == "trigger":
        return _("condition de {plan}", plan=names.plan(str(why.args.get("plan", ""))))
    if code == "D14" and "type" in why.args:
        rule = sentence or RULE_SENTENCES["precedence"]
        return _(
            "{what} : {where}",
            what=_(rule),
            where=w.translate_code(w.CAUSE, str(why.args["type"]), _),
        )
    if sentence is None:
        return _("règle {code}", code=why.code)
    if rest and code == "D22" and rest in world.FAMILY:
        return _("{rule} ({family})", rule=_(sentence), family=_(world.FAMILY[rest]))
    return _(sentence)


def write_reason(why: ReasonLike, names: TerritoryNames, lang: str) -> str:
    """Return the whole sentence, for example `colleges closed: 11 (≥ 3)`."""
    return describe_reason(why, names, lang).text
