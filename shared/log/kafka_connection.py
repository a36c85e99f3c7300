"""How to reach Kafka: addresses, SASL and TLS, from the environment to aiokafka's arguments."""

import ssl
from typing import Any

import msgspec
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context

from shared.errors import ConfigError
from shared.settings import Settings

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class KafkaConnection(msgspec.Struct, frozen=True, kw_only=True):
    """Where Kafka is and who we are there; `password` is never shown."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"KafkaConnection({self.bootstrap_servers}, {self.security_protocol})"

    def arguments(self) -> dict[str, Any]:
        """What every client of aiokafka takes."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "ssl_context": self.tls,
        }
        if self.sasl_mechanism:
            arguments |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return arguments


def kafka_connection(settings: Settings) -> KafkaConnection:
    """The connection that the environment describes; raises ConfigError naming what is wrong with it."""
    problems = _problems(settings)
    if problems:
        raise ConfigError(f"the settings of Kafka cannot be used: {problems[0]}", tuple(problems))
    password = settings.kafka_sasl_password
    return KafkaConnection(
        bootstrap_servers=settings.kafka_bootstrap_servers or "",
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_sasl_username,
        password=password.get_secret_value() if password else None,
        tls=_tls(settings) if settings.kafka_security_protocol.endswith("SSL") else None,
    )


def _problems(settings: Settings) -> list[str]:
    found = []
    if not settings.kafka_bootstrap_servers:
        found.append("KAFKA_BOOTSTRAP_SERVERS is missing, such as kafka-1:9092,kafka-2:9092")
    if settings.kafka_security_protocol not in PROTOCOLS:
        found.append(f"KAFKA_SECURITY_PROTOCOL is one of {', '.join(PROTOCOLS)}")
    if settings.kafka_security_protocol.startswith("SASL"):
        if settings.kafka_sasl_mechanism not in MECHANISMS:
            found.append(f"KAFKA_SASL_MECHANISM is one of {', '.join(MECHANISMS)}")
        if not (settings.kafka_sasl_username and settings.kafka_sasl_password):
            found.append("KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are both needed with SASL")
    elif settings.kafka_sasl_mechanism:
        found.append("KAFKA_SASL_MECHANISM needs KAFKA_SECURITY_PROTOCOL=SASL_SSL or SASL_PLAINTEXT")
    if bool(settings.kafka_ssl_certfile) != bool(settings.kafka_ssl_keyfile):
        found.append("KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE go together")
    return found


def _tls(settings: Settings) -> ssl.SSLContext:
    """The host name is checked against the certificate; without a CA file the machine's own CAs count."""
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=_text(settings.kafka_ssl_cafile),
            certfile=_text(settings.kafka_ssl_certfile),
            keyfile=_text(settings.kafka_ssl_keyfile),
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"a KAFKA_SSL_* file cannot be used: {error}") from error
    return context


def _text(path: object) -> str | None:
    return str(path) if path else None


def cause(error: BaseException) -> str:
    """One line for a user from an error of aiokafka, whose own text is often empty."""
    if isinstance(error, KafkaError):
        return str(error).splitlines()[0]
    return f"{type(error).__name__}: {error}".rstrip(": ")
