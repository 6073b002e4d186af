"""Run only the broker of an installation, for commands that just read or write its topics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.appliance.embedded.java import JarsUnavailable, JavaUnusable
from services.appliance.embedded.kafka import BrokerFailed, KafkaNode, RunningKafka
from services.appliance.embedded.node import make_node
from services.appliance.supervisor.orphans import end_orphans
from services.appliance.supervisor.status import MIN_FREE_MB, read_free_mb
from services.runtime.kafka.security import read_cluster_security, use_security
from services.runtime.process.cluster import read_member
from services.runtime.process.files import DataDirBusy, DataDirLock
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import choose_ports, read_ports


class NoBroker(Exception):
    """The broker of the data directory cannot be started; the message gives the reason."""


@asynccontextmanager
async def run_broker(settings: Settings, *, new_mb: int | None = None) -> AsyncIterator[Settings]:
    """Yield settings with a running broker: the configured one, or the embedded one.

    In a cluster it is one of the others, too: a broker alone has no majority. The embedded broker
    is started here and stopped at the end. It holds the data directory meanwhile, so that no `vigie
    up` starts on it. With `new_mb` it may be a first, empty one, which is going to hold so much.
    Raises NoBroker.
    """
    if settings.kafka:
        yield settings
        return
    data = settings.data
    if (member := read_member(data.secrets)) is not None:
        use_security(read_cluster_security(data.secrets))
        try:
            yield settings.model_copy(update={"kafka": member.brokers})
        finally:
            use_security(None)
        return
    if new_mb is None and not KafkaNode.is_formatted(data.kafka):
        raise NoBroker(
            f"{data.root} ne contient pas d’installation de Vigie : nommez son dossier "
            "(VIGIE_DATA_DIR) ou son courtier (VIGIE_KAFKA)"
        )
    try:
        data.make()
        if new_mb is not None and (free := read_free_mb(data)) < (needed := MIN_FREE_MB + new_mb):
            raise NoBroker(
                f"le disque de {data.root} a {free} Mo libres, il en faut {needed} : faites de la "
                "place, ou nommez un dossier sur un autre disque"
            )
        lock = DataDirLock(data.lock)
        if new_mb is not None and not KafkaNode.is_formatted(data.kafka):
            data.restoring.touch()  # killed before its first record, it is no new installation
    except (OSError, DataDirBusy) as error:
        raise NoBroker(f"le dossier de données {data.root} est inutilisable : {error}") from error
    try:
        end_orphans(data.root)
        # The other ports stay for the next start
        ports = choose_ports(data.ports, {"kafka", "controller", *read_ports(data.ports)})
        own = ports["kafka"], ports["controller"]
        node = make_node(
            data.kafka, own, data.logs / "broker.jsonl", settings.cache_dir, data.secrets
        )
        node.prepare()
        broker = RunningKafka(node)
        use_security(node.security)
        try:
            await broker.start()
            yield settings.model_copy(update={"kafka": broker.address})
        finally:
            use_security(None)
            broker.stop()
    except (JavaUnusable, JarsUnavailable, BrokerFailed, TimeoutError) as error:
        raise NoBroker(str(error) or "le courtier ne répond pas à temps") from error
    finally:
        lock.release()
