"""Reads a territory folder (`territories/92/`) into the sections of `schemas.reference`, and checks it.

French keys of the YAML files become English here, once. Every problem is a `Problem` with file, line and a sentence; nothing
stops at the first. The version of a territory is a hash of its sections, so the same content has the same version.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from holidays import country_holidays
from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from schemas import reference as ref
from schemas.oncall import Reach, Rotation
from schemas.predicates import measured
from schemas.words import Channel

_T = TypeVar("_T", bound=BaseModel)
_CHANNELS = {"app": "app", "sms": "sms", "voix": "voice", "mail": "email", "messagerie": "chat"}
_POLE_TYPES = {"opérationnel": "operational", "fonctionnel": "functional"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One defect of a territory folder; `line` is 1-based, 0 when the whole file is meant."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


class TerritoryInvalid(ValueError):
    """The folder cannot be used; `problems` says why, each with file and line."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Territory:
    """A whole territory, ready to be published."""

    code: str
    folder: Path
    version: str
    sections: tuple[ref.SectionData, ...]
    """In publishing order; the last one switches the version."""

    @property
    def sites(self) -> tuple[ref.Site, ...]:
        return next(s.sites for s in self.sections if isinstance(s, ref.Sites))

    @property
    def communes(self) -> tuple[ref.Commune, ...]:
        return next(s.communes for s in self.sections if isinstance(s, ref.Communes))

    @property
    def activities(self) -> tuple[ref.Activity, ...]:
        return next(s.activities for s in self.sections if isinstance(s, ref.Activities))

    @property
    def staffing(self) -> ref.Staffing:
        return next(s for s in self.sections if isinstance(s, ref.Staffing))

    @property
    def plans(self) -> tuple[ref.Plan, ...]:
        return next(s.plans for s in self.sections if isinstance(s, ref.Plans))

    @property
    def policy(self) -> ref.Escalation:
        return next(s.policy for s in self.sections if isinstance(s, ref.EscalationPolicy))


class _Source:
    """One file of the folder, with a place to note problems."""

    def __init__(self, folder: Path, name: str, problems: list[Problem]) -> None:
        self.path, self.name, self.problems = folder / name, name, problems

    def fault(self, line: int, what: str) -> None:
        self.problems.append(Problem(self.name, line, what))

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """CSV rows with their line numbers."""
        try:
            with self.path.open(encoding="utf-8", newline="") as f:
                reader = csv.DictReader(f)
                for row in reader:
                    if None in row or None in row.values():
                        self.fault(reader.line_num, "wrong number of columns")
                        continue
                    yield reader.line_num, row
        except OSError as exc:
            self.fault(0, f"cannot be read: {exc.strerror}")

    def yaml(self) -> Any:
        """The document with line marks, or an empty map and a problem."""
        try:
            return YAML(typ="rt").load(self.path.read_text(encoding="utf-8")) or {}
        except MarkedYAMLError as exc:
            mark = exc.problem_mark
            self.fault(mark.line + 1 if mark else 0, f"not valid YAML: {exc.problem}")
        except OSError as exc:
            self.fault(0, f"cannot be read: {exc.strerror}")
        return {}

    def make(self, model: type[_T], line: int, **values: Any) -> _T | None:
        """`model(**values)`, or a problem per invalid field."""
        try:
            return model.model_validate(values)
        except ValidationError as exc:
            for e in exc.errors():
                self.fault(line, f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})")
            return None


def _line(node: Any, key: Any = None) -> int:
    """1-based line of a YAML node or of one of its keys."""
    lc = getattr(node, "lc", None)
    if lc is None:
        return 0
    try:
        return int(lc.key(key)[0] if isinstance(node, dict) and key is not None else lc.item(key)[0] if key is not None else lc.line) + 1
    except (KeyError, TypeError, AttributeError):
        return int(lc.line) + 1


def _plain(node: Any) -> Any:
    """Ordinary lists, dicts and scalars of a YAML node."""
    if isinstance(node, dict):
        return {str(k): _plain(v) for k, v in node.items()}
    if isinstance(node, list):
        return [_plain(v) for v in node]
    if isinstance(node, bool) or node is None:
        return node
    return float(node) if isinstance(node, float) else int(node) if isinstance(node, int) else str(node)


