"""Pages describe themselves: a `WebPage` in `screen.py` or `…_screen.py` of their folder.

Routes and navigation find them; nothing else lists them.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

from fastapi import Request

from services import console
from services.console.read_model.queries import Queries
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal

PageBuilder = Callable[..., Awaitable[dict[str, Any]]]
"""Returns the values of a template. It gets the parameters of the path as keywords."""


@dataclass(frozen=True, slots=True)
class WebPage:
    """A page: its address, its template, its place in the menu, and the values that it shows."""

    name: str
    """Name in the shell and in the navigation."""
    path: str
    template: str
    """Relative to `services/console`, such as `sites/screen.html`, or to its `templates`."""
    build: PageBuilder
    label: str = ""
    """Text in the menu; empty: it is not in the menu."""
    after: str = ""
    """Page that it follows in the menu, unless the menu lists it itself."""
    needs: Permission = Permission.PICTURE_READ
    """Right to open it."""
    listed_for: Permission | None = None
    """Right to see it in the menu; None: that to open it."""
    personal: bool = False
    """It is rendered for each reader alone."""
    is_personal_now: Callable[[Request], bool] | None = None
    """Tells that it is rendered for each reader alone for now."""
    tell_apart: Callable[[Queries, Principal], Awaitable[str]] | None = None
    """Returns a text: readers with the same rights and the same text share the page."""
    is_cached: bool = True
    """It changes only with a fact on a log, and its reading is not recorded."""
    past: bool = True
    """It can show a past time."""
    also: tuple[str, ...] = ()
    """Further addresses."""

    def is_personal(self, request: Request) -> bool:
        """Return whether readers with the same rights may see different pages."""
        now = self.is_personal_now
        return self.personal or (now is not None and now(request))

    async def collect_values(
        self, queries: Queries, request: Request, **parameters: str
    ) -> dict[str, Any]:
        """Return the values of the template. `build` gets queries and request."""
        return await self.build(queries, request, **parameters)


@cache
def load_pages() -> tuple[WebPage, ...]:
    """Load the pages of all folders by name. Raises ValueError if two share a name or a path."""
    pages: dict[str, WebPage] = {}
    for module in list_modules("screen"):
        values = vars(importlib.import_module(module)).values()
        for page in (value for value in values if isinstance(value, WebPage)):
            others = (other for other in pages.values() if other is not page)
            if any(page.name == other.name or page.path == other.path for other in others):
                raise ValueError(f"{module}: another page has its name or its path")
            pages[page.name] = page
    return tuple(pages[name] for name in sorted(pages))


def list_modules(name: str) -> list[str]:
    """List the modules `name` and `…_name` in the folders of the console."""
    folders = [f for f in pkgutil.iter_modules(console.__path__, f"{console.__name__}.") if f.ispkg]
    names: list[str] = []
    for folder in folders:
        spec = find_spec(folder.name)
        inside = spec.submodule_search_locations if spec is not None else None
        modules = pkgutil.iter_modules(inside, f"{folder.name}.")
        names += (m.name for m in modules if m.name.endswith((f".{name}", f"_{name}")))
    return names
