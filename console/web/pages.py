"""The pages that only show."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter, deque
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from redis import Redis

from config.settings import Settings
from console.admin.chosen import IN_DOUBT, letters_at
from console.admin.dead_letters import Dead
from console.admin.overview import Overview, list_workers
from console.admin.person import job_of_conversation, jobs_of_consumer
from console.admin.reasons import Reasons, read_reasons
from console.admin.records import Record, read_record
from console.admin.report import only
from console.admin.reporting import BYTE_ORDER_MARK, columns_of, open_report
from console.admin.steering import all_accounts
from console.admin.submissions import View, moment, view, views
from console.jobfiles.job_file import UnreadableFile
from console.jobfiles.repeats import NotKept
from console.output import Output, Problem
from console.params import LABEL, NAME
from console.servers import Servers
from console.tables import Rows, describe, shortened
from console.web.charts import hours
from console.web.site import FOLDER, FORM, MESSAGE_CHARACTERS, SITE, Look, render
from console.web.words import account_row, parts, sentence

MAX_SUBMISSIONS: Final = 50
# So many dead letters are looked at, and so many of them listed.
MAX_LETTERS: Final = 10_000
MAX_LISTED: Final = 100
DISCARDED: Final = Path("discarded-dead-letters.jsonl")
CHUNK_BYTES: Final = 64 * 1024
# States of a job that has its outcome.
ENDED: Final = frozenset({"done", "published", "forgotten"})

routes = web.RouteTableDef()


@routes.get("/")
async def now(request: web.Request) -> web.Response:
    """Show how everything stands, with what can be done about it."""
    found = await request.app[SITE].look()
    return render(
        request,
        "now.html",
        **_said(found),
        **_hour(found),
        **_now(found),
        paused=_paused(found.overview),
    )


@routes.get("/live/now")
async def now_live(request: web.Request) -> web.Response:
    """Show its tables."""
    return render(request, "now_live.html", **_now(await request.app[SITE].look()))


@routes.get("/live/said")
async def said_live(request: web.Request) -> web.Response:
    """Show its sentence."""
    return render(request, "said_live.html", **_said(await request.app[SITE].look()))


def _said(found: Look) -> dict[str, Any]:
    return {"said": sentence(found.overview), "at": found.overview.at}


@routes.get("/live/hour")
async def hour_live(request: web.Request) -> web.Response:
    """Show the charts of the last hour."""
    return render(request, "hour_live.html", **_hour(await request.app[SITE].look()))


def _hour(found: Look) -> dict[str, Any]:
    drawn, left_out = hours(found.hour)
    return {"hours": drawn, "left_out": left_out}


def _now(found: Look) -> dict[str, Any]:
    overview = found.overview
    return {
        "overview": overview,
        "accounts": [account_row(one) for one in overview.accounts],
        "oldest": found.oldest,
    }


def _paused(overview: Overview) -> list[dict[str, str | None]]:
    """List what is paused, each once: what is so in all accounts is in each of them, too."""
    found: dict[str, dict[str, str | None]] = {
        one.what: {"words": one.sentence(), "account": None, "submission": one.submission_id}
        for one in overview.pauses
    }
    for account in overview.accounts:
        for one in account.standing.pauses:
            if one.what not in found:
                name = one.submission_id or f"account {account.account_id}"
                found[name] = {
                    "words": one.sentence(account.account_id),
                    "account": account.account_id,
                    "submission": one.submission_id,
                }
    return list(found.values())


@routes.get("/submissions")
async def submissions(request: web.Request) -> web.Response:
    """List the submissions, the latest first."""
    return render(request, "submissions.html", **await _submissions(request))


@routes.get("/live/submissions")
async def submissions_live(request: web.Request) -> web.Response:
    """List them, for a page that is there."""
    return render(request, "submissions_live.html", **await _submissions(request))


async def _submissions(request: web.Request) -> dict[str, Any]:
    site = request.app[SITE]
    store = site.servers.store
    found = await site.call(lambda: views(store, all_accounts(store, site.settings)))
    shown = [
        {"view": one, "parts": parts(one), "begun": moment(one.begun_at)}
        for one in found[:MAX_SUBMISSIONS]
    ]
    return {"found": shown, "more": len(found) - len(shown)}


@routes.get("/submission")
async def submission(request: web.Request) -> web.Response:
    """Show one, with why jobs failed, and what can be done about it."""
    site, found = request.app[SITE], await the_submission(request)
    key = request.query.get("reason", "")
    reasons = await site.call(_reasons, site.servers.store, site.settings, found, key)
    return render(
        request,
        "submission.html",
        **_one(found),
        reasons=reasons,
        chosen=reasons.named(key),
    )


def _reasons(store: Redis, settings: Settings, found: View, key: str) -> Reasons:
    try:
        return read_reasons(store, settings, found, key=key)
    except NotKept as error:
        raise Problem(str(error)) from None


@routes.get("/live/submission")
async def submission_live(request: web.Request) -> web.Response:
    """Show the part of it that changes."""
    return render(request, "submission_live.html", **_one(await the_submission(request)))


def _one(found: View) -> dict[str, Any]:
    return {"view": found, "parts": parts(found), "begun": moment(found.begun_at)}


async def the_submission(request: web.Request) -> View:
    """Find the submission that the address names. Raises Problem."""
    site = request.app[SITE]
    store, name = site.servers.store, LABEL.convert(request.query.get("id", ""), None, None)
    found = await site.call(lambda: view(store, all_accounts(store, site.settings), name))
    if found is None:
        raise Problem(f"submission {name} is unknown: no worker has seen a job of it yet")
    return found


@routes.get("/submission/report")
async def report(request: web.Request) -> web.StreamResponse:
    """Send the report of a submission as CSV, the file that `submissions report` writes."""
    site, found = request.app[SITE], await the_submission(request)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.csv"
        await site.call(_write_report, site.servers, site.settings, found, path)
        answer = web.StreamResponse(
            headers={
                "Content-Type": "text/csv; charset=utf-8",
                "Content-Disposition": 'attachment; filename="report.csv"',
            }
        )
        await answer.prepare(request)
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                await answer.write(chunk)
        await answer.write_eof()
    return answer


def _write_report(servers: Servers, settings: Settings, found: View, path: Path) -> None:
    with ExitStack() as stack:
        # Why a file is not at hand is no reason to give no report.
        reporting = open_report(servers, settings, found, None, stack, warn=lambda _: None)
        try:
            with closing(Output(path, append=False)) as out:
                rows = Rows("csv", columns_of(reporting), delimiter=reporting.delimiter)
                out.write(f"{BYTE_ORDER_MARK}{rows.header}")
                for row in only(reporting.rows(), ()):
                    out.write(rows.line(row.to_dict()))
                out.commit()
        except (UnreadableFile, NotKept) as error:
            raise Problem(str(error)) from None


@routes.get("/dead-letters")
async def dead_letters(request: web.Request) -> web.Response:
    """Group the dead letters by code, and list the newest."""
    site, code = request.app[SITE], request.query.get("code", "")
    async with site.letters:
        found = await site.call(_grouped, site.servers, code)
    return render(request, "dead_letters.html", code=code, file=str(DISCARDED), **found)


def _grouped(servers: Servers, code: str) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    messages: dict[str, str] = {}
    newest: deque[dict[str, Any]] = deque(maxlen=MAX_LISTED)
    is_cut = False
    with letters_at(servers) as letters:
        for letter in letters:
            if counts.total() == MAX_LETTERS:
                is_cut = True
                break
            counts[letter.code] += 1
            row = _letter(letter)
            messages.setdefault(letter.code, row["message"])
            if code in {"", letter.code}:
                newest.appendleft(row)
    groups = [
        {"code": name, "count": count, "message": messages[name]}
        for name, count in counts.most_common()
    ]
    return {
        "total": counts.total(),
        "groups": groups,
        "rows": list(newest),
        "is_cut": is_cut,
        "doubtful": code in {"", IN_DOUBT} and counts[IN_DOUBT] > 0,
    }


def _letter(letter: Dead) -> dict[str, Any]:
    return {
        "job": letter.job_id,
        "account": letter.account_id,
        "code": letter.code,
        "failed_at": str(letter.document.get("failedAt") or ""),
        "attempts": len(letter.document["error"].get("attempts") or ()),
        "message": shortened(letter.message, MESSAGE_CHARACTERS),
    }


@routes.post("/dead-letters/show")
async def dead_letter(request: web.Request) -> web.Response:
    """Show the dead letters of a job in full; asked for by a form, so that its id is in no log."""
    site, job = request.app[SITE], NAME.convert(request[FORM].get("job", ""), None, None)
    async with site.letters:
        found = await site.call(_letters_of, site.servers, job)
    is_doubtful = any(one["code"] == IN_DOUBT for one in found)
    return render(
        request,
        "dead_letter.html",
        job=job,
        letters=found,
        doubtful=is_doubtful,
        file=str(DISCARDED),
    )


def _letters_of(servers: Servers, job: str) -> list[dict[str, Any]]:
    with letters_at(servers) as letters:
        return [_whole(letter) for letter in letters if letter.job_id == job]


def _whole(letter: Dead) -> dict[str, Any]:
    attempts = [
        {
            "at": str(one.get("at") or ""),
            "status": one.get("httpStatus"),
            "outcome": one.get("outcome"),
            "cause": one.get("cause"),
        }
        for one in letter.document["error"].get("attempts") or ()
    ]
    return {**_letter(letter), "attempts": attempts, "document": dict(letter.document)}


@routes.get("/search")
async def search(request: web.Request) -> web.Response:
    """Show the box for any id."""
    return render(request, "search.html", asked="", found=[])


@routes.post("/search")
async def searched(request: web.Request) -> web.Response:
    """Show the jobs that an id leads to, in a page whose address does not hold it."""
    site, asked = request.app[SITE], request[FORM].get("id", "").strip()
    name = NAME.convert(asked, None, None)
    found = await site.call(_found, site.servers, site.settings, name) if name else {}
    rows = [
        {
            "record": record,
            "found_as": words,
            "lines": [line.strip() for line in describe(record)],
            "may_cancel": record.state not in ENDED and not record.is_cancelled,
        }
        for words, records in found.items()
        for record in records
    ]
    return render(request, "search.html", asked=asked, found=rows)


def _found(servers: Servers, settings: Settings, name: str) -> dict[str, list[Record]]:
    store, accounts = servers.store, all_accounts(servers.store, settings)
    return {
        "the job of this id": list(_jobs(servers, accounts, name)),
        "a job of this consumer": jobs_of_consumer(store, settings, accounts, name),
        "the job of this conversation": job_of_conversation(store, settings, accounts, name),
    }


def _jobs(servers: Servers, accounts: Collection[str], name: str) -> Iterator[Record]:
    for account_id in accounts:
        record = read_record(servers.store, account_id, name)
        if record is not None:
            yield record


@routes.get("/workers")
async def workers(request: web.Request) -> web.Response:
    """List the workers."""
    return render(request, "workers.html", workers=await _workers(request))


@routes.get("/live/workers")
async def workers_live(request: web.Request) -> web.Response:
    """List them, for a page that is there."""
    return render(request, "workers_live.html", workers=await _workers(request))


async def _workers(request: web.Request) -> list[dict[str, Any]]:
    site = request.app[SITE]
    return await site.call(list_workers, site.servers.store)


routes.static("/static", FOLDER / "static")
