"""Lines about statements, questions and declarations to authorities."""

from typing import Final

from services.console.i18n import N_, Translator
from services.console.logbook.facts.base import Fields, LineType, SentenceSource, pick_fields
from services.console.resource_base import to_datetime
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.console.web import times
from services.runtime.log.transaction import FactRecord

_STATEMENT_KINDS = {
    "drafted": "communication",
    "revised": "communication",
    "readdressed": "communication",
    "submitted": "communication",
}
_STATEMENT_SENTENCES = {
    "drafted": N_("Communiqué rédigé, {audience}"),
    "revised": N_("Communiqué repris, {audience}"),
    "readdressed": N_("Public du communiqué changé, désormais {audience}"),
    "submitted": N_("Communiqué soumis à validation, {audience}"),
    "validated": N_("Communiqué validé, {audience}"),
    "refused": N_("Communiqué refusé, {audience}"),
    "published": N_("Communiqué publié, {audience}"),
    "retracted": N_("Communiqué retiré, {audience}"),
}
_OBLIGATION_SENTENCES = {
    "started": N_("Échéance légale : {what}, avant {due}"),
    "reminded": N_("Rappel d’échéance légale : {what}, avant {due}"),
    "overdue": N_("Échéance légale dépassée : {what}, limite {due}"),
    "done": N_("Déclaration faite : {what}"),
    "late": N_("Déclaration faite après la limite : {what}"),
    "dismissed": N_("Échéance légale sans objet : {what}"),
}


def make_statement_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    has_text = change in ("drafted", "revised")
    reason = (r.get("reason") or "").removeprefix("text:")
    return {
        "kind": _STATEMENT_KINDS.get(change, "decision"),
        "change": change,
        "incident": r.get("incident"),
        "report": r.get("report"),
        "text_id": r["text_id"] if has_text else reason or None,
        "values": {"statement": r["id"], "audience": r["audience"], "plain": r.get("plain", False)},
    }


def render_statement(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    audience = w.translate_code(w.AUDIENCE_FOR, v["audience"], _)
    plain = _("{audience}, en facile à lire", audience=audience) if v.get("plain") else audience
    sentence = _STATEMENT_SENTENCES.get(str(record.change), N_("Communiqué modifié, {audience}"))
    return _(sentence, audience=plain)


def make_question_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    is_arrival = change == "received"
    return {
        "kind": "fact" if is_arrival else "communication",
        "change": change,
        "incident": r.get("incident"),
        "occurred_at": min(r["asked_at"], fact.at) if is_arrival else fact.at,
        "text_id": r["text_id"] if is_arrival else r.get("answer_text_id"),
        "values": pick_fields(r, "asker", "statement", question=r["id"]),
    }


def render_question(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    asker = w.translate_code(w.ASKER, record.values["asker"], _)
    if record.change == "received":
        return _("Question reçue, {asker}", asker=asker)
    if record.values.get("statement"):
        return _("Réponse par un communiqué à une question, {asker}", asker=asker)
    return _("Réponse à une question, {asker}", asker=asker)


def make_publication_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    return {
        "kind": "decision",
        "change": change,
        "text_id": (r.get("reason") or "").removeprefix("text:") or None,
        "values": pick_fields(r, "number", page=r["id"]),
    }


def render_publication(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    page = w.translate_code(w.PUBLIC_PAGE, record.values["page"], _)
    if record.change == "retracted":
        return _("{page} retirée", page=page)
    return _("{page} publiée, version {n}", page=page, n=record.values["number"])


def make_obligation_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    is_decision = change in ("done", "dismissed") or r.get("started") is not None
    return {
        "kind": "decision" if is_decision and change not in ("reminded", "overdue") else "alarm",
        "change": change,
        "incident": r.get("incident"),
        "text_id": r.get("text_id"),
        "values": pick_fields(
            r,
            "plan",
            "obligation",
            "role",
            "known_at",
            "due_at",
            "declared_at",
            clock=r["id"],
            late=True if (r.get("declared_at") or 0) > r["due_at"] else None,
        ),
    }


def render_obligation(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    change = "late" if record.change == "done" and v.get("late") else str(record.change)
    return _(
        _OBLIGATION_SENTENCES.get(change, N_("Échéance légale : {what}, avant {due}")),
        what=names.obligation(v["obligation"], _.lang),
        due=_format_limit(v["due_at"], _),
    )


def _format_limit(at: int, _: Translator) -> str:
    """Format a legal limit with its day: it is often on another one."""
    due_at = to_datetime(at)
    return f"{times.day(due_at, _.lang)} {times.hm(due_at)}"


LINES: Final = {
    "StatementChanged": LineType(make_statement_line, render_statement),
    "QuestionChanged": LineType(make_question_line, render_question),
    "PublicationChanged": LineType(make_publication_line, render_publication),
    "ObligationChanged": LineType(make_obligation_line, render_obligation),
}
