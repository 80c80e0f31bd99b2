"""The client against the simulator: the whole way to a conversation, and every fault on it."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from pydantic import SecretStr

from tasks.liveperson.answer import Answer, Kind
from tasks.liveperson.client import LivePersonClient
from tasks.liveperson.credentials import Credentials
from tasks.liveperson.engagement import EngagementFailure, LookupFailed, Visit
from tasks.liveperson.tokens import TokenFailure, Tokens
from tasks.messages.job import Job, parse_job
from tests.fakes import InMemoryTokenStore
from tests.simulator_process import SimulatorProcess

ACCOUNT = "12345678"
CLIENT_SECRET = "demo-secret"
WITHOUT_CAMPAIGN = "99999999"
READ_SECONDS = 0.7


@pytest.fixture(scope="module")
def process() -> Iterator[SimulatorProcess]:
    options = (
        f"--account={ACCOUNT}:demo-client:{CLIENT_SECRET}",
        f"--account={WITHOUT_CAMPAIGN}:demo-client:{CLIENT_SECRET}",
        f"--campaign={WITHOUT_CAMPAIGN}:none",
        "--retry-after=2",
    )
    with SimulatorProcess(*options) as running:
        yield running


@pytest.fixture
def simulator(process: SimulatorProcess) -> SimulatorProcess:
    process.control("reset")
    return process


def client_for(simulator: SimulatorProcess, **changes: Any) -> LivePersonClient:
    options: dict[str, Any] = {
        "account_id": ACCOUNT,
        "credentials": Credentials("demo-client", SecretStr(CLIENT_SECRET)),
        "token_store": InMemoryTokenStore(),
        "domain_api_url": simulator.url,
        "trusted_hosts": (".liveperson.net", ".liveperson.com"),
        "connect_timeout": 5.0,
        "read_timeout": READ_SECONDS,
        "pool_size": 20,
        "user_agent": "overture/0.0.0",
    }
    return LivePersonClient(**options | changes)


@pytest.fixture
def client(simulator: SimulatorProcess) -> Iterator[LivePersonClient]:
    built = client_for(simulator)
    yield built
    built.close()


def consumer() -> str:
    return f"c-{uuid.uuid4()}"


def job(consumer_id: str, **fields: Any) -> Job:
    document = {"jobId": "j-1", "accountId": ACCOUNT, "consumerId": consumer_id, **fields}
    return parse_job(document, accounts=[ACCOUNT, WITHOUT_CAMPAIGN])


def create(
    client: LivePersonClient, the_job: Job, tokens: Tokens | None = None, **options: Any
) -> Answer:
    return client.create(
        the_job,
        tokens or client.tokens(the_job.consumer_id),
        profile_id=str(uuid.uuid4()),
        conversation_id=str(uuid.uuid4()),
        **options,
    )


def calls(simulator: SimulatorProcess, endpoint: str) -> dict[str, int]:
    found: dict[str, int] = simulator.stats()["total"]["calls"].get(endpoint, {})
    return found


def test_from_nothing_to_a_conversation(
    simulator: SimulatorProcess, client: LivePersonClient
) -> None:
    """Hosts, both tokens, and the conversation as the job wants it."""
    consumer_id = consumer()
    properties = {"type": ".ClientProperties", "features": ["AUTO_MESSAGES"], "appId": "Zürich"}
    wanted = job(
        consumer_id,
        profile={"firstName": "Zoë"},
        conversation={"skillId": "7", "ttrDefName": "URGENT"},
        clientProperties=properties,
    )
    tokens = client.tokens(consumer_id)
    answer = create(client, wanted, tokens)
    (conversation,) = simulator.conversations(consumer=consumer_id)
    assert answer == Answer(
        kind=Kind.CREATED, http_status=200, conversation_id=conversation["conversationId"]
    )
    assert tokens.lp_consumer_id == conversation["lpConsumerId"]
    assert conversation["profile"] == {"firstName": "Zoë"}
    assert conversation["clientProperties"] == properties
    assert conversation["body"] == {
        "brandId": ACCOUNT,
        "channelType": "MESSAGING",
        "skillId": "7",
        "ttrDefName": "URGENT",
    }


def test_a_second_conversation_is_already_open_and_can_be_found(client: LivePersonClient) -> None:
    """LivePerson does not say which one is open; Monitoring does."""
    consumer_id = consumer()
    assert client.find_open_conversation(job(consumer_id)) is None
    first = create(client, job(consumer_id))
    second = create(client, job(consumer_id))
    assert (second.kind, second.http_status) == (Kind.ALREADY_OPEN, 400)
    assert client.find_open_conversation(job(consumer_id)) == first.conversation_id
    assert client.find_open_conversation(job(consumer())) is None


def test_an_engagement_becomes_part_of_the_conversation(
    simulator: SimulatorProcess, client: LivePersonClient
) -> None:
    """Campaign and context come from Monitoring, as strings, and pass LivePerson's checks."""
    consumer_id = consumer()
    wanted = job(consumer_id, engagement={"entryPoints": ["https://example.com"]})
    engaged = client.engage(wanted)
    answer = create(client, wanted, conversation=engaged.merged_into(wanted.conversation))
    assert answer.kind is Kind.CREATED
    (conversation,) = simulator.conversations(consumer=consumer_id)
    assert conversation["body"]["campaignInfo"] == {
        "campaignId": "880524023",
        "engagementId": "880524123",
    }
    assert conversation["body"]["conversationContext"] == {
        "type": "SharkContext",
        "visitorId": engaged.visit.visitor_id,
        "sessionId": engaged.visit.session_id,
        "interactionContextId": "1",
    }
    assert client.engage(wanted, engaged.visit).visit == engaged.visit


