"""A scrape of the exporter on each real broker: it counts what waits, and leaves it there."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from config.names import JOBS_QUEUE
from config.settings import Settings
from console.admin.exporter import Exporter
from tasks.store.connection import connect
from tests.broker_client import BrokerClient
from tests.jobs import ONE_ACCOUNT, job_document
from tests.waiting import wait_until
from worker.broker.brokers import broker_at
from worker.watchdog import waiting_messages


def scraped(exporter: Exporter) -> dict[str, float]:
    """Scrape: each sample by its name and the values of its labels, in the order of their names."""
    text = exporter.metrics("").body.decode()
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_counts_what_waits_and_touches_nothing(broker_url: str, valkey_url: str) -> None:
    """Any number of scrapes: no message is taken, and none counts as delivered once more."""
    broker = broker_at(broker_url)
    with connect(valkey_url) as store, BrokerClient(broker_url) as client:
        client.put(job_document(number) for number in range(3))
        wait_until(lambda: waiting_messages(broker, [JOBS_QUEUE]) == 3, "the jobs wait")
        settings = Settings.model_validate(ONE_ACCOUNT)
        exporter = Exporter(broker, store, settings, store_url=valkey_url, workers=1)
        for _ in range(5):
            found = scraped(exporter)
        assert found[f"overture_queue_messages {JOBS_QUEUE} ready"] == 3
        assert found[f"overture_queue_messages {JOBS_QUEUE} delayed"] == 0
        assert found[f"overture_queue_oldest_seconds {JOBS_QUEUE}"] > 0
        assert (found["overture_server_up broker"], found["overture_server_up store"]) == (1, 1)
        assert waiting_messages(broker, [JOBS_QUEUE]) == 3
        with broker.taking(JOBS_QUEUE) as taker:
            message = taker.take()
            assert message is not None
            assert not message.headers.get("x-delivery-count")
            message.requeue()
