"""Messages that are no jobs, or jobs in odd dress: what strangers and bugs put on a queue."""

from __future__ import annotations

import base64
import json
import pickle
import random
import zlib
from collections.abc import Callable
from typing import Any, Final

from tests.chaos.submissions import OPENED, Submission
from tests.odd_messages import ON_RABBITMQ, ON_REDIS

MALFORMED: Final = frozenset({"malformed_message"})
# A job that lost its id, or is only a part of one, is told from bytes that are none.
NO_JOB: Final = frozenset({"malformed_message", "invalid_job", "unknown_account"})
LARGE_BYTES: Final = 10 * 1024 * 1024
UNPACKED_BYTES: Final = 2 * 1024 * 1024
DEEP: Final = 5_000
VALID: Final = {"jobId": "m", "consumerId": "c"}


def malformed(count: int, large: int, rng: random.Random, *, lists: bool) -> list[Submission]:
    """Make so many messages, `large` of them of 10 MB; all their bodies differ.

    With `lists` some are bytes that are pushed to a Redis list, without kombu's envelope.
    """
    makers = [*MAKERS, _unwrapped] if lists else list(MAKERS)
    made = [makers[number % len(makers)](number, rng) for number in range(count - large)]
    made += [_large(number, rng) for number in range(large)]
    rng.shuffle(made)
    return made


def odd(count: int, rng: random.Random, *, lists: bool) -> list[Submission]:
    """Make so many valid jobs whose properties, or with `lists` whose envelopes, are odd."""
    names = list(ON_REDIS if lists else ON_RABBITMQ)
    return [
        _odd_job(number, names[number % len(names)], rng, lists=lists) for number in range(count)
    ]


def _odd_job(number: int, name: str, rng: random.Random, *, lists: bool) -> Submission:
    job_id = f"odd-{number}"
    job = {
        "jobId": job_id,
        "consumerId": f"odd-consumer-{number}",
        # Comes back with the conversation, so that the audit knows whose it is.
        "clientProperties": {"type": ".ClientProperties", "appId": job_id},
        "metadata": {"number": number, "drawn": rng.random(), "odd": name},
    }
    body = json.dumps(job).encode()
    return Submission(
        body=body,
        document=job,
        outcomes=OPENED,
        style="list" if lists else "octets",
        wire=ON_REDIS[name](body) if lists else ON_RABBITMQ[name],
    )


def _message(body: bytes, **fields: Any) -> Submission:
    return Submission(body=body, **{"outcomes": MALFORMED, **fields})


def _random_bytes(number: int, rng: random.Random) -> Submission:
    return _message(rng.randbytes(rng.randint(9, 2_000)) + b"%d" % number)


def _broken_json(number: int, rng: random.Random) -> Submission:
    whole = json.dumps({**VALID, "metadata": {"number": number}})
    return _message(whole[: rng.randint(1, len(whole) - 1)].encode() + b"#%d" % number)


def _mutated_job(number: int, rng: random.Random) -> Submission:
    """Change one byte of a job's text, before its number, to one that cannot stand in JSON."""
    body = bytearray(json.dumps({**VALID, "metadata": {"number": number}}).encode())
    body[rng.randrange(body.index(b"number"))] = rng.choice(b"\x00\x01\x1f\x80\xff")
    return _message(bytes(body))


def _wrong_type(number: int, rng: random.Random) -> Submission:
    kind = rng.choice(("text/plain", "application/x-python-serialize", "application/x-yaml", "?"))
    return _message(json.dumps({**VALID, "jobId": f"t{number}"}).encode(), content_type=kind)


def _pickled(number: int, _: random.Random) -> Submission:
    body = pickle.dumps({**VALID, "number": number})
    return _message(body, content_type="application/x-python-serialize", content_encoding="binary")


def _wrong_encoding(number: int, rng: random.Random) -> Submission:
    encoding = rng.choice(("utf-16", "latin-1", "rot13", "no-such-encoding"))
    return _message(b'{"number":%d}' % number, content_encoding=encoding)


def _unknown_task(number: int, _: random.Random) -> Submission:
    body = json.dumps([[{**VALID, "number": number}], {}, {}]).encode()
    return _message(body, headers={"task": f"conversations.delete{number}", "id": str(number)})


