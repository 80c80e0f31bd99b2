"""Settings: where they come from, and how their faults are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import InvalidSettings, load_settings, misspelt
from worker.redacted import secrets_of

SECRET = "canary-9f3a71"


def set_all(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"OVERTURE_{name}", value)


def faults() -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as caught:
        load_settings()
    assert SECRET not in str(caught.value)
    return caught.value.faults


def test_nothing_configured_is_no_fault() -> None:
    """Every command works with nothing configured."""
    settings = load_settings()
    assert (settings.broker_url, settings.store_url, settings.accounts) == (None, None, {})
    assert (settings.max_rate, settings.max_in_flight) == (10, 50)
    assert settings.retry_schedule == (5, 10, 15, 120, 240, 480)


def test_a_single_account_stands_among_the_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three variables are enough for one account."""
    set_all(monkeypatch, ACCOUNT_ID="123", CLIENT_ID="app", CLIENT_SECRET=SECRET)
    account = load_settings().accounts["123"]
    assert (account.client_id, account.client_secret.get_secret_value()) == ("app", SECRET)


def test_several_accounts_have_limits_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account's own limits go before those of the pool."""
    set_all(
        monkeypatch,
        ACCOUNTS__7__CLIENT_ID="a",
        ACCOUNTS__7__CLIENT_SECRET=SECRET,
        ACCOUNTS__7__MAX_RATE="3.5",
        ACCOUNTS__8__CLIENT_ID="b",
        ACCOUNTS__8__CLIENT_SECRET=SECRET,
        MAX_RATE="20",
    )
    settings = load_settings()
    assert (settings.rate_of("7"), settings.rate_of("8")) == (3.5, 20)


@pytest.mark.parametrize("name", ["max_rate", "MAX_RATE", "OVERTURE_MAX_RATE"])
def test_the_file_names_settings_in_any_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """overture.toml takes the names with and without prefix, in any case."""
    file = tmp_path / "settings.toml"
    file.write_text(f'{name} = 4\n[accounts.7]\nclient_id = "a"\nclient_secret = "{SECRET}"\n')
    set_all(monkeypatch, CONFIG=str(file))
    settings = load_settings()
    assert (settings.max_rate, set(settings.accounts)) == (4, {"7"})


def test_overture_toml_of_the_folder_is_found() -> None:
    """The default file is read where the command is run."""
    Path("overture.toml").write_text("max_rate = 6\n")
    assert load_settings().max_rate == 6


def test_the_environment_goes_before_secrets_and_those_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The nearer source wins."""
    Path("overture.toml").write_text("max_rate = 1\nmax_in_flight = 1\nlog_level = 'error'\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/max_rate").write_text("2\n")
    (tmp_path / "secrets/OVERTURE_MAX_IN_FLIGHT").write_text("2\n")
    set_all(monkeypatch, SECRETS_DIR=str(tmp_path / "secrets"), MAX_RATE="3")
    settings = load_settings()
    assert (settings.max_rate, settings.max_in_flight, settings.log_level) == (3, 2, "error")


def test_secrets_come_from_a_folder_of_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A folder as Docker and Kubernetes mount it, other secrets beside ours."""
    for name, value in {
        "OVERTURE_ACCOUNTS__7__CLIENT_ID": "app",
        "accounts__7__client_secret": f"{SECRET}\n",
        "somebody_elses": "x",
    }.items():
        (tmp_path / name).write_text(value)
    (tmp_path / "..data").mkdir()
    set_all(monkeypatch, SECRETS_DIR=str(tmp_path))
    account = load_settings().accounts["7"]
    assert account.client_secret.get_secret_value() == SECRET


