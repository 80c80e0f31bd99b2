"""What is written fits the terminal it goes to, whatever that is."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner
from rich.console import Console

from console import main
from console.admin.overview import AccountView, Overview
from console.commands.dead_letters import COLUMNS as DEAD_LETTERS
from console.commands.results import COLUMNS as RESULTS
from console.commands.workers import COLUMNS as WORKERS
from console.group import COMMANDS
from console.tables import Column, Document, Rows, show_overview
from tasks.messages.fields.examples import EXAMPLES
from tasks.store.limits import Standing
from tests.worker_process import environment
from worker.broker.base import QueueDepth

UUID: Final = "f0a6c9e5-5f1b-4f0e-9d3a-7c2b8e1d4a01"
WORKER: Final = {
    "worker": "4711-abcdef01",
    "host": "one.example",
    "pid": 4711,
    "version": "0.1.0",
    "uptimeSeconds": 93_784,
    "queues": ["conversations.jobs"],
    "threads": 50,
    "inHand": 7,
    "draining": False,
    "heldUpBy": None,
}
LISTS: Final = {
    "results": (RESULTS, [{**one, "jobId": UUID} for one in EXAMPLES["result"]]),
    "dead letters": (DEAD_LETTERS, [{**one, "id": UUID} for one in EXAMPLES["dead-letter"]]),
    "workers": (WORKERS, [WORKER]),
}


def shown(columns: tuple[Column, ...], documents: list[Document], width: int) -> list[str]:
    """Write a list for such a terminal."""
    rows = Rows("table", columns, width=width)
    lines = [rows.header] if rows.header else []
    return "\n".join([*lines, *map(rows.line, documents)]).splitlines()


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_list_fits_and_cuts_no_id(name: str, width: int) -> None:
    """Beside each other where there is room; else each document has a few lines of its own."""
    columns, documents = LISTS[name]
    lines = shown(columns, documents, width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for document in documents:
        for field in ("id", "jobId", "consumerId", "conversationId", "worker"):
            assert str(document.get(field, "")) in text


@pytest.mark.parametrize("name", LISTS)
def test_a_wide_terminal_is_used(name: str) -> None:
    """A line for each, and for the header."""
    columns, documents = LISTS[name]
    assert len(shown(columns, documents, 200)) == 1 + len(documents)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_overview_fits(width: int) -> None:
    """With large numbers, and with something to say of its account."""
    standing = Standing(
        holds="circuit",
        pauses=(),
        seconds=3.5,
        cause="asyncMessagingEnt va.msg.liveperson.net: HTTP 503",
        in_flight=123,
        accepted=99.8,
        max_rate=100,
        max_in_flight=500,
        learned_rate=None,
        learned_in_flight=None,
        is_set=False,
        learned_at=None,
        learned_from=None,
        try_in=None,
        tolerated=None,
    )
    account = AccountView(
        account_id="12345678",
        outcomes={"created": 12_345_678, "failed:expired": 2},
        standing=standing,
        max_rate=100,
        max_in_flight=500,
    )
    overview = Overview(
        at="T",
        queues=[
            QueueDepth(name=name, ready=1_234_567, delayed=None, unacked=75)
            for name in ("conversations.jobs.12345678", "conversations.dead-letters")
        ],
        delayed=3,
        accounts=[account],
        workers=["4711-abcdef01"],
        troubles={},
        pauses=[],
    )
    screen = Console(width=width)
    with screen.capture() as captured:
        screen.print(show_overview(overview, width))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= width
    for whole in ("conversations.jobs.12345678", "1234567", "12345678", "4711-abcdef01"):
        assert any(whole in line for line in lines)
    assert "HTTP 503" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["statsu"], "status"),
        (["dead-letter"], "dead-letters"),
        (["dead-letters", "lst"], "list"),
        (["limits", "sho"], "show"),
        (["submissions", "cancle"], "cancel"),
    ],
)
def test_a_misspelt_command_is_guessed(words: list[str], meant: str) -> None:
    """It is not run, of course."""
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert f"No such command '{words[-1]}'. Did you mean {meant}?" in result.stderr


def test_what_is_like_no_command_is_not() -> None:
    """Nothing is better than a wild guess."""
    result = CliRunner().invoke(main, ["xyzzy"])
    assert "Did you mean" not in result.stderr


@pytest.mark.slow
def test_a_shell_completes_commands() -> None:
    """As docs/operations.md says how to set it up."""
    variables = {
        "_OVERTURE_COMPLETE": "bash_complete",
        "COMP_WORDS": "overture s",
        "COMP_CWORD": "1",
    }
    process = subprocess.run(
        [sys.executable, "-m", "console"],
        env={**environment({}), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name for name in COMMANDS if name.startswith("s")]
    assert process.stdout.split() == [f"plain,{name}" for name in names]


def on_terminal(*arguments: str, folder: Path, **variables: str) -> str:
    """Run a command on a terminal of 80 columns, and return all that it wrote there."""
    here, there = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "console", *arguments],
        env={**environment({}), "TERM": "xterm", "COLUMNS": "80", **variables},
        cwd=folder,
        stdin=there,
        stdout=there,
        stderr=there,
        close_fds=True,
    )
    os.close(there)
    written = b""
    while select.select([here], [], [], 60)[0]:
        try:
            part = os.read(here, 65536)
        except OSError:  # the other end is closed
            break
        written += part
    process.wait(60)
    os.close(here)
    return written.decode()


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(tmp_path: Path, variables: dict[str, str]) -> None:
    """Nor anything else that a plain terminal would show as rubbish."""
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text('{"jobId": "j", "consumerId": "c"}\nno job\n')
    settings = {f"OVERTURE_{name}": "x" for name in ("CLIENT_ID", "CLIENT_SECRET")}
    written = on_terminal(
        "submit",
        "jobs.jsonl",
        "--dry-run",
        folder=tmp_path,
        OVERTURE_ACCOUNT_ID="1",
        **settings,
        **variables,
    )
    assert "1 valid job" in written
    assert "\x1b[3" not in written
    if "TERM" in variables:
        assert "\x1b" not in written


@pytest.mark.slow
def test_a_message_has_a_line_of_its_own_beside_a_bar(tmp_path: Path) -> None:
    """What is said while the bar is there does not end up in the middle of it."""
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text("no job\n" * 5)
    settings = {f"OVERTURE_{name}": "x" for name in ("CLIENT_ID", "CLIENT_SECRET")}
    written = on_terminal(
        "submit", "jobs.jsonl", "--dry-run", folder=tmp_path, OVERTURE_ACCOUNT_ID="1", **settings
    )
    said = [line for line in written.replace("\x1b[2K", "\n").split("\n") if "line 3:" in line]
    assert said
    assert all(line.strip("\r").startswith("overture: line 3: ") for line in said), written
