"""Dry run, client and simulator agree on every sample body, and on what public clients send."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from pydantic import SecretStr

from console.jobfiles.job_file import Entry
from console.jobfiles.submission import Accepted, check
from tasks.liveperson.answer import Kind
from tasks.liveperson.client import LivePersonClient
from tasks.liveperson.conversation import CONVERSATION, PROFILE
from tasks.liveperson.credentials import Credentials
from tasks.messages.job import InvalidJob, Job, Reading, parse_job
from tests.documents import codes, read, rows, section
from tests.fakes import InMemoryTokenStore
from tests.simulator_client import ACCOUNT, BODIES, CLIENT_ID, CLIENT_SECRET, Client, documented
from tests.simulator_process import SimulatorProcess

PAYLOADS: Final = Path(BODIES).parent / "payloads"
TABLE: Final = {
    codes(row[0])[0]: row[2:] for row in rows(section(read("docs/fidelity.md"), "Verdicts"))
}
BATCHES: Final = sorted(path.stem for path in BODIES.glob("req_0*.json"))
JOBS: Final = sorted(path.stem for path in PAYLOADS.glob("p*.json"))
# Invented from the documentation alone, and judged by it before any of the three was asked.
JUDGED: Final[dict[str, dict[str, Any]]] = {
    case["name"]: case for case in json.loads((PAYLOADS / "judged.json").read_text("utf-8"))
}
# Fields of a job that is none of the job's own: where its source has them.
BESIDE_THE_BODY: Final = "skillId"
FIRST_MESSAGE: Final = "firstMessage"


@pytest.fixture(scope="module")
def reset(running: SimulatorProcess) -> SimulatorProcess:
    """Take away the limits that a test before may have set."""
    running.control("reset")
    return running


@pytest.fixture(scope="module")
def liveperson(reset: SimulatorProcess) -> Iterator[LivePersonClient]:
    built = LivePersonClient(
        account_id=ACCOUNT,
        credentials=Credentials(CLIENT_ID, SecretStr(CLIENT_SECRET)),
        token_store=InMemoryTokenStore(),
        domain_api_url=reset.url,
        trusted_hosts=(),
        connect_timeout=5,
        read_timeout=10,
        pool_size=1,
        user_agent="overture/0.0.0",
    )
    yield built
    built.close()


@pytest.fixture(scope="module")
def asking(reset: SimulatorProcess) -> Iterator[Asking]:
    """Ask the simulator with one AppJWT; every consumer is new, so that nothing is begun again."""
    client = Client(reset.url)
    yield Asking(client, client.app_jwt())
    client.http.close()


class Asking(NamedTuple):
    """Who asks the simulator, and with which AppJWT."""

    client: Client
    app_jwt: str


def payload(name: str) -> dict[str, Any]:
    text = (PAYLOADS / f"{name}.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document | {"consumerId": str(uuid.uuid4())}


def job_of(batch: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the job of a sample request, as submit reads it; a third item makes it none."""
    return {"jobId": "1", "consumerId": str(uuid.uuid4()), "batch": batch}


def dry_run(document: dict[str, Any], reading: Reading) -> Accepted | None:
    found = check(
        Entry(number=1, document=document), accounts=[ACCOUNT], account_id=None, reading=reading
    )
    return found if isinstance(found, Accepted) else None


def is_sent(client: LivePersonClient, document: dict[str, Any], reading: Reading) -> bool:
    """Tell whether the client takes a job, and gets a conversation for what it makes of it."""
    try:
        job = parse_job(document, accounts=[ACCOUNT], reading=reading)
    except InvalidJob:
        return False
    answer = client.create(
        job,
        client.tokens(job.consumer_id),
        profile_id="1",
        conversation_id="2",
        conversation=_engaged(client, job),
    )
    assert answer.kind is Kind.CREATED, answer
    return True


def _engaged(client: LivePersonClient, job: Job) -> dict[str, Any]:
    if job.engagement is None:
        return job.conversation
    return client.engage(job).merged_into(job.conversation)


