"""Read levels, escalations, calendars and time limits of `escalade.yaml`, and `canaux.yaml`."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from holidays import country_holidays

from schemas import reference as ref
from services.territory.checks import check_policy, check_predicates
from services.territory.source import (
    CHANNELS,
    SourceFile,
    convert_predicate,
    find_line,
    is_yes,
    parse_clock,
    to_plain_value,
)

TO_FILL_IN: Final = "À COMPLÉTER"
"""Mark of a text that the département still has to write."""
_AMBIGUITY_RULES = {"au_moins_une_fois": "at_least_once", "au_plus_une_fois": "at_most_once"}


def read_channel_rules(f: SourceFile) -> ref.ChannelRules | None:
    """Read `canaux.yaml`; a territory without it uses the product's own values."""
    if not f.exists():
        return None
    doc, rules = f.yaml(), []
    for name, settings in doc.get("canaux", {}).items():
        hours = settings.get("heures_information")
        rule = f.make(
            ref.ChannelRule,
            find_line(doc["canaux"], name),
            channel=CHANNELS.get(name, name),
            per_minute=settings["par_minute"],
            burst=settings["rafale"],
            cost_cents=settings["cout_centimes"],
            doubt=_AMBIGUITY_RULES.get(settings["doute"], settings["doute"]),
            limit_s=settings["limite_s"],
            grace_s=settings["grace_s"],
            receipt_s=settings.get("recu_s"),
            tries=settings["essais"],
            information_hours=hours
            and {
                "from_min": parse_clock(hours["de"]),
                "to_min": parse_clock(hours["a"]),
                "sundays": is_yes(hours["dimanche"]),
            },
        )
        if rule is not None:
            rules.append(rule)
    return f.make(
        ref.ChannelRules,
        1,
        channels=rules,
        digest_min=doc.get("regroupement_min", 10),
        prices_draft=is_yes(doc.get("prix_provisoires", "non")),
    )


def _names(wave: Any) -> list[str]:
    """Return the roles that a step names, with or without a condition."""
    return [str(who["role"]) if isinstance(who, dict) else str(who) for who in wave["qui"]]


def _conditions(wave: Any) -> dict[str, str | None]:
    """Return the flag behind each condition of a step; None for another condition."""
    return {
        str(who["role"]): _flag_of(to_plain_value(who["si"]))
        for who in wave["qui"]
        if isinstance(who, dict) and "si" in who
    }


def _flag_of(condition: Any) -> str | None:
    name = condition.get("name") if isinstance(condition, dict) else None
    return (
        name if condition == {"metric": "flag", "name": name, "op": "==", "value": True} else None
    )


def _read_step(w: Any) -> dict[str, Any]:
    only_if = {role: flag for role, flag in _conditions(w).items() if flag is not None}
    return {
        "wave": w["vague"],
        "after_min": w["apres_min"],
        "who": _names(w),
        "only_if": only_if,
        "channels": [CHANNELS.get(c, c) for c in w["canaux"]],
        "ack_min": w["accuse_min"],
        "expected": w["reponses_attendues"],
    }


def _read_surcharge(s: Any) -> dict[str, Any]:
    when = to_plain_value(s["quand"])
    return {
        "activity": s["activite"],
        "dmia_h": s["dmia_h"],
        "rto_h": s.get("rto_h"),
        "days_of_month": when.get("jours_du_mois", ()),
        "working_days_before_month_end": when.get("jours_ouvres_avant_fin_de_mois"),
        "cause": when.get("cause"),
        "scope": when.get("portee"),
        "flag": when.get("flag"),
    }


def _read_inhibition(i: Any) -> dict[str, Any]:
    return {
        "cause": i["cause"],
        "consequences": to_plain_value(i["consequences"]),
        "before_min": i["avant_min"],
        "within_h": i["dans_h"],
        "except_kinds": to_plain_value(i.get("sauf_genres", [])),
    }


def _rename_channels(table: Any) -> dict[str, Any]:
    return {CHANNELS.get(name, name): value for name, value in to_plain_value(table or {}).items()}


def _read_readiness(doc: Any) -> dict[str, Any] | None:
    proof = doc.get("astreintes_preuve")
    return proof and {
        "horizon_days": proof["horizon_jours"],
        "roles": to_plain_value(proof["roles"]),
        "report_min": parse_clock(proof["rapport_quotidien"]),
        "alert_before_h": proof["alerte_trou_avant_h"],
        "alert_to": to_plain_value(proof["alerter"]["territoire"]),
        "alert_to_scoped": to_plain_value(proof["alerter"]["pole_ou_site"]),
        "proof_days": proof["preuve_jours"],
        "channels_min": proof["canaux_min"],
        "answer_min": _rename_channels(proof["reponse_min"]),
        "rate_per_min": _rename_channels(proof.get("debit_par_min")),
        "drill_day": proof.get("essai_mensuel"),
    }


