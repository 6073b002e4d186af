"""Read staff, reassignment rules and substitutions."""

from schemas import reference as ref
from services.territory.source import SourceFile, find_line, split_list


def read_staffing(
    staff: SourceFile,
    rules: SourceFile,
    skills: SourceFile,
    metier_names: SourceFile,
    sites: set[str],
    activities: dict[str, ref.Activity],
) -> ref.Staffing:
    """Read cells, rules and substitutions; note each id that other files do not declare."""
    cells: dict[tuple[str, str, str], ref.StaffCell] = {}
    for n, r in staff.rows():
        cell = staff.make(
            ref.StaffCell,
            n,
            site=r["site_id"],
            activity=r["activity"],
            metier=r["metier"],
            staff=r["staff"],
            minimum=r["minimum_j1"],
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
            staff.fault(
                n, f"cell {' '.join(key)}: minimum {cell.minimum} exceeds staff {cell.staff}"
            )
        cells[key] = cell
    rules_by_id: dict[str, ref.ReassignmentRule] = {}
    for n, r in rules.rows():
        rule = rules.make(
            ref.ReassignmentRule,
            n,
            activity=r["activity"],
            pole=r["pole"],
            criticality=r["criticality"],
            rto_h=r["rto_h"],
            site_bound=r["site_bound"],
            needs_desk=r["needs_desk"],
            tele_pct=r["tele_pct"],
            release_pct=r["release_pct"],
            home_kinds=split_list(r["home_kinds"]),
            host_kinds=split_list(r["host_kinds"]),
        )
        if rule is None:
            continue
        activity_record = activities.get(rule.activity)
        if activity_record is not None:
            rule = rule.model_copy(update={"vulnerable_public": activity_record.vulnerable_public})
        if activity_record is None or (activity_record.pole, activity_record.criticality) != (
            rule.pole,
            rule.criticality,
        ):
            rules.fault(
                n,
                f"activity {rule.activity!r} with this pôle and criticality is not in activities.yaml",
            )
        rules_by_id[rule.activity] = rule
    for activity in sorted({c.activity for c in cells.values()} - set(rules_by_id)):
        staff.fault(0, f"activity {activity!r} has staff and no line in {rules.name}")
    substitutions, metiers = _read_substitutions(skills), _read_metiers(metier_names)
    names = {m.id for m in metiers}
    for metier in sorted({c.metier for c in cells.values()} - names):
        staff.fault(0, f"métier {metier!r} has staff and no name in {metier_names.name}")
    for metier in sorted({m for s in substitutions for m in (s.metier, s.by)} - names):
        skills.fault(0, f"métier {metier!r} has no name in {metier_names.name}")
    return ref.Staffing(
        cells=tuple(cells[k] for k in sorted(cells)),
        rules=tuple(rules_by_id[k] for k in sorted(rules_by_id)),
        substitutions=substitutions,
        metiers=metiers,
    )


def _read_metiers(f: SourceFile) -> tuple[ref.Metier, ...]:
    metiers_by_id: dict[str, ref.Metier] = {}
    for n, r in f.rows():
        metier = f.make(ref.Metier, n, id=r["metier"], name=r["name"], name_en=r["name_en"])
        if metier is None:
            continue
        if metier.id in metiers_by_id:
            f.fault(n, f"métier {metier.id!r} stands twice")
        metiers_by_id[metier.id] = metier
    return tuple(metiers_by_id[k] for k in sorted(metiers_by_id))


def _read_substitutions(f: SourceFile) -> tuple[ref.Substitution, ...]:
    table = f.yaml().get("substitution", {})
    substitution = (
        f.make(
            ref.Substitution,
            find_line(table[metier], k),
            metier=metier,
            by=line["par"],
            tenths=round(line["penalite"] * 10),
            condition=line.get("condition"),
        )
        for metier in table
        for k, line in enumerate(table[metier])
    )
    return tuple(sorted((s for s in substitution if s), key=lambda s: (s.metier, s.by)))
