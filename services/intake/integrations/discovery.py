"""Find the integrations: the modules of this folder that name paths and read signals."""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol, cast

from services.intake import integrations
from services.intake.integrations.request import IntegrationRequest, Reply
from services.intake.integrations.signals import ForwardedReport, Transition
from services.runtime.http.problems import ProblemError
from services.runtime.identity.principals import Source

USUAL_KEY_LOCATION = "Authorization"
"""Header with the key, unless an integration has a `KEY_LOCATION`."""


class Integration(Protocol):
    """Interface of an integration module.

    It may have a `KEY_LOCATION`: the place where its clients usually put their key, and a
    `build_refusal(problem)` in place of the standard problem document.
    """

    NAME: str
    PATHS: tuple[str, ...]

    def signals(
        self, request: IntegrationRequest, source: Source
    ) -> Sequence[Transition | ForwardedReport | ProblemError]:
        """Read the transitions in a request. Raises ProblemError.

        In a list of many, an invalid item is returned as its ProblemError.
        """
        ...

    def build_reply(self, request: IntegrationRequest, outcome: Any) -> Reply:
        """Return the response to an accepted request."""
        ...


@cache
def load_integrations() -> Mapping[str, Integration]:
    """Load the integrations by name. Raises ValueError if two share a name or a path."""
    integrations_by_name: dict[str, Integration] = {}
    for info in pkgutil.iter_modules(integrations.__path__, f"{integrations.__name__}."):
        module = importlib.import_module(info.name)
        if not all(hasattr(module, name) for name in ("NAME", "PATHS", "signals")):
            continue
        one = cast("Integration", module)
        used = {path for other in integrations_by_name.values() for path in other.PATHS}
        if one.NAME in integrations_by_name or used.intersection(one.PATHS):
            raise ValueError(f"{info.name}: another integration has its name or a path")
        integrations_by_name[one.NAME] = one
    return integrations_by_name
