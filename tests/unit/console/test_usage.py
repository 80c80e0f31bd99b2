"""The command line itself: its help, its endings, and what it says about wrong settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from console import main
from console.group import COMMANDS
from console.output import Interrupted, Problem
from tests.overture_command import overture
from tests.worker_process import environment

# What a dry run says of jobs that hold the two ids alone.
BARE = (
    "{0} without campaign or engagement: no source for agents and reports\n"
    "{0} without profile: agents see nothing about the consumer\n"
)


def run(*arguments: str, **variables: str) -> Result:
    """Call the command in this process."""
    return CliRunner().invoke(main, arguments, env=variables)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "simulate"])
def test_every_command_explains_itself(name: str) -> None:
    """--help works without settings and without servers."""
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: overture {name}")


def test_the_help_names_every_command() -> None:
    """In the order in which people meet them."""
    result = run("--help")
    places = [result.output.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


@pytest.mark.slow
def test_help_comes_at_once() -> None:
    """No command is imported for it: the slow libraries are not either."""
    code = (
        "import sys, console; sys.argv[1:] = ['--help']\n"
        "try: console.main()\n"
        "except SystemExit: print([m for m in ('kombu', 'redis', 'pydantic') if m in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=environment({}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["submit"],
        ["submit", "no-such-file.jsonl"],
        ["submit", "-", "--queue", "elsewhere"],
        ["results", "--limit", "0"],
        ["results", "--follow", "--peek"],
        ["results", "--format", "xml"],
        ["dead-letters", "replay"],
        ["dead-letters", "replay", "job-1", "--all"],
        ["limits", "set"],
        ["limits", "set", "--max-rate", "0"],
        ["limits", "set", "--max-rate", "1", "--reset"],
        ["worker", "--concurrency", "0"],
        ["worker", "--queues", "celery"],
        ["worker", "--queues", ","],
        ["worker", "--queues", "conversations.jobs,conversations.jobs."],
        ["worker", "--queues", "conversations.jobs.a b"],
        ["worker", "--concurrency", "many"],
        ["cancel"],
        ["schema", "jobs"],
    ],
)
def test_wrong_use_is_status_2(arguments: list[str]) -> None:
    """It says what is wrong on standard error, and does nothing."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


def test_every_fault_of_the_settings_is_said_by_name() -> None:
    """All of them together, one a line, and no value."""
    result = run(
        "status",
        OVERTURE_MAX_RATE="fast",
        OVERTURE_BROKER_URL="hunter2",
        OVERTURE_BROKER_ULR="redis://",
    )
    assert result.exit_code == 1
    assert result.stderr == (
        "overture: OVERTURE_BROKER_ULR is not a setting; did you mean OVERTURE_BROKER_URL?\n"
        "overture: OVERTURE_BROKER_URL: must be a URL such as amqp://user:password@host/vhost or "
        "redis://host/0\n"
        "overture: OVERTURE_MAX_RATE: input should be a valid number, unable to parse string as a "
        "number\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["worker"],
        ["submit", "-"],
        ["results"],
        ["status"],
        ["watch"],
        ["cancel", "a"],
        ["limits", "show"],
        ["dead-letters", "list"],
        ["dead-letters", "replay", "--all"],
    ],
)
def test_every_command_refuses_rabbitmq_without_a_store(arguments: list[str]) -> None:
    """In one sentence, and with no embedded server started for a store of this folder's own."""
    result = run(*arguments, OVERTURE_BROKER_URL="amqp://u:canary@localhost//")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "overture: OVERTURE_STORE_URL: RabbitMQ needs a store that all workers share: set "
        "OVERTURE_STORE_URL"
    )
    assert result.stderr.count("\n") == 1
    assert not Path(".overture").exists()


def test_check_says_of_the_settings_what_the_others_say() -> None:
    """A broker that keeps nothing is none, and RabbitMQ needs a store."""
    for url, said in (
        ("amqp://host//", "✗ settings: OVERTURE_STORE_URL: RabbitMQ needs a store that all "),
        ("memory://", "✗ settings: OVERTURE_BROKER_URL: memory:// is not a broker that "),
        ("redis+cluster://:canary@h", "✗ settings: OVERTURE_BROKER_URL: redis+cluster:// is not "),
    ):
        result = run("check", OVERTURE_BROKER_URL=url)
        assert result.exit_code == 1
        assert result.stdout.startswith(said)
        assert "canary" not in result.output


def test_a_broken_settings_file_is_said_to_be(tmp_path: Path) -> None:
    """It is no traceback."""
    (tmp_path / "overture.toml").write_text("max_rate = ")
    result = run("status")
    assert result.exit_code == 1
    assert result.stderr.startswith("overture: overture.toml: is not TOML: ")