def test_the_host_is_found_before_the_permit_is_asked_for(
    simulator: SimulatorProcess, client: LivePersonClient
) -> None:
    """Without it there are no tokens; with it, `create` needs the Domain API no more."""
    simulator.control("faults", {"probabilities": {"domain.too_many_requests": 1}})
    with pytest.raises(TokenFailure, match=r"asyncMessagingEnt.* answered HTTP 429") as caught:
        client.tokens(consumer())
    answer = caught.value.answer
    assert (answer.kind, answer.retry_after) == (Kind.THROTTLED, 2.0)
    assert calls(simulator, "sentinel") == {}
    client.close()
    simulator.control("reset")
    again = client_for(simulator)
    tokens = again.tokens(consumer())
    simulator.control("faults", {"probabilities": {"domain.reset": 1}})
    assert create(again, job(tokens.consumer_id), tokens).kind is Kind.CREATED
    again.close()


def test_who_looks_for_a_conversation_comes_back_as_the_same_visitor(
    simulator: SimulatorProcess, client: LivePersonClient
) -> None:
    """LivePerson refuses callers that keep making new sessions."""
    consumer_id = consumer()
    visit = client.engage(job(consumer_id, engagement={})).visit
    assert client.find_open_conversation(job(consumer_id), visit=visit) is None
    assert calls(simulator, "smt") == {"201": 1, "200": 1}


def test_an_account_without_campaigns_offers_nothing(simulator: SimulatorProcess) -> None:
    """That is a refusal: the campaign was asked for."""
    client = client_for(simulator, account_id=WITHOUT_CAMPAIGN)
    with pytest.raises(EngagementFailure, match="offers this consumer no engagement"):
        client.engage(job(consumer(), accountId=WITHOUT_CAMPAIGN, engagement={}))
    client.close()


def test_an_account_that_loads_is_asked_again_as_the_same_visitor(
    simulator: SimulatorProcess, client: LivePersonClient
) -> None:
    """The visitor comes from the message, and is known afterwards."""
    simulator.control("faults", {"probabilities": {"smt.loading": 1}})
    wanted = job(consumer(), engagement={})
    with pytest.raises(EngagementFailure, match="Loading account") as caught:
        client.engage(wanted)
    with pytest.raises(LookupFailed, match="Loading account"):
        client.find_open_conversation(wanted)
    visit = caught.value.visit
    assert caught.value.answer.kind is Kind.NOT_SENT
    simulator.control("faults", {"probabilities": {"smt.loading": 0}})
    assert client.engage(wanted, visit).visit.visitor_id == visit.visitor_id
    assert client.engage(wanted, Visit("gone", "by")).visit.visitor_id != "gone"


FAULTS = {
    "reset": Kind.UNKNOWN,
    "lost_answer": Kind.UNKNOWN,
    "withheld_answer": Kind.UNKNOWN,
    "slow_answer": Kind.UNKNOWN,
    "cut_off": Kind.UNKNOWN,
    "truncated_json": Kind.UNKNOWN,
    "not_json": Kind.UNKNOWN,
    "wrong_req_id": Kind.UNKNOWN,
    "server_error": Kind.UNKNOWN,
    "server_error_after": Kind.UNKNOWN,
    "bad_request_as_200": Kind.REJECTED,
    "too_many_requests": Kind.THROTTLED,
    "token_expired": Kind.UNAUTHORIZED,
    "unauthorized": Kind.UNAUTHORIZED,
    "firewall_page": Kind.NOT_SENT,
    "consumer_token_refused": Kind.UNAUTHORIZED,
}


@pytest.mark.parametrize(("fault", "kind"), FAULTS.items())
def test_faults_of_conversation(
    simulator: SimulatorProcess, client: LivePersonClient, fault: str, kind: Kind
) -> None:
    """What is said of an attempt holds: only one of unknown fate may have opened anything."""
    consumer_id = consumer()
    simulator.control("faults", {"consumer": consumer_id, "fault": fault})
    answer = create(client, job(consumer_id))
    assert answer.kind is kind, answer
    opened = simulator.conversations(consumer=consumer_id)
    assert kind is Kind.UNKNOWN or opened == []
    assert sum(calls(simulator, "conversation").values()) == 1
    # The guard against a second conversation: the same consumer again.
    if answer.stale_token:
        client.renew(client.tokens(consumer_id), answer.stale_token)
    again = create(client, job(consumer_id))
    assert again.kind is (Kind.ALREADY_OPEN if opened else Kind.CREATED)
    (only,) = simulator.conversations(consumer=consumer_id)
    assert client.find_open_conversation(job(consumer_id)) == only["conversationId"]


