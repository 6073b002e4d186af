#!/usr/bin/env python3
"""Vigie from this folder, on a machine with nothing but Python and no network.

    python3 vigie.py              starts everything; then open http://127.0.0.1:8092
    python3 vigie.py status       any other command of Vigie
    python3 vigie.py --check      are all files here, and unchanged?

The first start unpacks the packages beside this file (or into VIGIE_KIT_DIR when this folder cannot be written) and takes a moment.
Python 3.6 has to read this file: it says which Python the kit needs.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
import zipfile
from pathlib import Path

KIT = Path(__file__).resolve().parent


def fail(sentence):
    sys.stderr.write(f"Vigie : {sentence}\n")
    raise SystemExit(1)


def manifest():
    try:
        return json.loads((KIT / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return fail("manifest.json manque ou est abîmé : refaites le kit (vigie kit)")


MANIFEST = manifest()


def check():
    for name, wanted in MANIFEST["files"].items():
        path = KIT / name
        if not path.is_file():
            fail(f"il manque le fichier {name} : refaites le kit (vigie kit)")
        with path.open("rb") as file:
            found = hashlib.sha256()
            for block in iter(lambda: file.read(1 << 20), b""):
                found.update(block)
        if found.hexdigest() != wanted:
            fail(f"le fichier {name} a changé : refaites le kit (vigie kit)")


def right_python():
    have = f"{sys.version_info.major}.{sys.version_info.minor}"
    if have != MANIFEST["python"]:
        fail(
            f"ce kit demande Python {MANIFEST['python']}, celui-ci est {have} : essayez python{MANIFEST['python']} vigie.py"
        )
    if (platform.system(), platform.machine()) != (MANIFEST["system"], MANIFEST["machine"]):
        fail(
            f"ce kit est pour {MANIFEST['system']} {MANIFEST['machine']}, cette machine est {platform.system()} {platform.machine()}"
        )


def keeps_rights(folder):
    """Whether data may lie there: keys are their owner's alone, and a name may be given to a file once. FAT and exFAT, as on most sticks, do neither."""
    probe, other = folder / ".vigie-essai", folder / ".vigie-essai-2"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.chmod(0o600)
        os.link(probe, other)
        return probe.stat().st_mode & 0o777 == 0o600
    except OSError:
        return False
    finally:
        for path in (probe, other):
            if os.access(folder, os.W_OK):
                path.unlink(missing_ok=True)


def writable():
    given = os.environ.get("VIGIE_KIT_DIR")
    if given:
        if keeps_rights(Path(given).absolute()):
            return Path(given).absolute()
        fail(
            f"VIGIE_KIT_DIR={given} ne peut pas recevoir les données : il faut un dossier où écrire, d'un disque qui garde les droits des fichiers"
        )
    if keeps_rights(KIT):
        return KIT
    home = Path.home() / ".local" / "share" / "vigie-kit"
    if keeps_rights(home):
        sys.stderr.write(
            f"Vigie : ce support ne peut pas recevoir les données, elles sont dans {home}\n"
        )
        return home
    return fail("aucun dossier où écrire : donnez-en un par VIGIE_KIT_DIR")


def unpack(wheel, site):
    with zipfile.ZipFile(wheel) as source:
        for entry in source.infolist():
            parts = Path(entry.filename).parts
            if entry.is_dir() or ".." in parts:
                continue
            if parts[0].endswith(".data"):
                if parts[1] not in ("purelib", "platlib"):
                    continue
                parts = parts[2:]
            target = site.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open(entry) as packed, target.open("wb") as out:
                shutil.copyfileobj(packed, out)
            mode = entry.external_attr >> 16 & 0o777
            if mode:
                target.chmod(mode | 0o200)


def unpacked(folder):
    site = folder / f"site-{MANIFEST['id']}"
    if not site.is_dir():
        check()
        sys.stderr.write("Vigie : premier démarrage, les paquets sont dépliés (une minute)\n")
        half = folder / f"site-{MANIFEST['id']}.part"
        shutil.rmtree(half, ignore_errors=True)
        for wheel in sorted((KIT / "wheels").glob("*.whl")):
            unpack(wheel, half)
        half.rename(site)
    return site


def main(arguments):
    right_python()
    if arguments == ["--check"]:
        check()
        sys.stdout.write(f"{len(MANIFEST['files'])} fichiers, tous intacts\n")
        return
    folder = writable()
    site = unpacked(folder)
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join((str(KIT / "app"), str(site)))
    environment["PYTHONNOUSERSITE"] = environment["PYTHONSAFEPATH"] = (
        "1"  # neither the user’s packages nor the current folder’s
    )
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment["VIGIE_CACHE_DIR"] = str(KIT / "cache")
    environment.setdefault("VIGIE_DATA_DIR", str(folder / "data"))
    environment.setdefault(
        "VIGIE_TERRITORY", str(KIT / "app" / "territories" / MANIFEST["territory"])
    )
    os.execve(
        sys.executable, [sys.executable, "-m", "services.cli", *(arguments or ["up"])], environment
    )


if __name__ == "__main__":
    main(sys.argv[1:])