def predicate_of(node: Any) -> Any:
    """A `quand` of the files as the shape of `schemas.predicates`: arguments move under `args`."""
    match _plain(node):
        case None:
            return None
        case {"metric": metric, "op": op, "value": value, **args}:
            return {"metric": metric, "args": args, "op": op, "value": value}
        case {"any": parts}:
            return {"any": [predicate_of(p) for p in parts]}
        case {"all": parts}:
            return {"all": [predicate_of(p) for p in parts]}
        case {"not": part}:
            return {"not": predicate_of(part)}
        case other:
            return other


# ── sections ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _communes(f: _Source) -> list[ref.Commune]:
    made = (
        f.make(ref.Commune, n, insee=r["insee"], name=r["name"], population=r["population"], lat=r["lat"], lon=r["lon"],
               seine_flood_plan=r["seine_flood_plan"] == "oui")
        for n, r in f.rows()
    )  # fmt: skip
    return [c for c in made if c]


def _sites(f: _Source, communes: dict[str, ref.Commune], poles: set[str]) -> list[ref.Site]:
    sites: dict[str, ref.Site] = {}
    for n, r in f.rows():
        site = f.make(
            ref.Site, n, id=r["site_id"], name=r["name"], kind=r["kind"], commune=r["insee"], commune_name=r["commune"], lat=r["lat"],
            lon=r["lon"], position=r["position"], pole=r["pole"], staff=r["staff"], desks=r["desks"], public_capacity=r["public_capacity"],
            flood_exposure=r["flood_exposure"], generator=r["generator"] == "oui", kitchen=r["kitchen"] or None, name_is=r["name_is"],
            code=r.get("code") or None,
        )  # fmt: skip
        if site is None:
            continue
        if site.id in sites:
            f.fault(n, f"site {site.id!r} stands twice")
        if site.code and (other := next((s.id for s in sites.values() if s.code == site.code), None)):
            f.fault(n, f"site {site.id!r}: code {site.code} is that of {other!r}")
        if site.commune not in communes:
            f.fault(n, f"site {site.id!r}: commune {site.commune!r} is not in communes.csv")
        if site.pole not in poles | {"multi"}:
            f.fault(n, f"site {site.id!r}: pôle {site.pole!r} is not in activities.yaml")
        sites[site.id] = site
    return list(sites.values())


def _activities(f: _Source, kinds: set[str] | None = None) -> tuple[list[ref.Pole], list[ref.Activity]]:
    doc = f.yaml()
    poles = [
        f.make(ref.Pole, _line(p), id=p["id"], name=p["nom"], name_en=p["nom_en"], type=_POLE_TYPES.get(p["type"], p["type"]))
        for p in doc.get("poles", [])
    ]
    pole_ids = {p.id for p in poles if p}
    activities: list[ref.Activity] = []
    for a in doc.get("activites", []):
        made = f.make(
            ref.Activity, _line(a), id=a.get("id"), pole=a.get("pole"), name=a.get("nom"), name_en=a.get("nom_en"),
            criticality=a.get("criticite"), dmia_h=a.get("dmia_h"), rto_h=a.get("rto_h"), pdma_h=a.get("pdma_h"), mbco_pct=a.get("mbco_pct"),
            staff=a.get("effectif_normal"), minimum_staff=a.get("effectif_minimal_j1"), site_kinds=_plain(a.get("sites", [])),
            systems=_plain(a.get("si", [])), suppliers=_plain(a.get("fournisseurs_partenaires", [])),
            strategies=_plain(a.get("strategies_repli", [])), telework=str(_plain(a.get("teletravail", ""))),
        )  # fmt: skip
        if made is None:
            continue
        if made.pole not in pole_ids:
            f.fault(_line(a, "pole"), f"activity {made.id}: pôle {made.pole!r} is not declared")
        if made.rto_h > made.dmia_h:
            f.fault(_line(a, "rto_h"), f"activity {made.id}: rto_h {made.rto_h:g} is longer than dmia_h {made.dmia_h:g}")
        for k, kind in enumerate(made.site_kinds):
            if kinds is not None and kind not in kinds:
                f.fault(_line(a.get("sites"), k), f"activity {made.id}: no site of kind {kind!r} in sites.csv")
        activities.append(made)
    return [p for p in poles if p], activities


