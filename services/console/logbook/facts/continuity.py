"""Lines about activities, alarms, fallback strategies, plans, situation reports."""

from collections.abc import Mapping
from typing import Any, Final

from services.console.i18n import N_, Translator
from services.console.logbook.facts.base import (
    Fields,
    LineType,
    SentenceSource,
    drop_missing,
    format_local_time,
    format_place,
    get_text_id,
    has_site,
    join_place,
    pick_fields,
)
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames, name_strategy
from services.runtime.log.transaction import FactRecord

_PLAN_KINDS = {
    "proposed": "watch",
    "raised": "watch",
    "returned": "watch",
    "lapsed": "watch",
    "stand_down_proposed": "watch",
    "released": "watch",
    "held": "watch",
    "recovering": "fact",
    "resumed": "fact",
    "moved": "fact",
    "box": "action",
    "card": "action",
    "cards_opened": "action",
}
_PLAN_SENTENCES = {
    "proposed": N_("{plan} proposé"),
    "returned": N_("{plan} proposé à nouveau"),
    "lapsed": N_("{plan} : proposition différée caduque, la condition ne tient plus"),
    "raised": N_("{plan} proposé au niveau {level}"),
    "activated": N_("{plan} activé"),
    "refused": N_("{plan} refusé"),
    "postponed": N_("{plan} différé"),
    "stand_down_proposed": N_("{plan} : levée proposée"),
    "stood_down": N_("{plan} levé"),
    "retex_closed": N_("{plan} : RETEX clos"),
    "dropped": N_("{plan} levé : les nouvelles données de référence ne l’ont plus"),
    "trigger": N_("{plan} : condition réévaluée"),
    "released": N_("{plan} : la condition ne tient plus"),
    "held": N_("{plan} : la condition tient"),
    "resumed": N_("{plan} : la condition de levée ne tient plus"),
    "moved": N_("{plan} : les fiches suivent le nouveau jour annoncé"),
}
_SITE_CARD_CHANGES: Final = frozenset(("started", "completed", "skipped", "photo"))


def make_activity_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "impact",
        "change": r["state"],
        "incident": r.get("incident"),
        "values": {
            "activity": r["id"],
            "state": r["state"],
            "capacity_pct": r["capacity_pct"],
            "mbco_pct": r["mbco_pct"],
        },
    }


