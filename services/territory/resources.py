"""Read `moyens.yaml` and `stocks.csv`: kinds of resources, partners and stocks.

Rule D88, resource requests.
"""

from collections.abc import Collection
from typing import Any, Final

from schemas import reference as ref
from services.territory.source import SourceFile, find_line, is_yes, to_plain_value

_KIND_FIELDS: Final = frozenset(
    {
        "nom",
        "pluriel",
        "nom_en",
        "pluriel_en",
        "consommable",
        "par_metier",
        "reservation_min",
        "carburant_l_h",
    }
)
_PRICE_FIELDS: Final = frozenset({"km_eur", "carburant_l_eur", "provisoires"})
_PARTNER_FIELDS: Final = frozenset({"nom", "genres", "delai_min", "cout_unite_eur"})
_ALERT_FIELDS: Final = frozenset({"roles", "relance_vie_min"})


def read_resources(
    kinds: SourceFile,
    stocks: SourceFile,
    sites: Collection[str],
    roles: Collection[str],
    metiers: Collection[str],
) -> ref.ResourceRules | None:
    """Read kinds, partners and stocks; a territory without `moyens.yaml` has no requests."""
    if not kinds.exists():
        if stocks.exists():
            stocks.fault(0, f"a stock has a kind of {kinds.name}, and there is none")
        return None
    doc = kinds.yaml()
    all_kinds = _read_kinds(kinds, doc.get("genres", {}))
    kinds_by_id = {kind.id: kind for kind in all_kinds}
    partners = _read_partners(kinds, doc.get("partenaires", {}), kinds_by_id)
    all_stocks = _read_stocks(stocks, kinds_by_id, sites, metiers) if stocks.exists() else []
    alert = doc.get("alerte", {})
    _check_fields(kinds, doc, "alerte", alert, _ALERT_FIELDS)
    prices = doc.get("prix", {})
    _check_fields(kinds, doc, "prix", prices, _PRICE_FIELDS)
    alert_roles = tuple(to_plain_value(alert.get("roles", [])))
    for role in sorted(set(alert_roles) - set(roles)):
        kinds.fault(find_line(doc, "alerte"), f"alerte: role {role!r} is not declared")
    return kinds.make(
        ref.ResourceRules,
        find_line(doc, "alerte"),
        kinds=all_kinds,
        partners=partners,
        stocks=all_stocks,
        cell_roles=alert_roles,
        remind_min=alert.get("relance_vie_min", 10),
        speed_kmh=doc.get("vitesse_km_h", 25),
        km_eur=prices.get("km_eur"),
        fuel_litre_eur=prices.get("carburant_l_eur"),
        prices_draft=is_yes(prices.get("provisoires", "non")),
    )


def _check_fields(f: SourceFile, node: Any, key: Any, entry: Any, fields: Collection[str]) -> None:
    for field in sorted(set(entry) - set(fields)):
        f.fault(
            find_line(node, key),
            f"{key}: no field {field!r}; there are {', '.join(sorted(fields))}",
        )


def _read_kinds(f: SourceFile, table: Any) -> list[ref.ResourceKind]:
    kinds = []
    for id in table:
        fields = table[id]
        _check_fields(f, table, id, fields, _KIND_FIELDS)
        kind = f.make(
            ref.ResourceKind,
            find_line(table, id),
            id=str(id),
            name=fields["nom"],
            names=fields["pluriel"],
            name_en=fields["nom_en"],
            names_en=fields["pluriel_en"],
            consumable=is_yes(fields.get("consommable", False)),
            by_metier=is_yes(fields.get("par_metier", False)),
            reserved_min=fields.get("reservation_min", 60),
            fuel_litres_per_h=fields.get("carburant_l_h", 0),
        )
        if kind is not None:
            kinds.append(kind)
    if not kinds:
        f.fault(find_line(table), "genres: there is no kind of resource")
    return kinds


def _read_partners(f: SourceFile, table: Any, kinds: Collection[str]) -> list[ref.ResourcePartner]:
    partners = []
    for id in table:
        fields = table[id]
        _check_fields(f, table, id, fields, _PARTNER_FIELDS)
        partner = f.make(
            ref.ResourcePartner,
            find_line(table, id),
            id=str(id),
            name=fields["nom"],
            kinds=to_plain_value(fields["genres"]),
            ready_min=fields["delai_min"],
            unit_cost_eur=fields.get("cout_unite_eur"),
        )
        if partner is None:
            continue
        for kind in sorted(set(partner.kinds) - set(kinds)):
            f.fault(find_line(table, id), f"partner {id}: kind {kind!r} is not declared")
        partners.append(partner)
    return partners


def _read_stocks(
    f: SourceFile,
    kinds: dict[str, ref.ResourceKind],
    sites: Collection[str],
    metiers: Collection[str],
) -> list[ref.Stock]:
    stocks_by_id: dict[str, ref.Stock] = {}
    for n, r in f.rows():
        stock = f.make(
            ref.Stock,
            n,
            id=r["stock"],
            kind=r["genre"],
            name=r["nom"],
            site=r["lieu"],
            quantity=r["quantite"],
            metier=r["metier"] or None,
            ready_min=r["preparation_min"],
            unit_cost_eur=r["cout_unite_eur"] or 0,
        )
        if stock is None:
            continue
        if stock.id in stocks_by_id:
            f.fault(n, f"stock {stock.id!r} stands twice")
        if stock.site not in sites:
            f.fault(n, f"stock {stock.id}: site {stock.site!r} is not in sites.csv")
        _check_kind(f, n, stock, kinds, metiers)
        stocks_by_id[stock.id] = stock
    return list(stocks_by_id.values())


def _check_kind(
    f: SourceFile,
    n: int,
    stock: ref.Stock,
    kinds: dict[str, ref.ResourceKind],
    metiers: Collection[str],
) -> None:
    kind = kinds.get(stock.kind)
    if kind is None:
        f.fault(n, f"stock {stock.id}: kind {stock.kind!r} is not in moyens.yaml")
        return
    if kind.by_metier and stock.metier not in metiers:
        f.fault(n, f"stock {stock.id}: métier {stock.metier!r} is not in metiers.csv")
    if not kind.by_metier and stock.metier is not None:
        f.fault(n, f"stock {stock.id}: only kinds with par_metier have a métier")
