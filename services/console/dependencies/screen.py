"""Page `/dependances`: effect of losing a resource now. Rule D130."""

import asyncio
from typing import Any, Final

from services.console.dependencies.drawing import KIND_TITLES, NOT_MODELLED_TITLES
from services.console.dependencies.network import LostResource, ResourceKind
from services.console.dependencies.page import (
    build_cascade_view,
    build_hidden_lines,
    build_loss_lines,
    list_choices,
)
from services.console.dependencies.queries import LossRequest
from services.console.dependencies.resources import HiddenDependencies
from services.console.i18n import N_
from services.console.read_model.queries import Queries
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Permission

LOSSES_SHOWN: Final = 15
PAIRS_SHOWN: Final = 10
READING_WAIT_S: Final = 3.0
"""Longest time in seconds for which the page waits for the logs; the search goes on."""
FIRST: Final = "system:ad"
"""Resource shown without a choice, if the territory has it."""


async def build_dependencies_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page; `?ressource=`, `?avec=` and `?nature=` choose its content."""
    realm, lang, _ = x.shell.realm.name, x.shell.lang, x._
    sees_people = x.shell.reader.may(Permission.LOG_READ)
    dependencies = await x.queries.list_dependencies(with_people=sees_people)
    ids = {one.id for one in dependencies}
    resource_ids = [x.request.query_params.get(name, "") for name in ("ressource", "avec")]
    missing = next((id for id in resource_ids if id and id not in ids), "")
    chosen_ids = [id for id in resource_ids if id in ids]
    if not chosen_ids and FIRST in ids:
        chosen_ids = [FIRST]
    kind = x.request.query_params.get("nature", "")
    kinds = (ResourceKind(kind),) if kind in set(ResourceKind) else ()
    losses, pairs = await asyncio.gather(
        x.queries.dependency_losses(LossRequest(1, kinds, LOSSES_SHOWN, with_people=sees_people)),
        x.queries.dependency_losses(
            LossRequest(2, kinds, PAIRS_SHOWN, together=True, with_people=sees_people)
        ),
    )
    hidden_dependencies = await _read_hidden(x.queries, realm, lang) if sees_people else None
    view = None
    if chosen_ids:
        lost_resources = [
            one for id in dict.fromkeys(chosen_ids) if (one := LostResource.parse(id)) is not None
        ]
        dependency_loss = await x.queries.dependency_loss(lost_resources, with_people=sees_people)
        view = build_cascade_view(dependency_loss, x.names, _)
    return {
        "not_there": missing and _("Aucune ressource ne porte l’identifiant « {id} ».", id=missing),
        "groups": list_choices(dependencies, x.names, _),
        "chosen": [*chosen_ids, "", ""][:2],
        "view": view,
        "kind": kind if kinds else "",
        "kinds": [
            (str(one), _(title))
            for one, title in KIND_TITLES.items()
            if any(r.kind == one for r in dependencies)
        ],
        "losses": build_loss_lines(losses.items, x.names, _),
        "losses_total": losses.total,
        "pairs": build_loss_lines(pairs.items, x.names, _),
        "pairs_total": pairs.total,
        "down": [one.name for one in dependencies if one.down],
        "not_modelled": [_(NOT_MODELLED_TITLES[one]) for one in losses.not_modelled],
        "sees_hidden": sees_people,
        "hidden": None
        if hidden_dependencies is None
        else build_hidden_lines(hidden_dependencies, x.shell.now, _),
        "crises": 0 if hidden_dependencies is None else hidden_dependencies.crises,
        "proposes": x.shell.reader.may(Permission.REFERENCE_DECIDE),
        "moment": x.request.query_params.get("as_of", ""),
    }


async def _read_hidden(queries: Queries, realm: str, lang: str) -> HiddenDependencies | None:
    """Return the hidden dependencies; None while the logs cannot be read, or are still read."""
    reading = asyncio.ensure_future(queries.of(realm, lang).hidden_dependencies())
    done_tasks, _ = await asyncio.wait((reading,), timeout=READING_WAIT_S)
    if not done_tasks:
        reading.cancel()
        return None
    try:
        return reading.result()
    except ProblemError:
        return None


PAGE: Final = ScreenPage(
    "dependencies",
    "/dependances",
    "dependencies/screen.html",
    build_dependencies_page,
    N_("Dépendances"),
    after="contingency",
)
