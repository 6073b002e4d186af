"""List the Python packages and Kafka jars of this installation as CycloneDX 1.6.

`python -m tools.sbom >vigie.cdx.json` writes the software bill of materials.
"""

import json
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from services.appliance.embedded.java import LockedJar, read_locked_jars

ROOT: Final = "vigie-crise"
EXTRAS: Final = frozenset({"hiredis"})
"""Extras in pyproject.toml."""


def build_bill() -> dict[str, Any]:
    """Build the document.

    It holds no time, so the same installation gives the same document.
    """
    packages = _collect_packages()
    parts = [
        _describe_package(package) for name, package in sorted(packages.items()) if name != ROOT
    ] + [_describe_jar(jar) for jar in read_locked_jars()]
    needs = [
        {
            "ref": _package_url(package),
            "dependsOn": sorted(
                _package_url(packages[n]) for n in _list_dependencies(package) if n in packages
            ),
        }
        for package in packages.values()
    ]
    root = next(n for n in needs if n["ref"] == _package_url(packages[ROOT]))
    root["dependsOn"] = [
        *root["dependsOn"],
        *(_describe_jar(jar)["bom-ref"] for jar in read_locked_jars()),
    ]
    serial = uuid5(NAMESPACE_URL, json.dumps(parts, sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "serialNumber": f"urn:uuid:{serial}",
        "metadata": {"component": _describe_package(packages[ROOT]) | {"type": "application"}},
        "components": parts,
        "dependencies": sorted(needs, key=lambda n: str(n["ref"])),
    }


def _collect_packages() -> dict[str, Distribution]:
    """Collect the packages that `vigie` needs on this machine, recursively."""
    packages: dict[str, Distribution] = {}
    waiting = [ROOT]
    while waiting:
        name = waiting.pop()
        if name in packages:
            continue
        try:
            packages[name] = distribution(name)
        except PackageNotFoundError:
            continue  # Needed on other machines only.
        waiting += _list_dependencies(packages[name])
    return packages


def _list_dependencies(distribution: Distribution) -> list[str]:
    """List the dependencies of a package on this machine.

    Extras count only if they are in EXTRAS.
    """
    names = []
    for text in distribution.requires or ():
        requirement, _, marker = text.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        if extra is None or extra[1] in EXTRAS:
            names.append(
                _normalize_name(re.split(r"[\s\[<>=!~(]", requirement.strip(), maxsplit=1)[0])
            )
    return names


def _normalize_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _package_url(distribution: Distribution) -> str:
    return f"pkg:pypi/{_normalize_name(distribution.metadata['Name'])}@{distribution.version}"


def _describe_package(distribution: Distribution) -> dict[str, Any]:
    purl = _package_url(distribution)
    part: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": distribution.metadata["Name"],
        "version": distribution.version,
        "purl": purl,
    }
    about = distribution.metadata
    if "License-Expression" in about:
        part["licenses"] = [{"expression": about["License-Expression"]}]
    elif "License" in about and (words := about["License"].strip()):
        part["licenses"] = [{"license": {"name": words.splitlines()[0][:100]}}]
    return part


def _describe_jar(jar: LockedJar) -> dict[str, Any]:
    group, artifact, version = jar.coordinate.split(":")
    purl = f"pkg:maven/{group}/{artifact}@{version}?type=jar"
    return {
        "type": "library",
        "bom-ref": purl,
        "group": group,
        "name": artifact,
        "version": version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": jar.sha256}],
    }


if __name__ == "__main__":
    print(json.dumps(build_bill(), ensure_ascii=False, indent=1))
