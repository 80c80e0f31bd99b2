"""The console in a browser: its pages on hostile text, what it refuses, and every change."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from config.names import DEAD_LETTERS_QUEUE, EXCHANGE_NAME, FAILED_KEY, JOBS_QUEUE
from config.settings import Settings
from console.admin.records import read_record
from console.output import Problem
from console.servers import Servers
from console.web import actions
from console.web.app import make_app
from console.web.safety import COOKIE, HEADERS
from tasks.messages.dead_letter import ErrorCode
from tasks.messages.outgoing import Outgoing
from tasks.store.brake import pauses
from tasks.store.limits import read_standing
from tasks.store.pulse import TAKEN
from tests.jobs import ACCOUNT, job_document, make_job
from tests.memory_servers import MemoryServers, memory_servers

HOSTILE: Final = "<script>alert(1)</script>\"'&\u202e"
PASSWORD: Final = "correct horse battery"
READER: Final = "may look at all of it"
TOKEN: Final = re.compile(r'name="token" value="([0-9a-f]{64})"')
PAGES: Final = ("/", "/submissions", "/dead-letters", "/search", "/workers")

Client = TestClient[Any, Any]
Visit = Callable[[Client], Awaitable[None]]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryServers]:
    monkeypatch.setattr("console.web.site.FRESH_SECONDS", -1.0)
    with memory_servers(monkeypatch) as found:
        with found.broker.connection() as connection:
            found.broker.declare(connection, [JOBS_QUEUE])
        yield found


@asynccontextmanager
async def served(
    servers: MemoryServers, host: str = "127.0.0.1", **more: Any
) -> AsyncIterator[Client]:
    settings = Settings(
        account_id=ACCOUNT, client_id="demo-client", client_secret="demo-secret", **more
    )
    reached = Servers(broker=servers.broker, store_url="redis://memory", store=servers.store)
    app = make_app(reached, settings, host=host)
    async with TestClient(TestServer(app, host="127.0.0.1")) as client:
        yield client


def visit(servers: MemoryServers, go: Visit, **more: Any) -> None:
    """Serve the console while somebody visits it."""

    async def run() -> None:
        async with served(servers, **more) as client:
            await go(client)

    asyncio.run(run())


async def text_of(client: Client, path: str, status: int = 200) -> str:
    answer = await client.get(path)
    assert answer.status == status, await answer.text()
    return await answer.text()


async def post(client: Client, path: str, **form: str) -> str:
    """Send a form as a page of this session holds it; returns the page that it leads to."""
    found = TOKEN.search(await text_of(client, "/search"))
    assert found is not None
    answer = await client.post(path, data={"token": found[1], **form})
    return await answer.text()


def publish(servers: MemoryServers, *letters: dict[str, Any]) -> None:
    with servers.broker.connection() as connection:
        servers.broker.producer(connection).publish(
            [
                Outgoing(
                    exchange=EXCHANGE_NAME,
                    routing_key=FAILED_KEY,
                    body=json.dumps(one).encode(),
                    message_id="letter",
                )
                for one in letters
            ]
        )


def letter(number: int, code: str = "rejected", **fields: Any) -> dict[str, Any]:
    return {
        "job": job_document(number, **fields),
        "status": "failed",
        "error": {
            "code": code,
            "message": f"because {HOSTILE}",
            "attempts": [{"at": HOSTILE, "httpStatus": 400, "outcome": HOSTILE, "cause": HOSTILE}],
        },
        "failedAt": HOSTILE,
    }


def left(servers: MemoryServers, queue: str = DEAD_LETTERS_QUEUE) -> list[str]:
    found = [json.loads(one.body) for one in servers.broker.look(queue)]
    return [one.get("job", one)["jobId"] for one in found]


def is_harmless(page: str) -> bool:
    """Tell whether no text of a job is markup, or steers the text around it."""
    return "<script>alert" not in page and "\u202e" not in page and len(page) < 100_000


def test_hostile_text_is_text_on_every_page(servers: MemoryServers) -> None:
    """In ids, labels, messages, attempts, and whatever a worker says of itself."""
    label = HOSTILE.replace("\u202e", "")
    for number, code in ((1, None), (2, "rejected")):
        job = make_job(number, submissionId=label, consumerId=f"{number}{HOSTILE}")
        servers.begin(job)
        document = job_document(number, submissionId=label, consumerId=f"{number}{HOSTILE}")
        servers.end(job, document, code)  # type: ignore[arg-type]
    publish(servers, letter(3, consumerId=HOSTILE), {"job": HOSTILE})
    said = {"host": HOSTILE, "version": HOSTILE, "trouble": HOSTILE, "queues": [HOSTILE]}
    servers.store.sadd("overture:workers", HOSTILE)
    servers.store.set(f"overture:worker:{HOSTILE}", json.dumps(said))

    async def go(client: Client) -> None:
        for path in (
            *PAGES,
            "/live/said",
            "/live/now",
            "/live/hour",
            "/live/submissions",
            "/live/workers",
        ):
            page = await text_of(client, path)
            assert is_harmless(page), path
        page = await text_of(client, "/submissions")
        links = re.findall(r'href="(/submission\?id=[^"]+)"', page)
        assert len(links) == 1
        page = await text_of(client, links[0])
        assert is_harmless(page)
        assert "&lt;script&gt;" in page
        assert "failed: rejected" in page
        page = await post(client, "/search", id=f"1{HOSTILE}")
        assert "conversation-of-1" in page
        assert is_harmless(page)
        page = await post(client, "/dead-letters/show", job="job-3")
        assert "because &lt;script&gt;" in page
        assert is_harmless(page)
        assert is_harmless(await text_of(client, f"/dead-letters?code={HOSTILE}"))
        assert is_harmless(await text_of(client, f"/submission?id={label}x", status=404))

    visit(servers, go)


def test_an_empty_console_says_what_would_be_there(servers: MemoryServers) -> None:
    """And how it comes there."""

    async def go(client: Client) -> None:
        assert "Nothing waits; no worker runs." in await text_of(client, "/")
        assert "overture submit FILE" in await text_of(client, "/submissions")
        assert "There is none." in await text_of(client, "/dead-letters")
        assert "overture worker" in await text_of(client, "/workers")
        assert "Nothing is known of nobody" in await post(client, "/search", id="nobody")
        assert "Not found" in await text_of(client, "/nowhere", status=404)

    visit(servers, go)


def test_a_worker_is_listed(servers: MemoryServers) -> None:
    """As the command lists it."""
    said = {"host": "web-1", "pid": 7, "threads": 50}
    servers.store.sadd("overture:workers", "w-1")
    servers.store.set("overture:worker:w-1", json.dumps(said))

    async def go(client: Client) -> None:
        assert "web-1" in await text_of(client, "/workers")
        assert "1 worker ready" in await text_of(client, "/")

    visit(servers, go)


def test_how_long_the_oldest_job_waits(
    servers: MemoryServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first look on, by what workers have taken since; what waits nowhere has no age."""
    now = [1000.0]
    monkeypatch.setattr("console.admin.pool.time.monotonic", lambda: now[0])
    monkeypatch.setattr(type(servers.broker), "looks_only", False)

    async def age(client: Client) -> str:
        row = re.search(
            r"<td>conversations\.<wbr>jobs</td>(.*)</tr>", await text_of(client, "/live/now")
        )
        assert row is not None
        cells: list[str] = re.findall(r">([^<]*)</td>", row[1])
        return cells[1]

    async def go(client: Client) -> None:
        assert await age(client) == "\u2013"
        put(servers, 2)
        assert await age(client) == "0:00:00"
        now[0] += 125
        put(servers, 1)
        assert await age(client) == "0:02:05"
        with servers.broker.taking(JOBS_QUEUE) as taker:
            for _ in range(2):
                message = taker.take()
                assert message is not None
                message.ack()
        servers.store.hincrby(TAKEN, JOBS_QUEUE, 2)
        now[0] += 10
        assert await age(client) == "0:00:10"

    visit(servers, go)


