"""The fields of results and dead letters: the only source of their schemas.

A field that does not apply is absent from a result, and null in a dead letter's error. Times are
RFC 3339 in UTC, to the millisecond.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NotRequired, Required

from pydantic import Field
from typing_extensions import TypedDict

from tasks.messages.fields.kinds import about

# The result of an attempt: the kinds of answers, and two marks, for a look-up without a result
# ("unresolved") and for an operator's replay.
AttemptOutcome = Literal[
    "already_open",
    "rejected",
    "unauthorized",
    "throttled",
    "unknown",
    "not_sent",
    "not_engaged",
    "not_served",
    "credentials",
    "unresolved",
    "replayed",
]

ErrorCode = Literal[
    "malformed_message",
    "invalid_job",
    "unknown_account",
    "conflict",
    "rejected",
    "unauthorized",
    "already_open",
    "expired",
    "cancelled",
    "retries_exhausted",
    "in_doubt",
    "internal_error",
]

# All reasons why a job has no conversation, with their meanings.
ERROR_CODES: Final[dict[ErrorCode, str]] = {
    "malformed_message": "The message is not JSON, or contains no job.",
    "invalid_job": "A field of the job is missing, unknown or invalid.",
    "unknown_account": "The job's account is not configured here.",
    "conflict": "The jobId was used before, with other content.",
    "rejected": "LivePerson refused the request, and would refuse it again.",
    "unauthorized": (
        "LivePerson refused this job or its consumer alone, with tokens that it had just issued."
    ),
    "already_open": (
        "The consumer had an open conversation, and the job did not ask to reuse it, or its id "
        "could not be found."
    ),
    "expired": "The job's expiresAt passed before a conversation was opened.",
    "cancelled": "Somebody cancelled the job.",
    "retries_exhausted": "Every attempt failed, and none of them left a conversation open.",
    "in_doubt": (
        "An attempt may have opened a conversation, and Overture could not determine whether it "
        "did."
    ),
    "internal_error": (
        "Overture failed: a bug, or too many workers were lost while working on the job."
    ),
}

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class ResultMessage(TypedDict, total=False):
    """An open conversation, for the stage that sends messages into it."""

    jobId: Required[
        Annotated[
            str, about("The job's; also the `message_id`. Results can repeat: deduplicate by it.")
        ]
    ]
    accountId: Required[str]
    consumerId: Required[Annotated[str, about("The job's consumerId.")]]
    lpConsumerId: Annotated[
        str, about("LivePerson's own id of the consumer: 64 hexadecimal digits.")
    ]
    status: Required[
        Annotated[
            Literal["created", "reused"],
            about("created: opened for this job; reused: it was open, and the job asked for it."),
        ]
    ]
    conversationId: Required[Annotated[str, about("LivePerson's id of the conversation.")]]
    dialogId: Required[Annotated[str, about("Its main dialog; the same id.")]]
    attempts: Required[Annotated[int, about("How many requests it took.", ge=0)]]
    enqueuedAt: Annotated[
        Moment,
        about(
            "When the producer enqueued the job; if the message does not say, when a worker first "
            "saw it."
        ),
    ]
    createdAt: Required[Annotated[Moment, about("When the answer arrived.")]]
    resolvedBy: Annotated[
        str,
        about(
            "Where the id came from, if not from the answer to our own request.",
            examples=["monitoring"],
        ),
    ]
    clientProperties: Annotated[
        dict[str, Any],
        about(
            "Those that the conversation was opened with; send them with every later message. Of "
            "one that is reused, those of the job that opened it, if that is known."
        ),
    ]
    campaignInfo: Annotated[
        dict[str, Any],
        about("The campaign and the engagement that were sent; not of one that is reused."),
    ]
    conversationContext: Annotated[
        dict[str, Any],
        about(
            "The context that was sent, with the visit that the consumer's next one goes on with; "
            "not of one that is reused."
        ),
    ]
    submissionId: Annotated[str, about("The job's.")]
    metadata: Annotated[dict[str, Any], about("The job's, unchanged.")]


class AttemptMessage(TypedDict):
    """One request to LivePerson, or the mark of an operator's replay."""

    at: Moment
    httpStatus: Annotated[int | None, about("Null if there was no answer.")]
    cause: NotRequired[
        Annotated[
            str | None,
            about(
                "Service, host, and error or HTTP status, such as "
                "`asyncMessagingEnt va.msg.liveperson.net: HTTP 503`; null if there is none."
            ),
        ]
    ]
    outcome: Annotated[
        AttemptOutcome,
        about(
            "What came of it. Failed token requests and Monitoring API calls before the request "
            "are listed too."
        ),
    ]


class ErrorMessage(TypedDict):
    """Why there is no conversation."""

    code: Annotated[
        ErrorCode, about(" ".join(f"{code}: {why}" for code, why in ERROR_CODES.items()))
    ]
    message: Annotated[str, about("What is wrong and what to do, for people.")]
    httpStatus: Annotated[int | None, about("From LivePerson's last answer, or null.")]
    errorCode: Annotated[int | None, about("LivePerson's own code, such as 40102; or null.")]
    attempts: list[AttemptMessage]


class DeadJob(TypedDict):
    """A job that got no conversation, as it was received: replay it by enqueuing `job` again."""

    job: dict[str, Any]
    status: Literal["failed"]
    error: ErrorMessage
    failedAt: Moment


class DeadMessage(TypedDict):
    """A message without a JSON object that could be read as a job, kept byte for byte."""

    raw: str
    rawEncoding: Annotated[
        Literal["utf-8", "base64"], about("base64 if the message was not UTF-8.")
    ]
    rawBytes: NotRequired[
        Annotated[
            int,
            about(
                "Only where the whole was too large to be kept: its size. `raw` is its beginning."
            ),
        ]
    ]
    rawSha256: NotRequired[
        Annotated[str, about("With `rawBytes`: the SHA-256 of the whole, in hexadecimal.")]
    ]
    rawSha1: NotRequired[
        Annotated[
            str,
            about("Instead, where the whole never left the Redis server: it knows no SHA-256."),
        ]
    ]
    status: Literal["failed"]
    error: ErrorMessage
    failedAt: Moment
