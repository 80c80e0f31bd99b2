"""Reads LivePerson's own form of a request, an array of two items, as a job.

Source: Connector API, "CONVERSATION".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from console.jobfiles.job_file import Entry
from tasks.liveperson.conversation import CONVERSATION, PROFILE

# The field that holds the items where a consumerId stands beside them.
BATCH: Final = "batch"

_ITEM_FIELDS: Final = frozenset({"kind", "id", "type", "body", "metadata"})


class NotAJob(Exception):
    """A batch cannot become a job; the text says why, and what to do."""


def batches(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Join the two items of a batch in a file that holds one batch as its top-level array."""
    held: Entry | None = None
    for entry in entries:
        if held is not None:
            is_second = _type(entry.document) == CONVERSATION
            whole = [held.document, entry.document] if is_second else [held.document]
            # Numbered by its last item, so that --skip with this number goes on after the batch.
            yield replace(entry if is_second else held, document=whole)
            held = None
            if is_second:
                continue
        if _type(entry.document) == PROFILE:
            held = entry
        elif _type(entry.document) is not None:
            yield replace(entry, document=[entry.document])
        else:
            yield entry
    if held is not None:
        yield replace(held, document=[held.document])


def as_job(document: object, *, consumer_id_from: str | None) -> object:
    """Return a batch as a job, and any other document as it is. Raises NotAJob.

    `consumer_id_from` is the dotted path of the field to use as consumerId, if the job has none.
    """
    job = document
    if isinstance(document, list) and _is_batch(document):
        job = _job(document, {})
    elif isinstance(document, dict) and isinstance(items := document.get(BATCH), list):
        job = _job(items, {name: value for name, value in document.items() if name != BATCH})
    if not isinstance(job, dict) or "consumerId" in job:
        return job
    if consumer_id_from is not None:
        return {"consumerId": _found(job, consumer_id_from), **job}
    if job is not document:
        raise NotAJob(
            "consumerId: is missing, since LivePerson's own form has none; write "
            f'{{"consumerId": "…", "{BATCH}": […]}}, or say with --consumer-id-from where it is'
        )
    return job


def _type(document: object) -> str | None:
    """Return the type of a batch's item; None for anything else."""
    kind = document.get("type") if isinstance(document, dict) else None
    return (
        kind if isinstance(kind, str) and kind.startswith(("userprofile.", "cm.", "ms.")) else None
    )


def _is_batch(items: Sequence[object]) -> bool:
    return any(_type(item) is not None for item in items)


def _job(items: Sequence[Any], beside: dict[str, Any]) -> dict[str, Any]:
    kinds = [_type(item) for item in items]
    if kinds[2:] == ["ms.PublishEvent"]:
        raise NotAJob(
            "the batch has a third item with the first message, which is on no page of "
            "LivePerson's any more; put the message into metadata, for the stage that sends it"
        )
    if kinds != [PROFILE, CONVERSATION]:
        raise NotAJob(f"a batch is an array of two items: {PROFILE}, then {CONVERSATION}")
    for number, item in enumerate(items):
        unknown = sorted(item.keys() - _ITEM_FIELDS)
        if unknown:
            raise NotAJob(
                f"{BATCH}[{number}].{unknown[0][:64]}: is not a field of an item; what it says "
                "belongs into its body"
            )
    bodies = dict(
        zip(("profile", "conversation"), (item.get("body") for item in items), strict=True)
    )
    metadata = {
        name: item["metadata"]
        for name, item in zip(bodies, items, strict=True)
        if "metadata" in item
    }
    twice = sorted(beside.keys() & {*bodies, "itemMetadata"})
    if twice:
        raise NotAJob(f"{twice[0]}: stands both beside the {BATCH} and in it; keep one")
    return {**beside, **bodies, **({"itemMetadata": metadata} if metadata else {})}


def _found(job: dict[str, Any], path: str) -> object:
    value: Any = job
    for name in path.split("."):
        if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            raise NotAJob(f"{path[:100]}: is not there, so that the job has no consumerId")
    if not isinstance(value, str):
        raise NotAJob(f"{path[:100]}: is no text, so that the job has no consumerId")
    return value