def render_activity(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    state = w.translate_code(w.ACTIVITY_STATE, v["state"], _).lower()
    capacity, minimum = (
        w.format_number(v["capacity_pct"], _.lang),
        w.format_number(v["mbco_pct"], _.lang),
    )
    return _(
        "{id} {state} : capacité {pct} %, minimum {min} %",
        id=names.activity_label(str(v["activity"]), _.lang),
        state=state,
        pct=capacity,
        min=minimum,
    )


def make_declared_activity_line(fact: FactRecord) -> Fields:
    d = fact.data
    return {
        "kind": "decision",
        "change": d["state"] or "withdrawn",
        "occurred_at": d["occurred_at"],
        "text_id": get_text_id(d.get("reason")),
        "values": {"activity": d["activity"]},
    }


def render_declared_activity(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    activity = names.activity_label(str(record.values["activity"]), _.lang)
    if record.change == "withdrawn":
        return _("{id} : état déclaré retiré, l’état calculé compte de nouveau", id=activity)
    return _(
        "{id} déclarée « {state} »",
        id=activity,
        state=w.translate_code(w.ACTIVITY_STATE, record.change, _).lower(),
    )


def make_alarm_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "alarm",
        "change": "alarm",
        "site": r.get("site"),
        "incident": r.get("incident"),
        "values": {
            "activity": r["activity"],
            "base": r["base"],
            "pct": r["pct"],
            "limit_at": r["limit_at"],
        },
    }


def render_alarm(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    activity = names.activity_label(str(v["activity"]), _.lang)
    where = f"{activity}, {names.site(record.site)}" if record.site else activity
    if v["base"] == "rto":
        return _("{where} : RTO consommé à {pct} %", where=where, pct=v["pct"])
    if v["base"] == "pdma":
        return _(
            "{where} : données plus anciennes que la PDMA ({pct} %)", where=where, pct=v["pct"]
        )
    return _("{where} : DMIA consommée à {pct} %", where=where, pct=v["pct"])


def make_arbitration_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "decision",
        "change": "arbitrated",
        "site": r.get("site"),
        "incident": r.get("incident"),
        "text_id": get_text_id(r.get("reason")),
        "values": {"activity": r["activity"], "base": r["base"], "pct": r["pct"]},
    }


def render_arbitration(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    activity = names.activity_label(str(record.values["activity"]), _.lang)
    return _("{activity} : arbitrage sur le RTO consommé", activity=activity)


def make_strategy_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    is_loss = str(r.get("ended_by")).startswith(
        "system:"
    )  # the fallback site was lost; no person decided it
    return {
        "kind": "fact" if is_loss else "decision",
        "change": "lost" if is_loss else r["state"],
        "occurred_at": r.get("ended_at") or r["started_at"],
        "site": r.get("site"),
        "text_id": get_text_id(r.get("reason")),
        "values": {
            "activity": r["activity"],
            "strategy": r["strategy"],
            "capacity_pct": r["expected_capacity_pct"],
        },
    }


def render_strategy(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    activity = names.activity_label(str(v["activity"]), _.lang)
    what = {"activity": activity, "strategy": name_strategy(v["strategy"], _)}
    if record.change == "ended":
        return _("{activity} : fin de « {strategy} »", **what)
    if record.change == "lost":
        return _(
            "{activity} : fin de « {strategy} », site de repli perdu ({site})",
            site=format_place(record, names),
            **what,
        )
    return _(
        "{activity} : {strategy}, {pct} % attendus",
        pct=w.format_number(v["capacity_pct"], _.lang),
        **what,
    )


def make_plan_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    if change in ("listed", "cards_settled"):  # nothing happened, or site cards say it
        return None
    cards = r.get("cards") or ()
    card: Mapping[str, Any] = next(
        (c for c in cards if fact.at in (c.get("at"), _get_photo_time(c))), {}
    )
    level = r["level"] if change != "raised" else max(r["level"], r.get("proposed_level") or 0)
    return {
        "kind": _PLAN_KINDS.get(change, "decision"),
        "change": change,
        "incident": r.get("incident"),
        "text_id": get_text_id(card.get("reason")),
        "values": drop_missing(
            {
                "plan": r["id"],
                "level": level,
                "state": r["state"],
                "card": card.get("id"),
                "card_state": card.get("state"),
                "channel": card.get("channel") if card.get("at") == fact.at else None,
                "photo": (card.get("proof") or {}).get("photo"),
                "cards": sum(c.get("sites") or 0 for c in cards)
                if change == "cards_opened"
                else None,
                "ticked": any(box.get("at") == fact.at for box in r.get("boxes") or ())
                if change == "box"
                else None,
            }
        ),
    }


def render_plan(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    id = str(v["plan"])
    plan = names.plan_label(id, _)
    if record.change == "box":
        return (
            _("{plan} : condition de levée cochée", plan=plan)
            if v.get("ticked")
            else _("{plan} : condition de levée décochée", plan=plan)
        )
    if record.change == "cards_opened":
        return _.plural(
            "{plan} : {n} fiche ouverte, à un site ou à une fonction",
            "{plan} : {n} fiches ouvertes, une par site ou par fonction",
            int(v.get("cards") or 0),
            plan=plan,
        )
    if record.change != "card":
        return (
            _(_PLAN_SENTENCES[record.change], plan=plan, level=v["level"])
            if record.change in _PLAN_SENTENCES
            else join_place(plan, w.translate_code(w.PLAN_STATE, v["state"], _), _)
        )
    tasks = {c.id: c.task for c in names.plans[id].cards} if id in names.plans else {}
    card = v.get("card")
    if card is None:
        return _("{plan} : fiche en retard", plan=plan)
    state = w.translate_code(w.CARD_STATE, v.get("card_state"), _)
    task = tasks.get(card, card)
    return _complete_sentence(
        _("{plan}, fiche {state} : {task}", plan=plan, state=state, task=task), v, _
    )


def _complete_sentence(sentence: str, v: Mapping[str, Any], _: Translator) -> str:
    """Add the photo, and the channel by which a person answered if it was none of the pages."""
    if v.get("photo") is not None:
        sentence = _("{sentence}, photo jointe", sentence=sentence)
    if v.get("channel") is None:
        return sentence
    name = w.translate_code(w.CHANNEL, str(v["channel"]), _)
    return _("{sentence} (par {channel})", sentence=sentence, channel=name)


def _get_photo_time(card: Mapping[str, Any]) -> int | None:
    """Return when the photo of a card followed its completion."""
    time: int | None = (card.get("proof") or {}).get("photo_at")
    return time


def make_site_card_line(fact: FactRecord) -> Fields | None:
    """Write a line for each decision of a person about a site's card; opening has one for all."""
    r, change = fact.data["row"], fact.data["change"]
    if change not in _SITE_CARD_CHANGES:
        return None
    return {
        "kind": "action",
        "change": change,
        "site": r.get("site"),
        "text_id": get_text_id(r.get("reason")),
        "values": pick_fields(
            r,
            "plan",
            "card",
            channel=None if change == "photo" else r.get("channel"),
            card_state=r["state"],
            number=(r.get("proof") or {}).get("number"),
            of=(r.get("proof") or {}).get("of"),
            photo=(r.get("proof") or {}).get("photo"),
        ),
    }


def render_site_card(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    id, card = str(v["plan"]), str(v["card"])
    plan = names.plan_label(id, _)
    tasks = {c.id: c.task for c in names.plans[id].cards} if id in names.plans else {}
    state = w.translate_code(w.CARD_STATE, str(v.get("card_state")), _)
    sentence = _(
        "{plan}, fiche {state} : {task}", plan=plan, state=state, task=tasks.get(card, card)
    )
    sentence = _complete_sentence(sentence, v, _)
    number, of = (
        None if value is None else w.format_number(float(value), _.lang)
        for value in (v.get("number"), v.get("of"))
    )
    if number is None:
        return sentence
    counted = number if of is None else _("{n} sur {of}", n=number, of=of)
    return f"{sentence} ({counted})"


def make_sitrep_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "communication",
        "change": "issued",
        "incident": next(iter(r.get("incidents") or ()), None),
        "values": {"number": r["number"], "as_of": r["as_of"], "sha256": r["sha256"]},
    }


def render_sitrep(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    return _("Point de situation n° {number} validé", number=record.values["number"])


def make_improvement_line(fact: FactRecord) -> Fields:
    r = fact.data["row"]
    return {
        "kind": "decision",
        "change": r["state"],
        "incident": r.get("incident"),
        "text_id": get_text_id(r.get("reason")) if r["state"] == "dropped" else r["text_id"],
        "values": pick_fields(r, "owner", "due_at", "opened_at", improvement=r["id"]),
    }


def render_improvement(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    owner = w.name_role(str(record.values["owner"]), None, names, _)
    match record.change:
        case "done":
            return _("Action d’amélioration faite ({owner})", owner=owner)
        case "dropped":
            if "opened_at" not in record.values:  # recorded by an earlier version
                return _("Action d’amélioration abandonnée ({owner})", owner=owner)
            return _(
                "Action d’amélioration décidée le {at}, abandonnée ({owner})",
                at=format_local_time(record.values["opened_at"]),
                owner=owner,
            )
        case _:
            return _("Action d’amélioration décidée ({owner})", owner=owner)


LINES: Final = {
    "ActivityChanged": LineType(make_activity_line, render_activity),
    "ActivityDeclared": LineType(make_declared_activity_line, render_declared_activity),
    "AlarmRaised": LineType(make_alarm_line, render_alarm, has_site),
    "AlarmArbitrated": LineType(make_arbitration_line, render_arbitration),
    "StrategyChanged": LineType(make_strategy_line, render_strategy),
    "PlanChanged": LineType(make_plan_line, render_plan),
    "SiteCardChanged": LineType(make_site_card_line, render_site_card, has_site),
    "SitrepIssued": LineType(make_sitrep_line, render_sitrep),
    "ImprovementChanged": LineType(make_improvement_line, render_improvement),
}
