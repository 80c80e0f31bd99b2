"""The pulse on a real store: who is alive, and who is not any more."""

from __future__ import annotations

from redis import Redis

from console.admin.checks import check_store
from console.admin.records import troubles, workers_alive
from tasks.store.pulse import Pulse
from tests.memory_store import ON_EITHER_STORE
from tests.waiting import wait_until


@ON_EITHER_STORE
def test_a_worker_that_stops_is_gone_at_once(store: Redis) -> None:
    """When `stop` returns, others may take over what it held: they need not wait for it to fade."""
    for _ in range(20):
        stopping, other = Pulse(store), Pulse(store)
        stopping.start()
        wait_until(lambda: other.is_alive(stopping.owner()), "it shows itself")  # noqa: B023 - called at once
        stopping.stop(seconds=5)
        assert not other.is_alive(stopping.owner())


def test_what_keeps_a_worker_is_told_to_whoever_looks_on(store: Redis) -> None:
    """In its words, for as long as it lasts; of the others nothing is said."""
    kept, fine = Pulse(store, trouble=lambda: "memory alarm"), Pulse(store)
    for pulse in (kept, fine):
        pulse.start()
    wait_until(lambda: len(workers_alive(store)) == 2, "both show themselves")
    assert troubles(store, workers_alive(store)) == {kept.worker: "memory alarm"}
    (found,) = [one for one in check_store(store, "redis://") if one.what == "worker"]
    assert (found.verdict, found.text) == ("warning", f"{kept.worker} is held up: memory alarm")
    for pulse in (kept, fine):
        pulse.stop(seconds=5)
    assert troubles(store, [kept.worker]) == {}