def test_the_last_hour_is_drawn(servers: MemoryServers) -> None:
    """As charts with a name, and as a table; nothing of it is a style or a script."""

    async def go(client: Client) -> None:
        assert "None has in the last hour." in await text_of(client, "/")
        for number in range(4):
            job = make_job(number)
            servers.begin(job)
            code: ErrorCode | None = "rejected" if number == 3 else None
            servers.end(job, job_document(number), code)
        page = await text_of(client, "/live/hour")
        assert is_harmless(page)
        names = re.findall(r'role="img" aria-label="(\w+) of account 12345678 in each', page)
        assert names == ["Conversations", "Failures"]
        assert "created <b>3</b> in all" in page
        assert "failed <b>1</b> in all" in page
        rows = re.findall(r"<tr><td>.*?</tr>", page)
        assert len(rows) == 60
        cells = [re.findall(r'<td class="n">(\d+)</td>', row) for row in rows]
        assert [sum(int(cell[at]) for cell in cells) for at in range(3)] == [3, 0, 1]

    visit(servers, go)


def put(servers: MemoryServers, count: int) -> None:
    """Enqueue jobs."""
    one = Outgoing(exchange="", routing_key=JOBS_QUEUE, body=b"{}", message_id="job")
    with servers.broker.connection() as connection:
        servers.broker.producer(connection).publish([one] * count)


