"""Load a whole territory from its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from schemas import reference as ref
from services.territory.measures import read_measure_rules
from services.territory.obligations import read_obligations, read_statements
from services.territory.places import (
    read_activities,
    read_communes,
    read_sites,
    read_transport,
    read_watched_names,
)
from services.territory.plan_checks import PlanChecks
from services.territory.plans import read_contact_ids, read_plans, split_contents
from services.territory.policy import read_channel_rules, read_policy
from services.territory.resources import read_resources
from services.territory.roster import read_contacts, read_roster
from services.territory.source import ColumnMissing, SourceFile, SourceProblem, to_plain_value
from services.territory.staffing import read_staffing


class TerritoryInvalid(ValueError):
    """Signal a folder that cannot be used; `problems` lists the reasons with file and line."""

    def __init__(self, problems: list[SourceProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Territory:
    """A whole territory, ready to be published."""

    code: str
    folder: Path
    version: str
    sections: tuple[ref.SectionData, ...]
    """Sections in publishing order; the last one switches the version."""

    def with_calendar(
        self, holidays: Sequence[str], school_holidays: Sequence[tuple[str, str]]
    ) -> "Territory":
        """Return the territory with other days off; the same days give the same version."""
        days = {"holidays": tuple(holidays), "school_holidays": tuple(school_holidays)}
        sections = tuple(
            s.model_copy(update={"policy": s.policy.model_copy(update=days)})
            if isinstance(s, ref.EscalationPolicy)
            else s
            for s in self.sections
        )
        return Territory(self.code, self.folder, ref.compute_version(sections), sections)

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


def _select_problems(problems: list[SourceProblem]) -> list[SourceProblem]:
    """Return only the problems of unreadable files, if any.

    Other files may refer to them in thousands of correct lines.
    """
    return [p for p in problems if p.unread] or problems


def load_territory(folder: Path) -> Territory:
    """Load the territory in `folder`.

    Raises TerritoryInvalid with every problem found; if a file cannot be read, with that alone.
    """
    problems: list[SourceProblem] = []

    def source(name: str) -> SourceFile:
        return SourceFile(folder, name, problems)

    try:
        communes = read_communes(source("communes.csv"))
        kinds_by_site = {
            r["site_id"]: r["kind"] for _, r in SourceFile(folder, "sites.csv", []).rows()
        }
        kinds = {*kinds_by_site.values()}
        activity_section = read_activities(source("activities.yaml"), kinds)
        activities = activity_section.activities
        pole_ids = {p.id for p in activity_section.poles}
        sites = read_sites(source("sites.csv"), {c.insee: c for c in communes}, pole_ids)
        ladder_file, plan_file = source("escalade.yaml"), source("plans.yaml")
        ladders, plans_doc = ladder_file.yaml(), plan_file.yaml()
        spared_systems = to_plain_value(
            plans_doc.get("isolement_total", {}).get("systemes_epargnes", [])
        )
        policy = (
            read_policy(
                ladder_file,
                ladders,
                spared_systems,
                {a.id for a in activities},
                kinds_by_site,
                source("vacances_scolaires.csv"),
            )
            if ladders
            else None
        )
        checks = PlanChecks(
            roles=policy.roles if policy else (),
            groups=policy.groups if policy else (),
            poles=pole_ids,
            activities={a.id: a for a in activities},
            sites=tuple(sites),
            communes={c.insee: c for c in communes},
            metiers={row["metier"] for _, row in SourceFile(folder, "metiers.csv", []).rows()},
            spared_systems=spared_systems,
            contacts=read_contact_ids(SourceFile(folder, "contacts.csv", [])),
        )
        plans, contents = read_plans(plan_file, plans_doc, checks)
        parts = split_contents(plan_file, contents)
        channels = read_channel_rules(source("canaux.yaml"))
        measures = read_measure_rules(source("mesures.yaml"), policy, plans)
        contacts = (
            read_contacts(source("contacts.csv"), policy.roles, {p.id for p in plans})
            if policy
            else None
        )
        statements = read_statements(source("communiques.yaml"), kinds)
        obligations = read_obligations(
            source("obligations.yaml"),
            policy.roles if policy else (),
            {p.id for p in plans},
            checks.contacts,
        )
        transport = read_transport(
            source("transport.yaml"),
            {c.insee for c in communes},
            read_watched_names(source("flux.yaml")),
        )
        roster = read_roster(source, policy, sites, pole_ids) if policy else None
        staffing = read_staffing(
            source("staffing.csv"),
            source("reassign_activities.csv"),
            source("competences.yaml"),
            source("metiers.csv"),
            {s.id for s in sites},
            {a.id: a for a in activities},
        )
        resources = read_resources(
            source("moyens.yaml"),
            source("stocks.csv"),
            {s.id for s in sites},
            policy.roles if policy else (),
            {m.id for m in staffing.metiers},
        )
    except ColumnMissing as exc:
        problems.append(exc.problem)
        raise TerritoryInvalid(_select_problems(problems)) from exc
    except (KeyError, AttributeError, TypeError, ValueError) as exc:
        problems.append(
            SourceProblem(str(folder), 0, f"missing, misplaced or unreadable entry: {exc}")
        )
        raise TerritoryInvalid(_select_problems(problems)) from exc
    if problems or policy is None or roster is None:
        raise TerritoryInvalid(_select_problems(problems))
    sections: tuple[ref.SectionData, ...] = (
        ref.Communes(communes=tuple(communes)),
        ref.Sites(sites=tuple(sites)),
        activity_section,
        ref.EscalationPolicy(policy=policy),
        ref.RosterSection(roster=roster),
        *((ref.ChannelsSection(rules=channels),) if channels else ()),
        *((ref.MeasuresSection(rules=measures),) if measures else ()),
        *((ref.Contacts(contacts=contacts),) if contacts else ()),
        *((statements,) if statements else ()),
        *((ref.ResourcesSection(rules=resources),) if resources else ()),
        *((obligations,) if obligations else ()),
        *((transport,) if transport else ()),
        staffing,
        *parts,
        ref.Plans(plans=tuple(plans), content_parts=len(parts)),
    )
    return Territory(folder.name, folder, ref.compute_version(sections), sections)


def load_current_territory(folder: Path) -> Territory:
    """Load a territory like `load_territory`, but reuse it while the folder is unchanged.

    Loading takes half a second of processor time. The folder is unchanged while names, sizes and
    modification times of its files are.
    """
    try:
        files = tuple(
            sorted(
                (file.name, (about := file.stat()).st_size, about.st_mtime_ns)
                for file in folder.iterdir()
            )
        )
    except OSError:
        return load_territory(folder)
    return _load_cached(folder, files)


@lru_cache(maxsize=1)
def _load_cached(folder: Path, _files: tuple[tuple[str, int, int], ...]) -> Territory:
    return load_territory(folder)
