"""The first fetch of Kafka behind a proxy that inspects TLS, as administrations have them."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.appliance.embedded.java import KAFKA_VERSION, fetch_classpath
from services.runtime.process.settings import Settings
from tests.certificates import make_certificate

REPOSITORY = "repo.maven.apache.org"
FETCH_ONE_JAR = """
import pathlib, sys
from services.appliance.embedded import java
jars = [jar for jar in java.read_locked_jars() if "slf4j-api" in jar.coordinate]
java.read_locked_jars = lambda: jars
try:
    print(java.fetch_classpath(pathlib.Path(sys.argv[1]), lambda _: None)[0].name)
except java.JarsUnavailable as error:
    sys.exit(str(error))
"""


def serve_jars(listening: socket.socket, context: ssl.SSLContext, jars: Path) -> None:
    """Answer CONNECT, then speak TLS in the repository's place and serve the jars of a folder."""
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        with client:
            client.recv(65_536)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            try:
                with context.wrap_socket(client, server_side=True) as tls:
                    name = tls.recv(65_536).split(b" ")[1].decode().rsplit("/", 1)[-1]
                    is_known = (jars / name).is_file()
                    body = (jars / name).read_bytes() if is_known else b""
                    tls.sendall(
                        f"HTTP/1.1 {'200 OK' if is_known else '404 Not Found'}\r\nContent-Length: {len(body)}\r\n"
                        "Connection: close\r\n\r\n".encode()
                        + body
                    )
            except OSError:
                continue


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the address of an inspecting proxy and the certificate of its authority."""
    fetch_classpath(Settings().cache_dir, print)
    certificate, key = make_certificate(tmp_path, REPOSITORY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = socket.create_server(("127.0.0.1", 0))
    jars = Settings().cache_dir / f"kafka-{KAFKA_VERSION}"
    threading.Thread(target=serve_jars, args=(listening, context, jars), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", certificate
    finally:
        listening.close()


def fetch_one_jar(
    address: str, cache: Path, authority: Path | None
) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.endswith("CA_BUNDLE")
    }
    environment |= {"HTTPS_PROXY": address, "https_proxy": address}
    environment.pop("SSL_CERT_FILE", None)
    if authority is not None:
        environment["SSL_CERT_FILE"] = str(authority)
    return subprocess.run(
        [sys.executable, "-c", FETCH_ONE_JAR, str(cache)],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_kafka_comes_through_a_proxy_with_an_authority_that_the_machine_trusts(
    proxy: tuple[str, Path], tmp_path: Path
) -> None:
    address, authority = proxy
    fetched = fetch_one_jar(address, tmp_path / "cache", authority)
    assert (fetched.returncode, fetched.stdout.strip()) == (0, "slf4j-api-1.7.36.jar"), (
        fetched.stderr
    )


def test_an_unknown_authority_is_named_with_its_remedy(
    proxy: tuple[str, Path], tmp_path: Path
) -> None:
    refused = fetch_one_jar(proxy[0], tmp_path / "cache", None)
    assert refused.returncode == 1
    assert "add the proxy's authority to the certificates of this machine" in refused.stderr