def test_every_answer_has_its_headers(servers: MemoryServers) -> None:
    """Also what is refused, and what is no page; the cookie is for no script and no other site."""

    async def go(client: Client) -> None:
        for path in (*PAGES, "/static/console.css", "/static/console.js", "/nowhere"):
            answer = await client.get(path)
            assert HEADERS.items() <= dict(answer.headers).items(), path
        refused = await client.get("/", headers={"Host": "evil.example"})
        assert HEADERS.items() <= dict(refused.headers).items()
        client.session.cookie_jar.clear()
        cookie = (await client.get("/")).headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        for path in PAGES:
            page = await text_of(client, path)
            assert not re.search(r"<style|style=|<script>|javascript:| on[a-z]+=", page), path

    visit(servers, go)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200),
        ("localhost", 200),
        ("[::1]:9466", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:9466", 421),
        ("", 421),
    ],
)
def test_on_loopback_only_its_own_names_are_answered(
    servers: MemoryServers, host: str, status: int
) -> None:
    """Another site can have its own name point here."""

    async def go(client: Client) -> None:
        answer = await client.get("/", headers={"Host": host})
        assert answer.status == status

    visit(servers, go)


def test_what_comes_from_no_page_of_ours_changes_nothing(servers: MemoryServers) -> None:
    """Without a token, with another's, as JSON, or too large."""

    async def refused(client: Client, status: int, **sent: Any) -> None:
        answer: ClientResponse = await client.post("/pause", allow_redirects=False, **sent)
        assert answer.status == status

    async def go(client: Client) -> None:
        await text_of(client, "/")
        await refused(client, 403, data={"account": ""})
        await refused(client, 403, data={"account": "", "token": "0" * 64})
        await refused(client, 403, data={"account": "", "token": "é"})
        await refused(client, 415, json={"account": ""})
        await refused(client, 413, data={"account": "x" * 100_000})
        found = TOKEN.search(await text_of(client, "/"))
        assert found is not None
        client.session.cookie_jar.clear()
        await refused(client, 403, data={"account": "", "token": found[1]})
        assert pauses(servers.store, None) == []

    visit(servers, go)


def test_beyond_this_machine_it_asks_for_a_password(servers: MemoryServers) -> None:
    """Without one it is not served at all."""
    with pytest.raises(Problem, match="OVERTURE_CONSOLE_PASSWORD"):
        visit(servers, lambda _: asyncio.sleep(0), host="0.0.0.0")

    async def go(client: Client) -> None:
        for path in PAGES:
            answer = await client.get(path, allow_redirects=False)
            assert (answer.status, answer.headers["Location"]) == (303, "/login")
        assert (await client.get("/live/now")).status == 403
        found = TOKEN.search(await text_of(client, "/login"))
        assert found is not None
        form = {"token": found[1], "password": "wrong"}
        assert (await client.post("/pause", data=form)).status == 403
        wrong = await client.post("/login", data=form)
        assert wrong.status == 403
        assert "this is not the password" in await wrong.text()
        before = client.session.cookie_jar.filter_cookies(client.make_url("/"))[COOKIE].value
        right = await client.post("/login", data={**form, "password": PASSWORD})
        assert right.status == 200
        after = client.session.cookie_jar.filter_cookies(client.make_url("/"))[COOKIE].value
        assert before != after
        assert "Log out" in await right.text()
        found = TOKEN.search(await text_of(client, "/"))
        assert found is not None
        await client.post("/logout", data={"token": found[1]})
        answer = await client.get("/", allow_redirects=False)
        assert answer.status == 303

    visit(servers, go, host="0.0.0.0", console_password=PASSWORD)
    assert pauses(servers.store, None) == []


