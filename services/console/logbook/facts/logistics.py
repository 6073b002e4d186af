"""Lines about resource requests and stocks. Rule D88."""

from typing import Final

from services.console.i18n import N_, Translator
from services.console.logbook.facts.base import (
    Fields,
    LineType,
    SentenceSource,
    Values,
    get_text_id,
    pick_fields,
)
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.log.transaction import FactRecord

_REQUEST_KINDS = {
    "requested": "decision",
    "offered": "action",
    "committed": "decision",
    "departed": "action",
    "arrived": "fact",
    "released": "action",
    "cancelled": "decision",
    "reminded": "watch",
    "expired": "watch",
    "stopped": "watch",
    "unfilled": "alarm",
    "late": "alarm",
    "return_due": "watch",
}
_REQUEST_SENTENCES = {
    "requested": N_("Demande de moyens n° {number} ({priority}) : {what} pour {site}"),
    "reminded": N_("Demande n° {number} toujours sans promesse : {what} pour {site}"),
    "offered": N_("Demande n° {number}, offre de {giver} : {what} pour {site}, réservé"),
    "expired": N_("Demande n° {number} : réservation échue, {what} pour {site}"),
    "stopped": N_(
        "Demande n° {number} : offre retirée, son lieu est sous consigne, {what} pour {site}"
    ),
    "committed": N_("Demande n° {number}, promis par {giver} : {what} pour {site}"),
    "departed": N_("Demande n° {number} : {what} en route vers {site}"),
    "late": N_("Demande n° {number} en retard : {what} attendu à {site}"),
    "arrived": N_("Demande n° {number} : {what} sur place, {site}"),
    "released": N_("Demande n° {number} : {what} rendu par {site}"),
    "cancelled": N_("Demande n° {number} annulée : {what} pour {site}"),
    "unfilled": N_("Demande n° {number} non satisfaite à l’heure dite : {what} pour {site}"),
    "return_due": N_("Demande n° {number} : {what} à reprendre à {site}"),
}
_REQUEST_CHANGED = N_("Demande de moyens n° {number} : {what} pour {site}")
_SEVERAL_GIVERS = N_("plusieurs détenteurs")


def make_request_line(fact: FactRecord) -> Fields:
    r, change = fact.data["row"], fact.data["change"]
    offers: list[Fields] = list(r.get("offers") or ())
    last: Fields = offers[-1] if change == "offered" and offers else {}
    promised_offers = (
        [o for o in offers if o["state"] == "committed"] if change == "committed" else []
    )
    text = r.get("text_id") if change == "requested" else get_text_id(r.get("reason"))
    return {
        "kind": _REQUEST_KINDS.get(change, "fact"),
        "change": change,
        "site": r["site"],
        "incident": r.get("incident"),
        "text_id": text if change in ("requested", "cancelled") else None,
        "values": pick_fields(
            r,
            "number",
            "kind",
            "metier",
            "priority",
            request=r["id"],
            quantity=last.get("quantity") or r.get("committed") or r["quantity"],
            stock=last.get("stock") or _get_only(promised_offers, "stock"),
            partner=last.get("partner") or _get_only(promised_offers, "partner"),
            eta_at=last.get("eta_at") or r.get("eta_at"),
        ),
    }


def _get_only(offers: list[Fields], name: str) -> str | None:
    """Return a field of the offer if there is just one."""
    return str(offers[0][name]) if len(offers) == 1 and offers[0].get(name) else None


def render_request(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    metier = v.get("metier")
    what = f"{w.format_number(v['quantity'], _.lang)} " + (
        names.resource(str(v["kind"]), int(v["quantity"]), _.lang)
    )
    if metier is not None:
        what = f"{what} ({names.metier(str(metier), _.lang)})"
    return _(
        _REQUEST_SENTENCES.get(str(record.change), _REQUEST_CHANGED),
        number=v["number"],
        what=what,
        site=names.site(record.site or ""),
        priority=w.translate_code(w.REQUEST_PRIORITY, v.get("priority"), _),
        giver=_name_giver(v, names, _),
    )


def _name_giver(values: Values, names: TerritoryNames, _: Translator) -> str:
    stock, partner = values.get("stock"), values.get("partner")
    if stock is None and partner is None:
        return _(_SEVERAL_GIVERS)
    return names.giver(stock, partner)


def make_stock_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    if change != "counted":  # the request that reserves or returns has a line
        return None
    quantity = max(r["listed"] + r.get("adjusted", 0), 0)
    return {
        "kind": "action",
        "change": change,
        "site": r["site"],
        "values": {"stock": r["id"], "kind": r["kind"], "quantity": quantity},
    }


def render_stock(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    return _(
        "Stock compté, {stock} : {n} {what}",
        stock=names.giver(str(v["stock"]), None),
        n=w.format_number(v["quantity"], _.lang),
        what=names.resource(str(v["kind"]), int(v["quantity"]), _.lang),
    )


LINES: Final = {
    "ResourceRequestChanged": LineType(make_request_line, render_request),
    "StockChanged": LineType(make_stock_line, render_stock),
}
