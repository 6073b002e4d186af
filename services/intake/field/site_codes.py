"""Look up short site codes: column `code` of `sites.csv`, read again when the file changes."""

from __future__ import annotations

import csv
from pathlib import Path

import structlog

from services.intake.integrations.request import build_field_problem

log = structlog.get_logger(__name__)


class SiteCodes:
    """Site codes of the live territory."""

    def __init__(self, territory: Path) -> None:
        self._file = territory / "sites.csv"
        self._read_at: float | None = None
        self._codes: dict[str, str] = {}

    def site_of(self, site_code: str | None, own: tuple[str, ...]) -> str:
        """Return the site id of a code or id. An unknown one is kept for a person to link.

        Without one, the sender's only site counts. Raises ProblemError `invalid` if there is none
        or several. Rule D8, unknown site ids.
        """
        if site_code is not None:
            return self._known().get(
                site_code, site_code.lower() if "-" in site_code else site_code
            )
        if len(own) == 1:
            return own[0]
        raise build_field_problem(
            "text",
            "site",
            "code du site attendu, par exemple 117 ELEC",
            "a site code is expected, for example 117 ELEC",
        )

    def knows(self, site: str) -> bool:
        """Tell whether this is a site of the territory; of one that cannot be read nobody can say no."""
        sites_by_code = self._known()
        return not sites_by_code or site in sites_by_code.values()

    def _known(self) -> dict[str, str]:
        try:
            changed = self._file.stat().st_mtime
            if changed != self._read_at:
                with self._file.open(encoding="utf-8", newline="") as rows:
                    read = [(r["site_id"], r.get("code") or "") for r in csv.DictReader(rows)]
                self._codes = {id.upper(): id for id, _ in read} | {
                    code.upper(): id for id, code in read if code
                }
                self._read_at = changed
        except (OSError, KeyError, ValueError) as error:
            log.error(
                "places.unreadable",
                file=str(self._file),
                error=f"{type(error).__name__}: {error}",
                then="codes stay as they were read before",
            )
        return self._codes