def test_a_reader_looks_and_changes_nothing(servers: MemoryServers) -> None:
    """Also at a form that was made by hand; ids are still found."""
    job = make_job(1, submissionId="spring")
    servers.begin(job)
    publish(servers, *fail(servers, 2, "rejected", "no"))
    changes = [one.path for one in actions.routes if isinstance(one, web.RouteDef)]
    assert {"/pause", "/dead-letters/discard", "/submission/replay", "/job/cancel"} <= {*changes}

    async def log_in(client: Client, password: str) -> str:
        client.session.cookie_jar.clear()
        found = TOKEN.search(await text_of(client, "/login"))
        assert found is not None
        answer = await client.post("/login", data={"token": found[1], "password": password})
        return await answer.text()

    async def go(client: Client) -> None:
        assert "reads only" in await log_in(client, READER)
        key = groups_of(await text_of(client, "/submission?id=spring"))[0][1]
        forms = set()
        for path in (*PAGES, "/submission?id=spring", f"/submission?id=spring&reason={key}"):
            forms |= {*re.findall(r'action="([^"]+)"', await text_of(client, path))}
        page = await post(client, "/search", id="job-1")
        assert "the job of this id" in page
        forms |= {*re.findall(r'action="([^"]+)"', page)}
        page = await post(client, "/dead-letters/show", job="job-2")
        forms |= {*re.findall(r'action="([^"]+)"', page)}
        assert forms == {"/search", "/dead-letters/show", "/logout"}
        for path in (*changes, "/%70ause"):
            page = await post(client, path, account="", submission="spring", job="job-1", count="1")
            assert "you may look, and change nothing" in page, path
        assert pauses(servers.store, None) == []
        assert left(servers) == ["job-2"]
        assert "reads only" not in await log_in(client, PASSWORD)
        await post(client, "/pause", account="")
        assert len(pauses(servers.store, None)) == 1
        assert "not the password" in await log_in(client, PASSWORD[:-1])

    more = {"console_password": PASSWORD, "console_reader_password": READER}
    with capture_logs() as lines:
        visit(servers, go, host="0.0.0.0", **more)
    roles = [one["role"] for one in lines if one["event"] == "console.login"]
    assert roles == ["reader", "operator"]
    same = {**more, "console_reader_password": PASSWORD}
    with pytest.raises(Problem, match="the same"):
        visit(servers, lambda _: asyncio.sleep(0), **same)


def test_with_a_readers_password_alone_nobody_changes_anything(servers: MemoryServers) -> None:
    """On loopback as well, where nobody else is asked."""

    async def go(client: Client) -> None:
        answer = await client.get("/", allow_redirects=False)
        assert answer.headers["Location"] == "/login"
        found = TOKEN.search(await text_of(client, "/login"))
        assert found is not None
        await client.post("/login", data={"token": found[1], "password": READER})
        assert 'action="/pause"' not in await text_of(client, "/")
        assert "change nothing" in await post(client, "/pause", account="")

    visit(servers, go, console_reader_password=READER)
    visit(servers, go, host="0.0.0.0", console_reader_password=READER)


def test_it_pauses_and_resumes(servers: MemoryServers) -> None:
    """Everything and one account; who did it stays known, and is in the log."""

    async def go(client: Client) -> None:
        page = await post(client, "/pause", account="")
        assert "everything is paused since" in page
        (found,) = pauses(servers.store, None)
        assert found.by.endswith("through the console from 127.0.0.1")
        assert "Everything is paused since" in await text_of(client, "/live/said")
        assert "it goes on" in await post(client, "/resume", account="")
        assert pauses(servers.store, None) == []
        await post(client, "/pause", account=ACCOUNT)
        assert read_standing(servers.store, ACCOUNT).holds == "paused"
        assert f"account {ACCOUNT} is paused since" in await text_of(client, "/")
        await post(client, "/resume", account=ACCOUNT)
        assert "is not configured" in await post(client, "/pause", account="other")

    with capture_logs() as lines:
        visit(servers, go)
    said = [(one["action"], one["remote"]) for one in lines if one["event"] == "console.changed"]
    assert said == [(one, "127.0.0.1") for one in ("pause", "resume", "pause", "resume")]


