"""Embedded brokers for tests."""

from __future__ import annotations

import os
from pathlib import Path

from services.runtime.embedded.jars import classpath
from services.runtime.embedded.java import find_java
from services.runtime.embedded.kafka import KafkaNode
from services.runtime.embedded.ports import free_ports
from services.runtime.settings import Settings


def make_node(folder: Path) -> KafkaNode:
    """A node with everything in `folder`, on free ports; `prepare` it before the start."""
    java = os.environ.get("VIGIE_JAVA")
    jars = classpath(Settings().cache_dir, print)
    port, controller_port = free_ports(2)
    return KafkaNode(
        folder, port, controller_port, find_java(Path(java) if java else None), tuple(jars), folder / "broker.jsonl", heap_mb=384
    )