def _read_working_time(doc: Any) -> dict[str, Any] | None:
    limits = doc.get("temps_travail")
    return limits and {
        "day_h": limits["heures_jour_max"],
        "week_h": limits["heures_semaine_max"],
        "daily_rest_h": limits["repos_quotidien_h"],
        "weekly_rest_h": limits["repos_hebdo_h"],
        "standby_roles": to_plain_value(limits.get("a_domicile", [])),
        "call_out_h": limits.get("intervention_h", 1),
        "cell_shift_h": limits.get("releve_cellule_h", 10),
        "warn_before_min": limits.get("alerte_avant_min", 60),
    }


def _read_vigilance_digest(doc: Any) -> dict[str, Any] | None:
    digest = doc.get("vigilance_jaune")
    return digest and {
        "at_min": parse_clock(digest["heure"]),
        "to": to_plain_value(digest["vers"]),
        "channels": [CHANNELS.get(c, c) for c in digest["canaux"]],
    }


def _read_weekdays(node: Any) -> list[int]:
    """Return ISO weekdays from a list or `tous`."""
    return list(range(1, 8)) if node == "tous" else to_plain_value(node)


def _read_holidays(f: SourceFile, node: Any) -> list[str]:
    """Return ISO days from a list or from `{pays: FR, annees: [2027]}`, the law of a country."""
    if not isinstance(node, dict):
        return [str(day) for day in to_plain_value(node)]
    try:
        public_days = country_holidays(
            str(node["pays"]),
            subdiv=node.get("subdivision"),
            years=[int(y) for y in node["annees"]],
        )
    except (NotImplementedError, KeyError, TypeError, ValueError) as exc:
        f.fault(find_line(node), f"public holidays cannot be worked out: {exc}")
        return []
    return [day.isoformat() for day in sorted(public_days)]


def _read_school_holidays(f: SourceFile, node: Any, zone_file: SourceFile) -> list[tuple[str, str]]:
    """Return ISO spans, both days included, from a list or `{zone: C}` of the holiday file."""
    if not isinstance(node, dict):
        spans = [tuple(map(str, span)) for span in to_plain_value(node) if isinstance(span, list)]
        if wrong := [span for span in spans if len(span) != 2]:
            f.fault(
                find_line(node), f"school holidays are pairs of days, not {', '.join(wrong[0])}"
            )
        return [(span[0], span[1]) for span in spans if len(span) == 2]
    mine = [(r["from"], r["to"]) for _, r in zone_file.rows() if r["zone"] == str(node.get("zone"))]
    if not mine:
        f.fault(find_line(node), f"{zone_file.name} has no holidays of zone {node.get('zone')!r}")
    return mine


def _check_steps(f: SourceFile, doc: Any, names: set[str]) -> None:
    """Name steps that call nobody, come out of order, or have a condition that cannot be read."""
    for name, waves in doc.get("vagues", {}).items():
        for k, wave in enumerate(waves):
            for role, flag in _conditions(wave).items():
                if flag is None:
                    form = 'si: {metric: flag, name: …, op: "==", value: true}'
                    f.fault(
                        find_line(waves, k),
                        f"ladder {name}, wave {wave['vague']}: {role} takes {form}",
                    )
            for who in _names(wave):
                if who not in names:
                    f.fault(
                        find_line(waves, k),
                        f"ladder {name}, wave {wave['vague']}: {who!r} is neither a role nor a group",
                    )
            if k and wave["apres_min"] <= waves[k - 1]["apres_min"]:
                f.fault(
                    find_line(waves, k),
                    f"ladder {name}, wave {wave['vague']}: does not come after the wave before it",
                )