def test_it_sets_and_resets_limits(servers: MemoryServers) -> None:
    """Within what the command takes."""

    async def go(client: Client) -> None:
        await post(client, "/limits", account=ACCOUNT, max_rate="2.5", max_in_flight="7")
        standing = read_standing(servers.store, ACCOUNT)
        assert (standing.max_rate, standing.max_in_flight, standing.is_set) == (2.5, 7, True)
        for wrong in ("nan", "0", "-1", "x", "1e9"):
            page = await post(client, "/limits", account=ACCOUNT, max_rate=wrong)
            assert 'class="notice"' in page
            assert "are changed" not in page
        assert "or else reset" in await post(client, "/limits", account=ACCOUNT)
        assert read_standing(servers.store, ACCOUNT).max_rate == 2.5
        await post(client, "/limits", account=ACCOUNT, reset="yes")
        assert not read_standing(servers.store, ACCOUNT).is_set

    visit(servers, go)


def test_a_submission_is_followed_steered_and_reported(servers: MemoryServers) -> None:
    """Cancelled only by whoever knows how many jobs wait."""
    Path("jobs.csv").write_text("consumerId,jobId\nc-1,a\nc-2,b\nc-3,c\n")
    result = servers.run("submit", "jobs.csv")
    name = result.stdout.splitlines()[-1].split()[1].rstrip(";")
    servers.work(most=2, c_2="already_open")

    async def go(client: Client) -> None:
        where = f"/submission?id={name}"
        assert "2 of 3 jobs have an outcome, 1 waits" in await text_of(client, where)
        await post(client, "/pause", submission=name)
        assert "paused" in await text_of(client, f"/live{where}")
        assert "goes on" in await post(client, "/submission/resume", submission=name)
        said = await post(client, "/submission/cancel", submission=name, count="3")
        assert "it is 1 job now, not 3" in said
        said = await post(client, "/submission/cancel", submission=name, count="1")
        assert "will be cancelled" in said
        assert ">cancelled<" in await text_of(client, where)
        assert "goes on" in await post(client, "/submission/resume", submission=name)
        answer = await client.get(f"/submission/report?id={name}")
        assert answer.headers["Content-Type"].startswith("text/csv")
        text = (await answer.read()).decode()
        assert text == servers.run("submissions", "report", name, "--format", "csv").stdout
        assert [row["code"] for row in csv.DictReader(text.splitlines())] == [
            "",
            "already_open",
            "",
        ]

    visit(servers, go)


def test_why_jobs_of_a_submission_failed_is_grouped(servers: MemoryServers) -> None:
    """By code and sentence; one group alone is listed, and replayed by its number."""
    letters = [letter(4, submissionId="other")]
    for number, code, message in (
        (1, "rejected", HOSTILE),
        (2, "rejected", HOSTILE),
        (3, "rejected", "another sentence"),
        (5, "in_doubt", "nobody knows"),
        (6, None, ""),
    ):
        letters += fail(servers, number, code, message)  # type: ignore[arg-type]
    publish(servers, *letters)
    where = "/submission?id=spring"

    async def go(client: Client) -> None:
        page = await text_of(client, where)
        assert is_harmless(page)
        found = groups_of(page)
        assert [count for count, _, _ in found] == ["2", "1", "1"]
        assert {words for _, _, words in found} == {
            "<b>rejected</b> &lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;?",
            "<b>rejected</b> another sentence",
            "<b>in_doubt</b> nobody knows",
        }
        assert [f"job-{one}" in page for one in (1, 2, 3, 5, 6)] == [True, True, True, True, False]
        assert 'action="/submission/replay"' not in page
        key = next(key for count, key, _ in found if count == "2")
        page = await text_of(client, f"{where}&reason={key}")
        assert [f"job-{one}" in page for one in (1, 2, 3, 5)] == [True, True, False, False]
        form = {"submission": "spring", "reason": key}
        said = await post(client, "/submission/replay", **form, count="3")
        assert "it is 2 dead letters now, not 3" in said
        assert left(servers, JOBS_QUEUE) == []
        said = await post(client, "/submission/replay", **form, count="2")
        assert "replayed 2 dead letters" in said
        assert "<h1>Submission spring</h1>" in said
        assert left(servers, JOBS_QUEUE) == ["job-1", "job-2"]
        page = await text_of(client, where)
        assert [count for count, _, _ in groups_of(page)] == ["1", "1"]
        form["reason"] = next(key for _, key, words in groups_of(page) if "in_doubt" in words)
        assert 'name="doubt"' in await text_of(client, f"{where}&reason={form['reason']}")
        said = await post(client, "/submission/replay", **form, count="1")
        assert "not ticked" in said
        await post(client, "/submission/replay", **form, count="1", doubt="yes")
        assert sorted(left(servers)) == ["job-3", "job-4"]
        assert "None has failed" in await text_of(client, "/submission?id=quiet")

    servers.begin(make_job(7, submissionId="quiet"))
    with capture_logs() as lines:
        visit(servers, go)
    said = [one for one in lines if one["event"] == "console.changed" and one["done"] == 2]
    assert [one["submission"] for one in said] == ["spring"]


