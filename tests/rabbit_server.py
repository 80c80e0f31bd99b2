"""A private RabbitMQ node for tests, which can be killed, frozen and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Final, cast

from kombu import Connection
from kombu.transport.native_delayed_delivery import MAX_LEVEL, level_name

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE, RESULTS_QUEUE, account_queue
from tests.redis_server import free_port
from tests.waiting import wait_until

START_SECONDS: Final = 90.0
# The nodes of a cluster know each other by it.
COOKIE: Final = "overture"
# The default of 3.10; that of 4.0 is below what some tests need.
MAX_MESSAGE_BYTES: Final = 134_217_728
# RabbitMQ's own start script: the one on the PATH changes to the user rabbitmq.
PROGRAM: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
CONTROL: Final = PROGRAM.with_name("rabbitmqctl")
# A folder that holds another release, made by mmdebstrap; without it, the machine's own is run.
ROOT: Final = os.environ.get("RABBITMQ_ROOT", "")
# A name space of its own, in which that folder has the machine's devices, and the node's files.
ENTER: Final = """
for place in /proc /dev /sys "$1"; do
  mkdir -p "$0$place" && mount --rbind "$place" "$0$place" || exit
done
shift
cp /etc/hosts "$0/etc"
exec chroot "$0" "$@"
"""
ACCOUNTS: Final = ("12345678", "87654321")


def rabbitmq_missing() -> str:
    """Say why there is no RabbitMQ to test with; empty when there is one."""
    if ROOT or (PROGRAM.exists() and shutil.which("erl")):
        return ""
    return "rabbitmq-server is not installed here"


class RabbitServer:
    """A node of one's own, on free ports, with all its files in one folder.

    It asks its clients for a heartbeat in so many seconds; RabbitMQ's own default is 60. `options`
    are more of Erlang's, such as `-rabbit consumer_timeout 5000`, in ms.
    """

    def __init__(self, folder: Path, *, heartbeat_seconds: int = 60, options: str = "") -> None:
        self._folder = folder
        # The names of the nodes that make up a cluster with this one.
        self.cluster: list[str] = []
        self._heartbeat_seconds = heartbeat_seconds
        self._options = options
        self.port = free_port()
        self._distribution_port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self.node = f"overture{self.port}@localhost"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> RabbitServer:
        """Start it, or start it again on the same data and port."""
        plugins = self._folder / "enabled_plugins"
        plugins.write_text("[].")
        # A configuration of its own: the machine's may name the standard port.
        settings = self._folder / "rabbitmq.conf"
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            f"heartbeat = {self._heartbeat_seconds}",
            f"max_message_size = {MAX_MESSAGE_BYTES}",
        ]
        if self.cluster:
            lines.append("cluster_formation.peer_discovery_backend = classic_config")
            lines += [
                f"cluster_formation.classic_config.nodes.{number} = {node}"
                for number, node in enumerate(self.cluster, start=1)
            ]
        settings.write_text("\n".join([*lines, ""]))
        cookie = self._folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(COOKIE)
            cookie.chmod(0o400)
        environment = {
            **os.environ,
            # A delayed job that comes due while the node starts finds its exchange missing, and is
            # tried again after this long, in ms; the default is three minutes.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"-rabbit dead_letter_worker_publisher_confirm_timeout 5000 {self._options}"
            ),
            "HOME": str(self._folder),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_CONFIG_FILE": str(settings),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        }
        with (self._folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                self._command(PROGRAM),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_until(self._answers_or_ended, "RabbitMQ answers", seconds=START_SECONDS)
        assert self._process.poll() is None, f"RabbitMQ ended: see {self._folder}/output.log"
        return self

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self.signal(signal.SIGKILL)
        self._wait()

    def restart(self) -> None:
        """End it in good order, and start it again."""
        self.signal(signal.SIGTERM)
        self._wait()
        self.start()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
            self._wait()

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl on it, and return what it writes."""
        done = subprocess.run(
            self._command(CONTROL, "--node", self.node, "--quiet", *arguments),
            env={**os.environ, "HOME": str(self._folder), "RABBITMQ_CONF_ENV_FILE": "/dev/null"},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def _command(self, program: Path, *arguments: str) -> list[str]:
        inside = [str(program), *arguments]
        if not ROOT:
            return inside
        return ["unshare", "--mount", "sh", "-c", ENTER, ROOT, str(self._folder), *inside]

    def signal(self, number: signal.Signals) -> None:
        """Send the node, which is a shell script and its children, a signal."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def empty(self) -> None:
        """Take every message out of our queues, and out of those that hold delayed ones.

        They are not deleted: RabbitMQ 3.10 does not survive kill -9 after a quorum queue was
        deleted and declared anew ("could not be restarted {error,enoent}").
        """
        delays = [level_name(level) for level in range(MAX_LEVEL + 1)]
        names = [JOBS_QUEUE, RESULTS_QUEUE, DEAD_LETTERS_QUEUE, *map(account_queue, ACCOUNTS)]
        with Connection(self.url) as connection:
            for name in (*delays, *names):
                channel = cast("Any", connection.channel())
                with contextlib.suppress(*connection.channel_errors):
                    channel.queue_purge(name)
                    channel.close()

    def _wait(self) -> None:
        if self._process is not None:
            self._process.wait(START_SECONDS)
            self._process = None

    def _answers_or_ended(self) -> bool:
        return self._answers() or (self._process is not None and self._process.poll() is not None)

    def _answers(self) -> bool:
        # A port that listens is not yet a node that knows its users: only a login tells.
        with contextlib.suppress(Exception), Connection(self.url, connect_timeout=2) as connection:
            connection.connect()
            return True
        return False


def rabbit_nodes(folder: Path, count: int) -> list[RabbitServer]:
    """Start a node, or several that make up a cluster."""
    nodes = []
    for number in range(count):
        place = folder / f"node-{number}" if count > 1 else folder
        place.mkdir(parents=True, exist_ok=True)
        nodes.append(RabbitServer(place))
    for node in nodes:
        node.cluster = [one.node for one in nodes] if count > 1 else []
        node.start()
    return nodes