def read_policy(
    f: SourceFile,
    doc: Any,
    spared_systems: list[str],
    activities: set[str],
    sites: Mapping[str, str],
    school: SourceFile,
) -> ref.Escalation | None:
    """Read the policy; `sites` gives the kind of each site."""
    groups = {
        name: tuple(to_plain_value(who)) if not isinstance(who, str) else ()
        for name, who in doc.get("groupes", {}).items()
    }
    roles = {r["id"]: str(r["libelle"]) for r in doc.get("roles", [])}
    _check_steps(f, doc, {*roles, *groups})
    calendars = doc.get("calendriers", {})
    for activity, calendar in doc.get("calendrier_par_activite", {}).items():
        if activity not in activities:
            f.fault(
                find_line(doc["calendrier_par_activite"], activity),
                f"calendar of {activity!r}: no such activity",
            )
        if calendar not in calendars:
            f.fault(
                find_line(doc["calendrier_par_activite"], activity),
                f"calendar {calendar!r} is not declared",
            )
    for k, activity in enumerate(doc.get("horloges_locales", [])):
        if activity not in activities:
            f.fault(
                find_line(doc["horloges_locales"], k),
                f"local clock of {activity!r}: no such activity",
            )
    for kind in sorted({*to_plain_value(doc.get("fermeture_ordinaire", []))} - {*sites.values()}):
        f.fault(
            find_line(doc, "fermeture_ordinaire"), f"ordinary closures: no site is of kind {kind!r}"
        )
    quiet, repeat = doc["heures_silence"], doc["apres_derniere_vague"]
    policy = f.make(
        ref.Escalation,
        1,
        levels=[
            {
                "level": n["niveau"],
                "name": n["nom"],
                "pilots": to_plain_value(n["pilotes"]),
                "sitrep_every_min": n["rythme_point_situation_min"],
                "text": str(n["texte"]),
                "when": convert_predicate(n["quand"]),
                "propose_when": convert_predicate(n.get("proposer_quand")),
                "staffing": _read_staffing(f, n, roles, calendars),
            }
            for n in doc["niveaux"]
        ],
        authorities=to_plain_value(doc["autorites"]),
        roles=roles,
        groups=groups,
        never_skipped=to_plain_value(doc["jamais_sautes"]),
        ladders={name: [_read_step(w) for w in waves] for name, waves in doc["vagues"].items()},
        repeat={
            "from_wave": repeat["reprendre_vague"],
            "after_min": repeat["apres_min"],
            "times": repeat["fois"],
        },
        quiet_from=quiet["de"],
        quiet_to=quiet["a"],
        quiet_levels=to_plain_value(quiet["niveaux_concernes"]),
        quiet_days=_read_weekdays(quiet.get("jours", "tous")),
        budget_per_hour=doc["budget_messages"]["par_personne_par_heure"],
        alarms=[
            {
                "base": a["base"],
                "pct": a["pct"],
                "to": to_plain_value(a["vers"]),
                "effect": a.get("effet"),
                "criticality": to_plain_value(a.get("criticite", [])),
            }
            for a in doc["alarmes_rto"]
        ],
        calendars=[
            {
                "id": name,
                "weekdays": to_plain_value(c["jours"]),
                "open_min": parse_clock(c["de"]),
                "close_min": parse_clock(c["a"]),
                "closed_on_holidays": c["feries"] == "fermes",
                "closed_in_school_holidays": c.get("vacances_scolaires") == "fermees",
            }
            for name, c in calendars.items()
        ],
        holidays=_read_holidays(f, doc["jours_feries"]),
        school_holidays=_read_school_holidays(f, doc["vacances_scolaires"], school),
        calendar_of_activity=to_plain_value(doc["calendrier_par_activite"]),
        local_clocks=to_plain_value(doc["horloges_locales"]),
        served_places=to_plain_value(doc["lieux_servis"]),
        closure_without_loss=to_plain_value(doc["fermeture_sans_perte"]),
        ordinary_closures=to_plain_value(doc.get("fermeture_ordinaire", [])),
        unknown_after_min=to_plain_value(doc["site_inconnu_apres_min"]),
        task_due_min=to_plain_value(doc.get("taches_delai_min", {})),
        surcharges=[_read_surcharge(s) for s in doc["surcharges_dmia"]],
        systems_spared=spared_systems,
        headcount_close_pct=doc["compte_agents"]["cloture_pct"],
        headcount_reminders_min=to_plain_value(doc["compte_agents"]["relances_min"]),
        retex_hot_h=doc["retex"]["chaud_h"],
        retex_cold_d=doc["retex"]["froid_j"],
        headcount_manager_min=doc["compte_agents"].get("passage_appel_manager_min", 30),
        inhibitions=[_read_inhibition(i) for i in doc.get("inhibitions", [])],
        role_by_nature=to_plain_value(doc.get("qui_par_nature", {})),
        vigilance_digest=_read_vigilance_digest(doc),
        readiness=_read_readiness(doc),
        working_time=_read_working_time(doc),
        **_read_reassignment(doc),
        asks=_read_requests(f, doc, roles),
        reach=_read_contact_points(f, doc, sites),
        stale_answer={"after_min": to_plain_value(doc["accuse_perime"]["apres_min"])}
        if "accuse_perime" in doc
        else None,
    )
    if policy is not None:
        check_policy(f, doc, policy, activities)
        for k, rule in enumerate(policy.levels):
            check_predicates(
                f,
                find_line(doc["niveaux"], k),
                f"level {rule.level}",
                (rule.when, rule.propose_when),
                activities,
            )
    return policy


