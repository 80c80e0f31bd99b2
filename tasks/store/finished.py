"""The packed record of a finished job, from which its message is rebuilt byte for byte.

The job's own fields are left out: every delivery that asks for the record has the job. All else is
kept, so that a later version, which may write messages differently, returns the same bytes. A
record is

    state      1 byte: `d` for done, `p` for published; other letters are for future layouts
    seen       6 bytes: when a worker first saw the job, in ms of the store's clock
    digest    12 bytes of the job's
    check      4 bytes: CRC-32 of the facts and the message
    facts      the message without the job's fields, its trace context and routing key
    spelling   the difference between the message and what facts and job give; mostly empty

The store's scripts write the first two. The last two are raw DEFLATE (RFC 1951), each with a preset
dictionary: for the facts, a text of usual ones; for the spelling, the message that facts and job
give.
"""

from __future__ import annotations

import re
import zlib
from binascii import hexlify, unhexlify
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import orjson

from config.names import CREATED_KEY, FAILED_KEY, REUSED_KEY
from tasks.messages.job import Job
from tasks.messages.outcome import REPEATED, Outcome
from tasks.messages.outgoing import rfc3339
from tasks.messages.trace import NO_TRACE, Trace

DIGEST_BYTES: Final = 12
# The job's fields that a dead letter's record keeps.
_KEPT: Final = ("consumerId", "submissionId")
# The length of a conversation's name in the notes: two of a week's almost never have the same.
NOTE_BYTES: Final = 8
# The length of a consumer's name in the notes; if two have the same, the jobs' records tell.
CONSUMER_BYTES: Final = 6
# How many of the consumers' notes are remembered: each job in hand needs its own twice.
KEPT_NOTES: Final = 1024
STATES: Final = {b"d": "done", b"p": "published"}

_SEEN: Final = slice(1, 7)
_DIGEST: Final = slice(7, 7 + DIGEST_BYTES)
_CHECK: Final = slice(_DIGEST.stop, _DIGEST.stop + 4)
_KEYS: Final = {"created": CREATED_KEY, "reused": REUSED_KEY, "failed": FAILED_KEY}