def test_all_faults_are_told_together_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """One start shows everything that is wrong, and no value."""
    set_all(
        monkeypatch,
        ACCOUNT_ID="12",
        MAX_RATE="-1",
        BROKER_URL=SECRET,
        STORE_URL=f"amqp://user:{SECRET}@host",
        RETRY_SCHEDULE=f"5,{SECRET}",
        ACCOUNTS__7__CLIENT_ID="x",
        DOMAIN_API_URL=f"ftp://{SECRET}",
    )
    names = [fault.partition(":")[0] for fault in faults()]
    assert names == [
        "OVERTURE_ACCOUNTS__7__CLIENT_SECRET",
        "OVERTURE_BROKER_URL",
        "OVERTURE_CLIENT_ID",
        "OVERTURE_CLIENT_SECRET",
        "OVERTURE_DOMAIN_API_URL",
        "OVERTURE_MAX_RATE",
        "OVERTURE_RETRY_SCHEDULE",
        "OVERTURE_STORE_URL",
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RETRY_SCHEDULE", "5;10", "input should be a valid number"),
        ("RETRY_SCHEDULE", "-1", "input should be greater than 0"),
        ("RETRY_SCHEDULE", ",", "must be 1 to 20 pauses in seconds, separated by commas"),
        ("RETRY_SCHEDULE", ",".join("1" * 21), "must be 1 to 20 pauses in seconds"),
        ("TRUSTED_HOSTS", "*", "must be host names or suffixes"),
        ("TRUSTED_HOSTS", "*.example.com", "must be host names or suffixes"),
        ("TRUSTED_HOSTS", "https://example.com", "must be host names or suffixes"),
        ("TRUSTED_HOSTS", "a b", "must be host names or suffixes"),
        ("ALREADY_OPEN_TEXT", " ", "string should have at least 1 character"),
        ("CONSOLE_PASSWORD", "short", "should have at least 12 characters"),
        ("CONSOLE_READER_PASSWORD", "short", "should have at least 12 characters"),
    ],
)
def test_a_fault_is_one_sentence_about_the_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """Not about the parts of its value, nor in the words of the library."""
    set_all(monkeypatch, **{name: value})
    (fault,) = faults()
    assert fault.startswith(f"OVERTURE_{name}: {said}")


