"""Lines about realms, logs and inputs that could not be applied."""

from typing import Final

from services.console.i18n import N_, Translator
from services.console.incidents.titles import write_refusal
from services.console.logbook.facts.base import (
    Fields,
    LineMaker,
    LineType,
    Renderer,
    SentenceSource,
    format_local_time,
)
from services.console.texts.names import TerritoryNames
from services.runtime.log.transaction import FactRecord

_LOG_LABELS: Final = {
    "alerts": N_("alertes"),
    "continuity": N_("continuité"),
    "delivery": N_("envois"),
}


def make_refusal_line(fact: FactRecord) -> Fields | None:
    d = fact.data
    if d["code"] == "realm_unknown":
        return None
    return {
        "kind": "runtime",
        "change": "refused",
        "values": {**d.get("values", {}), "command": d["command"], "code": d["code"]},
    }


def _make_runtime_maker(change: str, kind: str = "runtime") -> LineMaker:
    def make(fact: FactRecord) -> Fields | None:
        if fact.data.get("code") == "realm_unknown":
            return None
        values = {
            k: v
            for k, v in fact.data.items()
            if isinstance(v, str | int | float) and k != "command_id"
        }
        return {"kind": kind, "change": change, "values": values}

    return make


def render_refusal(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    return write_refusal(str(record.values.get("code", "")), record.values, _.lang, names)


def _make_fixed_renderer(text: str) -> Renderer:
    return lambda record, names, _: _(text)


def _make_log_renderer(text: str) -> Renderer:
    return lambda record, names, _: _(text).format(log=_get_log_label(record, _))


def _get_log_label(record: SentenceSource, _: Translator) -> str:
    return _(_LOG_LABELS[record.place.partition("/")[0]])


def render_rebase(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    """Say that a log goes on elsewhere; after a restore, name the time of the backup."""
    log = _get_log_label(record, _)
    if taken_at := record.values.get("taken_at"):
        return _(
            "Journal « {log} » : restauré de la sauvegarde du {at} ; ce qui a suivi manque, "
            "à saisir de nouveau",
            log=log,
            at=format_local_time(taken_at),
        )
    return _(
        "Journal « {log} » : il repart d’une sauvegarde, sur un second site ou d’une entrée refaite",
        log=log,
    )


LINES: Final = {
    "RealmOpened": LineType(
        _make_runtime_maker("opened", "decision"), _make_fixed_renderer(N_("Ouverture"))
    ),
    "RealmClosed": LineType(
        _make_runtime_maker("closed", "decision"),
        _make_fixed_renderer(N_("Fin d’exercice (FINEX)")),
    ),
    "CommandRefused": LineType(make_refusal_line, render_refusal),
    "InputFailed": LineType(
        _make_runtime_maker("failed"),
        _make_fixed_renderer(N_("Message non traité, gardé pour être rejoué")),
    ),
    "InputRefused": LineType(
        _make_runtime_maker("refused"),
        _make_fixed_renderer(N_("Message illisible, gardé pour être relu")),
    ),
    "DeadlineFailed": LineType(
        _make_runtime_maker("deadline_failed"), _make_fixed_renderer(N_("Échéance non traitée"))
    ),
    "LossDeclared": LineType(
        _make_runtime_maker("loss"),
        _make_log_renderer(
            N_("Journal « {log} » : perte de sa fin déclarée, il repart de ce qui en reste")
        ),
    ),
    "Rebased": LineType(_make_runtime_maker("rebased"), render_rebase),
}
