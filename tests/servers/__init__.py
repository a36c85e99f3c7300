"""Real Apache Kafka and PostgreSQL for tests: given, in containers, or started from local parts."""

from tests.servers.base import Missing, Server
from tests.servers.kafka import KafkaServer, find_kafka
from tests.servers.postgres import PostgresServer, find_postgres

__all__ = ["KafkaServer", "Missing", "PostgresServer", "Server", "find_kafka", "find_postgres"]
