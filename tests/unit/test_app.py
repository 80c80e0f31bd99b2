"""Celery's application: what decides which broker a worker consumes from."""

from __future__ import annotations

import pytest

from config.settings import Settings
from worker.app import CELERYS_OWN, Setup, create_app
from worker.broker.brokers import broker_at


@pytest.mark.parametrize("name", CELERYS_OWN)
def test_a_worker_consumes_from_the_broker_that_was_checked(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Variables of another Celery application in the same surroundings change nothing."""
    monkeypatch.setenv(name, "redis://elsewhere/0" if "BROKER" in name else "elsewhere")
    app = create_app()
    settings = Settings.model_construct(accounts={}, concurrency=4)
    app.use(Setup(settings=settings, broker=broker_at("amqp://here//"), store_url="redis://here"))
    assert {app.connection_for_read().hostname, app.connection_for_write().hostname} == {"here"}
    assert type(app.backend).__name__ == "DisabledBackend"
