"""Complete `/openapi.json`: headers read from the request, problems (RFC 9457), examples of bodies.

A test validates each example. Ids of incidents, plans and people are invented; sites are those of
the shipped territory.
"""

import re
from typing import Any, Final

from services.console.http.answers import HEADERS
from services.runtime.http.problems import MEDIA_TYPE, SCHEMA

_COMMON_PROBLEMS: Final = {"503": "not now: try again after `Retry-After`"}
_ACCESS_PROBLEMS: Final = {
    "401": "no valid token or session",
    "403": "the role, or what it is held to, does not allow it",
}
_REALM_PROBLEMS: Final = {"404": "no such realm, or nothing under this id at that time"}
_PROBLEM: Final[dict[str, Any]] = {
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
}
_PAGE: Final = re.compile(r"Page_(\w+)_")
_FASTAPI_SCHEMAS: Final = ("HTTPValidationError", "ValidationError")
"""FastAPI's own fault schemas, which no answer uses."""
_INCIDENT: Final = "7b0c2b1e-4b43-5f0e-9a39-2f6d9f0f8f11"
_REPORT: Final = "0d9f2c5e-1f0a-5a86-8f4e-6f7a1f0b6c22"
_MORNING: Final = "2027-02-11T08:00:00+01:00"
_EVENING: Final = "2027-02-11T18:00:00+01:00"
_TOMORROW: Final = "2027-02-12T08:00:00+01:00"
BODY_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "AcknowledgeRequest": {"answer": "ack", "reason": "Je m'en occupe."},
    "ActivateRequest": {"incident": _INCIDENT, "reason": "Crue au-dessus du seuil."},
    "AnnounceRequest": {"channels": ["sms", "email"], "start": False},
    "AnswerRequest": {"text": "Le collège rouvre demain à 8 h."},
    "AttendanceRequest": {"mode": "en_route", "eta_min": 25},
    "CallOutRequest": {
        "text": "Le site est fermé ce matin. Restez joignables.",
        "sites": ["cen-1"],
        "channels": ["sms", "voice"],
        "incident": _INCIDENT,
        "answer_expected": True,
    },
    "CardRequest": {"site": "cen-1"},
    "CommitBody": {"partial": False},
    "CompleteActionRequest": {"outcome": "done"},
    "CompleteCardRequest": {"site": "cen-1"},
    "CompleteTaskRequest": {"outcome": "confirmed"},
    "ComputeRequest": {"preference": "best", "transit": True},
    "ConfirmationBody": {"version": "3f1d0c9a7b52"},
    "CountBody": {"quantity": 12},
    "DataAgeRequest": {"age_h": 4},
    "Declaration": {"receipt": "CNIL-2027-118", "declared_at": _MORNING},
    "DecisionBody": {"reason": "Confirmé par téléphone."},
    "DeclareRequest": {"state": "degraded", "occurred_at": _MORNING},
    "DepartBody": {"eta_at": _EVENING},
    "DependencyProposal": {
        "resource": "system:siter",
        "activity": "RHF-01",
        "reason": "Dégradée dans sept crises sur huit avec cette panne.",
    },
    "EndedSubscription": {"endpoint": "https://push.example.org/send/abc"},
    "EraseRequest": {"approve": False, "reason": "Nom d'un tiers."},
    "GatewayReturn": {"channel": "sms", "status": "delivered"},
    "HandoverRequest": {
        "objective": "Tenir les collèges ouverts jusqu'à vendredi midi.",
        "recipients": ["coordinateur_pca", "directeur_pole:education"],
    },
    "HandoverRevision": {"objective": "Rouvrir les collèges vendredi à 8 h."},
    "HeadcountRequest": {"sites": ["cen-1"], "channels": ["sms"], "incident": _INCIDENT},
    "Here": {"place": "cell", "here": True},
    "HoldRequest": {"until": _EVENING, "reason": "Panne de l'opérateur."},
    "ImprovementRequest": {
        "text": "Doubler la liaison du site.",
        "owner": "dsi",
        "due_at": _TOMORROW,
    },
    "LevelRequest": {"level": 2, "scope": "territory", "reason": "Trois sites sans courant."},
    "LinesChoice": {"reason": "Accord des directeurs."},
    "LinkRequest": {"site": "cen-1"},
    "LogNote": {"text": "Enedis annonce un retour à 14 h.", "kind": "fact", "source": "enedis"},
    "MergeRequest": {"into": _INCIDENT},
    "NewAction": {
        "title": "Vérifier le groupe électrogène",
        "assignee": "technicien:cen-1",
        "due_at": _EVENING,
        "priority": "high",
        "incident": _INCIDENT,
    },
    "NewAudience": {"audience": "families", "plain": True},
    "NewClock": {"obligation": "rgpd-cnil", "incident": _INCIDENT, "known_at": _MORNING},
    "NewInstruction": {"text": "Gardez les élèves à l'intérieur.", "incident": _INCIDENT},
    "Note": {"text": "Le technicien est sur place.", "kind": "fact"},
    "ObserverNoteRequest": {"mark": 2, "text": "La cellule a d’abord appelé le mauvais site."},
    "OfferBody": {"quantity": 2, "eta_at": _EVENING},
    "OverrideRequest": {
        "role": "astreinte-dsi",
        "from": _EVENING,
        "to": _TOMORROW,
        "person": "p-0042",
    },
    "PaceRequest": {"speed": 60},
    "PostponeRequest": {"until": _EVENING, "reason": "Stock suffisant jusqu'au soir."},
    "QuestionRequest": {
        "asker": "families",
        "text": "Le collège ouvre-t-il demain ?",
        "due_at": _EVENING,
    },
    "RealmRequest": {"kind": "exercise", "title_code": "S04", "speed": 60},
    "RecordProposal": {
        "values": {"purpose": "Protéger d'abord les enfants confiés et les personnes isolées."},
        "reason": "Relu avec le pôle.",
    },
    "RecordValues": {"values": {"purpose": "Protéger d'abord les enfants."}, "trial": False},
    "ResolveRequest": {"force": False, "reason": "Courant rétabli."},
    "ResourceRequestBody": {
        "kind": "groupe-electrogene",
        "quantity": 1,
        "site": "cen-1",
        "priority": "continuity",
        "until": _TOMORROW,
    },
    "Revision": {"title": "Fermeture de deux collèges", "text": "Deux collèges sont fermés."},
    "SplitRequest": {"reports": [_REPORT]},
    "StandDownRequest": {"force": False, "reason": "Retour à la normale."},
    "StartStrategyRequest": {"strategy": "SR-TELE", "expected_capacity_pct": 70},
    "PublicationRequest": {"next_at": "2027-02-11T18:00:00+01:00"},
    "StatementRequest": {
        "audience": "families",
        "title": "Fermeture de deux collèges",
        "text": "Deux collèges sont fermés ce matin.",
        "incident": _INCIDENT,
    },
    "StepLines": {"lines": []},
    "StepRequest": {"minutes": 30},
    "StimulusRequest": {
        "id": "E1",
        "at": _MORNING,
        "title": "Conduite rompue à Clamart",
        "source": "water",
        "expected": "le plan eau potable est proposé",
        "body": {"type": "outage_water", "severity": 3, "zone": ["92023"]},
    },
    "Subscription": {
        "endpoint": "https://push.example.org/send/abc",
        "keys": {
            "p256dh": (
                "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
            ),
            "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        },
    },
    "SwapRequest": {
        "role": "astreinte-dsi",
        "from": _MORNING,
        "to": _EVENING,
        "other_from": _EVENING,
        "other_to": _TOMORROW,
    },
    "TickRequest": {"ticked": True},
    "ValidateRequest": {"remarks": {"essential": "Retour à la normale attendu ce soir."}},
    "VersionRequest": {"sections": [{"section": "levels"}], "effective_at": _TOMORROW},
    "WindowRequest": {
        "starts_at": _EVENING,
        "ends_at": _TOMORROW,
        "sites": ["cen-1"],
        "types": ["outage_power"],
        "reason": "Remplacement du transformateur.",
    },
}