def _plan(f: _Source, node: Any, roles: Iterable[str], poles: set[str]) -> ref.Plan | None:
    pole = node["id"].removeprefix("PCA-") if node["id"].startswith("PCA-") else None
    if pole is not None and pole not in poles:
        f.fault(_line(node, "id"), f"plan {node['id']}: pôle {pole!r} is not declared")
    triggers = node.get("declencheurs") or [{"niveau": 0, "texte": node.get("texte", ""), "quand": node.get("quand")}]
    for k, card in enumerate(node.get("fiches", [])):
        if card.get("role") not in roles:
            f.fault(_line(node["fiches"], k), f"plan {node['id']}: role {card.get('role')!r} is not in escalade.yaml")
    if node.get("decide") not in roles:
        f.fault(_line(node, "decide"), f"plan {node['id']}: role {node.get('decide')!r} is not in escalade.yaml")
    auto = _yes(node.get("auto", False))
    if auto and node.get("fiches"):
        f.fault(_line(node, "auto"), f"plan {node['id']}: auto: true is for plans without cards, which call nobody (D49)")
    levee = node.get("levee")
    return f.make(
        ref.Plan, _line(node), id=node["id"], title=node.get("titre"), pole=pole, state=node.get("etat"), decides=node.get("decide"), auto=auto,
        triggers=[{"level": t["niveau"], "text": str(t["texte"]), "when": predicate_of(t["quand"])} for t in triggers],
        cards=[
            {"id": f"F{k + 1}", "t_min": c["t_min"], "role": c["role"], "pole": c.get("pole"), "task": str(c["tache"]), "effect": c.get("effet")}
            for k, c in enumerate(node.get("fiches", []))
        ],
        card_origin=node.get("origine_t"),
        stand_down=levee and {"text": str(levee["texte"]), "when": predicate_of(levee.get("quand")), "hold_min": levee.get("maintien_min", 0)},
        zone_by_threshold_m=_plain(node.get("zone_par_seuil", {})), thresholds_m=_plain(node.get("seuils_m", {})),
    )  # fmt: skip


def _plans(f: _Source, doc: Any, roles: Iterable[str], poles: set[str]) -> list[ref.Plan]:
    made = (_plan(f, node, roles, poles) for part in ("plans_poles", "plans_thematiques") for node in doc.get(part, []))
    return [p for p in made if p]


_DOUBTS = {"au_moins_une_fois": "at_least_once", "au_plus_une_fois": "at_most_once"}


def _channel_rules(f: _Source) -> ref.ChannelRules | None:
    """`canaux.yaml`; a territory without one has the product's own values."""
    if not f.path.exists():
        return None
    doc, rules = f.yaml(), []
    for name, given in doc.get("canaux", {}).items():
        hours = given.get("heures_information")
        rule = f.make(
            ref.ChannelRule, _line(doc["canaux"], name), channel=_CHANNELS.get(name, name), per_minute=given["par_minute"], burst=given["rafale"],
            cost_cents=given["cout_centimes"], doubt=_DOUBTS.get(given["doute"], given["doute"]), limit_s=given["limite_s"],
            grace_s=given["grace_s"], receipt_s=given.get("recu_s"), tries=given["essais"],
            information_hours=hours and {"from_min": _minutes(hours["de"]), "to_min": _minutes(hours["a"]), "sundays": _yes(hours["dimanche"])},
        )  # fmt: skip
        if rule is not None:
            rules.append(rule)
    return f.make(ref.ChannelRules, 1, channels=rules, digest_min=doc.get("regroupement_min", 10))


