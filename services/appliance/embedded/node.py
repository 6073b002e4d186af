"""Build the embedded broker of a folder with the Java, jars and cached classes of this machine."""

from collections.abc import Callable
from pathlib import Path

from services.appliance.embedded.classes import find_cache
from services.appliance.embedded.java import fetch_classpath, find_java, read_configured_java
from services.appliance.embedded.kafka import KafkaNode, check_folder
from services.runtime.secrets.local_secrets import get_or_create_password


def make_node(
    folder: Path,
    ports: tuple[int, int],
    log_file: Path,
    cache_dir: Path,
    secrets: Path,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[str], None] = lambda _: None,
) -> KafkaNode:
    """Return a node with everything in `folder`; `prepare` it before the start.

    `ports` are those of the broker and of the controller. `secrets` is the folder of its password,
    which is created if it is missing. Missing jars are fetched; `say` gets a line then, and
    `progress` their number so far. A folder that Kafka cannot use is refused before anything is
    fetched or written. Raises BrokerFailed, JavaUnusable, JarsUnavailable, OSError.
    """
    check_folder(folder)
    java, jars = find_java(read_configured_java()), tuple(fetch_classpath(cache_dir, say, progress))
    return KafkaNode(
        folder,
        *ports,
        java,
        jars,
        log_file,
        get_or_create_password(secrets),
        classes=find_cache(java, jars),
    )
