"""The batch that goes out, and every answer to it that is documented or can be feared."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.liveperson.answer import Answer, Kind
from tasks.liveperson.conversation import batch, item_ids, read_answer
from tasks.liveperson.reading import MESSAGE_CHARS
from tests.unit.liveperson.scripted import ACCOUNT, job

BODIES = Path(__file__).parents[2] / "bodies"
PROFILE_ID = "4b91dd19-9b0c-4354-8fef-4f58a45a9c57"
REQUEST_ID = "533575ec-b092-4ea6-ba13-25a98095e79f"
CONVERSATION_ID = "cbf6e739-dfe6-4e3c-a544-2504afbe8747"
PROFILE_SET = {"code": "OK", "body": {"msg": "OK User Profile set"}, "reqId": PROFILE_ID}


def documented(name: str) -> Any:
    text = (BODIES / f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text.replace("{accountid}", ACCOUNT))


def item(code: Any, **body: Any) -> dict[str, Any]:
    return {"code": code, "body": body, "reqId": REQUEST_ID}


def read(status: int, body: Any, request_id: str = REQUEST_ID, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(status, headers, content, profile_id=PROFILE_ID, request_id=request_id)


def wanted(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the two bodies of a documented request, as a producer would paste them into a job."""
    profile, conversation = documented(name)[:2]
    return profile["body"], conversation["body"]


def test_the_ids_of_the_items_are_uuids_of_one_attempt() -> None:
    """As LivePerson's guide asks; two attempts, or two jobs, have none in common."""
    asked = [(job(), 1), (job(), 2), (job(jobId="another"), 1)]
    found = [one for of, sent in asked for one in item_ids(of, sent)]
    assert len(set(found)) == 6
    for one in found:
        read_back = uuid.UUID(one)
        assert (str(read_back), read_back.version, read_back.variant) == (one, 4, uuid.RFC_4122)


@pytest.mark.parametrize(
    "name",
    [
        "req_01_doc_minimal",
        "req_02_doc_sdes",
        "req_03_doc_campaign_shark_new",
        "req_04_seed_campaign_shark_custom",
        "req_05_doc_companybranch",
        "req_06_doc_auto_messages",
        "req_08_sde_routing_full_profile",
    ],
)
def test_documented_requests_go_out_as_documented(name: str) -> None:
    """What LivePerson's page shows is what is sent, with our ids and with channelType."""
    profile, conversation = wanted(name)
    if conversation.get("ttrDefName") == "CUSTOM":
        conversation["ttrDefName"] = "NORMAL"  # dropped from LivePerson's newer pages
    sent = batch(
        job(profile=profile, conversation=conversation),
        profile_id=PROFILE_ID,
        conversation_id=REQUEST_ID,
    )
    expected = [
        {
            "kind": "req",
            "id": PROFILE_ID,
            "type": "userprofile.SetUserProfile",
            "body": profile,
        },
        {
            "kind": "req",
            "id": REQUEST_ID,
            "type": "cm.ConsumerRequestConversation",
            "body": {**conversation, "brandId": ACCOUNT, "channelType": "MESSAGING"},
        },
    ]
    assert expected == json.loads(sent)


def test_the_smallest_batch_to_the_byte() -> None:
    """A job without any wishes makes the minimal request, profile first."""
    assert batch(job(), profile_id="p", conversation_id="c") == (
        b'[{"kind":"req","id":"p","type":"userprofile.SetUserProfile","body":{}},'
        b'{"kind":"req","id":"c","type":"cm.ConsumerRequestConversation",'
        b'"body":{"brandId":"12345678","channelType":"MESSAGING"}}]'
    )


def test_a_merged_conversation_stands_in_for_the_jobs_own() -> None:
    """What an engagement was merged into is sent, and cannot change the account."""
    sent = batch(
        job(conversation={"skillId": "1"}),
        profile_id="p",
        conversation_id="c",
        conversation={"skillId": "2", "brandId": "another"},
    )
    assert json.loads(sent)[1]["body"] == {
        "skillId": "2",
        "brandId": ACCOUNT,
        "channelType": "MESSAGING",
    }