def _yes(word: Any) -> bool:
    return word is True or str(word) == "oui"


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _wave(w: Any) -> dict[str, Any]:
    return {
        "wave": w["vague"], "after_min": w["apres_min"], "who": _plain(w["qui"]), "channels": [_CHANNELS.get(c, c) for c in w["canaux"]],
        "ack_min": w["accuse_min"], "expected": w["reponses_attendues"],
    }  # fmt: skip


def _surcharge(s: Any) -> dict[str, Any]:
    when = _plain(s["quand"])
    return {
        "activity": s["activite"], "dmia_h": s["dmia_h"], "rto_h": s.get("rto_h"), "days_of_month": when.get("jours_du_mois", ()),
        "working_days_before_month_end": when.get("jours_ouvres_avant_fin_de_mois"), "cause": when.get("cause"), "scope": when.get("portee"),
        "flag": when.get("flag"),
    }  # fmt: skip


def _inhibition(i: Any) -> dict[str, Any]:
    return {
        "cause": i["cause"], "consequences": _plain(i["consequences"]), "before_min": i["avant_min"], "within_h": i["dans_h"],
        "except_kinds": _plain(i.get("sauf_genres", [])),
    }  # fmt: skip


def _by_channel(table: Any) -> dict[str, Any]:
    return {_CHANNELS.get(name, name): value for name, value in _plain(table or {}).items()}


def _readiness(doc: Any) -> dict[str, Any] | None:
    proof = doc.get("astreintes_preuve")
    return proof and {
        "horizon_days": proof["horizon_jours"], "roles": _plain(proof["roles"]), "report_min": _minutes(proof["rapport_quotidien"]),
        "alert_before_h": proof["alerte_trou_avant_h"], "alert_to": _plain(proof["alerter"]["territoire"]),
        "alert_to_scoped": _plain(proof["alerter"]["pole_ou_site"]), "proof_days": proof["preuve_jours"], "channels_min": proof["canaux_min"],
        "answer_min": _by_channel(proof["reponse_min"]), "rate_per_min": _by_channel(proof.get("debit_par_min")),
        "drill_day": proof.get("essai_mensuel"),
    }  # fmt: skip


def _working_time(doc: Any) -> dict[str, Any] | None:
    limits = doc.get("temps_travail")
    return limits and {
        "day_h": limits["heures_jour_max"], "week_h": limits["heures_semaine_max"], "daily_rest_h": limits["repos_quotidien_h"],
        "weekly_rest_h": limits["repos_hebdo_h"], "standby_roles": _plain(limits.get("a_domicile", [])), "call_out_h": limits.get("intervention_h", 1),
    }  # fmt: skip


def _holidays(f: _Source, node: Any) -> list[str]:
    """ISO days: a list, or `{pays: FR, annees: [2027]}`, worked out by the law of that country."""
    if not isinstance(node, dict):
        return [str(day) for day in _plain(node)]
    try:
        found = country_holidays(str(node["pays"]), subdiv=node.get("subdivision"), years=[int(y) for y in node["annees"]])
    except (NotImplementedError, KeyError, TypeError, ValueError) as exc:
        f.fault(_line(node), f"public holidays cannot be worked out: {exc}")
        return []
    return [day.isoformat() for day in sorted(found)]


def _school_holidays(f: _Source, node: Any, zone_file: _Source) -> list[tuple[str, str]]:
    """ISO intervals, both days included: a list, or `{zone: C}`, taken from the file of school holidays."""
    if not isinstance(node, dict):
        return [(str(a), str(b)) for a, b in _plain(node)]
    mine = [(r["from"], r["to"]) for _, r in zone_file.rows() if r["zone"] == str(node.get("zone"))]
    if not mine:
        f.fault(_line(node), f"{zone_file.name} has no holidays of zone {node.get('zone')!r}")
    return mine


