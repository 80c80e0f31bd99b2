"""Every setting: its name, its default and what it means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from config import values
from config.hosts import LIVEPERSON_SUFFIXES, may_be_domain_api
from config.sources import NESTED, PREFIX, FileSource, FolderSource
from config.urls import is_redis

# Sanity bounds; larger values are typing mistakes, and may be too large for the store.
MAX_RATE: Final = 100_000
MAX_IN_FLIGHT: Final = 100_000
MAX_SECONDS: Final = 31 * 24 * 60 * 60
MAX_DAYS: Final = 36_500
MAX_REPLICAS: Final = 10
MAX_MESSAGE_BYTES: Final = 1024 * 1024 * 1024

Rate = Annotated[float, Field(gt=0, le=MAX_RATE)]
InFlight = Annotated[int, Field(ge=1, le=MAX_IN_FLIGHT)]
Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]
TaskName = Annotated[str, AfterValidator(values.task_name)]
AccountId = Annotated[str, AfterValidator(values.account_id)]
HttpURL = Annotated[str, AfterValidator(values.http_url)]
BrokerURL = Annotated[SecretStr, BeforeValidator(values.checked(values.broker_url))]
StoreURL = Annotated[SecretStr, BeforeValidator(values.checked(values.store_url))]
Hosts = Annotated[
    tuple[Annotated[str, AfterValidator(values.trusted_host)], ...],
    BeforeValidator(values.comma_separated),
    NoDecode,
]
Address = Annotated[str, AfterValidator(values.address)]
Pauses = Annotated[
    tuple[Seconds, ...],
    AfterValidator(values.pauses),
    BeforeValidator(values.comma_separated),
    NoDecode,
]


class Account(BaseModel):
    """One LivePerson account: its credentials, and its own values of settings.

    `monitoring_app_id` is the Monitoring API's app installation, if it is not the connector's;
    `consumer_identity` is the kind of identity to ask Monitoring about, if not both; and
    `consumer_issuer` is the issuer of authenticated identities.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    max_rate: Rate | None = None
    max_in_flight: InFlight | None = None
    monitoring_app_id: str | None = Field(default=None, min_length=1)
    consumer_identity: Annotated[
        Literal["auth", "unauth", "both"] | None, BeforeValidator(values.lower)
    ] = None
    consumer_issuer: str | None = Field(default=None, min_length=1)


class Settings(BaseSettings):
    """The settings of an Overture process; durations are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    broker_url: BrokerURL | None = None
    store_url: StoreURL | None = Field(default=None, validate_default=True)
    store_replicas: int = Field(default=0, ge=0, le=MAX_REPLICAS)
    data_dir: Path = Path(".overture")

    account_id: AccountId | None = None
    client_id: str | None = Field(default=None, min_length=1)
    client_secret: SecretStr | None = Field(default=None, min_length=1)
    accounts: dict[AccountId, Account] = Field(default_factory=dict)

    max_rate: Rate = 10
    max_in_flight: InFlight = 50
    concurrency: int = Field(default=50, ge=1, le=1000)

    domain_api_url: HttpURL = "https://api.liveperson.net"
    trusted_hosts: Hosts = Field(default=LIVEPERSON_SUFFIXES, validate_default=True)
    connect_timeout: Seconds = 5
    read_timeout: Seconds = 30
    already_open_text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = (
        "already has open conversation"
    )

    unknown_fields: Annotated[Literal["refuse", "pass"], BeforeValidator(values.lower)] = "refuse"
    retry_schedule: Pauses = (5, 10, 15, 120, 240, 480)
    unknown_outcome: Literal["repeat", "in_doubt"] = "repeat"
    max_deliveries: PositiveInt = 20
    dedupe_days: float = Field(default=7, gt=0, le=MAX_DAYS)
    results_task: TaskName | None = None
    dead_letters_task: TaskName | None = None
    max_message_bytes: int = Field(default=1024 * 1024, ge=1024, le=MAX_MESSAGE_BYTES)
    drain_timeout: Seconds = 30
    health_file: Path | None = None
    metrics_address: Address | None = None
    console_password: SecretStr | None = Field(default=None, min_length=12)
    console_reader_password: SecretStr | None = Field(default=None, min_length=12)
    one_processor: bool = True

    log_format: Annotated[Literal["console", "json"] | None, BeforeValidator(values.lower)] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(values.lower)
    ] = "info"

    @model_validator(mode="before")
    @classmethod
    def _join_the_single_account(cls, data: dict[str, object]) -> dict[str, object]:
        """Add the single account to the accounts, so that it is checked with them."""
        given = {name: data[name] for name in ("client_id", "client_secret") if name in data}
        accounts = data.get("accounts", {})
        if not isinstance(accounts, dict) or not (given or "account_id" in data):
            return data
        account_id = str(data.get("account_id", ""))
        if not values.ACCOUNT_ID.fullmatch(account_id):
            return {**data, "account_id": account_id}
        known = accounts.get(account_id, {})
        if not isinstance(known, dict):
            return data
        single = {**known, **given}
        return {**data, "account_id": account_id, "accounts": {**accounts, account_id: single}}

    @field_validator("store_url")
    @classmethod
    def _share_the_store(cls, value: SecretStr | None, known: ValidationInfo) -> SecretStr | None:
        """Refuse RabbitMQ without a store: workers elsewhere could not use an embedded one."""
        broker: SecretStr | None = known.data.get("broker_url")
        if value is None and broker is not None and not is_redis(broker.get_secret_value()):
            raise ValueError(
                "RabbitMQ needs a store that all workers share: set OVERTURE_STORE_URL to a Redis "
                "or Valkey server, as in redis://host:6379/0"
            )
        return value

    @field_validator("trusted_hosts")
    @classmethod
    def _cover_the_domain_api(
        cls, value: tuple[str, ...], known: ValidationInfo
    ) -> tuple[str, ...]:
        """Refuse a Domain API without TLS, unless its host is listed."""
        url = known.data.get("domain_api_url")
        if url is not None and not may_be_domain_api(url, value):
            raise ValueError(
                f"OVERTURE_DOMAIN_API_URL is plain http: list its host here, or use https ({url})"
            )
        return value

    @property
    def unauthenticated_accounts(self) -> frozenset[str]:
        """The accounts that have only unauthenticated consumers in Monitoring."""
        return frozenset(
            name for name, one in self.accounts.items() if one.consumer_identity == "unauth"
        )

    @property
    def dedupe_seconds(self) -> float:
        """How long a finished job is kept."""
        return self.dedupe_days * 24 * 60 * 60

    def rate_of(self, account_id: str) -> float:
        """Return the ceiling of an account, in conversations per second over the pool."""
        return self.accounts[account_id].max_rate or self.max_rate

    def in_flight_of(self, account_id: str) -> int:
        """Return the ceiling of an account's requests in flight over the pool."""
        return self.accounts[account_id].max_in_flight or self.max_in_flight

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment first, then the secrets folder, then the file."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, FolderSource(settings_cls), FileSource(settings_cls)
