"""Apache Kafka, one node that is broker and controller (KRaft)."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.base import LocalProcess, Missing, Server, free_port
from tests.servers.containers import Container
from tests.servers.given import GIVEN
from tests.servers.jars import KAFKA_VERSION, java, kafka_jars

_CLUSTER_ID = "dXNhZ2UtdHJpZ2dlcnMxMQ"
_HEAP = "-Xmx512m"
_LOGGING = [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
]
_SMALL = {  # one node, quick to start, light on a small machine
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A broker that was killed may register again only when its old session has ended.
    "broker.session.timeout.ms": "1000",
    "broker.heartbeat.interval.ms": "250",
    "auto.create.topics.enable": "false",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "num.replica.fetchers": "1",
    "log.cleaner.enable": "false",
    "num.partitions": "1",
}


class KafkaServer:
    """A broker at `bootstrap_servers`; one that was given from outside cannot be stopped or frozen."""

    def __init__(self, bootstrap_servers: str, server: Server | None = None) -> None:
        self.bootstrap_servers = bootstrap_servers
        self._server = server

    @property
    def is_ours(self) -> bool:
        return self._server is not None

    def start(self) -> None:
        self._own.start()

    def stop(self) -> None:
        self._own.stop()

    def kill(self) -> None:
        self._own.kill()

    def freeze(self) -> None:
        self._own.freeze()

    def thaw(self) -> None:
        self._own.thaw()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    @property
    def directory(self) -> Path:
        """Where its files are; raises Missing unless it was started from local parts."""
        if not isinstance(self._server, LocalKafka):
            raise Missing("the files of this Kafka are out of reach")
        return self._server.directory

    @property
    def _own(self) -> Server:
        if self._server is None:
            raise Missing("the Kafka of KAFKA_BOOTSTRAP_SERVERS is not ours to stop")
        return self._server


class LocalKafka:
    """Apache Kafka from its jars, in a directory of its own; one of several where `controller_ports` are."""

    def __init__(
        self,
        port: int,
        properties: Mapping[str, str] | None = None,
        format_options: Sequence[str] = (),
        *,
        node_id: int = 1,
        controller_ports: Sequence[int] = (),
    ) -> None:
        self._java = java()
        self._classpath = f"{kafka_jars()}/*"
        self.directory = Path(tempfile.mkdtemp(prefix="usage-triggers-kafka-"))
        self._write_configuration(port, properties or {}, node_id, controller_ports or [free_port()])
        self._process = LocalProcess(
            self._command("kafka.Kafka", str(self.directory / "server.properties")),
            output=self.directory / "server.log",
            directory=self.directory,
        )
        self._format_options = format_options
        self._is_formatted = False

    def start(self) -> None:
        if not self._is_formatted:
            self._format()
        self._process.start(lambda printed: b"Kafka Server started" in printed)

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()

    def freeze(self) -> None:
        self._process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.signal(signal.SIGCONT)

    def close(self) -> None:
        self._process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _command(self, main: str, *arguments: str) -> list[str]:
        options = [_HEAP, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"]
        return [self._java, *options, *_LOGGING, "-cp", self._classpath, main, *arguments]

    def _write_configuration(
        self, port: int, properties: Mapping[str, str], node_id: int, controller_ports: Sequence[int]
    ) -> None:
        controller_port = controller_ports[node_id - 1]
        voters = [f"{number}@127.0.0.1:{port}" for number, port in enumerate(controller_ports, 1)]
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(node_id),
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "log.dirs": str(self.directory / "log"),
        }
        settings |= _SMALL
        for name, value in properties.items():
            # `listeners` are added to ours: the controller's must stay.
            settings[name] = f"{value},{settings[name]}" if name.endswith("listeners") else value
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self.directory / "server.properties").write_text(lines)

    def _format(self) -> None:
        configuration = str(self.directory / "server.properties")
        arguments = ("format", "-t", _CLUSTER_ID, "-c", configuration, *self._format_options)
        done = subprocess.run(
            self._command("kafka.tools.StorageTool", *arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise RuntimeError(f"kafka.tools.StorageTool: {done.stdout}{done.stderr}")
        self._is_formatted = True


def find_kafka(
    properties: Mapping[str, str] | None = None, *, format_options: Sequence[str] = (), own: bool = False
) -> KafkaServer:
    """A started Kafka: given, in a container, or from its jars; raises Missing.

    `own`: not the one that was given, for a test that stops it. `properties` are broker settings
    beyond the usual (and mean a local one of its own); `listeners` and `advertised.listeners` are
    added to. `format_options` go to `kafka.tools.StorageTool format`, such as `--add-scram`.
    """
    given = GIVEN["KAFKA_BOOTSTRAP_SERVERS"]
    if given and not own and not properties:
        return KafkaServer(given)
    port = free_port()
    server = _contained(port, properties or {}) or _local(port, properties, format_options)
    found = KafkaServer(f"127.0.0.1:{port}", server)
    try:
        found.start()
    except BaseException:
        found.close()
        raise
    return found


def _contained(port: int, properties: Mapping[str, str]) -> Server | None:
    if properties:
        return None  # settings such as listeners name files and ports of this machine
    inside = {
        "node.id": "1",
        "process.roles": "broker,controller",
        "controller.quorum.voters": "1@localhost:9093",
        "controller.listener.names": "CONTROLLER",
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        **_SMALL,
    }
    environment = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in inside.items()}
    try:
        return Container(
            f"apache/kafka:{KAFKA_VERSION}",
            ports={9092: port},
            environment=environment,
            ready_line="Kafka Server started",
        )
    except Missing:
        return None


def _local(port: int, properties: Mapping[str, str] | None, format_options: Sequence[str]) -> Server:
    try:
        return LocalKafka(port, properties, format_options)
    except Missing as missing:
        raise Missing(
            f"no Apache Kafka: KAFKA_BOOTSTRAP_SERVERS is not set, no Docker engine answers, {missing}"
        ) from missing
