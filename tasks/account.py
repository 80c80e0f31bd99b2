"""An account as this process knows it: its client, its ceiling, and the gate to its permits."""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.hold import Hold
from tasks.line import Gate
from tasks.liveperson.client import LivePersonClient
from tasks.store.ledger import Ceiling


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the pipeline needs to work for one LivePerson account."""

    client: LivePersonClient
    ceiling: Ceiling
    gate: Gate = field(default_factory=Gate)
    hold: Hold = field(default_factory=Hold)