@pytest.mark.parametrize(
    ("name", "request_id", "conversation_id"),
    [
        ("resp_01_200_created", "2,", "8602832d-dce1-446b-8445-0d51f5926a42"),
        ("resp_02_200_created_and_sent", "1,", "8602832d-dce1-446b-8445-0d51f5926a42"),
        ("resp_03_200_uuid_reqids", REQUEST_ID, CONVERSATION_ID),
    ],
)
def test_documented_successes(name: str, request_id: str, conversation_id: str) -> None:
    """The id is that of the item with our request id, wherever it stands."""
    expected = Answer(kind=Kind.CREATED, http_status=200, conversation_id=conversation_id)
    assert expected == read(200, documented(name), request_id)
    assert expected == read(200, documented(name)[::-1], request_id)


@pytest.mark.parametrize(
    ("status", "name", "expected"),
    [
        (
            400,
            "resp_04_400_already_open",
            Answer(
                kind=Kind.ALREADY_OPEN,
                http_status=400,
                message="HTTP 400: Consumer request conversation failed: User 77d338e4b6bf02affbf9"
                "bf00a779cbf06b0fcd7fb1674028e8739acdfa6ae7a2 already has open conversation. "
                "Can't open another one.; of the profile: OK User Profile set successfully",
            ),
        ),
        (
            401,
            "resp_05_401_appjwt_missing",
            Answer(
                kind=Kind.UNAUTHORIZED,
                http_status=401,
                error_code=40104,
                message="HTTP 401: AppJWT is missing: AUTHORIZATION header is not present",
                stale_token="app",
            ),
        ),
        (
            401,
            "resp_06_401_appjwt_invalid",
            Answer(
                kind=Kind.UNAUTHORIZED,
                http_status=401,
                error_code=40102,
                message="HTTP 401: Invalid AppJWT: AppJWT has expired or is invalid",
                stale_token="app",
            ),
        ),
        (
            401,
            "resp_07_401_consumerjws_invalid",
            Answer(
                kind=Kind.UNAUTHORIZED,
                http_status=401,
                error_code=40103,
                message="HTTP 401: Invalid ConsumerJWS: ConsumerJWS is invalid",
                stale_token="consumer",
            ),
        ),
        (
            401,
            "resp_08_401_consumerjws_missing",
            Answer(
                kind=Kind.UNAUTHORIZED,
                http_status=401,
                error_code=40104,
                message="HTTP 401: ConsumerJWS is missing: X_ON_BEHALF_HEADER is not present",
                stale_token="consumer",
            ),
        ),
        (
            400,
            "resp_09_400_brand_missing",
            Answer(
                kind=Kind.UNAUTHORIZED,
                http_status=400,
                error_code=40001,
                message="HTTP 400: Missing parameter: Brand Id is missing",
                stale_token="app",
            ),
        ),
        (
            502,
            "resp_10_502_unified_error",
            Answer(
                kind=Kind.UNKNOWN,
                http_status=502,
                error_code=50201,
                message="HTTP 502: Unable to access resource: "
                "Failed to connect to AC for setting delay",
            ),
        ),
    ],
)
def test_documented_refusals(status: int, name: str, expected: Answer) -> None:
    """Each documented body that is no success is judged as LivePerson's policy says."""
    assert expected == read(status, documented(name))


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    "text",
    [
        "User 77 ALREADY HAS OPEN CONVERSATION. Can’t open another one.",  # noqa: RUF001 - so it is printed elsewhere
        "already has open conversation",
    ],
)
@pytest.mark.parametrize("code", ["BAD_REQUEST", "OK", 200, None])
def test_an_open_conversation_is_known_by_its_text(status: int, text: str, code: Any) -> None:
    """Neither case nor the apostrophe matter, nor do HTTP status and code around it."""
    assert read(status, [PROFILE_SET, item(code, msg=text)]).kind is Kind.ALREADY_OPEN


def test_the_text_of_an_open_conversation_is_a_setting() -> None:
    """Other words can be set, and then the documented ones mean nothing."""
    body = json.dumps([item("BAD_REQUEST", msg="One conversation is enough")]).encode()
    answer = read_answer(
        400,
        {},
        body,
        profile_id=PROFILE_ID,
        request_id=REQUEST_ID,
        already_open_text="conversation is enough",
    )
    assert answer.kind is Kind.ALREADY_OPEN


@pytest.mark.parametrize(
    "body",
    [
        "User 77 already has open conversation. Can't open another one.",
        {"code": 400, "body": {"title": "Bad", "details": "already has open conversation"}},
        [{"code": "BAD_REQUEST", "body": {"msg": "already has open conversation"}}],
    ],
    ids=["bare string", "error object", "no reqId"],
)
def test_an_open_conversation_is_known_without_our_item(body: Any) -> None:
    """A 400 in another form that says so is not taken for bad input."""
    assert read(400, body).kind is Kind.ALREADY_OPEN