def complete_document(document: dict[str, Any]) -> dict[str, Any]:
    """Complete the document in place and return it.

    Idempotent, even concurrently: it may run at the start and for a first request.
    """
    _rename_pages(document)
    schemas = document["components"]["schemas"]
    for name in _FASTAPI_SCHEMAS:
        schemas.pop(name, None)
    schemas["Problem"] = SCHEMA
    for name, example in BODY_EXAMPLES.items():
        if name in schemas:
            schemas[name]["examples"] = [example]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["operationId"] = name_operation(operation["operationId"], path, method)
            _complete_operation(path, operation)
    return document


def _rename_pages(document: Any) -> None:
    """Rename the schemas of pages in place: `Page_Plan_` becomes `PlanPage`."""
    if isinstance(document, list):
        for item in document:
            _rename_pages(item)
    if not isinstance(document, dict):
        return
    for key in [key for key in document if _PAGE.fullmatch(key)]:
        document[_PAGE.sub(r"\1Page", key)] = document.pop(key)
    if isinstance(reference := document.get("$ref"), str):
        document["$ref"] = _PAGE.sub(r"\1Page", reference)
    for value in document.values():
        _rename_pages(value)


def name_operation(operation_id: str, path: str, method: str) -> str:
    """Return the id of an operation in camel case, without the path that FastAPI appends.

    Example: `get_plan_api_v1_plans__id__get` becomes `getPlan`. An id in camel case stays.
    """
    name = operation_id.removesuffix(re.sub(r"\W", "_", path) + f"_{method}")
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _complete_operation(path: str, operation: dict[str, Any]) -> None:
    answers, parameters = operation["responses"], operation.get("parameters", [])
    if "412" in answers:
        operation["parameters"] = parameters = [p for p in parameters if p not in HEADERS] + HEADERS
    may = dict(_COMMON_PROBLEMS)
    if path.startswith("/api/"):
        may |= _ACCESS_PROBLEMS
    if any(p["name"] == "realm" or p["in"] == "path" for p in parameters):
        may |= _REALM_PROBLEMS
    every = {status: {"description": what} for status, what in may.items()} | answers
    operation["responses"] = {
        status: every[status] | (_PROBLEM if status >= "400" else {}) for status in sorted(every)
    }