@pytest.mark.slow
def test_a_worker_without_account_says_how_to_configure_one() -> None:
    """In one sentence, and at once."""
    result = overture("worker", settings={})
    assert result.returncode == 1
    assert result.stderr.startswith("overture: no account is configured: set OVERTURE_ACCOUNT_ID,")
    assert len(result.stderr.splitlines()) == 1


ONE_ACCOUNT = {
    "OVERTURE_ACCOUNT_ID": "1",
    "OVERTURE_CLIENT_ID": "app",
    "OVERTURE_CLIENT_SECRET": "secret",
}


@pytest.mark.parametrize(
    "arguments",
    [
        ["worker", "--queues", "conversations.jobs,conversations.jobs.2"],
        ["submit", "-", "--queue", "conversations.jobs.2"],
        ["submit", "-", "--account", "2"],
    ],
)
def test_an_account_that_is_not_configured_is_named(arguments: list[str]) -> None:
    """Its jobs would become dead letters, or nobody would look at them."""
    result = run(*arguments, **ONE_ACCOUNT)
    assert result.exit_code == 1
    said = "overture: account 2 is not configured; configured accounts: 1\n"
    assert (result.stdout, result.stderr) == ("", said)


def test_a_health_file_that_cannot_be_written_is_said_to_be() -> None:
    """A probe would end the worker over it again and again."""
    result = run("worker", **ONE_ACCOUNT, OVERTURE_HEALTH_FILE="no-such-folder/file")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "overture: OVERTURE_HEALTH_FILE: no-such-folder/file cannot be written: No such file or "
    )


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [
        (Problem("one", "two"), 1, "overture: one\noverture: two\n"),
        (KeyboardInterrupt(), 130, "\n"),
        (Interrupted("half is done"), 130, "overture: half is done\n"),
        (None, 0, ""),
    ],
)
def test_every_ending_has_its_status(
    monkeypatch: pytest.MonkeyPatch, ending: BaseException | None, status: int, said: str
) -> None:
    """And no traceback."""

    def end(name: str) -> dict[str, object]:
        del name
        if ending is not None:
            raise ending
        return {}

    monkeypatch.setattr("console.commands.schema.schema", end)
    result = run("schema")
    assert (result.exit_code, result.stderr) == (status, said)


def test_the_schemas_are_printed() -> None:
    """As JSON."""
    assert json.loads(run("schema", "dead-letter").stdout)["title"] == "Overture dead letter"
    assert json.loads(run("schema").stdout)["title"] == "Overture job"


