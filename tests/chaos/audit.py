"""The audit: what was submitted, what LivePerson opened and what came out, held side by side."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from tests.chaos.matching import Content, Ending, Matcher
from tests.chaos.received import Received
from tests.chaos.submissions import Submission

# A request that leaves in time may be carried out a little later, in seconds.
ON_ITS_WAY: Final = timedelta(seconds=1)

Conversations = Mapping[str, Mapping[str, Any]]
Jobs = Mapping[str, Sequence[Content]]

# What an audit looks for; none of it may be found.
FAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "lost": "messages without an outcome",
        "contradictory": "messages or jobs with outcomes that contradict one another",
        "second conversation": "jobs or consumers with more than one conversation",
        "misattributed": "results that name a conversation of another job, or none",
        "unreported": "conversations that neither a result nor a doubt speaks of",
        "unexplained": "outcomes that a message of its kind cannot have",
        "too early": "conversations opened before notBefore",
        "too late": "conversations opened after expiresAt",
        "stray": "messages out that answer nothing, or are not as documented",
    }
)


@dataclass(frozen=True, slots=True)
class Audit:
    """What was counted, and what was found wrong: sentences by kind of fault."""

    counts: Mapping[str, int]
    outcomes: Mapping[str, int]
    faults: Mapping[str, list[str]]


def audit(
    submissions: Iterable[Submission],
    received: Iterable[Received],
    conversations: Sequence[Mapping[str, Any]],
    *,
    one_open_rule: bool = True,
    may_repeat: bool = True,
) -> Audit:
    """Compare the three; `conversations` is what the simulator lists.

    Where LivePerson does not keep to one open conversation, and repeating is allowed, second
    conversations are what was chosen: they are counted, and no fault.
    """
    matcher = Matcher(submissions)
    came_out = 0
    faults: dict[str, list[str]] = {kind: [] for kind in FAULTS}
    for message in received:
        came_out += 1
        if problem := matcher.add(message):
            faults["stray"].append(problem)
    jobs = _by_job(matcher.contents)
    known = {str(one["conversationId"]): one for one in conversations}
    second = _second(known, one_open_rule=one_open_rule)
    for content in matcher.contents:
        _judge_content(content, faults)
    for job_id, versions in jobs.items():
        _judge_job(job_id, versions, known, faults)
    if one_open_rule or not may_repeat:
        faults["second conversation"] += second
    _judge_conversations(jobs, known, faults, tolerated=set() if one_open_rule else set(second))
    counts = {
        "submitted": sum(content.submitted for content in matcher.contents),
        "came out": came_out,
        "repeated": sum(max(0, len(one.endings) - one.submitted) for one in matcher.contents),
        "conversations": len(known),
        "second conversations": len(second),
    }
    outcomes = Counter(one.endings[0].verdict for one in matcher.contents if one.endings)
    return Audit(counts, dict(sorted(outcomes.items())), faults)


def _by_job(contents: Iterable[Content]) -> Jobs:
    jobs: defaultdict[str, list[Content]] = defaultdict(list)
    for content in contents:
        if content.submission.job_id:
            jobs[content.submission.job_id].append(content)
    return jobs


def _judge_content(content: Content, faults: Mapping[str, list[str]]) -> None:
    endings = set(content.endings)
    if not endings:
        faults["lost"].append(content.name)
    if len(endings) > 1:
        faults["contradictory"].append(f"{content.name}: {sorted(map(str, endings))}")
    faults["unexplained"] += [
        f"{content.name}: {ending.verdict}"
        for ending in endings
        if ending.verdict not in content.submission.outcomes
    ]


def _judge_job(
    job_id: str,
    versions: Sequence[Content],
    known: Conversations,
    faults: Mapping[str, list[str]],
) -> None:
    """Of several contents under one job id one counts, and its result names its conversation."""
    done = [one for one in versions if any(end.verdict != "conflict" for end in one.endings)]
    if len(done) > 1:
        faults["contradictory"].append(f"{job_id}: {len(done)} contents under one id were done")
    for content in versions:
        for ending in set(content.endings):
            if ending.conversation_id and (wrong := _wrong_id(content, ending, known)):
                faults["misattributed"].append(f"{job_id}: {ending.verdict}: {wrong}")


def _wrong_id(content: Content, ending: Ending, known: Conversations) -> str:
    conversation = known.get(ending.conversation_id)
    if conversation is None:
        return f"{ending.conversation_id} does not exist"
    document = content.submission.document or {}
    if conversation["extConsumerId"] != document.get("consumerId"):
        return f"{ending.conversation_id} belongs to {conversation['extConsumerId']}"
    if ending.verdict == "created" and _opener(conversation) != document.get("jobId"):
        return f"{ending.conversation_id} was opened by {_opener(conversation)}"
    return ""


def _second(known: Conversations, *, one_open_rule: bool) -> list[str]:
    """Name the jobs with several conversations; with the rule on, the consumers as well."""
    openers = Counter(_opener(one) for one in known.values())
    several = [opener for opener, count in openers.items() if count > 1]
    if one_open_rule:
        consumers = Counter(str(one["extConsumerId"]) for one in known.values())
        several += [consumer for consumer, count in consumers.items() if count > 1]
    return several


def _judge_conversations(
    jobs: Jobs,
    known: Conversations,
    faults: Mapping[str, list[str]],
    *,
    tolerated: set[str],
) -> None:
    """Look at each conversation: whose it is, when it was opened, and who was told."""
    endings = {
        job_id: {ending for one in versions for ending in one.endings}
        for job_id, versions in jobs.items()
    }
    for conversation_id, conversation in known.items():
        opener = _opener(conversation)
        if opener not in jobs:
            faults["stray"].append(f"{conversation_id} was opened for {opener}")
            continue
        told = any(
            ending.conversation_id == conversation_id or ending.verdict == "in_doubt"
            for ending in endings[opener]
        )
        if not told and opener not in tolerated:
            outcomes = sorted(ending.verdict for ending in endings[opener])
            faults["unreported"].append(f"{opener}: {conversation_id}, but {outcomes}")
        sent = jobs[opener][0].submission
        created_at = datetime.fromisoformat(conversation["createdAt"])
        if sent.not_before and created_at < sent.not_before:
            faults["too early"].append(f"{opener}: {created_at} < {sent.not_before}")
        if sent.expires_at and created_at > sent.expires_at + ON_ITS_WAY:
            faults["too late"].append(f"{opener}: {created_at} > {sent.expires_at}")


def _opener(conversation: Mapping[str, Any]) -> str:
    """Tell which job's request opened a conversation."""
    return str((conversation["clientProperties"] or {}).get("appId"))