def _policy(f: _Source, doc: Any, spared: list[str], activities: set[str], school: _Source) -> ref.Escalation | None:
    groups = {name: tuple(_plain(who)) if not isinstance(who, str) else () for name, who in doc.get("groupes", {}).items()}
    roles = {r["id"]: str(r["libelle"]) for r in doc.get("roles", [])}
    for name, waves in doc.get("vagues", {}).items():
        for k, wave in enumerate(waves):
            for who in wave["qui"]:
                if who not in roles and who not in groups:
                    f.fault(_line(waves, k), f"ladder {name}, wave {wave['vague']}: {who!r} is neither a role nor a group")
            if k and wave["apres_min"] <= waves[k - 1]["apres_min"]:
                f.fault(_line(waves, k), f"ladder {name}, wave {wave['vague']}: does not come after the wave before it")
    calendars = doc.get("calendriers", {})
    for activity, calendar in doc.get("calendrier_par_activite", {}).items():
        if activity not in activities:
            f.fault(_line(doc["calendrier_par_activite"], activity), f"calendar of {activity!r}: no such activity")
        if calendar not in calendars:
            f.fault(_line(doc["calendrier_par_activite"], activity), f"calendar {calendar!r} is not declared")
    for k, activity in enumerate(doc.get("horloges_locales", [])):
        if activity not in activities:
            f.fault(_line(doc["horloges_locales"], k), f"local clock of {activity!r}: no such activity")
    quiet, repeat = doc["heures_silence"], doc["apres_derniere_vague"]
    return f.make(
        ref.Escalation, 1,
        levels=[
            {"level": n["niveau"], "name": n["nom"], "pilots": _plain(n["pilotes"]), "sitrep_every_min": n["rythme_point_situation_min"],
             "text": str(n["texte"]), "when": predicate_of(n["quand"]), "propose_when": predicate_of(n.get("proposer_quand"))}
            for n in doc["niveaux"]
        ],
        authorities=_plain(doc["autorites"]), roles=roles, groups=groups, never_skipped=_plain(doc["jamais_sautes"]),
        ladders={name: [_wave(w) for w in waves] for name, waves in doc["vagues"].items()},
        repeat={"from_wave": repeat["reprendre_vague"], "after_min": repeat["apres_min"], "times": repeat["fois"]},
        quiet_from=quiet["de"], quiet_to=quiet["a"], quiet_levels=_plain(quiet["niveaux_concernes"]),
        budget_per_hour=doc["budget_messages"]["par_personne_par_heure"],
        alarms=[{"base": a["base"], "pct": a["pct"], "to": _plain(a["vers"]), "effect": a.get("effet")} for a in doc["alarmes_rto"]],
        calendars=[
            {"id": name, "weekdays": _plain(c["jours"]), "open_min": _minutes(c["de"]), "close_min": _minutes(c["a"]),
             "closed_on_holidays": c["feries"] == "fermes", "closed_in_school_holidays": c.get("vacances_scolaires") == "fermees"}
            for name, c in calendars.items()
        ],
        holidays=_holidays(f, doc["jours_feries"]), school_holidays=_school_holidays(f, doc["vacances_scolaires"], school),
        calendar_of_activity=_plain(doc["calendrier_par_activite"]), local_clocks=_plain(doc["horloges_locales"]),
        served_places=_plain(doc["lieux_servis"]), closure_without_loss=_plain(doc["fermeture_sans_perte"]),
        unknown_after_min=_plain(doc["site_inconnu_apres_min"]), task_due_min=_plain(doc.get("taches_delai_min", {})), surcharges=[_surcharge(s) for s in doc["surcharges_dmia"]],
        systems_spared=spared, headcount_close_pct=doc["compte_agents"]["cloture_pct"], headcount_reminders_min=_plain(doc["compte_agents"]["relances_min"]),
        retex_hot_h=doc["retex"]["chaud_h"], retex_cold_d=doc["retex"]["froid_j"],
        headcount_manager_min=doc["compte_agents"].get("passage_appel_manager_min", 30),
        inhibitions=[_inhibition(i) for i in doc.get("inhibitions", [])],
        readiness=_readiness(doc), working_time=_working_time(doc),
        **_reassignment(doc),
        stale_answer={"after_min": _plain(doc["accuse_perime"]["apres_min"])} if "accuse_perime" in doc else None,
    )  # fmt: skip


