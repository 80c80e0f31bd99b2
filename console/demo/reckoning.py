"""Whether the demo's numbers agree with one another."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from console.admin.dead_letters import read_dead


@dataclass(slots=True)
class Outcomes:
    """What came out, each job's outcome once however often it came."""

    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: dict[tuple[str, str], bytes] = field(default_factory=dict)
    repeats: int = 0
    contradictions: list[str] = field(default_factory=list)

    def add_result(self, body: bytes) -> None:
        """Take one more result."""
        result = json.loads(body)
        self._note(self.results, result["jobId"], result)

    def add_failure(self, body: bytes) -> None:
        """Take one more dead letter."""
        letter = read_dead(body, {})
        self._note(self.failures, (letter.job_id, letter.code), body)

    def counts(self) -> Counter[str]:
        """Count them by kind: `created`, `reused`, `failed:<code>`."""
        return Counter(str(result["status"]) for result in self.results.values()) + Counter(
            f"failed:{code}" for _, code in self.failures
        )

    def _note(self, known: dict[Any, Any], name: Any, outcome: Any) -> None:
        if name not in known:
            known[name] = outcome
        elif known[name] == outcome:
            self.repeats += 1
        else:
            self.contradictions.append(f"{name} has two different outcomes")


def disagreements(
    outcomes: Outcomes,
    expected: Mapping[str, int],
    *,
    opened: set[str],
    second_conversations: int,
    waiting: int,
) -> Iterator[str]:
    """Say, a sentence each, what does not agree.

    `opened` are the conversations that LivePerson has, `waiting` the messages still in the queue.
    """
    yield from outcomes.contradictions
    counts = outcomes.counts()
    for kind in sorted({*expected, *counts}):
        if counts[kind] != expected.get(kind, 0):
            yield f"{kind}: {expected.get(kind, 0)} expected, {counts[kind]} came out"
    created = [one for one in outcomes.results.values() if one["status"] == "created"]
    ids = {str(one["conversationId"]) for one in created}
    if len(ids) != len(created):
        yield f"{len(created) - len(ids)} conversations are in two results that say created"
    if missing := opened - ids:
        yield f"{len(missing)} conversations were opened that no result names"
    if invented := {str(one["conversationId"]) for one in outcomes.results.values()} - opened:
        yield f"{len(invented)} conversations are in results that LivePerson does not have"
    if second_conversations:
        yield f"{second_conversations} consumers got a second conversation"
    if waiting:
        yield f"{waiting} messages are still waiting"
