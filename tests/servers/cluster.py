"""Several brokers of Apache Kafka that hold copies of each other's records."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from tests.servers.base import free_port
from tests.servers.kafka import LocalKafka

_REPLICATED: Mapping[str, str] = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    # Nobody waits long for a broker that is gone.
    "replica.lag.time.max.ms": "3000",
    "controlled.shutdown.enable": "true",
}


class KafkaCluster:
    """`brokers` on this machine, from Kafka's jars; raises Missing where those cannot be had."""

    def __init__(self, count: int = 3) -> None:
        ports = [free_port() for _ in range(count)]
        controller_ports = [free_port() for _ in range(count)]
        self.brokers = [
            LocalKafka(port, _REPLICATED, node_id=node_id, controller_ports=controller_ports)
            for node_id, port in enumerate(ports, 1)
        ]
        self.bootstrap_servers = ",".join(f"127.0.0.1:{port}" for port in ports)
        # Its threads live as long as the brokers: the kernel ends a child with the thread that began it.
        self._starters = ThreadPoolExecutor(count)

    def start(self) -> None:
        """All at once: none is ready before most of them are."""
        for _ in self._starters.map(LocalKafka.start, self.brokers):
            pass

    def close(self) -> None:
        for broker in self.brokers:
            broker.close()
        self._starters.shutdown()


def find_cluster() -> KafkaCluster:
    """Started; raises Missing."""
    cluster = KafkaCluster()
    try:
        cluster.start()
    except BaseException:
        cluster.close()
        raise
    return cluster