def _reassignment(doc: Any) -> dict[str, Any]:
    """The section may be absent: then the defaults of the model hold."""
    if (said := doc.get("reaffectation")) is None:
        return {}
    names = {
        "decide": "decides",
        "prevenir": "told",
        "attente_min": "settle_min",
        "au_plus_toutes_min": "every_min",
        "ensuite_toutes_min": "every_min_later",
        "cout_agent_jour_eur": "agent_day_eur",
        "cout_provisoire": "agent_day_draft",
    }
    return {"reassignment": {names[key]: _yes(value) if key == "cout_provisoire" else _plain(value) for key, value in said.items()}}


def _rotations(f: _Source) -> list[tuple[int, Rotation]]:
    """The file may be absent: then nobody rotates."""
    made: list[tuple[int, Rotation]] = []
    for n, r in f.rows() if f.path.exists() else ():
        try:
            hours = (_minutes(r["from"]), _minutes(r["to"])) if r["from"] or r["to"] else None
            hand_off = _minutes(r["hand_off"])
        except ValueError:
            f.fault(n, "hand_off, from and to are local times such as 08:00")
            continue
        rotation = f.make(
            Rotation, n, role=r["role"], scope=r["scope"] or None, place=r["place"] or "holder", persons=[p for p in r["persons"].split("|") if p],
            every_days=r["every_days"] or 7, hand_off_min=hand_off, since=r["since"], until=r["until"] or None, hours=hours,
        )  # fmt: skip
        if rotation is not None:
            made.append((n, rotation))
    return made


def _reach(f: _Source, n: int, row: dict[str, str]) -> tuple[Reach, ...] | None:
    """Channels of a person with the day of their proof (`sms=2026-11-02|…`) and quiet hours (`app=21:00-07:00|…`); None when neither is said."""
    verified, quiet = (dict(p.split("=", 1) for p in (row.get(c) or "").split("|") if "=" in p) for c in ("verified_on", "quiet"))
    if not verified and not quiet:
        return None
    points: list[Reach | None] = []
    for channel in filter(None, row["channels"].split("|")):
        try:
            at = datetime.fromisoformat(verified[channel]).replace(tzinfo=ZoneInfo("Europe/Paris")) if channel in verified else None
            window = tuple(_minutes(t) for t in quiet[channel].split("-")) if channel in quiet else None
        except ValueError:
            f.fault(n, f"{row['person']!r}: verified_on is sms=2026-11-02|…, quiet is app=21:00-07:00|…")
            return None
        points.append(f.make(Reach, n, channel=channel, verified_at=int(at.timestamp() * 1000) if at else None, quiet=window))
    return tuple(p for p in points if p is not None)


def _holders(f: _Source, roles: Iterable[str], scopes: set[str]) -> list[tuple[int, ref.Holder]]:
    holders: list[tuple[int, ref.Holder]] = []
    for n, r in f.rows():
        made = f.make(ref.Holder, n, role=r["role"], scope=r["scope"] or None, holder=r["holder"] or None, deputy=r["deputy"] or None)
        if made is not None:
            _check_post(f, n, made.role, made.scope, roles, scopes)
            holders.append((n, made))
    return holders


def _check_post(f: _Source, n: int, role: str, scope: str | None, roles: Iterable[str], scopes: set[str]) -> None:
    if role not in roles:
        f.fault(n, f"role {role!r} is not in escalade.yaml")
    if scope and scope not in scopes:
        f.fault(n, f"scope {scope!r} is neither a site nor a pôle")


def _reachability(f: _Source) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[Reach, ...]]]:
    """Person → verified channels; person → the same with the days of their proofs, as far as the file says."""
    channels: dict[str, tuple[str, ...]] = {}
    proofs: dict[str, tuple[Reach, ...]] = {}
    for n, r in f.rows():
        channels[r["person"]] = tuple(c for c in r["channels"].split("|") if c)
        for c in channels[r["person"]]:
            if c not in set(Channel):
                f.fault(n, f"{r['person']!r}: {c!r} is not a channel")
        if (points := _reach(f, n, r)) is not None:
            proofs[r["person"]] = points
    return channels, proofs


