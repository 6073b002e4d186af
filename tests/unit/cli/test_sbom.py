"""The bill of materials names every part, in the version that the lock file names."""

from __future__ import annotations

import tomllib

from packaging.requirements import Requirement

from services.appliance.embedded.java import read_locked_jars
from services.runtime.process.settings import REPOSITORY
from tools.sbom import _normalize_name, build_bill


def test_the_sbom_names_the_packages_of_the_lock_file() -> None:
    locked = {
        (p["name"], p.get("version"))
        for p in tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    }
    sbom_versions = {
        part["name"]: part["version"]
        for part in build_bill()["components"]
        if part["purl"].startswith("pkg:pypi/")
    }
    assert {(_normalize_name(name), version) for name, version in sbom_versions.items()} <= locked
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"][
        "dependencies"
    ]
    direct = {
        _normalize_name(requirement.name)
        for requirement in map(Requirement, dependencies)
        if requirement.marker is None or requirement.marker.evaluate()
    }
    assert direct <= {_normalize_name(name) for name in sbom_versions}


def test_the_bill_names_every_jar_with_its_hash() -> None:
    jars = {
        part["name"]: part["hashes"][0]["content"]
        for part in build_bill()["components"]
        if part["purl"].startswith("pkg:maven/")
    }
    assert jars == {jar.coordinate.split(":")[1]: jar.sha256 for jar in read_locked_jars()}


def test_every_reference_leads_somewhere() -> None:
    document = build_bill()
    references = {part["bom-ref"] for part in document["components"]} | {
        document["metadata"]["component"]["bom-ref"]
    }
    assert len(references) == len(document["components"]) + 1
    assert {
        ref for need in document["dependencies"] for ref in (need["ref"], *need["dependsOn"])
    } <= references


def test_the_same_installation_gives_the_same_bill() -> None:
    assert build_bill() == build_bill()
