"""Everything the environment may say, in one place, with units; secrets are never printed."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read once at start; embedded when neither DATABASE_URL nor KAFKA_BOOTSTRAP_SERVERS is given."""

    model_config = SettingsConfigDict(env_file=None, extra="ignore", frozen=True)

    config_path: Path | None = Field(default=None, validation_alias="USAGE_TRIGGERS_CONFIG")
    data_dir: Path = Field(default=Path("data"), validation_alias="USAGE_TRIGGERS_DATA")
    host: str = Field(default="127.0.0.1", validation_alias="HOST")
    port: int = Field(default=8000, ge=0, le=65535, validation_alias="PORT")
    log_level: str = Field(default="INFO", validation_alias="LOG_LEVEL")
    public_url: str | None = Field(default=None, validation_alias="PUBLIC_URL")
    session_hours: float = Field(default=12.0, gt=0, le=24 * 30, validation_alias="SESSION_HOURS")
    oidc_issuer: str | None = Field(default=None, validation_alias="OIDC_ISSUER")
    oidc_client_id: str | None = Field(default=None, validation_alias="OIDC_CLIENT_ID")
    oidc_client_secret: SecretStr | None = Field(default=None, validation_alias="OIDC_CLIENT_SECRET")
    tick_every_seconds: float = Field(default=5.0, gt=0, validation_alias="TICK_EVERY_SECONDS")
    cached_customers_max: int = Field(default=200_000, ge=1, validation_alias="CACHED_CUSTOMERS_MAX")

    events_per_second_max: int | None = Field(default=None, ge=1, validation_alias="EVENTS_PER_SECOND_MAX")

    database_url: SecretStr | None = Field(default=None, validation_alias="DATABASE_URL")
    kafka_bootstrap_servers: str | None = Field(default=None, validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    kafka_security_protocol: str = Field(default="PLAINTEXT", validation_alias="KAFKA_SECURITY_PROTOCOL")
    kafka_sasl_mechanism: str | None = Field(default=None, validation_alias="KAFKA_SASL_MECHANISM")
    kafka_sasl_username: str | None = Field(default=None, validation_alias="KAFKA_SASL_USERNAME")
    kafka_sasl_password: SecretStr | None = Field(default=None, validation_alias="KAFKA_SASL_PASSWORD")
    kafka_ssl_cafile: Path | None = Field(default=None, validation_alias="KAFKA_SSL_CAFILE")
    kafka_ssl_certfile: Path | None = Field(default=None, validation_alias="KAFKA_SSL_CERTFILE")
    kafka_ssl_keyfile: Path | None = Field(default=None, validation_alias="KAFKA_SSL_KEYFILE")
    kafka_partitions: int = Field(default=24, ge=1, validation_alias="KAFKA_PARTITIONS")
    kafka_replication_factor: int = Field(default=1, ge=1, validation_alias="KAFKA_REPLICATION_FACTOR")
    kafka_retention_hours: int = Field(default=24 * 40, ge=1, validation_alias="KAFKA_RETENTION_HOURS")