def _roster(source: Callable[[str], _Source], policy: ref.Escalation, sites: list[ref.Site], poles: set[str]) -> ref.Roster:
    f, reach, turns = source("roster.csv"), source("reachability.csv"), source("rotations.csv")
    scopes = {s.id for s in sites} | poles
    holders, rotations = _holders(f, policy.roles, scopes), _rotations(turns)
    for n, rotation in rotations:
        _check_post(turns, n, rotation.role, rotation.scope, policy.roles, scopes)
    called = {who for waves in policy.ladders.values() for w in waves for who in w.who}
    called = {r for who in called for r in policy.groups.get(who, (who,))} - set(policy.groups)
    held = {(h.role, h.scope) for _, h in holders if h.holder} | {(r.role, r.scope) for _, r in rotations}
    for role in sorted(called & set(policy.roles) - {role for role, _ in held}):
        f.fault(0, f"role {role!r} is called by a ladder and nobody holds it")
    for site in sites:
        if ("responsable_site", site.id) not in held:
            f.fault(0, f"site {site.id!r} has no responsable_site")
    channels, proofs = _reachability(reach)
    lines: dict[str, tuple[_Source, int]] = {}
    for n, h in holders:
        for person in filter(None, (h.holder, h.deputy)):
            lines.setdefault(person, (f, n))
    for n, rotation in rotations:
        for person in rotation.persons:
            lines.setdefault(person, (turns, n))
    for person, (where, n) in lines.items():
        if not channels.get(person):
            where.fault(n, f"{person!r} has no channel in {reach.name}")
    return ref.Roster(holders=tuple(h for _, h in holders), channels=channels, rotations=tuple(r for _, r in rotations), reach=proofs)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split("|") if part)


def _staffing(
    staff: _Source, rules: _Source, skills: _Source, named: _Source, sites: set[str], activities: dict[str, ref.Activity]
) -> ref.Staffing:
    """Cells, rules and substitutions; every id must be one that the other files declare."""
    cells: dict[tuple[str, str, str], ref.StaffCell] = {}
    for n, r in staff.rows():
        cell = staff.make(
            ref.StaffCell, n, site=r["site_id"], activity=r["activity"], metier=r["metier"], staff=r["staff"], minimum=r["minimum_j1"]
        )
        if cell is None:
            continue
        key = (cell.site, cell.activity, cell.metier)
        if key in cells:
            staff.fault(n, f"cell {' '.join(key)} stands twice")
        if cell.site not in sites:
            staff.fault(n, f"site {cell.site!r} is not in sites.csv")
        if cell.activity not in activities:
            staff.fault(n, f"activity {cell.activity!r} is not in activities.yaml")
        if cell.minimum > cell.staff:
            staff.fault(n, f"cell {' '.join(key)}: minimum {cell.minimum} exceeds staff {cell.staff}")
        cells[key] = cell
    made: dict[str, ref.ReassignmentRule] = {}
    for n, r in rules.rows():
        rule = rules.make(
            ref.ReassignmentRule, n, activity=r["activity"], pole=r["pole"], criticality=r["criticality"], rto_h=r["rto_h"],
            site_bound=r["site_bound"], needs_desk=r["needs_desk"], tele_pct=r["tele_pct"], release_pct=r["release_pct"],
            home_kinds=_split(r["home_kinds"]), host_kinds=_split(r["host_kinds"]),
        )  # fmt: skip
        if rule is None:
            continue
        known = activities.get(rule.activity)
        if known is None or (known.pole, known.criticality) != (rule.pole, rule.criticality):
            rules.fault(n, f"activity {rule.activity!r} with this pôle and criticality is not in activities.yaml")
        made[rule.activity] = rule
    for activity in sorted({c.activity for c in cells.values()} - set(made)):
        staff.fault(0, f"activity {activity!r} has staff and no line in {rules.name}")
    substitutions, metiers = _skills(skills), _metiers(named)
    names = {m.id for m in metiers}
    for metier in sorted({c.metier for c in cells.values()} - names):
        staff.fault(0, f"métier {metier!r} has staff and no name in {named.name}")
    for metier in sorted({m for s in substitutions for m in (s.metier, s.by)} - names):
        skills.fault(0, f"métier {metier!r} has no name in {named.name}")
    return ref.Staffing(
        cells=tuple(cells[k] for k in sorted(cells)),
        rules=tuple(made[k] for k in sorted(made)),
        substitutions=substitutions,
        metiers=metiers,
    )