@pytest.mark.parametrize("value", ["12 34", "", "../7"])
def test_an_account_id_that_is_none_is_one_fault(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """Under its own name, whether it is wrong or missing beside the credentials."""
    set_all(monkeypatch, ACCOUNT_ID=value, CLIENT_ID="app", CLIENT_SECRET=SECRET)
    (fault,) = faults()
    assert fault.startswith("OVERTURE_ACCOUNT_ID: must be the LivePerson account id")


@pytest.mark.parametrize(
    "value", [".example.com", "a-1.example:8080", "10.0.0.1", "[::1]:8070", "::1", "bücher.example"]
)
def test_trusted_hosts_are_names_or_addresses(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With a port or without."""
    set_all(monkeypatch, TRUSTED_HOSTS=value)
    assert load_settings().trusted_hosts == (value,)


def test_every_secret_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that none is in a line of the log: of the accounts, of the broker and of the store."""
    set_all(
        monkeypatch,
        BROKER_URL="amqp://user:bro%2Fker@host//",
        STORE_URL="redis://:store@host/0",
        ACCOUNTS__7__CLIENT_ID="x",
        ACCOUNTS__7__CLIENT_SECRET="client",
        CONSOLE_PASSWORD="an operator's",
        CONSOLE_READER_PASSWORD="only a reader's",
    )
    consoles = {"an operator's", "only a reader's"}
    assert secrets_of(load_settings()) == {"client", "bro%2Fker", "bro/ker", "store"} | consoles


@pytest.mark.parametrize("url", ["amqp://host//", "amqps://a//;amqp://b//", "PYAMQP://host"])
def test_rabbitmq_needs_a_store_that_all_workers_share(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """An embedded one would be this folder's alone: two folders, two ledgers, two limits."""
    set_all(monkeypatch, BROKER_URL=url, MAX_RATE="-1")
    assert [fault.partition(":")[0] for fault in faults()] == [
        "OVERTURE_MAX_RATE",
        "OVERTURE_STORE_URL",
    ]
    assert "RabbitMQ needs a store that all workers share: set OVERTURE_STORE_URL" in faults()[1]
    set_all(monkeypatch, MAX_RATE="1", STORE_URL="redis://host/0")
    assert load_settings().store_url is not None


def test_a_redis_broker_is_a_store_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a store may be named without a broker, which is the embedded one then."""
    set_all(monkeypatch, BROKER_URL="Valkey://host/0")
    assert load_settings().store_url is None
    monkeypatch.delenv("OVERTURE_BROKER_URL")
    set_all(monkeypatch, STORE_URL="redis://host/0")
    assert load_settings().broker_url is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:8070", "http://localhost", "https://a.test"])
def test_the_domain_api_may_be_local_or_behind_tls(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """A simulator on this machine needs no list of hosts."""
    set_all(monkeypatch, DOMAIN_API_URL=url)
    assert load_settings().domain_api_url == url


def test_a_domain_api_in_the_clear_must_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets go nowhere in the clear by mistake."""
    set_all(monkeypatch, DOMAIN_API_URL="http://simulator:8070")
    (fault,) = faults()
    assert fault.startswith("OVERTURE_TRUSTED_HOSTS: OVERTURE_DOMAIN_API_URL is plain http")
    set_all(monkeypatch, TRUSTED_HOSTS="simulator")
    assert load_settings().trusted_hosts == ("simulator",)


def test_a_typo_in_the_file_is_a_fault_with_the_nearest_name() -> None:
    """What is misspelt in the file must not be ignored in silence."""
    Path("overture.toml").write_text(
        f'max_rat = 1\n[accounts.7]\nclient_idd = "{SECRET}"\nclient_secret = "{SECRET}"\n'
    )
    assert faults() == (
        "OVERTURE_ACCOUNTS__7__CLIENT_ID: is missing",
        (
            "OVERTURE_ACCOUNTS__7__CLIENT_IDD: is not a setting; "
            "did you mean OVERTURE_ACCOUNTS__7__CLIENT_ID?"
        ),
        "OVERTURE_MAX_RAT: is not a setting; did you mean OVERTURE_MAX_RATE?",
    )


def test_a_typo_in_the_environment_is_told_but_is_no_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kubernetes sets OVERTURE_SERVICE_HOST and its like by itself."""
    set_all(monkeypatch, MAX_RAT="5", SERVICE_HOST="10.0.0.1", PORT_8070_TCP="tcp://10.0.0.1:8070")
    assert load_settings().max_rate == 10
    assert misspelt() == ["OVERTURE_MAX_RAT is not a setting; did you mean OVERTURE_MAX_RATE?"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"max_rate = ", "is not TOML"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (None, "there is no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, said: str
) -> None:
    """A broken settings file is named, with what is wrong with it."""
    file = tmp_path / "broken.toml"
    if content is not None:
        file.write_bytes(content)
    set_all(monkeypatch, CONFIG=str(file))
    (fault,) = faults()
    assert str(file) in fault
    assert said in fault


def test_a_byte_order_mark_is_no_part_of_a_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Windows' editors write one before a file and before a secret."""
    (tmp_path / "settings.toml").write_text("max_rate = 4", encoding="utf-8-sig")
    (tmp_path / "OVERTURE_ACCOUNT_ID").write_text("7", encoding="utf-8-sig")
    (tmp_path / "OVERTURE_CLIENT_ID").write_text("app", encoding="utf-8-sig")
    (tmp_path / "OVERTURE_CLIENT_SECRET").write_text(SECRET, encoding="utf-8-sig")
    set_all(monkeypatch, CONFIG=str(tmp_path / "settings.toml"), SECRETS_DIR=str(tmp_path))
    settings = load_settings()
    assert settings.max_rate == 4
    assert settings.accounts["7"].client_secret.get_secret_value() == SECRET


def test_a_secrets_folder_that_is_not_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong mount is told before anything starts."""
    set_all(monkeypatch, SECRETS_DIR="/nowhere/at/all")
    (fault,) = faults()
    assert fault.startswith("OVERTURE_SECRETS_DIR: /nowhere/at/all: cannot be read")


def test_a_secret_that_is_not_utf_8_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its file is, and not what is in it."""
    file = tmp_path / "OVERTURE_CLIENT_SECRET"
    file.write_bytes(SECRET.encode() + b"\xff")
    set_all(monkeypatch, SECRETS_DIR=str(tmp_path))
    assert faults() == (f"OVERTURE_SECRETS_DIR: {file}: is not UTF-8 text",)


def test_accounts_that_are_not_json_are_told_without_their_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The variable is named, its value is not."""
    set_all(monkeypatch, ACCOUNTS=f"{{{SECRET}")
    assert faults() == ("OVERTURE_ACCOUNTS: is not JSON; correct it, or use a settings file",)


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printing the settings is safe."""
    set_all(
        monkeypatch,
        ACCOUNT_ID="123",
        CLIENT_ID="app",
        CLIENT_SECRET=SECRET,
        BROKER_URL=f"amqp://user:{SECRET}@host//",
        STORE_URL=f"redis://:{SECRET}@host/0",
    )
    assert SECRET not in repr(load_settings())
    assert SECRET not in str(load_settings())


@pytest.mark.parametrize("name", ["MAX_RATE", "DEDUPE_DAYS", "READ_TIMEOUT", "RETRY_SCHEDULE"])
@pytest.mark.parametrize("value", ["inf", "1e300", "nan", "0"])
def test_a_number_without_end_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The store could not hold it, and no clock can wait for it."""
    set_all(monkeypatch, **{name: value})
    assert all(fault.startswith(f"OVERTURE_{name}") for fault in faults())


@pytest.mark.parametrize("value", ["0.0.0.0:9464", "worker-1:80", "[::]:9464", " [::1]:65535 "])
def test_metrics_have_an_address(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A name or an IP address, and a port."""
    set_all(monkeypatch, METRICS_ADDRESS=value)
    assert load_settings().metrics_address == value.strip()


@pytest.mark.parametrize(
    "value",
    ["9464", ":9464", "host", "host:", "host:0", "host:65536", "host:http", "::1:9464", "[]:1"],
)
def test_what_is_no_address_is_a_fault(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Said with an example of one."""
    set_all(monkeypatch, METRICS_ADDRESS=value)
    (fault,) = faults()
    assert fault.startswith("OVERTURE_METRICS_ADDRESS: must be host:port")


def test_an_account_that_is_no_table_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the single account is the same one."""
    set_all(monkeypatch, ACCOUNT_ID="7", CLIENT_ID="a", ACCOUNTS__7=SECRET)
    assert any(fault.startswith("OVERTURE_ACCOUNTS__7: ") for fault in faults())


def test_accounts_of_a_folder_may_be_one_file_of_json(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a variable; files of its parts go before it, and what is not JSON is named."""
    whole = tmp_path / "ACCOUNTS"
    whole.write_text(f'{{"7": {{"client_id": "b", "client_secret": "{SECRET}"}}}}')
    (tmp_path / "ACCOUNTS__7__CLIENT_ID").write_text("a")
    set_all(monkeypatch, SECRETS_DIR=str(tmp_path))
    assert load_settings().accounts["7"].client_id == "a"
    whole.write_text(SECRET)
    assert faults() == ("OVERTURE_ACCOUNTS: is not JSON; correct it, or use a settings file",)


def test_a_folder_may_be_shared_and_hold_links(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What others keep there is not read, and a link may lead out of the folder."""
    shared = tmp_path / "secrets"
    shared.mkdir()
    (shared / "keystore").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "elsewhere").write_text("7\n")
    (shared / "max_rate").symlink_to(tmp_path / "elsewhere")
    set_all(monkeypatch, SECRETS_DIR=str(shared))
    assert load_settings().max_rate == 7


def test_nesting_without_end_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the environment and in the file."""
    set_all(monkeypatch, ACCOUNTS="[" * 100_000)
    assert faults() == ("the environment contains JSON that is nested too deeply",)
    file = tmp_path / "deep.toml"
    file.write_text("a = " + "[" * 20_000, encoding="utf-8")
    monkeypatch.delenv("OVERTURE_ACCOUNTS")
    set_all(monkeypatch, CONFIG=str(file))
    assert faults() == (f"{file}: is nested too deeply",)


def test_a_domain_api_whose_port_is_no_number_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be one only at the first call otherwise."""
    set_all(monkeypatch, DOMAIN_API_URL="https://api.test:x")
    assert faults()[0].startswith("OVERTURE_DOMAIN_API_URL: ")


def test_a_domain_api_with_a_password_is_a_fault_that_does_not_show_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also one without a user name: it is sent nowhere, and stands in no sentence."""
    set_all(monkeypatch, DOMAIN_API_URL=f"https://:{SECRET}@api.test")
    (fault,) = faults()
    assert fault.startswith("OVERTURE_DOMAIN_API_URL: must contain only scheme and host")
    assert SECRET not in fault


def test_words_may_be_written_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Celery and logging write their levels."""
    set_all(monkeypatch, LOG_LEVEL="WARNING", LOG_FORMAT="JSON")
    settings = load_settings()
    assert (settings.log_level, settings.log_format) == ("warning", "json")