def _read_staffing(
    f: SourceFile, level: Any, roles: Collection[str], calendars: Collection[str]
) -> dict[str, Any] | None:
    """Read the functions of the crisis cell at a level and the time to fill them; None: no cell."""
    functions, objective = level.get("fonctions_cellule"), level.get("armement_min")
    if functions is None and objective is None:
        return None
    line = find_line(level, "armement_min" if functions is None else "fonctions_cellule")
    if functions is None or objective is None:
        f.fault(line, f"level {level['niveau']}: fonctions_cellule and armement_min go together")
        return None
    for role in sorted({*functions} - {*roles}):
        f.fault(line, f"level {level['niveau']}: no such role {role!r} in fonctions_cellule")
    calendar = objective.get("calendrier")
    if calendar is not None and calendar not in calendars:
        f.fault(line, f"level {level['niveau']}: calendar {calendar!r} is not declared")
    return {
        "roles": to_plain_value(functions),
        "working_min": objective["heures_ouvrees"],
        "off_min": objective["heures_non_ouvrees"],
        "calendar": calendar,
    }


def _read_requests(f: SourceFile, doc: Any, roles: Collection[str]) -> list[dict[str, Any]]:
    """Read the requests of calls by level and role."""
    rows = doc.get("demandes", [])
    for k, row in enumerate(rows):
        if row["role"] != "*" and row["role"] not in roles:
            f.fault(
                find_line(rows, k),
                f"request at level {row['niveau']}: no such role {row['role']!r}",
            )
    return [
        {"level": row["niveau"], "role": row["role"], "text": row["fr"], "text_en": row.get("en")}
        for row in rows
    ]


def _read_contact_points(f: SourceFile, doc: Any, sites: Collection[str]) -> dict[str, Any]:
    """Read the contact points of the crisis cell, without those that are not filled in."""
    contact_fields = doc.get("joindre", {})
    bridges = {
        level: _read_text_or_none(text) for level, text in contact_fields.get("ponts", {}).items()
    }
    return {
        "cell_phone": _read_text_or_none(contact_fields.get("telephone_cellule")),
        **_read_meeting_points(f, contact_fields, sites),
        "bridges": {level: text for level, text in bridges.items() if text is not None},
    }


def _read_meeting_points(
    f: SourceFile, contact_fields: Any, sites: Collection[str]
) -> dict[str, Any]:
    """Read the places where the cell meets: one text, or a list of texts and of sites by name."""
    places = contact_fields.get("lieu")
    if not isinstance(places, list):
        return {"meeting_point": _read_text_or_none(places)}
    points = []
    for k, place in enumerate(places):
        fields = place if isinstance(place, dict) else {"nom": place}
        name, site = _read_text_or_none(fields.get("nom")), fields.get("site")
        if site is not None and site not in sites:
            f.fault(find_line(places, k), f"meeting point: no such site {str(site)!r}")
        if unknown_keys := fields.keys() - {"nom", "site"}:
            f.fault(find_line(places, k), f"meeting point: unknown {', '.join(unknown_keys)}")
        if name is not None:
            points.append({"name": name, "site": site})
        elif "nom" not in fields:
            f.fault(find_line(places, k), "meeting point: `nom` is missing")
    return {"meeting_points": points}


def _read_text_or_none(text: Any) -> str | None:
    """Return a text, or None for a mark that waits to be filled in."""
    clean_text = str(text or "").strip()
    return None if not clean_text or clean_text.upper() == TO_FILL_IN else clean_text


def _read_reassignment(doc: Any) -> dict[str, Any]:
    """Read the settings of reassignment; without the section, the model's defaults hold."""
    if (section := doc.get("reaffectation")) is None:
        return {}
    names = {
        "decide": "decides",
        "prevenir": "told",
        "attente_min": "settle_min",
        "au_plus_toutes_min": "every_min",
        "ensuite_toutes_min": "every_min_later",
        "cout_agent_jour_eur": "agent_day_eur",
        "cout_provisoire": "agent_day_draft",
        "horaires": "work_calendar",
        "installation_min": "setup_min",
        "domicile_min": "home_min",
        "comptage_min": "count_within_min",
    }
    return {
        "reassignment": {
            names[key]: is_yes(value) if key == "cout_provisoire" else to_plain_value(value)
            for key, value in section.items()
        }
    }
