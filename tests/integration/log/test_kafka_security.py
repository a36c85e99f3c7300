"""SASL and TLS from the environment's settings, against a broker that asks for them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import ConfigError, LogUnavailable
from shared.log import Message
from shared.log.kafka_connection import kafka_connection
from shared.log.topics import ensure_topics, topic_plan
from shared.settings import Settings
from tests.integration.log.conftest import OpenLog
from tests.log_reading import read_all, settled
from tests.servers import find_kafka
from tests.servers.base import free_port
from tests.servers.fixtures import until_closed

_SECURITY = "org.apache.kafka.common.security"
_STORE_PASSWORD = "changeit"


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of a broker at 127.0.0.1; its key is in `broker.p12` beside it."""
    directory = tmp_path_factory.mktemp("tls")
    store = [
        "-keystore",
        str(directory / "broker.p12"),
        "-storetype",
        "PKCS12",
        "-storepass",
        _STORE_PASSWORD,
    ]
    new_key = ["-genkeypair", "-alias", "broker", "-keyalg", "RSA", "-validity", "3", "-dname", "CN=broker"]
    _keytool(*new_key, "-ext", "san=ip:127.0.0.1", *store)
    exported = directory / "ca.pem"
    _keytool("-exportcert", "-rfc", "-alias", "broker", "-file", str(exported), *store)
    return exported


def _keytool(*arguments: str) -> None:
    subprocess.run(["keytool", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def ports(ca_file: Path) -> Iterator[dict[str, int]]:
    """A broker that takes SASL on one port, and SASL over TLS on another."""
    ports = {"LOGIN": free_port(), "SECURE": free_port()}
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    plain = f'{_SECURITY}.plain.PlainLoginModule required user_usage="plain-secret";'
    scram = f"{_SECURITY}.scram.ScramLoginModule required;"
    properties = {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": (
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOGIN:SASL_PLAINTEXT,SECURE:SASL_SSL"
        ),
        "inter.broker.listener.name": "PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
        "ssl.keystore.location": str(ca_file.parent / "broker.p12"),
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.password": _STORE_PASSWORD,
    }
    for name in ("login", "secure"):
        properties[f"listener.name.{name}.plain.sasl.jaas.config"] = plain
        properties[f"listener.name.{name}.scram-sha-256.sasl.jaas.config"] = scram
    user = "SCRAM-SHA-256=[name=usage,password=scram-secret]"
    for _ in until_closed(lambda: find_kafka(properties, format_options=["--add-scram", user])):
        yield ports


def _settings(port: int, **given: object) -> Settings:
    return Settings.model_validate(
        {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
            "KAFKA_PARTITIONS": 1,
            "KAFKA_SASL_USERNAME": "usage",
            **given,
        }
    )


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("listener", "protocol", "mechanism", "password"),
    [
        ("LOGIN", "SASL_PLAINTEXT", "PLAIN", "plain-secret"),
        ("LOGIN", "SASL_PLAINTEXT", "SCRAM-SHA-256", "scram-secret"),
        ("SECURE", "SASL_SSL", "SCRAM-SHA-256", "scram-secret"),
    ],
)
async def test_everything_works_under_a_name_and_over_tls(
    ports: dict[str, int],
    ca_file: Path,
    topic_name: str,
    open_log: OpenLog,
    listener: str,
    protocol: str,
    mechanism: str,
    password: str,
) -> None:
    settings = _settings(
        ports[listener],
        KAFKA_SECURITY_PROTOCOL=protocol,
        KAFKA_SASL_MECHANISM=mechanism,
        KAFKA_SASL_PASSWORD=password,
        KAFKA_SSL_CAFILE=ca_file,
    )
    connection = kafka_connection(settings)
    assert password not in repr(connection)
    await ensure_topics(connection, [topic_plan(topic_name, settings)])
    log = open_log(connection)
    await log.append(topic_name, [Message(value=b"secret", partition=0)])
    consumer = await log.consumer(topic_name, "readers")
    await settled(consumer, 1)
    assert [record.value for record in await read_all(consumer)] == [b"secret"]


@pytest.mark.kafka
async def test_a_wrong_password_is_never_taken(ports: dict[str, int], open_log: OpenLog) -> None:
    settings = _settings(
        ports["LOGIN"],
        KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
        KAFKA_SASL_MECHANISM="PLAIN",
        KAFKA_SASL_PASSWORD="wrong",
    )
    with pytest.raises(LogUnavailable):
        await open_log(kafka_connection(settings)).check()


@pytest.mark.kafka
async def test_a_broker_with_an_unknown_certificate_is_not_trusted(
    ports: dict[str, int], open_log: OpenLog
) -> None:
    settings = _settings(
        ports["SECURE"],
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        KAFKA_SASL_MECHANISM="PLAIN",
        KAFKA_SASL_PASSWORD="plain-secret",
    )
    with pytest.raises(LogUnavailable):
        await open_log(kafka_connection(settings)).check()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"KAFKA_BOOTSTRAP_SERVERS": ""}, "KAFKA_BOOTSTRAP_SERVERS is missing"),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL is one of PLAINTEXT, SSL"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_MECHANISM is one of PLAIN, SCRAM-SHA-256"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "PLAIN"},
            "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are both needed",
        ),
        ({"KAFKA_SASL_MECHANISM": "PLAIN"}, "KAFKA_SASL_MECHANISM needs KAFKA_SECURITY_PROTOCOL"),
        ({"KAFKA_SSL_CERTFILE": "client.pem"}, "KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE go together"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": "/missing/ca.pem"}, "cannot be used"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(given: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        kafka_connection(_settings(9092, **given))