def is_taken(asking: Asking, document: dict[str, Any]) -> bool:
    """Tell whether the simulator takes what stands there, as its source sends it."""
    client, app_jwt = asking
    conversation = document.get("conversation", {})
    if isinstance(conversation, dict):
        conversation = {"brandId": ACCOUNT, **conversation}
    items: list[dict[str, Any]] = [
        {"id": "1,", "type": PROFILE, "body": document.get("profile", {})},
        {"id": "2,", "type": CONVERSATION, "body": conversation},
    ]
    for item, name in zip(items, ("profile", "conversation"), strict=True):
        if name in document.get("itemMetadata", {}):
            item["metadata"] = document["itemMetadata"][name]
    if BESIDE_THE_BODY in document:
        items[1][BESIDE_THE_BODY] = document[BESIDE_THE_BODY]
    if FIRST_MESSAGE in document:
        event = {
            "type": "ContentEvent",
            "contentType": "text/plain",
            "message": document[FIRST_MESSAGE],
        }
        items.append({"id": "3", "type": "ms.PublishEvent", "body": {"event": event}})
    items = document.get("batch", items)
    headers = client.tokens(document["consumerId"], app_jwt)
    if "clientProperties" in document:
        headers["Client-Properties"] = json.dumps(document["clientProperties"])
    engaged = "engagement" not in document or client.engage(document["engagement"]).ok
    return engaged and client.create(headers, items).ok


def verdict(is_good: object) -> str:
    return "accepted" if is_good else "refused"


def verdicts(
    document: dict[str, Any], liveperson: LivePersonClient, asking: Asking, reading: Reading
) -> list[str]:
    """Give those of dry run, client and simulator; each opens a conversation of its own."""
    checked = dry_run(document, reading)
    ready = checked.document if checked else document
    sent = is_sent(liveperson, ready | {"consumerId": str(uuid.uuid4())}, reading)
    taken = is_taken(asking, document)
    return [verdict(one) for one in (checked, sent, taken)]


@pytest.mark.parametrize("name", [*BATCHES, *JOBS])
def test_all_three_say_the_same(name: str, liveperson: LivePersonClient, asking: Asking) -> None:
    """What docs/fidelity.md says of each, too."""
    document = job_of(documented(name)) if name in BATCHES else payload(name)
    found = verdicts(document, liveperson, asking, Reading())
    assert found == [found[0]] * 3
    assert found == TABLE[name]


@pytest.mark.parametrize("name", JUDGED)
def test_all_three_say_what_the_documentation_says(
    name: str, liveperson: LivePersonClient, asking: Asking
) -> None:
    """Of requests that no source has, each with the words that judge it."""
    case = JUDGED[name]
    document = {"jobId": name, "consumerId": str(uuid.uuid4()), **case["job"]}
    assert verdicts(document, liveperson, asking, Reading()) == [case["verdict"]] * 3


def test_every_sample_has_its_row() -> None:
    """And no row is of one that is gone."""
    assert TABLE.keys() == {*BATCHES, *JOBS, "req_34_monitoring_engagement"}


def test_the_documented_engagement_is_taken(liveperson: LivePersonClient, asking: Asking) -> None:
    """The sample body of the Monitoring API, as a job's engagement."""
    document = {
        "jobId": "1",
        "consumerId": str(uuid.uuid4()),
        "engagement": documented("req_34_monitoring_engagement"),
    }
    found = verdicts(document, liveperson, asking, Reading())
    assert found == TABLE["req_34_monitoring_engagement"]


def test_what_is_new_can_be_passed_on() -> None:
    """A field that LivePerson adds is sent with the setting, as a lenient simulator takes it."""
    document = payload("p25_new_conversation_field")
    passing = Reading(pass_unknown=True)
    assert dry_run(document, passing)
    job = parse_job(document, accounts=[ACCOUNT], reading=passing)
    with SimulatorProcess("--lenient") as lenient:
        new = Client(lenient.url)
        assert is_taken(Asking(new, new.app_jwt()), {**document, "conversation": job.conversation})
        new.http.close()