def fail(
    servers: MemoryServers, number: int, code: ErrorCode | None, message: str
) -> list[dict[str, Any]]:
    """Have a job of the submission `spring` end; returns its dead letter if it is one."""
    job = make_job(number, submissionId="spring")
    servers.begin(job)
    document = job_document(number, submissionId="spring")
    outcome = servers.end(job, document, code, message=message)
    return [json.loads(outcome.body)] if code else []


def groups_of(page: str) -> list[tuple[str, str, str]]:
    """Find the groups of a submission's page: how many jobs, the key, the words."""
    link = r'<td class="n">(\d+)</td>.*?&amp;reason=([0-9a-f]+)"[^>]*>(.*?)</a>'
    return re.findall(link, page)


def test_dead_letters_are_replayed_and_discarded_by_their_number(servers: MemoryServers) -> None:
    """What is in doubt has to be ticked as well; what is discarded is in a file."""
    publish(servers, letter(1), letter(2, "expired"), letter(3), letter(4, "in_doubt"))

    async def go(client: Client) -> None:
        page = await text_of(client, "/dead-letters?code=rejected")
        assert ("job-1" in page, "job-2" in page) == (True, False)
        said = await post(client, "/dead-letters/replay", code="rejected", count="1")
        assert "it is 2 dead letters now, not 1" in said
        assert len(left(servers)) == 4
        assert "there is no error code" in await post(
            client, "/dead-letters/replay", code="nonsense", count="0"
        )
        said = await post(client, "/dead-letters/replay", code="rejected", count="2")
        assert "replayed 2 dead letters" in said
        assert left(servers, JOBS_QUEUE) == ["job-1", "job-3"]
        said = await post(client, "/dead-letters/replay", job="job-4", count="1")
        assert "not ticked" in said
        await post(client, "/dead-letters/discard", code="expired", count="1")
        assert left(servers) == ["job-4"]
        await post(client, "/dead-letters/replay", job="job-4", count="1", doubt="yes")
        assert left(servers) == []

    visit(servers, go)
    kept = Path("discarded-dead-letters.jsonl").read_text().splitlines()
    assert [json.loads(one)["job"]["jobId"] for one in kept] == ["job-2"]


def test_a_job_is_found_and_cancelled(servers: MemoryServers) -> None:
    """By its own id, and the id of its consumer; no address holds either."""
    servers.begin(make_job(1))

    async def go(client: Client) -> None:
        assert "the job of this id" in await post(client, "/search", id="job-1")
        page = await post(client, "/search", id="consumer-1")
        assert "a job of this consumer" in page
        assert "consumer-1" not in "".join(re.findall(r'(?:href|action|data-live)="[^"]*"', page))
        said = await post(client, "/job/cancel", account=ACCOUNT, job="job-1")
        assert "will be cancelled at its next turn" in said
        assert "is unknown" in await post(client, "/job/cancel", account="other", job="job-1")

    visit(servers, go)
    record = read_record(servers.store, ACCOUNT, "job-1")
    assert record is not None
    assert record.is_cancelled


def test_a_store_that_is_away_is_named(servers: MemoryServers) -> None:
    """In the words of the commands; the console goes on."""

    async def go(client: Client) -> None:
        servers.server.connected = False
        assert "the store at" in await text_of(client, "/", status=503)
        servers.server.connected = True
        await text_of(client, "/")

    visit(servers, go)
