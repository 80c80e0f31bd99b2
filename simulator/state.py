"""The state of the simulated LivePerson: accounts, consumers, conversations; in memory only."""

import random
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from simulator.counters import Counters
from simulator.faults import FaultPlan
from simulator.limits import Gauge, Limits, TokenBucket
from simulator.settings import Campaign, Credentials, Settings
from simulator.tokens import ConsumerToken
from simulator.visitors import Visitors

KEPT_BODY_BYTES = 16 * 1024
KEPT_MESSAGES = 100
KEPT_REVOCATIONS = 10_000
MAX_ACCOUNTS = 10_000


@dataclass(slots=True)
class Consumer:
    """One person of an account, fixed by the external id.

    `profile_request` is the batch that set the profile last; requests are kept as they came, since
    bytes take a tenth of the memory of what they say.
    """

    ext_consumer_id: str
    lp_consumer_id: str
    profile_request: bytes | None = None
    open_conversation: "Conversation | None" = None
    created: int = 0


@dataclass(slots=True)
class Conversation:
    """One conversation; times are Unix seconds, `request` is the body that asked for it."""

    id: str
    consumer: Consumer
    created_at: float
    request: bytes | None
    client_properties: str | None
    closed_at: float | None = None
    messages: list[Any] = field(default_factory=list)
    sequence: int = 0

    def publish(self, event: Any, *, keep: bool) -> int:
        """Take a message in and number it; the first is 0."""
        if keep:
            self.messages.append(event)
            del self.messages[:-KEPT_MESSAGES]
        self.sequence += 1
        return self.sequence - 1


class Account:
    """One account, with its own limits and counts.

    `served` counts the consumers who got a conversation, `several` says how many those got who got
    more than one: kept up to date, so that asking for them costs little however many there are.
    """

    def __init__(self, account_id: str, credentials: Credentials | None) -> None:
        self.id = account_id
        self.credentials = credentials
        self.limits: Limits | None = None
        self.conversation_bucket = TokenBucket()
        self.token_bucket = TokenBucket()
        self.consumers: dict[str, Consumer] = {}
        self.conversations: dict[str, Conversation] = {}
        # Tokens of earlier ones are refused.
        self.app_generation = 0
        self.consumer_generation = 0
        self.open_count = 0
        self.served = 0
        self.several: dict[str, int] = {}
        self.counters = Counters()

    def consumer(self, token: ConsumerToken) -> Consumer:
        """Find the consumer of a ConsumerJWS, or remember a new one."""
        known = self.consumers.get(token.ext_consumer_id)
        if known is None:
            known = Consumer(token.ext_consumer_id, token.lp_consumer_id)
            self.consumers[token.ext_consumer_id] = known
        return known

    def open(
        self, consumer: Consumer, *, at: float, request: bytes | None, client_properties: str | None
    ) -> Conversation:
        """Open a conversation; the caller has made sure that none is open."""
        conversation = Conversation(str(uuid.uuid4()), consumer, at, request, client_properties)
        self.conversations[conversation.id] = conversation
        consumer.open_conversation = conversation
        consumer.created += 1
        if consumer.created == 1:
            self.served += 1
        else:
            self.several[consumer.ext_consumer_id] = consumer.created
        self.open_count += 1
        return conversation

    def close(self, conversation: Conversation, *, at: float) -> None:
        """Close an open conversation; its consumer may open another one from now on."""
        conversation.closed_at = at
        conversation.consumer.open_conversation = None
        self.open_count -= 1


class State:
    """The whole simulated LivePerson; what the control API changes is changed here."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.reset()

    def reset(self) -> None:
        """Forget everything and begin again as started."""
        settings = self.settings
        self.rng = random.Random(settings.seed)  # noqa: S311 - faults and jitter, not secrets
        self.started_at = time.time()
        self.limits = settings.limits
        self.latency = settings.latency
        self.close_at_once = settings.close_at_once
        self.faults = FaultPlan(settings.faults, self.rng)
        self.visitors = Visitors()
        self.in_flight = Gauge()
        self.unknown = Counters()
        self.accounts = {
            account_id: Account(account_id, credentials)
            for account_id, credentials in settings.accounts.items()
        }
        self._revoked: dict[str, None] = {}

    def find(self, account_id: str) -> Account | None:
        """Find an account; where any account is accepted, make it."""
        known = self.accounts.get(account_id)
        if known is None and self.settings.any_account and len(self.accounts) < MAX_ACCOUNTS:
            known = self.accounts[account_id] = Account(account_id, None)
        return known

    def limits_of(self, account: Account) -> Limits:
        """Return the limits in force for an account."""
        return account.limits or self.limits

    def campaign(self, account_id: str) -> Campaign | None:
        """Return what the Monitoring API offers for an account."""
        return self.settings.campaigns.get(account_id, Campaign())

    def kept(self, request: bytes) -> bytes | None:
        """Return what is kept of a request's body: all of it, or nothing."""
        keep = self.settings.keep_bodies and len(request) <= KEPT_BODY_BYTES
        return request if keep else None

    def revoke(self, token_id: str) -> None:
        """Revoke one AppJWT."""
        if len(self._revoked) >= KEPT_REVOCATIONS:
            del self._revoked[next(iter(self._revoked))]
        self._revoked[token_id] = None

    def is_revoked(self, token_id: str) -> bool:
        """Tell whether an AppJWT was revoked."""
        return token_id in self._revoked

    def chosen(self, account_id: str | None) -> list[Account]:
        """List all accounts, or the one named if it exists."""
        if account_id is None:
            return list(self.accounts.values())
        return [self.accounts[account_id]] if account_id in self.accounts else []
