"""Runs the LivePerson simulator as a process of its own, for the length of a `with` block."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

ROOT = Path(__file__).resolve().parent.parent
READY = re.compile(r"simulator ready on (http://\S+)")
CONTROL_SECONDS = 30.0
STOP_SECONDS = 5.0
PAGE = 5000


class SimulatorProcess:
    """`python -m simulator` with the given options; `port` 0 picks a free one.

    with SimulatorProcess("--rate", "10") as simulator:
        requests.get(simulator.url + "/api/account/...")
        assert simulator.stats()["total"]["conversationsCreated"] == 1
    """

    def __init__(self, *options: str, port: int = 0) -> None:
        self._command = [sys.executable, "-m", "simulator", "--port", str(port), *options]
        self.url = ""

    def __enter__(self) -> Self:
        self._complaints = tempfile.TemporaryFile("w+")  # a pipe that nobody reads would fill up
        self.process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
        )
        self.url = self._wait_until_ready()
        self._http = requests.Session()
        self._http.trust_env = False
        return self

    def _wait_until_ready(self) -> str:
        assert self.process.stdout is not None
        if ready := READY.search(self.process.stdout.readline()):
            return ready[1]
        raise self._failure()

    def complaints(self) -> str:
        """Give what it wrote to standard error so far; a healthy one writes nothing."""
        self._complaints.seek(0)
        return self._complaints.read()

    def _failure(self) -> RuntimeError:
        self.stop()
        complaints = self.complaints()
        self._complaints.close()
        return RuntimeError(f"the simulator did not start: {complaints}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()
        self.stop()
        self._complaints.close()

    def stop(self) -> int:
        """Stop it as an operator would; give its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    @property
    def host(self) -> str:
        """`host:port`, as the Domain API gives it."""
        return self.url.removeprefix("http://")

    def stats(self) -> dict[str, Any]:
        """Everything it counted: `total`, and by account id under `accounts`."""
        stats: dict[str, Any] = self._get("/control/stats")
        return stats

    def conversations(
        self, account: str | None = None, consumer: str | None = None
    ) -> list[dict[str, Any]]:
        """All conversations it has seen, in the order of their creation."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._get(
                "/control/conversations",
                account=account,
                consumer=consumer,
                offset=len(found),
                limit=PAGE,
            )
            found += page["conversations"]
            if not page["conversations"] or len(found) >= page["total"]:
                return found

    def control(self, path: str, json: dict[str, Any] | None = None) -> Any:
        """POST to `/control/<path>`: reset, limits, faults or close."""
        answer = self._http.post(
            f"{self.url}/control/{path}", json=json or {}, timeout=CONTROL_SECONDS
        )
        assert answer.ok, answer.text
        return answer.json()

    def _get(self, path: str, **query: object) -> Any:
        answer = self._http.get(
            self.url + path,
            params={name: str(value) for name, value in query.items() if value is not None},
            timeout=CONTROL_SECONDS,
        )
        assert answer.ok, answer.text
        return answer.json()