def _unknown_task_1(number: int, _: random.Random) -> Submission:
    return _message(json.dumps({"task": "tasks.add", "id": str(number), "args": [1]}).encode())


def _wrong_arguments(number: int, rng: random.Random) -> Submission:
    args = rng.choice(([], [VALID, VALID], [1, 2, 3]))
    body = json.dumps([args, {"number": number}, {}]).encode()
    return _message(body, headers={"task": "conversations.create", "id": str(number)})


def _no_argument_list(number: int, _: random.Random) -> Submission:
    body = json.dumps({"number": number}).encode()
    return _message(body, headers={"task": "conversations.create", "id": str(number)})


def _deep(number: int, rng: random.Random) -> Submission:
    depth = rng.randint(65, DEEP)
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return _message(opening * depth + b"%d" % number + closing * depth)


def _not_a_number(number: int, rng: random.Random) -> Submission:
    value = rng.choice(("NaN", "Infinity", "-Infinity", "1e999", "1" * 100))
    return _message(f'{{"jobId":"n{number}","consumerId":"c","metadata":{{"a":{value}}}}}'.encode())


def _twice_the_same_key(number: int, _: random.Random) -> Submission:
    return _message(b'{"jobId":"a%d","jobId":"b","consumerId":"c"}' % number)


def _invalid_utf8(number: int, rng: random.Random) -> Submission:
    wrong = rng.choice((b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"))
    return _message(b'{"jobId":"%d","consumerId":"' % number + wrong + b'"}')


def _lone_surrogate(number: int, _: random.Random) -> Submission:
    return _message(b'{"jobId":"s%d","consumerId":"\\ud800"}' % number)


def _no_object(number: int, rng: random.Random) -> Submission:
    body = rng.choice((b"%d", b'"%d"', b"[%d]", b"[[%d],null]")) % number
    return _message(body, outcomes=NO_JOB)


def _no_id(number: int, _: random.Random) -> Submission:
    job = {"consumerId": "c", "metadata": {"number": number}}
    return _message(json.dumps(job).encode(), document=job, outcomes=NO_JOB)


def _compressed_nonsense(number: int, _: random.Random) -> Submission:
    """Say that it is compressed, and lie."""
    return _message(b"no gzip %d" % number, headers={"compression": "application/x-gzip"})


def _strange_headers(number: int, rng: random.Random) -> Submission:
    headers: dict[str, Any] = rng.choice(
        (
            {"task": 17},
            {"task": None},
            {"task": {"a": "table"}, "lang": ["py"]},
            {"task": "x" * 10_000},
            {"task": "", "eta": 5, "expires": True},
        )
    )
    return _message(b'[[{"number":%d}],{},{}]' % number, headers=headers, outcomes=NO_JOB)


def _unwrapped(number: int, rng: random.Random) -> Submission:
    """Push bytes as a list's element; some are half of kombu's envelope."""
    body = rng.choice(
        (
            rng.randbytes(rng.randint(1, 300)) + b"%d" % number,
            json.dumps({"body": f"{number}", "properties": []}).encode(),
            json.dumps({"body": f"é{number}", "properties": {"body_encoding": "base64"}}).encode(),
            json.dumps({"headers": {"number": number}}).encode(),
        )
    )
    return _message(body, style="list", outcomes=NO_JOB)


def _large(number: int, rng: random.Random) -> Submission:
    noise = base64.b64encode(rng.randbytes(LARGE_BYTES * 3 // 4)).decode()
    return _message(json.dumps({**VALID, "jobId": f"l{number}", "metadata": noise}).encode())


def _bomb(number: int, _: random.Random) -> Submission:
    """Send some kilobytes that are megabytes once they are unpacked."""
    body = zlib.compress(b" " * UNPACKED_BYTES + b"%d" % number, 1)
    return _message(body, headers={"compression": "application/x-gzip"})


MAKERS: Final[tuple[Callable[[int, random.Random], Submission], ...]] = (
    _random_bytes,
    _broken_json,
    _mutated_job,
    _wrong_type,
    _pickled,
    _wrong_encoding,
    _unknown_task,
    _unknown_task_1,
    _wrong_arguments,
    _no_argument_list,
    _deep,
    _not_a_number,
    _twice_the_same_key,
    _invalid_utf8,
    _lone_surrogate,
    _no_object,
    _no_id,
    _compressed_nonsense,
    _bomb,
    _strange_headers,
)