@pytest.mark.parametrize("code", ["OK", "ok", "CREATED", 200, 201, "200", "201"])
def test_codes_of_success(code: Any) -> None:
    """Names as on HTTP and numbers as on the WebSocket are both read."""
    answer = read(200, [item(code, conversationId=CONVERSATION_ID)])
    assert (answer.kind, answer.conversation_id) == (Kind.CREATED, CONVERSATION_ID)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("BAD_REQUEST", Kind.REJECTED),
        (400, Kind.REJECTED),
        ("FORBIDDEN", Kind.REJECTED),
        ("UNAUTHORIZED", Kind.UNAUTHORIZED),
        ("401", Kind.UNAUTHORIZED),
        ("TOO_MANY_REQUESTS", Kind.THROTTLED),
        (429, Kind.THROTTLED),
        ("INTERNAL_SERVER_ERROR", Kind.UNKNOWN),
        (503, Kind.UNKNOWN),
        ("ACCEPTED", Kind.UNKNOWN),
        ("FINE", Kind.UNKNOWN),
        ("", Kind.UNKNOWN),
        (True, Kind.UNKNOWN),
        (200.0, Kind.UNKNOWN),
        (None, Kind.UNKNOWN),
        ([], Kind.UNKNOWN),
    ],
)
@pytest.mark.parametrize("conversation_id", [None, CONVERSATION_ID])
def test_codes_of_failure_at_http_200(code: Any, kind: Kind, conversation_id: str | None) -> None:
    """HTTP 200 is no success: the item is; a code nobody knows never counts as one."""
    answer = read(200, [PROFILE_SET, item(code, conversationId=conversation_id)])
    assert (kind, None) == (answer.kind, answer.conversation_id)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<html>Sign in</html>",
        b"[" * 100_000,
        b'[{"code":"OK","body":{"conver',
        b"\xff\xfe\x00",
        [PROFILE_SET],
        [PROFILE_SET, {"code": "OK", "body": {"conversationId": "c"}, "reqId": "another"}],
        [PROFILE_SET, {"code": "OK", "body": {"conversationId": "c"}}],
        [None, 7, "x", [item("OK", conversationId="c")]],
        [item("OK")],
        [item("OK", conversationId="")],
        [item("OK", conversationId=None)],
        [item("OK", conversationId=["c"])],
        [item("OK", conversationId="two words")],
        [item("OK", conversationId="\ud800")],
        [item("OK", conversationId="c" * 257)],
        [{"code": "OK", "body": "c", "reqId": REQUEST_ID}],
        [{"code": "OK", "reqId": REQUEST_ID}],
    ],
)
@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_success_that_cannot_be_read_is_unknown(status: int, body: Any) -> None:
    """The conversation may exist, so nothing is concluded from such an answer."""
    answer = read(status, body)
    assert (Kind.UNKNOWN, status, None) == (
        answer.kind,
        answer.http_status,
        answer.conversation_id,
    )
    assert answer.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (100, Kind.UNKNOWN),
        (202, Kind.UNKNOWN),
        (206, Kind.UNKNOWN),
        (301, Kind.NOT_SENT),
        (302, Kind.NOT_SENT),
        (303, Kind.NOT_SENT),
        (307, Kind.NOT_SENT),
        (308, Kind.NOT_SENT),
        *((status, Kind.NOT_SENT) for status in (400, 402, 403, 404, 405, 406, 407, 409, 410)),
        (408, Kind.UNKNOWN),
        *((status, Kind.NOT_SENT) for status in (411, 413, 414, 415, 417, 421, 422, 425, 426)),
        (429, Kind.THROTTLED),
        (431, Kind.NOT_SENT),
        (451, Kind.NOT_SENT),
        (499, Kind.UNKNOWN),
        (500, Kind.UNKNOWN),
        (502, Kind.UNKNOWN),
        (503, Kind.UNKNOWN),
        (504, Kind.UNKNOWN),
        (599, Kind.UNKNOWN),
        (999, Kind.UNKNOWN),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>a page</html>",
        b'"Bad Request"',
        b"{}",
        b'{"message":"Forbidden"}',
        b'{"error":{"code":403,"reason":"policy"}}',
        b'{"code":403,"status":"blocked"}',
        b"\xff\xfe",
    ],
)
def test_a_page_that_is_not_livepersons(status: int, kind: Kind, body: bytes) -> None:
    """Without an item or an error object of LivePerson's nothing was sent, or nothing is known."""
    answer = read(status, body)
    assert (kind, status) == (answer.kind, answer.http_status)


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"", Kind.UNAUTHORIZED), (b"<html>who are you?</html>", Kind.NOT_SENT)],
)
def test_a_401_has_the_app_jwt_renewed(body: bytes, kind: Kind) -> None:
    """Also where it may be a proxy's: another token does no harm."""
    answer = read(401, body)
    assert (answer.kind, answer.stale_token) == (kind, "app")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Kind.REJECTED),
        (401, Kind.UNAUTHORIZED),
        (403, Kind.NOT_SERVED),
        (404, Kind.NOT_SERVED),
        (405, Kind.NOT_SERVED),
        (409, Kind.REJECTED),
        (410, Kind.NOT_SERVED),
        (413, Kind.REJECTED),
        (415, Kind.REJECTED),
        (422, Kind.REJECTED),
        (429, Kind.THROTTLED),
        (451, Kind.NOT_SERVED),
        (500, Kind.UNKNOWN),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        {"kind": "resp", "code": 400, "body": {"title": "No", "details": "No", "errorCode": 40000}},
        {"code": "BAD_REQUEST", "body": {"msg": "No"}, "reqId": "another"},
        {"code": 400, "body": "No"},
        {"body": {"title": "No"}},
    ],
)
def test_an_error_object_of_livepersons(status: int, kind: Kind, body: Any) -> None:
    """What is refused by status alone may be refused to the whole account."""
    assert read(status, body).kind is kind


