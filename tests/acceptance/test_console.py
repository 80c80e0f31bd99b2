"""`overture console` as its users start it: on the embedded server, until it is asked to end."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request

from tests.jobs import ONE_ACCOUNT
from tests.overture_command import overture, start_overture
from tests.redis_server import free_port
from tests.worker_process import END_SECONDS


def test_it_serves_until_it_is_asked_to_end() -> None:
    """It says where, shows in a sentence how everything stands, and ends well."""
    address = f"127.0.0.1:{free_port()}"
    console = start_overture("console", "--address", address, settings=ONE_ACCOUNT)
    try:
        assert console.stdout is not None
        assert console.stdout.readline().decode() == f"the console is at http://{address}/\n"
        with urllib.request.urlopen(f"http://{address}/", timeout=10) as answer:
            assert answer.status == 200
            assert "Nothing waits; no worker runs." in answer.read().decode()
        again = overture("console", "--address", address, settings=ONE_ACCOUNT)
        assert again.returncode == 1
        assert f"nothing can be served at {address}" in again.stderr
        console.send_signal(signal.SIGTERM)
        assert console.wait(END_SECONDS) == 0
    finally:
        console.kill()
        console.communicate()


def test_beyond_this_machine_it_does_not_start_without_a_password() -> None:
    """It says what to set."""
    said = overture("console", "--address", f"0.0.0.0:{free_port()}", settings=ONE_ACCOUNT)
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert "OVERTURE_CONSOLE_PASSWORD" in said.stderr
