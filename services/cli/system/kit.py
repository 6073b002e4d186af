"""`vigie kit DIR`: make a folder that starts Vigie with only Python and no network."""

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from services.appliance.embedded.java import JarsUnavailable, fetch_classpath
from services.cli.client import print_error
from services.cli.crisis.paper import build_pack, build_plans
from services.console.directory.contact_file import DirectoryInvalid, read_contacts
from services.delivery.settings import DeliverySettings
from services.runtime.process.settings import DISTRIBUTION, REPOSITORY, Settings, find_version
from services.territory import TerritoryInvalid, load_territory

APP_ENTRIES: Final = (
    "schemas",
    "services",
    "scenarios",
    "docs",
    "deploy",
    "README.md",
    "CHANGELOG.md",
    "pyproject.toml",
    "uv.lock",
)
START_FILES: Final = ("vigie.py", "LISEZ-MOI.txt")


class KitFailed(RuntimeError):
    """Signal that the kit cannot be made; the message says why."""


def make_kit(folder: Path, settings: Settings, *, directory: Path | None, url: str) -> int:
    """Fill an empty folder with a kit and return its size in bytes.

    Raises KitFailed, JarsUnavailable, TerritoryInvalid, DirectoryInvalid and OSError.
    """
    if folder.exists() and any(folder.iterdir()):
        raise KitFailed(f"{folder} is not empty: a kit goes into a folder of its own")
    if not (REPOSITORY / "uv.lock").is_file():
        raise KitFailed(
            "a kit is made from the sources of Vigie: this installation has only its packages"
        )
    folder.mkdir(parents=True, exist_ok=True)
    territory = load_territory(settings.territory)
    typer.echo("packages …", err=True)
    _download_wheels(folder / "wheels")
    typer.echo("program, reference data, Kafka …", err=True)
    _copy_app(folder / "app", settings.territory)
    jars = fetch_classpath(settings.cache_dir, lambda text: typer.echo(text, err=True))
    target = folder / "cache" / jars[0].parent.name
    target.mkdir(parents=True)
    for jar in jars:
        shutil.copyfile(jar, target / jar.name)
    typer.echo("paper …", err=True)
    (folder / "papier").mkdir()
    at = datetime.now(UTC).replace(microsecond=0)
    papers = folder / "papier"
    (papers / "vigie.pdf").write_bytes(build_pack(territory, url=url, people=[], at=at))
    (papers / "plans.pdf").write_bytes(build_plans(territory, people=[], at=at))
    if directory is not None:
        people = read_contacts(directory.read_text(encoding="utf-8-sig").splitlines())
        for name, content in (
            ("vigie", build_pack(territory, url=url, people=people, at=at)),
            ("plans", build_plans(territory, people=people, at=at)),
        ):
            directory_file = papers / f"{name}-avec-annuaire.pdf"
            directory_file.touch(mode=0o600)
            directory_file.write_bytes(content)
    for name in START_FILES:
        shutil.copyfile(REPOSITORY / "deploy" / "kit" / name, folder / name)
    return _write_manifest(folder, settings.territory.name)


def _download_wheels(target: Path) -> None:
    """Download every package of the lock file, for this Python and machine."""
    tools = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as scratch:
        requirements_file = Path(scratch) / "requirements.txt"
        _run_command(
            [
                str(tools / "uv"),
                "export",
                "--quiet",
                "--frozen",
                "--no-dev",
                "--no-emit-project",
                "--format",
                "requirements-txt",
                "--output-file",
                str(requirements_file),
            ]
        )
        _run_command(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--require-hashes",
                "--requirement",
                str(requirements_file),
                "--dest",
                str(target.absolute()),
            ]
        )


def _run_command(command: list[str]) -> None:
    """Run a command from the source folder, so its paths must be absolute.

    Raises KitFailed.
    """
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr or result.stdout).strip().splitlines() or ["no reason given"]
        raise KitFailed(f"{Path(command[0]).name} {command[1]}: {reason[-1][:300]}")


def _copy_app(target: Path, territory: Path) -> None:
    target.mkdir()
    for name in APP_ENTRIES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(
                source, target / name, ignore=shutil.ignore_patterns("__pycache__", "screenshots")
            )
        else:
            shutil.copyfile(source, target / name)
    shutil.copytree(
        territory,
        target / "territories" / territory.name,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    about = target / f"{DISTRIBUTION.replace('-', '_')}-{find_version()}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {find_version()}\n",
        encoding="utf-8",
    )


def _write_manifest(folder: Path, territory: str) -> int:
    files, size = {}, 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as content:
            files[path.relative_to(folder).as_posix()] = hashlib.file_digest(
                content, "sha256"
            ).hexdigest()
        size += path.stat().st_size
    id = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:12]
    about = {
        "id": id,
        "version": find_version(),
        "territory": territory,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "system": platform.system(),
        "machine": platform.machine(),
        "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    return size


def kit(
    folder: Annotated[
        Path, typer.Argument(help="New or empty folder, e.g. on a stick", file_okay=False)
    ],
    directory: Annotated[
        Path | None,
        typer.Option(
            help="Add a telephone list, from the CSV of `vigie directory import`. Personal data",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Address for the QR codes; default VIGIE_PUBLIC_URL")
    ] = None,
) -> None:
    """Make a self-contained folder that starts Vigie with only Python and no network."""
    try:
        size = make_kit(
            folder,
            Settings(),
            directory=directory,
            url=(DeliverySettings().public_url if url is None else url).rstrip("/"),
        )
    except (
        KitFailed,
        JarsUnavailable,
        TerritoryInvalid,
        DirectoryInvalid,
        OSError,
        UnicodeDecodeError,
    ) as error:
        raise print_error(error) from error
    typer.echo(
        f"{folder}: {size >> 20} MB, for Python {sys.version_info.major}.{sys.version_info.minor}. On the other machine: python3 vigie.py"
    )