def test_a_cut_off_400_is_not_taken_for_bad_input() -> None:
    """It may have been the body of an open conversation, so it is asked again."""
    whole = json.dumps(documented("resp_04_400_already_open")).encode()
    assert read(400, whole[: len(whole) // 2]).kind is Kind.UNKNOWN


def test_a_400_with_a_byte_that_is_no_utf_8_still_refuses_the_input() -> None:
    """It would be asked again for a quarter of an hour, to be refused each time."""
    answer = [PROFILE_SET, item("BAD_REQUEST", msg="?")]
    body = json.dumps(answer).encode().replace(b"?", b"skill Caf\xe9")
    assert read(400, body).kind is Kind.REJECTED


def test_a_refused_profile_does_not_hide_the_conversation() -> None:
    """Items stand for themselves: the conversation counts, whatever status the batch has."""
    refused = {"code": "BAD_REQUEST", "body": {"msg": "Bad SDE"}, "reqId": PROFILE_ID}
    answer = read(400, [refused, item("OK", conversationId=CONVERSATION_ID)])
    assert answer == Answer(
        kind=Kind.CREATED,
        http_status=400,
        conversation_id=CONVERSATION_ID,
        message="the profile was refused: Bad SDE",
    )


def test_items_have_their_metadata() -> None:
    """Each its own, as LivePerson's schema of a request has it; none is no list."""
    metadata = [{"type": "ExternalId", "id": "4711"}]
    wanted = job(itemMetadata={"conversation": metadata})
    profile, conversation = json.loads(batch(wanted, profile_id="1", conversation_id="2"))
    assert conversation["metadata"] == metadata
    assert "metadata" not in profile


@pytest.mark.parametrize("reason", ["the profile was refused", "x" * 500, None])
def test_a_refusal_says_what_liveperson_said_of_every_item(reason: str | None) -> None:
    """A profile's reason is often that of both, and is not cut off behind a long one."""
    refused = {"code": "BAD_REQUEST", "body": {"msg": "Bad SDE"}, "reqId": PROFILE_ID}
    answer = read(400, [refused, item("BAD_REQUEST", msg=reason)])
    assert answer.kind is Kind.REJECTED
    assert answer.message.startswith("HTTP 400")
    assert (reason or "")[:100] in answer.message
    assert answer.message.endswith("; of the profile: Bad SDE")
    assert len(answer.message) <= MESSAGE_CHARS


def test_a_refused_profile_alone_is_a_refusal() -> None:
    """Without our item, a 400 says why in the one that failed."""
    refused = {"code": "BAD_REQUEST", "body": {"msg": "Bad SDE"}, "reqId": PROFILE_ID}
    answer = read(400, [refused])
    assert (answer.kind, answer.message) == (Kind.REJECTED, "HTTP 400: Bad SDE")


@pytest.mark.parametrize(
    "items",
    [
        [],
        [PROFILE_SET],
        [{**item("BAD_REQUEST", msg="already has open conversation"), "reqId": "another"}],
        [PROFILE_SET, {**item("BAD_REQUEST", errorCode=40001), "reqId": "another"}],
        [PROFILE_SET, {**item("TOO_MANY_REQUESTS"), "reqId": 7}],
    ],
)
def test_a_400_that_answers_somebody_else_is_unknown(items: list[Any]) -> None:
    """Neither a refusal nor an open conversation is believed from an item that is not ours."""
    assert read(400, items) == Answer(
        kind=Kind.UNKNOWN, http_status=400, message="HTTP 400 without an answer to this request"
    )


@pytest.mark.parametrize(
    "text", ["already has open conversation", "Bad Request"], ids=["already open", "refused"]
)
def test_what_somebody_else_is_told_changes_nothing(text: str) -> None:
    """Our own item stands for itself, beside whatever."""
    foreign = {**item("BAD_REQUEST", msg=text, errorCode=40001), "reqId": "another"}
    answer = read(400, [foreign, item("BAD_REQUEST", msg="Bad skill")])
    assert (answer.kind, answer.error_code) == (Kind.REJECTED, None)
    opened = read(200, [foreign, item("OK", conversationId=CONVERSATION_ID)])
    assert (opened.kind, opened.message) == (Kind.CREATED, "")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INTERNAL_SERVER_ERROR", Kind.UNKNOWN),
        ("TOO_MANY_REQUESTS", Kind.THROTTLED),
        ("UNAUTHORIZED", Kind.UNAUTHORIZED),
        ("OK", Kind.UNKNOWN),
        ("FINE", Kind.REJECTED),
    ],
)
def test_a_400_is_the_batchs_and_the_item_says_more(code: str, kind: Kind) -> None:
    """One status stands for all items; ours may have failed in a way of its own."""
    assert read(400, [PROFILE_SET, item(code)]).kind is kind


