"""Lines of the main courante: both times, author, order (D55)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Literal

import orjson
import pytest
from pydantic import ValidationError

from schemas import export
from schemas.alerts import FlagChanged, FlagRow, NoteAdded, TriggerChanged, TriggerRow
from schemas.calling import RoleUncovered
from schemas.callouts import CallOutChanged, CallOutRow
from schemas.commands import SetLevel
from schemas.continuity import (
    ActivityDeclared,
    AlarmArbitrated,
    AlarmRaised,
    AlarmRow,
    ImprovementChanged,
    ImprovementRow,
    PlanChanged,
    PlanRow,
    StrategyChanged,
    StrategyRow,
)
from schemas.delivery import ChannelsProbed, NotificationRow, ProbeRow
from schemas.reassignment import Decision, ProposalChanged, ProposalRow, ProposalState
from schemas.runtime import Rebased
from schemas.words import ActivityState, ClockBase, Level
from services.console.logbook.facts import load_line_types, logistics
from services.console.logbook.lines import (
    LineRecord,
    build_author_source,
    build_key,
    build_key_after,
    make_line,
)
from services.console.logbook.lines import render_line as said
from services.console.read_model.reference_index import NO_REFERENCE
from services.console.read_model.shapes import Shaper
from services.console.sites.geometry import MapPlane, Outlines
from services.console.texts.names import TerritoryNames
from services.runtime.log.transaction import Transaction
from tests.integration.console import crisis
from tests.integration.console.logwriter import Chains
from tests.unit.console.held import reference

START = crisis.START
ALARM = AlarmRow(
    id="a",
    activity="SOL-01",
    pole="p",
    base=ClockBase.RTO,
    pct=100,
    raised_at=START,
    limit_at=START,
)
STRATEGY = StrategyRow.model_validate(
    {
        "id": "SOL-01/1",
        "activity": "SOL-01",
        "strategy": "SR-TELE",
        "state": "active",
        "expected_capacity_pct": 80,
        "started_at": START,
        "started_by": "p",
    }
)


def lines(service: str, *facts: object, at: int = START, **more: object) -> list[LineRecord]:
    partition, raw = Chains().make(service, "92", facts, at, **more)  # type: ignore[arg-type]
    tx = Transaction.load(raw)
    records = (make_line(tx, fact, partition, n) for n, fact in enumerate(tx.facts))
    return [line for line in records if line is not None]


def test_a_late_report_keeps_both_times() -> None:
    late = crisis.report("r-1", "pmi-04", START, recorded_at=START + 20 * crisis.MINUTE)
    (line,) = lines("alerts", late, at=START + 20 * crisis.MINUTE)
    assert (line.occurred_at, line.recorded_at) == (START, START + 20 * crisis.MINUTE)
    assert (line.kind, line.certainty, line.source, line.incident) == (
        "fact",
        "confirmed",
        "site_manager",
        crisis.INCIDENT,
    )


def test_a_line_caused_by_a_person_carries_their_token_and_role() -> None:
    (by_person,) = lines(
        "alerts",
        crisis.level(START, 3, 2),
        cause=SetLevel,
        source=build_author_source("p-7", "dgs_directeur_de_crise"),
    )
    (by_itself,) = lines("alerts", crisis.level(START, 3, 2))
    assert (by_person.author, by_person.role) == ("p-7", "dgs_directeur_de_crise")
    assert (by_itself.author, by_itself.role) == ("system", None)


def test_a_corrected_report_names_its_corrector() -> None:
    """The author of the line was the system."""
    (line,) = lines(
        "alerts",
        crisis.report(
            "r-1", "pmi-04", START, corrected_by="cell-1a2b3c4d", confirmation="unconfirmed"
        ),
    )
    assert (line.author, line.values["corrected_by"]) == ("cell-1a2b3c4d", "cell-1a2b3c4d")
    assert "(message refusé, corrigé par" in said(line, TerritoryNames(), "fr")
    assert "(refused message, corrected by" in said(line, TerritoryNames(), "en")


def test_a_note_names_its_author_and_keeps_its_text_elsewhere() -> None:
    note = NoteAdded(
        line="l-1",
        text_id="t-1",
        author="p-1",
        role="cell",
        incident="i-1",
        corrects="l-0",
        occurred_at=START - 1,
    )
    (line,) = lines("alerts", note)
    assert (line.id, line.kind, line.text_id, line.corrects, line.occurred_at) == (
        "l-1",
        "note",
        "t-1",
        "l-0",
        START - 1,
    )


def test_a_callout_leaves_a_line_when_a_person_starts_or_stops_it() -> None:
    row = CallOutRow(
        id="c-1",
        state="running",
        text_id="t-1",
        incident="i-1",
        level=Level.N3,
        by="p-1",
        drafted_at=START,
        started_at=START,
        people=4,
        unreachable=1,
    )
    (line,) = lines("delivery", CallOutChanged(row=row, change="started"))
    assert (line.kind, line.incident, line.text_id) == ("communication", "i-1", "t-1")
    assert (
        said(line, NO_REFERENCE.names, "fr")
        == "Diffusion d’alerte lancée\u00a0: 3 personnes à prévenir"
    )
    (stopped,) = lines("delivery", CallOutChanged(row=row, change="stopped"))
    assert said(stopped, NO_REFERENCE.names, "fr") == "Diffusion d’alerte arrêtée"
    assert lines("delivery", CallOutChanged(row=row)) == []
    counted = row.model_copy(update={"kind": "headcount", "text_id": ""})
    (line,) = lines("delivery", CallOutChanged(row=counted, change="started"))
    assert said(line, NO_REFERENCE.names, "fr") == "Recensement lancé\u00a0: 3 agents"


def test_a_second_line_of_one_fact_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"ReportChanged": logistics.LINES["StockChanged"]}
    monkeypatch.setattr(logistics, "LINES", rows)
    with pytest.raises(ValueError, match="another line tells ReportChanged"):
        load_line_types.__wrapped__()


@pytest.mark.parametrize(
    ("fact", "sentence"),
    [
        (
            ActivityDeclared(
                activity="SOL-01",
                state=ActivityState.INTERRUPTED,
                author="p",
                occurred_at=START - 1,
                reason="text:t",
            ),
            "SOL-01 déclarée «\u00a0interrompue\u00a0»",
        ),
        (
            ActivityDeclared(activity="SOL-01", state=None, author="p", occurred_at=START),
            "SOL-01\u00a0: état déclaré retiré, l’état calculé compte de nouveau",
        ),
        (AlarmArbitrated(row=ALARM), "SOL-01\u00a0: arbitrage sur le RTO consommé"),
        (StrategyChanged(row=STRATEGY), "SOL-01\u00a0: télétravail, 80\u00a0% attendus"),
        (
            StrategyChanged(row=STRATEGY.model_copy(update={"state": "ended"})),
            "SOL-01\u00a0: fin de «\u00a0télétravail\u00a0»",
        ),
        (
            StrategyChanged(
                row=STRATEGY.model_copy(
                    update={"state": "ended", "site": "sit-02", "ended_by": "system:fallback"}
                )
            ),
            "SOL-01\u00a0: fin de «\u00a0télétravail\u00a0», site de repli perdu (sit-02)",
        ),
        (
            AlarmRaised(row=ALARM.model_copy(update={"base": ClockBase.PDMA, "pct": 260})),
            "SOL-01\u00a0: données plus anciennes que la PDMA (260\u00a0%)",
        ),
    ],
)
def test_decisions_about_an_activity_are_written_in_plain_words(
    fact: object, sentence: str
) -> None:
    (line,) = lines("continuity", fact)
    assert said(line, TerritoryNames(), "fr") == sentence


@pytest.mark.parametrize(
    ("change", "row", "kind", "sentence"),
    [
        ("held", {}, "watch", "PT-ELEC\u00a0: la condition tient"),
        ("released", {}, "watch", "PT-ELEC\u00a0: la condition ne tient plus"),
        (
            "raised",
            {"state": "active", "level": 2, "proposed_level": 3},
            "watch",
            "PT-ELEC proposé au niveau 3",
        ),
        (
            "moved",
            {"state": "active"},
            "fact",
            "PT-ELEC\u00a0: les fiches suivent le nouveau jour annoncé",
        ),
        (
            "resumed",
            {"state": "active"},
            "fact",
            "PT-ELEC\u00a0: la condition de levée ne tient plus",
        ),
        (
            "box",
            {"state": "active", "boxes": ({"text": "courant revenu", "by": "p", "at": START},)},
            "action",
            "PT-ELEC\u00a0: condition de levée cochée",
        ),
        (
            "box",
            {"state": "active", "boxes": ({"text": "courant revenu"},)},
            "action",
            "PT-ELEC\u00a0: condition de levée décochée",
        ),
        ("activated", {"state": "active"}, "decision", "PT-ELEC activé"),
    ],
)
def test_changes_of_a_plan_are_written_in_plain_words_and_only_persons_decide(
    change: str, row: dict[str, Any], kind: str, sentence: str
) -> None:
    """A condition that held again was a decision in the log: « PT-ELEC : Proposé »."""
    plan = PlanRow.model_validate(
        {
            "id": "PT-ELEC",
            "pole": None,
            "state": "proposed",
            "decides": "coordinateur_pca",
            "level": 1,
        }
        | row
    )
    (line,) = lines("continuity", PlanChanged(row=plan, change=change))
    assert (line.kind, said(line, TerritoryNames(), "fr")) == (kind, sentence)


def test_plans_and_activities_are_named_before_their_codes() -> None:
    """Rule D70: the ticker said «PT-ELEC activé» and «SOL-01 déclarée»."""
    plan = PlanRow(id="PT-ELEC", state="active", decides="coordinateur_pca")
    (activated,) = lines("continuity", PlanChanged(row=plan, change="activated"))
    own = plan.model_copy(update={"id": "PCA-solidarites"})
    (pole,) = lines("continuity", PlanChanged(row=own, change="activated"))
    declared = ActivityDeclared(activity="SOL-01", state=None, author="p", occurred_at=START)
    (activity,) = lines("continuity", declared)
    sentences = [
        said(line, reference().names, "fr").replace("\u00a0", " ")
        for line in (activated, pole, activity)
    ]
    assert sentences == [
        "Plan « Coupure électrique » (PT-ELEC) activé",
        "PCA du pôle Solidarités activé",
        "Signalements enfance (SOL-01) : état déclaré retiré, l’état calculé compte de nouveau",
    ]


@pytest.mark.parametrize(
    ("state", "since", "sentence"),
    [
        ("held", START, "PT-ELEC\u00a0: la condition tient"),
        ("held", START - 1, "PT-ELEC\u00a0: la condition tient, pour d’autres raisons aussi"),
        ("released", START, "PT-ELEC\u00a0: la condition ne tient plus"),
    ],
)
def test_changes_of_a_plan_condition_are_written_in_plain_words(
    state: Literal["held", "released"], since: int, sentence: str
) -> None:
    (line,) = lines(
        "alerts",
        TriggerChanged(
            row=TriggerRow(id="PT-ELEC:2", plan="PT-ELEC", level=2, state=state, since=since)
        ),
    )
    assert said(line, TerritoryNames(), "fr") == sentence


@pytest.mark.parametrize(
    ("change", "changes", "sentence"),
    [
        ("merged", {"merged_into": "i-2", "state": "merged"}, "Incident {} fusionné dans un autre"),
        ("merged", {"version": 3}, "Un autre incident est fusionné dans {}"),
        ("split", {"version": 3}, "Incident {} scindé"),
        ("split", {"version": 0}, "Incident {} ouvert, détaché d’un autre"),
    ],
)
def test_both_incidents_of_a_merge_or_a_split_have_their_own_sentence(
    change: str, changes: dict[str, Any], sentence: str
) -> None:
    """The one that stands was called merged, too, and the new one split."""
    fact = crisis.incident(START, ("pmi-01",), change, **changes)
    (line,) = lines("alerts", fact)
    assert said(line, TerritoryNames(), "fr") == sentence.format(fact.row.number)


@pytest.mark.parametrize(
    ("id", "value", "sentence"),
    [
        ("network:electricity", "down", "Réseau électrique\u00a0: hors service"),
        ("network:eau-sud", "up", "Eau sud\u00a0: de nouveau en service"),
        ("system:si_social", "degraded", "SI social\u00a0: en mode dégradé"),
        ("supplier:cuisine-centrale-sud", 40.0, "Cuisine centrale sud\u00a0: 40\u00a0%"),
        ("river:paris-austerlitz", 6.04, "Seine à Austerlitz\u00a0: 6,04\u00a0m"),
        ("road:RD1", True, "Route RD1 fermée"),
        ("road:RD1", False, "Route RD1 rouverte"),
        ("measure:fuel_stations_dry_pct", 42.0, "Stations-service à sec, en\u00a0%\u00a0: 42"),
        (
            "measure:fuel_stations_dry_pct",
            "",
            "Stations-service à sec, en\u00a0%\u00a0: sans valeur",
        ),
    ],
)
def test_declarations_are_written_in_plain_words_and_units(
    id: str, value: bool | float | str, sentence: str
) -> None:
    """The log said `electricity : arrêté`, `paris-austerlitz : 6,2 %` and `RD1 : True`."""
    (line,) = lines("alerts", FlagChanged(row=FlagRow(id=id, value=value, since=START)))
    assert said(line, TerritoryNames(), "fr") == sentence


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            {"state": "acknowledged", "acknowledged_by": ("coordinator-95c6c4aa", "cellule_si")},
            "pris en charge\u00a0: Coordonnateur PCA et SI / RSSI",
        ),
        (
            {
                "state": "acknowledged",
                "acknowledged_by": ("coordinator-95c6c4aa", "coordinator-11aa22bb"),
            },
            "pris en charge\u00a0: Coordonnateur PCA",
        ),
        ({"state": "open", "acknowledged_by": ()}, "\u00a0: plus personne ne le prend en charge"),
    ],
)
def test_acknowledgements_and_their_withdrawal_are_recorded(
    row: dict[str, Any], sentence: str
) -> None:
    """An answer from a link or an SMS is decided without an author.

    Its line and that of its withdrawal had no name.
    """
    (line,) = lines("alerts", crisis.incident(START, ("pmi-04",), "acknowledged", **row))
    assert (
        said(line, TerritoryNames(), "fr")
        == f"Incident 92-2027-0211-01{sentence if sentence.startswith(chr(0xA0)) else ' ' + sentence}"
    )


def proposal(
    change: str, decided_lines: tuple[str, ...], agents: int, unmet: int, lang: str
) -> str:
    decided = Decision(
        id="d",
        verb="approve",
        lines=decided_lines,
        agents=agents,
        by="p",
        role="cell",
        at=START,
        rules=("R6",),
    )
    row = ProposalRow(
        id="p",
        number=3,
        state=ProposalState.OPEN,
        reference="r",
        requested_at=START,
        computed_at=START,
        sites_hit=1,
        elapsed_h=1.0,
        transit=True,
        telework=True,
        demand=1481,
        unmet_agents=unmet,
        agents=agents,
        decisions=() if change == "computed" else (decided,),
    )
    (line,) = lines("continuity", ProposalChanged(row=row, change=change))
    return said(line, TerritoryNames(), lang).replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("change", "decided", "agents", "unmet", "lang", "sentence"),
    [
        (
            "computed",
            (),
            1740,
            13,
            "fr",
            "Réaffectation n° 3 proposée : 1 740 agents, 13 besoins sans réponse sur 1 481",
        ),
        (
            "computed",
            (),
            1,
            1,
            "fr",
            "Réaffectation n° 3 proposée : 1 agent, 1 besoin sans réponse sur 1 481",
        ),
        (
            "computed",
            (),
            1740,
            0,
            "en",
            "Reassignment no. 3 proposed: 1,740 agents, 0 needs without an answer of 1,481",
        ),
        ("computed", (), 0, 0, "fr", "Réaffectation n° 3 : aucun agent à déplacer"),
        (
            "computed",
            (),
            0,
            2,
            "fr",
            "Réaffectation n° 3 : aucun agent à déplacer, 2 besoins sans réponse",
        ),
        ("approved", ("a",), 1, 0, "fr", "Réaffectation n° 3 : 1 ligne approuvée, 1 agent (R6)"),
        ("declined", ("a", "b"), 12, 0, "fr", "Réaffectation n° 3 : 2 lignes écartées, 12 agents"),
    ],
)
def test_a_proposal_counts_in_the_numbers_and_plurals_of_its_reader(
    change: str, decided: tuple[str, ...], agents: int, unmet: int, lang: str, sentence: str
) -> None:
    assert proposal(change, decided, agents, unmet, lang) == sentence


def test_the_reason_of_a_decision_follows_its_sentence_and_a_note_is_its_own() -> None:
    shaper = Shaper("92", NO_REFERENCE, Outlines(MapPlane(2.1, 48.9, 1.0, 1.0, 1.0), {}), "fr")
    (decision,) = lines("continuity", AlarmArbitrated(row=ALARM))
    (note,) = lines(
        "alerts", NoteAdded(line="l-1", text_id="t-1", author="p-1", role="cell", occurred_at=START)
    )
    assert (
        shaper.line(decision, "on attend").text
        == "SOL-01\u00a0: arbitrage sur le RTO consommé\u00a0: on attend"
    )
    assert shaper.line(note, "on attend").text == "on attend"


def test_the_line_of_an_action_names_its_state_and_its_reason() -> None:
    """The form said that the reason is kept in the logbook, and the line had none."""
    shaper = Shaper("92", NO_REFERENCE, Outlines(MapPlane(2.1, 48.9, 1.0, 1.0, 1.0), {}), "fr")
    opened = ImprovementRow(
        id="i-1",
        text_id="t-1",
        owner="coordinateur_pca",
        due_at=START,
        opened_at=START,
        opened_by="p-1",
    )
    dropped = opened.model_copy(update={"state": "dropped", "reason": "text:t-2"})
    done = opened.model_copy(update={"state": "done"})
    rows = (opened, done, dropped)
    line_lists = [lines("continuity", ImprovementChanged(row=row)) for row in rows]
    assert [line.text_id for (line,) in line_lists] == ["t-1", "t-1", "t-2"]
    texts = [shaper.line(line, "deux groupes").text for (line,) in line_lists]
    decided, completed, abandoned = (text.replace("\u00a0", " ") for text in texts)
    assert re.fullmatch(r"Action d’amélioration décidée \(.+\) : deux groupes", decided)
    assert re.fullmatch(r"Action d’amélioration faite \(.+\) : deux groupes", completed)
    assert re.fullmatch(
        r"Action d’amélioration décidée le \d\d/\d\d \d\d:\d\d, abandonnée \(.+\) : deux groupes",
        abandoned,
    )


def test_the_growth_of_an_incident_is_recorded_once_by_its_reports() -> None:
    assert lines("alerts", crisis.incident(START, ("pmi-04",), "member")) == []
    assert [
        line.change for line in lines("alerts", crisis.incident(START, ("pmi-04",), "opened"))
    ] == ["opened"]


def test_keys_order_by_time_then_cause_before_effect() -> None:
    keys = [
        build_key(START, "alerts", 7, 0),
        build_key(START, "alerts", 7, 1),
        build_key(START, "alerts", 12, 0),
        build_key(START, "continuity", 3, 0),
        build_key(START, "delivery", 1, 0),
        build_key(START + 1, "alerts", 1, 0),
    ]
    assert keys == sorted(keys)
    assert max(keys[:-1]) < build_key_after(START) <= keys[-1]


@pytest.mark.parametrize(
    "fact", [crisis.ladder(START), crisis.task(START), crisis.level(START, 2, 1)]
)
def test_lines_read_back_as_they_were_written(fact: object) -> None:
    for line in lines("alerts", fact):
        assert LineRecord.load(line.dump()) == line


def test_each_unreachable_person_of_a_step_makes_one_line() -> None:
    """«Escalade N2 : 0 réponse» stood beside each line about an unreachable person."""
    unreachable = crisis.ladder(START).model_copy(update={"change": "declined"})
    assert lines("alerts", unreachable) == []
    (wave,) = unreachable.row.waves
    row = unreachable.row.model_copy(update={"waves": (wave.model_copy(update={"positive": 1}),)})
    (line,) = lines("alerts", unreachable.model_copy(update={"row": row}))
    assert line.values["positive"] == 1


def enumerated(
    schema: dict[str, Any], defs: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """List (path of a field, its values) of every enumerated field outside of lists."""
    if "$ref" in schema:
        yield from enumerated(defs[schema["$ref"].rpartition("/")[2]], defs, path)
    for option in schema.get("anyOf", ()):
        yield from enumerated(option, defs, path)
    if "enum" in schema:
        words = [word for word in schema["enum"] if isinstance(word, str)]
        yield from [(path, words)] if words else []
    for name, inner in schema.get("properties", {}).items():
        yield from enumerated(inner, defs, (*path, name))


def with_word(sample: dict[str, Any], path: tuple[str, ...], word: str) -> dict[str, Any] | None:
    """Return the sample with another value there; `None` for an empty place."""
    changed: dict[str, Any] = deepcopy(sample)
    at: Any = changed
    for name in path[:-1]:
        at = at.get(name) if isinstance(at, dict) else None
    if not isinstance(at, dict):
        return None
    at[path[-1]] = word
    return changed


SHAPERS = [
    Shaper("92", NO_REFERENCE, Outlines(MapPlane(2.1, 48.9, 1.0, 1.0, 1.0), {}), lang)
    for lang in ("fr", "en")
]


@pytest.mark.parametrize("name", sorted(load_line_types()))
def test_every_value_of_a_fact_has_a_readable_text(name: str) -> None:
    """A denied report had no line: the log and the live stream of its realm ended for everybody."""
    kind = export.PUBLISHED[f"vigie.{name}.v1"]
    schema = kind.model_json_schema()
    fields = list(enumerated(schema, schema.get("$defs", {})))
    variant_count = 0
    for sample in orjson.loads(
        (export.FOLDER / "golden" / f"{kind.wire_type()}.json").read_bytes()
    )["samples"]:
        for path, word in ((path, word) for path, words in fields for word in words):
            if (changed := with_word(sample, path, word)) is None:
                continue
            try:
                fact = kind.model_validate(changed)
            except ValidationError:
                continue  # not beside the other fields of this sample
            variant_count += 1
            for record in lines("alerts", fact):
                assert all(shaper.line(record).text for shaper in SHAPERS)
    assert variant_count or not fields


@pytest.mark.parametrize(
    ("email", "kind", "sentence"),
    [
        (
            "not_configured",
            "watch",
            "Essai des canaux : aucun n’est configuré, aucun message ne part",
        ),
        ("answered", "runtime", "Essai des canaux : 1 a répondu"),
        ("failed", "watch", "Essai des canaux : pas de réponse de courriel"),
    ],
)
def test_a_test_without_channels_reports_that_no_message_leaves(
    email: str, kind: str, sentence: str
) -> None:
    """« 0 a répondu » stood there beside « les 10 vagues seraient entendues »."""
    channels = [
        {"channel": "sms", "outcome": "not_configured"},
        {"channel": "email", "outcome": email},
    ]
    row = ProbeRow.model_validate(
        {"id": "2027-02", "asked_at": START, "done_at": START, "channels": channels}
    )
    (line,) = lines("delivery", ChannelsProbed(row=row))
    assert line.kind == kind
    assert said(line, TerritoryNames(), "fr").replace("\u00a0", " ") == sentence


@pytest.mark.parametrize(
    ("errors", "sentence"),
    [
        (["channel_not_configured"] * 2, "aucun canal n’est configuré"),
        (["sms_connection", "channel_not_configured"], "tous les canaux ont échoué"),
        ([], "tous les canaux ont échoué"),
    ],
)
def test_a_call_without_any_configured_channel_says_so(errors: list[str], sentence: str) -> None:
    """«Tous les canaux ont échoué» sent readers to a gateway that was not there."""
    fact = crisis.notification(START, "failed")
    attempts = [
        {"id": f"a-{n}", "number": n, "channel": "sms", "state": "failed", "planned_at": START}
        | {"error": error}
        for n, error in enumerate(errors, 1)
    ]
    row = NotificationRow.model_validate(fact.row.model_dump() | {"attempts": attempts})
    (line,) = lines("delivery", fact.model_copy(update={"row": row}))
    assert said(line, TerritoryNames(), "fr").replace("\u00a0", " ").endswith(f", {sentence}")


def test_a_role_without_answers_is_not_shown_as_unheld() -> None:
    """The same fact stands for an empty role and for one without answers.

    The line is true of both.
    """
    (line,) = lines("alerts", RoleUncovered(escalation=None, role="cellule_rh", scope=None))
    text = said(line, TerritoryNames(), "fr").replace("\u00a0", " ")
    assert text.startswith("Rôle sans personne joignable : ")


def test_a_log_continued_elsewhere_is_named() -> None:
    """Each of the three logs has its own line about a restore."""
    (alerts,) = lines("alerts", Rebased(cluster_id="k2", next_offset=7), cause=Rebased)
    (delivery,) = lines("delivery", Rebased(cluster_id="k2", next_offset=7), cause=Rebased)
    assert (
        said(alerts, TerritoryNames(), "fr").replace("\u00a0", " ")
        == "Journal « alertes » : il repart d’une sauvegarde, sur un second site ou d’une entrée refaite"
    )
    assert (
        said(delivery, TerritoryNames(), "en")
        == "Log “messages”: it goes on from a backup, on a second site or from an input that was made again"
    )
    assert alerts.id != delivery.id


def test_a_restored_log_names_the_time_since_which_all_is_missing() -> None:
    rebased = Rebased(cluster_id="k2", next_offset=7, taken_at=START)
    (line,) = lines("alerts", rebased, cause=Rebased)
    text = said(line, TerritoryNames(), "fr").replace("\u00a0", " ")
    restored = "Journal « alertes » : restauré de la sauvegarde du 11/02 "
    assert text.startswith(restored)
    assert text.endswith(" ; ce qui a suivi manque, à saisir de nouveau")


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("cancelled", "Annulé par sa source. "),
        ("superseded", "Remplacé par une mise à jour. "),
        (None, "Confirmé. "),
    ],
)
def test_a_report_that_counts_no_longer_is_not_called_confirmed(
    flag: str | None, sentence: str
) -> None:
    """A withdrawal wrote «Confirmé» beside itself."""
    fact = crisis.report("r-1", "pmi-04", START, flags=(flag,) if flag else ())
    (line,) = lines("alerts", fact, at=START + crisis.MINUTE)
    assert said(line, TerritoryNames(), "fr").startswith(sentence)


def test_a_repetition_names_no_other_source() -> None:
    fact = crisis.report("r-2", "pmi-04", START, state="duplicate", reason="same_cause", of="r-1")
    (line,) = lines("alerts", fact)
    assert said(line, TerritoryNames(), "fr").endswith(" (même cause, déjà signalée)")