def test_a_throttled_answer_says_how_long(
    simulator: SimulatorProcess, client: LivePersonClient
) -> None:
    """Retry-After is passed on."""
    simulator.control("faults", {"probabilities": {"too_many_requests": 1}})
    assert create(client, job(consumer())).retry_after == 2.0


@pytest.mark.parametrize(
    ("fault", "endpoint"), [("token_expired", "sentinel"), ("consumer_token_refused", "idp")]
)
def test_the_stale_token_is_renewed_and_no_other(
    simulator: SimulatorProcess, client: LivePersonClient, fault: str, endpoint: str
) -> None:
    """A refused AppJWT costs one call to sentinel, a refused ConsumerJWS one to idp."""
    consumer_id = consumer()
    tokens = client.tokens(consumer_id)
    simulator.control("faults", {"consumer": consumer_id, "fault": fault})
    stale = create(client, job(consumer_id), tokens).stale_token
    assert stale is not None
    before = {name: sum(calls(simulator, name).values()) for name in ("sentinel", "idp")}
    client.renew(tokens, stale)
    client.renew(tokens, stale)
    assert create(client, job(consumer_id)).kind is Kind.CREATED
    after = {name: sum(calls(simulator, name).values()) for name in ("sentinel", "idp")}
    assert {**before, endpoint: before[endpoint] + 1} == after


def test_an_app_jwt_refused_by_idp_is_renewed_on_the_way(
    simulator: SimulatorProcess, client: LivePersonClient
) -> None:
    """A job does not notice that the token ended between two of its calls."""
    consumer_id = consumer()
    simulator.control("faults", {"consumer": consumer_id, "fault": "token_expired"})
    expired = client.tokens(consumer_id)
    assert create(client, job(consumer_id), expired).kind is Kind.UNAUTHORIZED
    assert client.tokens(consumer()).app_jwt != expired.app_jwt
    assert calls(simulator, "idp")["401"] == 1


def test_wrong_credentials_are_told_from_trouble(simulator: SimulatorProcess) -> None:
    """And the secret is in no part of the error."""
    client = client_for(
        simulator, credentials=Credentials("demo-client", SecretStr("wr0ng-secret"))
    )
    with pytest.raises(TokenFailure, match="invalid_client") as caught:
        client.tokens(consumer())
    client.close()
    answer = caught.value.answer
    assert (answer.kind, answer.http_status) == (Kind.CREDENTIALS, 401)
    assert answer.cause == f"sentinel {simulator.url.removeprefix('http://')}: HTTP 401"
    assert "wr0ng" not in repr(caught.value) + repr(answer)


TROUBLE = [
    "reset",
    "lost_answer",
    "withheld_answer",
    "server_error",
    "not_json",
    "truncated_json",
    "firewall_page",
]


@pytest.mark.parametrize("fault", TROUBLE)
@pytest.mark.parametrize("endpoint", ["domain", "sentinel", "idp", "smt"])
def test_trouble_before_the_conversation_never_leaves_doubt(
    simulator: SimulatorProcess, client: LivePersonClient, endpoint: str, fault: str
) -> None:
    """No other endpoint opens a conversation, so its failures are safe to repeat."""
    simulator.control("faults", {"probabilities": {f"{endpoint}.{fault}": 1}})
    if endpoint == "smt":
        with pytest.raises(LookupFailed) as looking:
            client.find_open_conversation(job(consumer()))
        kind = looking.value.answer.kind
    else:
        with pytest.raises(TokenFailure) as asking:
            client.tokens(consumer())
        kind = asking.value.answer.kind
    # A firewall that says nothing but 403 may be taken for the service: its jobs wait all the same.
    bare = {Kind.CREDENTIALS} if fault == "firewall_page" else set()
    assert kind in {Kind.NOT_SENT} | bare


def test_twenty_threads_ask_sentinel_once(
    simulator: SimulatorProcess, client: LivePersonClient
) -> None:
    """At a start under load, and again when the token is refused to all of them."""
    together = Barrier(20)
    consumers = [consumer() for _ in range(20)]

    def first(consumer_id: str) -> Tokens:
        together.wait()
        return client.tokens(consumer_id)

    def renewed(tokens: Tokens) -> Tokens:
        together.wait()
        client.renew(tokens, "app")
        return client.tokens(tokens.consumer_id)

    with ThreadPoolExecutor(20) as pool:
        old = list(pool.map(first, consumers))
        assert calls(simulator, "sentinel") == {"200": 1}
        new = list(pool.map(renewed, old))
        assert calls(simulator, "sentinel") == {"200": 2}
        kinds = list(pool.map(lambda tokens: create(client, job(tokens.consumer_id)).kind, new))
    assert kinds == [Kind.CREATED] * 20
    assert len({tokens.app_jwt for tokens in old}) == len({tokens.app_jwt for tokens in new}) == 1
    assert calls(simulator, "idp") == {"201": 20}
    assert calls(simulator, "domain") == {"200": 3}
