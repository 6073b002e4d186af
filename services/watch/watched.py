"""Read `flux.yaml` of a territory: which sections, lines, roads and products concern it."""

import csv
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

FILE: Final = "flux.yaml"


class WatchedUnreadable(ValueError):
    """`flux.yaml` is missing or wrong."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class WatchedSections(_Part):
    """Sections of river: some decide the colour, others only enter the text."""

    decide: dict[str, str] = Field(alias="decident")
    text: dict[str, str] = Field(default={}, alias="texte")


class WatchedStation(_Part):
    code: str
    object: str = Field(alias="objet")
    name: str = Field(alias="nom")


class WatchedLines(_Part):
    names: dict[str, str] = Field(alias="noms")
    text: tuple[str, ...] = Field(default=(), alias="texte")
    """Lines that enter the text of a report, and are never reported by themselves."""
    structural: tuple[str, ...] = Field(alias="structurantes")


class WatchedRoads(_Part):
    operator: str = Field(alias="exploitant")
    names: tuple[str, ...] = Field(alias="noms")
    closures: tuple[str, ...] = Field(alias="fermetures")


class InventoryProduct(_Part):
    """A product in use; `system` is a system of the territory."""

    vendor: str = Field(alias="editeur")
    product: str = Field(alias="produit")
    system: str = Field(alias="systeme")


class WatchedTerritory(_Part):
    """All that the connectors of one territory look for."""

    name: str = Field(alias="nom")
    code: str
    domain: str = Field(alias="domaine_meteo")
    neighbours: tuple[str, ...] = Field(default=(), alias="domaines_voisins")
    sections: WatchedSections = Field(alias="troncons")
    station: WatchedStation
    lines: WatchedLines = Field(alias="lignes")
    roads: WatchedRoads = Field(alias="routes")
    air_commune: str = Field(alias="commune_air")
    inventory: tuple[InventoryProduct, ...] = Field(default=(), alias="inventaire")
    communes: dict[str, str] = Field(default={}, exclude=True)
    """Code by name, from `communes.csv`."""


def load_watched(territory: Path) -> WatchedTerritory:
    """Read the watched objects of a territory. Raises WatchedUnreadable."""
    file = territory / FILE
    try:
        document = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
        return WatchedTerritory.model_validate(
            {**document, "communes": _read_communes(territory / "communes.csv")}
        )
    except (OSError, YAMLError, ValidationError, TypeError) as error:
        raise WatchedUnreadable(f"{file}: {error}") from error


def _read_communes(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    with file.open(encoding="utf-8", newline="") as lines:
        return {row["name"]: row["insee"] for row in csv.DictReader(lines)}
