"""What a run does: how many jobs of which kind, what fails, and how often something is broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

BrokerName = Literal["valkey", "rabbitmq"]
# What holds the ledger: one server, a master that Sentinels watch, or a cluster of three primaries
# with a replica each. With Sentinels a broker that is Valkey is the same master.
StoreName = Literal["server", "sentinels", "cluster"]
# What is restarted: the broker, the store; what dies for good until another has its place: the
# master, a cluster's primary; and the slots of all accounts, which move to another primary.
Restart = Literal["broker", "store", "master", "primary", "slots"]

# The faults of the simulated LivePerson that the project promises to live with: 5 % server errors,
# half of them after the conversation was made, 2 % lost answers, 2 % resets, and 429s.
ROUGH: Final = (
    ("server_error", 0.025),
    ("server_error_after", 0.025),
    ("lost_answer", 0.02),
    ("reset", 0.02),
    ("too_many_requests", 0.003),
    ("idp.server_error", 0.01),
    ("smt.server_error", 0.02),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """The share of each kind of job; the rest are plain jobs with consumers of their own."""

    shared: float = 0.03
    duplicate: float = 0.03
    conflict: float = 0.01
    later: float = 0.02
    expired: float = 0.01
    expiring: float = 0.02
    invalid: float = 0.01


NOTHING_SPECIAL: Final = Mix(
    shared=0, duplicate=0, conflict=0, later=0, expired=0, expiring=0, invalid=0
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run; times are in seconds.

    `malformed` messages hold no job, `odd` ones a valid job in odd dress. `restarts` says at which
    share of the outcomes the broker or the store is restarted; `random` is the mean time between
    two random breakages, 0 for none, and `field` that between two troubles as real systems have
    them. With several `broker_nodes` one of them is killed every `node_every`. With `restricted`
    workers log in to broker and store as users with exactly the rights which the documents list.
    Every other worker runs the code of another checkout, `beside`.
    Nothing is broken after `longest`, and then all has to come to its end within `settle`.
    """

    jobs: int
    malformed: int = 0
    odd: int = 0
    large: int = 0
    mix: Mix = field(default_factory=Mix)
    workers: int = 4
    concurrency: int = 16
    max_rate: float = 1000.0
    max_in_flight: int = 50
    latency: str = "30:20"
    faults: tuple[tuple[str, float], ...] = ROUGH
    kill_every: float = 0
    terminate_every: float = 0
    terminations: int = 0
    random: float = 0
    field: float = 0
    restarts: tuple[tuple[float, Restart], ...] = ()
    accounts: int = 1
    store: StoreName = "server"
    store_replicas: int = 0
    broker_nodes: int = 1
    node_every: float = 0
    close_at_once: bool = False
    restricted: bool = False
    beside: Path | None = None
    unknown_outcome: Literal["repeat", "in_doubt"] = "repeat"
    longest: float = 1200.0
    settle: float = 180.0


PLANS: Final[Mapping[str, Plan]] = MappingProxyType(
    {
        # What the project promises: everything at once, and nothing lost.
        "everything": Plan(
            jobs=10_000,
            malformed=100,
            odd=100,
            kill_every=2,
            restarts=((0.25, "broker"), (0.5, "store"), (0.75, "broker")),
        ),
        # Every breakage there is, in random order.
        "random": Plan(jobs=3_000, malformed=50, odd=50, random=1.5),
        # What happens to real systems: full disks, failovers, clocks, alarms, firewalls, secrets.
        "field": Plan(
            jobs=3_000,
            malformed=100,
            odd=100,
            max_rate=60,
            field=4,
            faults=(("too_many_requests", 0.01),),
        ),
        # LivePerson without its rule of one open conversation for each consumer.
        "no-rule": Plan(
            jobs=2_000,
            mix=NOTHING_SPECIAL,
            kill_every=4,
            close_at_once=True,
        ),
        # Messages that are no jobs.
        "malformed": Plan(
            jobs=100, malformed=10_000, odd=500, large=10, mix=NOTHING_SPECIAL, faults=()
        ),
        # A cluster of three RabbitMQ nodes, of which one is killed every 20 s; workers die, too.
        "nodes": Plan(
            jobs=10_000,
            max_rate=40,
            faults=(),
            mix=Mix(later=0.1),
            broker_nodes=3,
            node_every=20,
            kill_every=7,
        ),
        # A master behind Sentinels, killed three times: the store, and the broker where that is
        # Valkey.
        "sentinels": Plan(
            jobs=10_000,
            max_rate=40,
            faults=(),
            store="sentinels",
            store_replicas=1,
            restarts=((0.2, "master"), (0.45, "master"), (0.7, "master")),
        ),
        # A cluster of six nodes as the store of twenty accounts: a primary is killed, and the slots
        # of all accounts move, key by key, under load.
        "cluster": Plan(
            jobs=4_000,
            accounts=20,
            max_rate=4,
            max_in_flight=5,
            faults=(),
            store="cluster",
            store_replicas=1,
            restarts=((0.15, "slots"), (0.4, "primary"), (0.65, "slots"), (0.8, "primary")),
        ),
        # Rolling restarts under load.
        "sigterm": Plan(jobs=6_000, faults=(), terminate_every=1, terminations=50),
    }
)
