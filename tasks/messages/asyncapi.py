"""The channels and their messages as an AsyncAPI 3.0 document."""

from __future__ import annotations

from typing import Any, Final

from config.names import (
    CREATED_KEY,
    DEAD_LETTERS_QUEUE,
    EXCHANGE_NAME,
    FAILED_KEY,
    JOBS_QUEUE,
    RESULTS_QUEUE,
    REUSED_KEY,
    TASK_NAME,
    account_queue,
)
from tasks.messages.trace import TRACE_HEADERS

CONTRACT_VERSION: Final = "1.0.0"

Document = dict[str, Any]


def asyncapi(schemas: Document) -> Document:
    """Describe the channels; `schemas` are those of the messages, and what they refer to."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Overture",
            "version": CONTRACT_VERSION,
            "description": "LivePerson conversations: a job in, a result or a dead letter out.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "jobs": _queue(JOBS_QUEUE, "Jobs of all accounts.", _JOB_FORMS),
            "accountJobs": {
                **_queue(account_queue("{accountId}"), "Jobs of one account.", _JOB_FORMS),
                "parameters": {"accountId": {"description": "The LivePerson account."}},
            },
            "results": _queue(
                RESULTS_QUEUE,
                f"Bound to the topic exchange {EXCHANGE_NAME} by {CREATED_KEY} and {REUSED_KEY}.",
                ["result", "resultCall"],
            ),
            "deadLetters": _queue(
                DEAD_LETTERS_QUEUE,
                f"Bound to the topic exchange {EXCHANGE_NAME} by {FAILED_KEY}.",
                ["deadLetter", "deadLetterCall"],
            ),
        },
        "operations": {
            "takeJob": _operation("receive", "jobs", "Take a job to do."),
            "takeAccountJob": _operation("receive", "accountJobs", "Take a job of one account."),
            "sendResult": _operation("send", "results", "Say which conversation is open."),
            "sendDeadLetter": _operation("send", "deadLetters", "Say why there is none."),
        },
        "components": {"messages": _MESSAGES, "schemas": schemas},
    }


_JOB_FORMS: Final = ["job", "celeryTask", "celeryTaskProtocol1"]

_JOB_REFERENCE: Final = {"$ref": "#/components/schemas/job"}

# A job's trace headers are copied to its outcome.
_TRACE: Final[Document] = {
    name: {"type": "string", "maxLength": most} for name, most in TRACE_HEADERS.items()
}
_TRACED: Final[Document] = {"headers": {"type": "object", "properties": _TRACE}}


def _call(title: str, argument: Document, task: Document) -> Document:
    """Describe a Celery message of protocol 2 with one argument."""
    return {
        "title": title,
        "headers": {
            "type": "object",
            "properties": {"task": task, "id": {"type": "string"}, **_TRACE},
            "required": ["task", "id"],
        },
        "payload": {
            "type": "array",
            "items": [
                {"type": "array", "items": argument, "minItems": 1, "maxItems": 1},
                {"type": "object", "maxProperties": 0},
                {"type": "object"},
            ],
            "minItems": 3,
            "maxItems": 3,
        },
    }


_MESSAGES: Final[Document] = {
    "job": {
        "title": "Job",
        "summary": "The job itself as the body, without a Celery envelope.",
        **_TRACED,
        "payload": _JOB_REFERENCE,
    },
    "celeryTask": _call(
        "Job, as Celery's send_task writes it (message protocol 2)",
        _JOB_REFERENCE,
        {"const": TASK_NAME},
    ),
    "celeryTaskProtocol1": {
        "title": "Job, as a Celery message of protocol 1",
        **_TRACED,
        "payload": {
            "type": "object",
            "properties": {
                "task": {"const": TASK_NAME},
                "id": {"type": "string"},
                "args": {"type": "array", "items": _JOB_REFERENCE, "minItems": 1, "maxItems": 1},
            },
            "required": ["task", "id", "args"],
        },
    },
    "result": {
        "title": "Result",
        "summary": "message_id is the jobId; type is the routing key.",
        **_TRACED,
        "payload": {"$ref": "#/components/schemas/result"},
    },
    "resultCall": _call(
        "Result, as a call of the task that OVERTURE_RESULTS_TASK names",
        {"$ref": "#/components/schemas/result"},
        {"type": "string"},
    ),
    "deadLetter": {
        "title": "Dead letter",
        "summary": "message_id is the jobId if one can be read; type is the routing key.",
        **_TRACED,
        "payload": {"$ref": "#/components/schemas/dead-letter"},
    },
    "deadLetterCall": _call(
        "Dead letter, as a call of the task that OVERTURE_DEAD_LETTERS_TASK names",
        {"$ref": "#/components/schemas/dead-letter"},
        {"type": "string"},
    ),
}


def _queue(name: str, description: str, messages: list[str]) -> Document:
    return {
        "address": name,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in messages},
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {"name": name, "durable": True, "exclusive": False, "autoDelete": False},
                "bindingVersion": "0.3.0",
            }
        },
    }


def _operation(action: str, channel: str, summary: str) -> Document:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
    }