def test_a_server_error_of_the_batch_outweighs_a_refused_item() -> None:
    """A server that broke down may have done more than its items tell."""
    assert read(500, [item("BAD_REQUEST", msg="Bad Request")]).kind is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("code", "title", "stale"),
    [
        (40102, "", "app"),
        (40105, "", "app"),
        ("40105", "AppJWT is missing", "app"),
        (40103, "", "consumer"),
        (40104, "", "consumer"),
        (40104, "ConsumerJWS is missing", "consumer"),
        (40104, "AppJWT is missing", "app"),
        (40199, "ConsumerJWS of another consumer", "consumer"),
        (40199, "Something new", "app"),
        (None, "", "app"),
    ],
)
def test_the_token_to_renew(code: Any, title: str, stale: str) -> None:
    """It goes by errorCode; by the title where LivePerson's page contradicts itself."""
    error = {"code": 401, "body": {"title": title, "errorCode": code}}
    assert stale == read(401, error).stale_token


def test_retry_after_comes_with_the_answer() -> None:
    """A pause that the server asks for is passed on, whatever the answer."""
    assert read(429, b"", **{"Retry-After": "7"}).retry_after == 7.0
    assert read(503, b"", **{"Retry-After": "2.5"}).retry_after == 2.5
    assert read(429, b"").retry_after is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from([REQUEST_ID, "OK", "BAD_REQUEST", 200, CONVERSATION_ID]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["code", "body", "reqId", "conversationId", "msg"]), inner
        )
    ),
    max_leaves=20,
)


@given(st.integers(100, 999), JSON)
def test_only_our_own_item_makes_a_success(status: int, document: Any) -> None:
    """Whatever JSON comes, it is read without an error, and never for more than it says."""
    answer = read(status, document)
    assert answer.http_status == status
    ours = [
        item
        for item in (document if isinstance(document, list) else [document])
        if isinstance(item, dict) and item.get("reqId") == REQUEST_ID
    ]
    if answer.kind is Kind.CREATED:
        assert str(ours[0]["code"]).upper() in {"OK", "CREATED", "200", "201"}
        assert str(ours[0]["body"]["conversationId"]) == answer.conversation_id


def test_answers_to_other_calls_are_no_success() -> None:
    """What SEND, CLOSE, sentinel, idp and Monitoring answer is never taken for a conversation."""
    others = [path.stem for path in sorted(BODIES.glob("resp_[2-4]*.json"))]
    assert len(others) == 15
    for name in others:
        answer = read(200, documented(name))
        assert (answer.kind, answer.conversation_id) == (Kind.UNKNOWN, None), name
