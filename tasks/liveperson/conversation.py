"""The CONVERSATION call: the batch that is sent, and what its answer means. No I/O.

Sources: Connector API, "CONVERSATION" and "Authorization and authentication"; the Connector guide
of April 2019 for an open conversation; the release notes of February 2019 for the error object.
"""

from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Literal

from tasks.liveperson import reading
from tasks.liveperson.answer import CLAIM_MISSING, Answer, Kind, kind_of, refused_kind
from tasks.messages.job import Job
from tasks.messages.json_text import dumps_compact

PROFILE = "userprofile.SetUserProfile"
CONVERSATION = "cm.ConsumerRequestConversation"
ALREADY_OPEN_TEXT = "already has open conversation"
_SUCCESS = frozenset({200, 201})
_NAMED: Mapping[str, int] = {status.name: status.value for status in HTTPStatus}
_OF_THE_PROFILE = "; of the profile: "
_ERROR_FIELDS = ("errorCode", "title", "details", "msg")
_STALE: Mapping[int, Literal["app", "consumer"]] = {40102: "app", 40105: "app", 40103: "consumer"}


def item_ids(job: Job, sent: int) -> tuple[str, str]:
    """Return the ids of profile and conversation, for the attempt of this number.

    They are UUIDs, as LivePerson's guide asks, computed so that nothing has to store them.
    """
    digits = sha256(f"{job.account_id}/{job.job_id}/{sent}".encode()).hexdigest()
    return _uuid(digits[:32]), _uuid(digits[32:])


def _uuid(digits: str) -> str:
    """Write 32 hexadecimal digits in the form of a UUID of version 4 (RFC 9562, 5.4)."""
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def batch(
    job: Job,
    *,
    profile_id: str,
    conversation_id: str,
    conversation: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the batch; the profile is first, since LivePerson handles the array in its order.

    `conversation` replaces the job's own if an engagement was merged into it.
    """
    wanted = job.conversation if conversation is None else conversation
    body = {**wanted, "brandId": job.account_id, "channelType": "MESSAGING"}
    return dumps_compact(
        [
            _item(profile_id, PROFILE, job.profile, job.item_metadata.get("profile")),
            _item(conversation_id, CONVERSATION, body, job.item_metadata.get("conversation")),
        ]
    )


def _item(item_id: str, kind: str, body: Mapping[str, Any], metadata: Any) -> dict[str, Any]:
    item = {"kind": "req", "id": item_id, "type": kind, "body": body}
    return item if metadata is None else {**item, "metadata": metadata}


def read_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    profile_id: str,
    request_id: str,
    already_open_text: str = ALREADY_OPEN_TEXT,
) -> Answer:
    """Judge an answer by the item whose `reqId` is `request_id`, then by its HTTP status.

    The item counts before the status, which is that of the whole batch: a refused profile must not
    hide a conversation that was opened. An unreadable answer is never a success, and an item for
    another `reqId` is ignored. An error object's `reqId` may be the server's own.
    """
    document = reading.document(body)
    is_batch = isinstance(document, list)
    items = document if is_batch else [document]
    ours = next((item for item in items if _get(item, "reqId") == request_id), None)
    others = [
        item
        for item in items
        if item is not ours
        and _status(item) not in _SUCCESS
        and not (is_batch and _is_foreign(item, profile_id))
    ]
    conversation_id = reading.identifier(_get(_get(ours, "body"), "conversationId"))
    if _status(ours) in _SUCCESS and conversation_id:
        return Answer(
            kind=Kind.CREATED,
            http_status=status,
            conversation_id=conversation_id,
            message=_said(others, prefix="the profile was refused"),
        )
    blamed = others if ours is None else [ours]
    message = _said(blamed, prefix=f"HTTP {status}")
    about_profile = next((item for item in items if _get(item, "reqId") == profile_id), None)
    code = next((code for item in blamed if (code := reading.error_code(item))), None)
    if already_open_text.casefold() in message.casefold():
        kind = Kind.ALREADY_OPEN
    elif status == 400 and (_is_cut_off(body, document) or (is_batch and not blamed)):
        # The part that is missing may be the item of an open conversation.
        kind = Kind.UNKNOWN
    elif ours is None:
        # A 401 needs no body.
        documented = any(map(_is_error, items)) or (status == 401 and not body.strip())
        kind = _kind(status, code, documented=documented)
    else:
        kind = kind_of(_verdict(status, _status(ours)))
    return Answer(
        kind=kind,
        http_status=status,
        error_code=code,
        message=_with_profile(
            message or f"HTTP {status} without an answer to this request",
            None if ours is None else about_profile,
        ),
        retry_after=reading.retry_after(headers),
        stale_token=_stale_token(code, message) if _is_stale(kind, status) else None,
    )


def _kind(status: int, code: int | None, *, documented: bool) -> Kind:
    """Judge an answer without an item of ours by its status, and its error object, if any."""
    if documented and status == 400 and code == CLAIM_MISSING:
        return Kind.UNAUTHORIZED
    return refused_kind(status, documented=documented)


def _is_stale(kind: Kind, status: int) -> bool:
    """Tell whether to renew a token: for any 401, also one with a body that is not LivePerson's."""
    return kind is Kind.UNAUTHORIZED or (kind is Kind.NOT_SENT and status == 401)


def _is_error(item: Any) -> bool:
    """Tell whether a part of an answer is an error object of LivePerson's, or an item."""
    body = _get(item, "body")
    said = any(_get(body, name) is not None for name in _ERROR_FIELDS)
    return said or (body is not None and _get(item, "code") is not None)


def _verdict(status: int, item_status: int | None) -> int:
    """Return the status to judge by: the item's, if the HTTP status is that of the batch."""
    of_the_batch = 200 <= status < 300 or status == 400
    return item_status if item_status is not None and of_the_batch else status


def _is_cut_off(body: bytes, document: Any) -> bool:
    return document is None and body.lstrip()[:1] in {b"[", b"{"}


def _is_foreign(item: Any, profile_id: str) -> bool:
    """Tell whether an item answers another call than ours."""
    answered = _get(item, "reqId")
    return answered is not None and answered != profile_id


def _status(item: Any) -> int | None:
    """Read an item's `code`: a name as on HTTP (`OK`), or a number as on the WebSocket."""
    code = _get(item, "code")
    if isinstance(code, str):
        return _NAMED.get(code.strip().upper()) or reading.number(code)
    return code if isinstance(code, int) else None


def _stale_token(code: int | None, message: str) -> Literal["app", "consumer"]:
    """Tell which token to renew; 40104 is documented for both, so there the text decides.

    Without a code it is the AppJWT, the one of the two that expires.
    """
    if code is not None and code in _STALE:
        return _STALE[code]
    text = message.casefold()
    about_consumer = "consumerjws" in text or (code == 40104 and "appjwt" not in text)
    return "consumer" if about_consumer else "app"


def _said(items: list[Any], *, prefix: str) -> str:
    texts = [text for item in items if (text := reading.said(item))]
    return f"{prefix}: {'; '.join(texts)}" if texts else ""


def _with_profile(message: str, profile: Any) -> str:
    """Add what was said about the profile; each part has half of a long message."""
    said = reading.said(profile)
    half = reading.MESSAGE_CHARS // 2 - len(_OF_THE_PROFILE)
    return f"{message[:half]}{_OF_THE_PROFILE}{said[:half]}" if said else message


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