# Ids, hexadecimal numbers and times are nearly random, so DEFLATE cannot shorten them. They are
# written as bytes, marked by characters that JSON text does not contain.
_LONG: Final = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    rb"|20\d\d-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d\.\d{3}Z"
    rb"|[0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{16}"
)
# Where one of these can be: to look for them elsewhere takes twice as long.
_LIKELY: Final = re.compile(rb"[0-9a-fTZ:.\-]{16,}")
_SHORT: Final = re.compile(
    rb"\x00(?P<uuid>.{16})|\x01(?P<moment>.{6})"
    rb"|\x02(?P<hex64>.{32})|\x03(?P<hex32>.{16})|\x04(?P<hex16>.{8})",
    re.DOTALL,
)
_UUID_LENGTH, _MOMENT_LENGTH = 36, 24
_HEX_MARKS: Final = {64: b"\x02", 32: b"\x03", 16: b"\x04"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_NESTED: Final = (dict, list)

# Usual facts, the most frequent last. Never change this text: a record can be read only with the
# text that it was written with.
_USUAL: Final = (
    rb'"resolvedBy":"monitoring","features":["PHOTO_SHARING","CO_BROWSE","QUICK_REPLIES",'
    rb'"AUTO_MESSAGES","MULTI_DIALOG","FILE_SHARING","RICH_CONTENT","LINK_PREVIEW"],'
    rb'"clientProperties":{"appId":"","appVersion":"1.0.0","browser":"CHROME","browserVersion":"",'
    rb'"deviceFamily":"DESKTOP","deviceManufacture":"","deviceModel":"","integration":"WEB_SDK",'
    rb'"integrationVersion":"","ipAddress":"","os":"WINDOWS","osName":"ANDROID","osVersion":"",'
    rb'"timeZone":"Europe/","type":".ClientProperties"},'
    rb'"code":"cancelled","message":"an operator cancelled the job",'
    rb'"code":"expired","message":"expiresAt passed before the job could be sent",'
    rb'"code":"already_open","message":"the consumer has an open conversation; set \"onOpenConver'
    rb'sation\": \"reuse\" to get its id",'
    rb'"code":"in_doubt","message":"a request was sent, and whether it opened a conversation could '
    rb'not be determined",'
    rb'"code":"retries_exhausted","message":"every attempt failed, the last with: HTTP 503: Service'
    rb' Unavailable; replay it once LivePerson answers again",'
    rb'"code":"unauthorized","message":"HTTP 401: Unauthorized: ","code":"internal_error",'
    rb'"note":"probe","outcome":"not_sent"},"outcome":"throttled"},"outcome":"unresolved"},'
    rb'"outcome":"already_open"},'
    rb'{"at":"'
    b"\x01"
    rb'","httpStatus":null,"cause":"asyncMessagingEnt va.msg.liveperson.net: HTTP 503","outcome":"'
    rb'unknown"}]},"failedAt":"'
    b"\x01"
    rb'"}]'
    rb'[{"job":{"consumerId":"c-'
    b"\x00"
    rb'","submissionId":"'
    b"\x00"
    rb'"},"status":"failed","error":{"code":"rejected","message":"HTTP 400: Bad Request: '
    rb'","httpStatus":400,"errorCode":40000,"errorCode":null,"attempts":[{"at":"'
    b"\x01"
    rb'","httpStatus":400,"cause":"asyncMessagingEnt va.msg.liveperson.net: HTTP 400 (40000)",'
    rb'"outcome":"rejected"}]},"failedAt":"'
    b"\x01"
    rb'"}],{"traceparent":"00-'
    b"\x03-\x04"
    rb'-01","tracestate":"[{"jobId":null,"accountId":null,"consumerId":"c-","lpConsumerId":"'
    b"\x02"
    rb'","status":"reused","conversationId":"'
    b"\x00"
    rb'","dialogId":null,"attempts":2,"enqueuedAt":"'
    b"\x01"
    rb'","createdAt":"'
    b"\x01"
    rb'","resolvedBy":"monitoring","submissionId":"'
    b"\x00"
    rb'","metadata":null}]'
    rb'[{"jobId":null,"accountId":null,"consumerId":"'
    b"\x00"
    rb'","lpConsumerId":"'
    b"\x02"
    rb'","status":"created","conversationId":"'
    b"\x00"
    rb'","dialogId":null,"attempts":1,"enqueuedAt":"'
    b"\x01"
    rb'","createdAt":"'
    b"\x01"
    rb'","campaignInfo":null,"conversationContext":null,"submissionId":"'
    b"\x00"
    rb'","metadata":null}]'
)


def _packer(dictionary: bytes, wbits: int) -> zlib._Compress:
    """Return what compresses; it starts faster with a small window (2 ** `wbits`), and memory."""
    return zlib.compressobj(
        zlib.Z_BEST_COMPRESSION, zlib.DEFLATED, -wbits, _MEMORY_LEVEL, zdict=dictionary
    )


_MEMORY_LEVEL: Final = 4
# Each record begins with a copy of it, which has read that text already.
_PACKER: Final = _packer(_USUAL, 12)

# The order of names that most producers use: the documentation's. Names that are not here follow in
# alphabetical order. Never change this list, not even for a new field: a record in the store is
# read with the order that it was written with. A name that is not here only costs some bytes.
_NAMES: Final = (
    "jobId accountId consumerId profile conversation engagement clientProperties itemMetadata "
    "onOpenConversation notBefore expiresAt priority submissionId metadata authenticatedData "
    "firstName lastName nickName userId avatarUrl backgndImgUri role description privateData "
    "lp_sdes lang type info auth ctype cstatus balance currency customerId socialId imei userName "
    "companySize companyBranch accountName lastPaymentDate registrationDate loginStatus "
    "storeZipCode storeNumber day month year amr iss personal firstname lastname age contacts "
    "gender company language email phone phoneType address country region mobileNum mail "
    "pushNotificationData serviceName certName token brandId channelType ttrDefName skillId "
    "campaignInfo conversationContext campaignId engagementId features visitorId sessionId "
    "interactionContextId originConversationId identities entryPoints engagementAttributes acr "
    "sub appId appVersion ipAddress deviceFamily os osName osVersion integration "
    "integrationVersion browser browserVersion timeZone deviceManufacture deviceModel id reasonId "
    "reason externalConversationId businessCases intents name confidence "
)


class _Order(dict[str, int]):
    """The place of each name; all others come after them."""

    def __missing__(self, name: str) -> int:
        return len(self)


_ORDER: Final = _Order((name, place) for place, name in enumerate(_NAMES.split()))


class Unreadable(Exception):
    """A record does not give the message that was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A record without its job. `message` lacks the job's fields; None if it is not JSON.

    `seen` is in ms, `digest` the beginning of the job's.
    """

    state: str
    seen: int
    digest: str
    message: Mapping[str, Any] | None = field(repr=False)
    trace: Trace
    routing_key: str

    def is_of(self, digest: str) -> bool:
        """Tell whether it is the record of a job with this digest."""
        return digest.startswith(self.digest)


def short_digest(job: Job) -> str:
    """Return the part of a job's digest that the ledger keeps, in hexadecimal."""
    return job.digest[: 2 * DIGEST_BYTES]


def pack(job: Job, outcome: Outcome) -> bytes:
    """Return the record of a finished job, from its digest on."""
    facts, again = _facts(job, outcome.body)
    told: list[Any] = [facts, dict(outcome.trace) or None, outcome.routing_key]
    if facts is not None and _KEYS.get(facts.get("status", "")) == outcome.routing_key:
        del told[2:]
        if not outcome.trace:
            del told[1:]
    text = squeeze(orjson.dumps(told))
    head = unhexlify(short_digest(job)) + _check(text, outcome.body)
    return head + _deflate(_PACKER.copy(), text) + _spelling(outcome.body, again)


def read(record: bytes) -> Finished:
    """Read a record without its job. Raises Unreadable."""
    return _read(record)[0]


def unpack(job: Job, record: bytes) -> Outcome | None:
    """Rebuild a job's outcome byte for byte; None if the record is of a job with other content.

    Raises Unreadable.
    """
    found, text, spelling = _read(record)
    if not found.is_of(job.digest):
        return None
    body = _made(job, found.message)
    if spelling:
        body = _inflate(spelling, body)[0]
    if _check(text, body) != record[_CHECK]:
        raise Unreadable(f"the record of job {job.job_id} does not make what was published")
    return Outcome(
        message_id=job.job_id,
        account_id=job.account_id,
        routing_key=found.routing_key,
        body=body,
        counter=REPEATED,
        trace=found.trace,
    )


def squeeze(text: bytes) -> bytes:
    """Write ids, hexadecimal numbers and times in a JSON text as bytes."""
    return _LIKELY.sub(_squeezed, text)


def stretch(short: bytes) -> bytes:
    """Undo `squeeze`."""
    return _SHORT.sub(_longer, short)


def note_name(conversation_id: str) -> bytes:
    """Return a conversation's name in the notes."""
    return sha256(conversation_id.encode()).digest()[:NOTE_BYTES]


def consumer_name(consumer_id: str) -> bytes:
    """Return a consumer's name in the notes."""
    return sha256(consumer_id.encode()).digest()[:CONSUMER_BYTES]


@lru_cache(maxsize=KEPT_NOTES)
def consumer_note(consumer_id: str, job_id: str) -> bytes:
    """Return the name of the note of a consumer's job."""
    return consumer_name(consumer_id) + write_note(job_id)


def write_note(job_id: str) -> bytes:
    """Return the note of a job."""
    return squeeze(orjson.dumps(job_id))


def read_note(note: bytes) -> str:
    """Return the job's id in a note."""
    return str(orjson.loads(stretch(note)))


def _facts(job: Job, body: bytes) -> tuple[dict[str, Any] | None, bytes]:
    """Return a message without the job's fields, and the message that is rebuilt from both."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict) or None in message.values():
        return None, _made(job, None)
    given, facts = _given(job, message), dict(message)
    for name, value in given.items():
        if name in message and message[name] == value:
            facts[name] = None
    if isinstance(received := message.get("job"), dict):
        # The rest of it comes from the job; differences are in the spelling.
        facts["job"] = {name: received[name] for name in _KEPT if name in received}
    return facts, _put_together(facts, given)


def _made(job: Job, facts: Mapping[str, Any] | None) -> bytes:
    return job.content if facts is None else _put_together(facts, _given(job, facts))


def _put_together(facts: Mapping[str, Any], given: Mapping[str, Any]) -> bytes:
    # Values that were read from JSON do not need the checks of dumps_compact.
    made = dict(facts)
    for name, value in given.items():
        if name in made and made[name] is None:
            made[name] = value
    if isinstance(kept := facts.get("job"), dict):
        made["job"] = {**given["job"], **kept}
    return orjson.dumps(made)


def _given(job: Job, message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a message has from its job; equal bytes for equal digests."""
    if "job" in message:
        return {"job": _in_order({"jobId": job.job_id, **orjson.loads(job.content)})}
    return {
        "jobId": job.job_id,
        "accountId": job.account_id,
        "dialogId": message.get("conversationId"),
        "campaignInfo": _in_order(job.conversation.get("campaignInfo")),
        "conversationContext": _in_order(job.conversation.get("conversationContext")),
        "metadata": _in_order(job.metadata),
    }


def _in_order(value: Any) -> Any:
    """Return a value with the names of its objects in the usual order, at every level."""
    if isinstance(value, list):
        return [_in_order(one) for one in value]
    if not isinstance(value, dict):
        return value
    # Alphabetical first: two jobs of one digest may have their names in another order.
    names = sorted(value)
    names.sort(key=_ORDER.__getitem__)
    return {
        name: _in_order(part) if isinstance(part := value[name], _NESTED) else part
        for name in names
    }


def _read(record: bytes) -> tuple[Finished, bytes, bytes]:
    """Read a record; also return the text of its facts, and its spelling."""
    text, spelling = _inflate(record[_CHECK.stop :], _USUAL)
    try:
        message, trace, key = [*orjson.loads(stretch(text)), None, None][:3]
        found = Finished(
            state=STATES[record[:1]],
            seen=int.from_bytes(record[_SEEN], "big"),
            digest=hexlify(record[_DIGEST]).decode(),
            message=message,
            trace=trace or NO_TRACE,
            routing_key=_KEYS[message["status"]] if key is None else key,
        )
    except (LookupError, TypeError, ValueError):
        raise Unreadable("a record is damaged, or a newer version's") from None
    return found, text, spelling


def _check(text: bytes, body: bytes) -> bytes:
    return zlib.crc32(body, zlib.crc32(text)).to_bytes(4, "big")


def _spelling(body: bytes, again: bytes) -> bytes:
    return b"" if again == body else _deflate(_packer(again, zlib.MAX_WBITS), body)


def _deflate(packer: zlib._Compress, data: bytes) -> bytes:
    return packer.compress(data) + packer.flush()


def _inflate(data: bytes, dictionary: bytes) -> tuple[bytes, bytes]:
    """Decompress; also return the bytes after the compressed ones."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS, zdict=dictionary)
    try:
        text = unpacker.decompress(data)
    except zlib.error as error:
        raise Unreadable(f"a record is damaged, or a newer version's: {error}") from None
    return text, unpacker.unused_data


def _squeezed(found: re.Match[bytes]) -> bytes:
    # Mostly it is one as a whole.
    whole = _LONG.fullmatch(found[0])
    return _LONG.sub(_shorter, found[0]) if whole is None else _shorter(whole)


def _shorter(found: re.Match[bytes]) -> bytes:
    text = found[0]
    length = len(text)
    if length == _UUID_LENGTH:
        return b"\x00" + unhexlify(text.replace(b"-", b""))
    if length != _MOMENT_LENGTH:
        return _HEX_MARKS[length] + unhexlify(text)
    try:
        moment = datetime.fromisoformat(text.decode())
    except ValueError:  # such as a 31st of February
        return text
    return b"\x01" + ((moment - _EPOCH) // _MILLISECOND).to_bytes(6, "big")


def _longer(found: re.Match[bytes]) -> bytes:
    kind, data = str(found.lastgroup), found[0][1:]
    if kind == "moment":
        return rfc3339(_EPOCH + int.from_bytes(data, "big") * _MILLISECOND).encode()
    text = hexlify(data)
    if kind == "uuid":
        return b"-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    return text