def _metiers(f: _Source) -> tuple[ref.Metier, ...]:
    found: dict[str, ref.Metier] = {}
    for n, r in f.rows():
        made = f.make(ref.Metier, n, id=r["metier"], name=r["name"], name_en=r["name_en"])
        if made is None:
            continue
        if made.id in found:
            f.fault(n, f"métier {made.id!r} stands twice")
        found[made.id] = made
    return tuple(found[k] for k in sorted(found))


def _skills(f: _Source) -> tuple[ref.Substitution, ...]:
    table = f.yaml().get("substitution", {})
    made = (
        f.make(
            ref.Substitution, _line(table[metier], k), metier=metier, by=line["par"], tenths=round(line["penalite"] * 10),
            condition=line.get("condition"),
        )
        for metier in table
        for k, line in enumerate(table[metier])
    )  # fmt: skip
    return tuple(sorted((s for s in made if s), key=lambda s: (s.metier, s.by)))


def load_territory(folder: Path) -> Territory:
    """The territory in `folder`. Raises TerritoryInvalid with every problem found."""
    problems: list[Problem] = []

    def source(name: str) -> _Source:
        return _Source(folder, name, problems)

    try:
        communes = _communes(source("communes.csv"))
        kinds = {r["kind"] for _, r in _Source(folder, "sites.csv", []).rows()}
        poles, activities = _activities(source("activities.yaml"), kinds)
        pole_ids = {p.id for p in poles}
        sites = _sites(source("sites.csv"), {c.insee: c for c in communes}, pole_ids)
        ladder_file, plan_file = source("escalade.yaml"), source("plans.yaml")
        ladders, plans_doc = ladder_file.yaml(), plan_file.yaml()
        spared = _plain(plans_doc.get("isolement_total", {}).get("systemes_epargnes", []))
        policy = _policy(ladder_file, ladders, spared, {a.id for a in activities}, source("vacances_scolaires.csv")) if ladders else None
        plans = _plans(plan_file, plans_doc, policy.roles if policy else (), pole_ids)
        channels = _channel_rules(source("canaux.yaml"))
        roster = _roster(source, policy, sites, pole_ids) if policy else None
        staffing = _staffing(
            source("staffing.csv"), source("reassign_activities.csv"), source("competences.yaml"), source("metiers.csv"),
            {s.id for s in sites}, {a.id: a for a in activities},
        )  # fmt: skip
    except (KeyError, AttributeError, TypeError) as exc:
        problems.append(Problem(str(folder), 0, f"missing or misplaced entry: {exc}"))
        raise TerritoryInvalid(problems) from exc
    known = {a.id for a in activities}
    problems.extend(
        Problem("plans.yaml", 0, f"plan {plan.id}: activity {activity!r} is not declared")
        for plan in plans
        for trigger in plan.triggers
        for m in measured(trigger.when)
        for activity in m.args.get("activities", ())
        if activity not in known
    )
    if problems or policy is None or roster is None:
        raise TerritoryInvalid(problems)
    sections: tuple[ref.SectionData, ...] = (
        ref.Communes(communes=tuple(communes)), ref.Sites(sites=tuple(sites)), ref.Activities(poles=tuple(poles), activities=tuple(activities)),
        ref.EscalationPolicy(policy=policy), ref.RosterSection(roster=roster), *((ref.ChannelsSection(rules=channels),) if channels else ()),
        staffing, ref.Plans(plans=tuple(plans)),
    )  # fmt: skip
    content = blake2b(digest_size=8)
    for section in sections:
        content.update(section.model_dump_json().encode())
    return Territory(folder.name, folder, content.hexdigest(), sections)