@pytest.mark.slow
def test_an_output_that_is_closed_ends_quietly() -> None:
    """`overture schema | head -1` is no error of ours."""
    command = f"{sys.executable} -m console schema asyncapi | head -1"
    process = subprocess.run(
        command, shell=True, env=environment({}), capture_output=True, text=True, check=True
    )
    assert (process.stdout, process.stderr) == ("{\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["schema asyncapi", "--help"])
def test_an_output_that_is_full_is_an_error(arguments: str) -> None:
    """In one sentence, and with the interpreter silent at its end."""
    command = f"{sys.executable} -m console {arguments} > /dev/full"
    process = subprocess.run(
        command, shell=True, env=environment({}), capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert process.stderr.endswith("No space left on device\n")


@pytest.mark.slow
def test_an_output_that_is_closed_from_the_start_is_no_fault() -> None:
    """`overture check >&-`: whoever asks for the exit status alone gets it."""
    nowhere = environment({"broker_url": "redis://127.0.0.1:1/0"})
    command = f"{sys.executable} -m console check >&-"
    process = subprocess.run(
        command, shell=True, env=nowhere, capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stderr) == (1, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["watch", "--every", "nan"],
        ["watch", "--every", "inf"],
        ["limits", "set", "--max-rate", "nan"],
        ["limits", "set", "--max-rate", "inf"],
        ["limits", "set", "--max-in-flight", "9" * 30],
        ["submit", "-", "--wait", "--timeout", "nan"],
        ["status", "a\udcff"],
        ["cancel", "a\udcff"],
        ["cancel", "a", "--account", "a\udcff"],
        ["submit", "-", "--account", "a\udcff"],
        ["submit", "-", "--queue", "conversations.jobs.a\udcff"],
        ["worker", "--queues", "conversations.jobs.a\udcff"],
        ["limits", "set", "--account", "a\udcff", "--max-rate", "1"],
        ["dead-letters", "show", "a\udcff"],
        ["dead-letters", "replay", "a\udcff"],
    ],
)
def test_what_is_no_number_and_no_text_is_wrong_use(arguments: list[str]) -> None:
    """Neither the store nor a clock could do anything with it."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Invalid value" in result.output


def test_jobs_are_not_overwritten_by_what_is_rejected(tmp_path: Path) -> None:
    """A file cannot be read and written anew at a time."""
    file = tmp_path / "jobs.jsonl"
    file.write_text('{"consumerId": "c", "accountId": "1"}\n{\n', encoding="utf-8")
    before = file.read_bytes()
    result = run("submit", str(file), "--dry-run", "--rejected", str(file))
    assert (result.exit_code, file.read_bytes()) == (1, before)
    assert "is the input file" in result.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04", "is an Excel workbook (.xlsx), or another ZIP archive, not UTF-8 text: "),
        ("consumerId\n".encode("utf-32"), "is UTF-32 text, not UTF-8"),
        (b"", "is empty: there is no job in it\n"),
    ],
)
@pytest.mark.parametrize("form", [[], ["--format", "csv"], ["--all-or-nothing"]])
def test_a_file_that_holds_no_text_is_refused_in_one_sentence(
    tmp_path: Path, content: bytes, said: str, form: list[str]
) -> None:
    """Before any of it is read as jobs; and nothing is left beside it."""
    file = tmp_path / "jobs.csv"
    file.write_bytes(content)
    result = run("submit", str(file), "--dry-run", *form)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"overture: {file} {said}")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("kind", ["a folder", "missing"])
def test_what_is_no_file_is_wrong_use(tmp_path: Path, kind: str) -> None:
    """It is named."""
    name = str(tmp_path) if kind == "a folder" else "no-such-file"
    result = run("submit", name, "--dry-run")
    assert result.exit_code == 2
    assert name in result.stderr


def test_a_pipe_in_the_file_system_is_a_file(tmp_path: Path) -> None:
    """Also one that is to be read twice."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = '{"consumerId": "c", "accountId": "1"}\n'
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    result = run("submit", str(pipe), "--dry-run", "--all-or-nothing")
    writer.join()
    assert (result.exit_code, result.stdout) == (
        0,
        f"1 valid job; none was submitted\n{BARE.format('1 job')}",
    )


@pytest.mark.parametrize("rejected", ["/dev/full", "no-such-folder/file"])
def test_a_reject_file_that_cannot_be_written_stops_nothing(tmp_path: Path, rejected: str) -> None:
    """It is said once, with what to do; then every reason is reported, since none is kept."""
    good = '{"consumerId": "c", "accountId": "1"}\n'
    (tmp_path / "jobs.jsonl").write_text(good + "{\n" * 30 + good)
    result = run("submit", "jobs.jsonl", "--dry-run", "--rejected", rejected)
    assert (result.exit_code, result.stdout) == (
        1,
        f"2 valid jobs; none was submitted\n{BARE.format('2 jobs')}",
    )
    first, *others = result.stderr.splitlines()
    assert first.startswith(f"overture: {rejected} cannot be written: ")
    assert "--rejected" in first
    assert len(others) == 31
    assert others[-1] == "overture: 30 lines rejected"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("-", 1), ("jobs.jsonl", 0)])
def test_a_standard_input_that_is_closed_is_said_to_be(
    tmp_path: Path, name: str, status: int
) -> None:
    """And matters only where it is read, as under a supervisor that gives none."""
    (tmp_path / "jobs.jsonl").write_text('{"consumerId": "c", "accountId": "1"}\n')
    process = subprocess.run(
        ["sh", "-c", f'"$0" -m console submit {name} --dry-run <&-', sys.executable],
        cwd=tmp_path,
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == status
    assert process.stderr == ("" if status == 0 else "overture: - cannot be read: it is closed\n")


def test_submit_reads_livepersons_own_form_and_says_what_may_be_a_mistake(tmp_path: Path) -> None:
    """A batch by itself in a file, its consumer within it; warnings go to standard error."""
    profile = {"type": "userprofile.SetUserProfile", "id": "1,", "body": {"userId": "c-1"}}
    body = {
        "brandId": "1",
        "skilId": "7",
        "campaignInfo": {"campaignId": 1, "engagementId": 2},
        "conversationContext": {"lang": "English!"},
    }
    conversation = {"type": "cm.ConsumerRequestConversation", "id": "1,", "body": body}
    (tmp_path / "batch.json").write_text(json.dumps([profile, conversation], indent=1))
    arguments = ("submit", "batch.json", "--dry-run", "--account=1", "--consumer-id-from")
    result = run(*arguments, "profile.userId", OVERTURE_UNKNOWN_FIELDS="pass")
    assert (result.exit_code, result.stdout) == (0, "1 valid job; none was submitted\n")
    unknown, odd = (line.partition("warning: ")[2] for line in result.stderr.splitlines())
    assert unknown.endswith("is sent as it is; did you mean skillId?")
    assert odd.startswith("conversation.conversationContext.lang: is no language tag")
    refused = run(*arguments, "profile.userId")
    assert refused.exit_code == 1
    assert "skilId: is not a known field; did you mean skillId?" in refused.stderr
