"""What the pages change: each by the same functions as the commands, and each in the log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Final
from urllib.parse import quote

from aiohttp import web

from config.names import JOBS_QUEUE
from config.settings import MAX_IN_FLIGHT, MAX_RATE
from console.admin.chosen import Choice, Count, discard_chosen, letters_at, replay_chosen
from console.admin.dead_letters import Dead
from console.admin.discard import Discarder
from console.admin.records import cancel
from console.admin.steering import accounts_of_submission, all_accounts, let_go
from console.admin.submissions import cancel_submission, view
from console.output import Output, Problem, counted
from console.params import LABEL, NAME, Number
from console.servers import Servers, demand_account, the_account
from console.web.pages import DISCARDED, ENDED
from console.web.site import FORM, SESSION, SITE, who
from tasks.messages.dead_letter import ERROR_CODES
from tasks.store.brake import Scope, pause, resume
from tasks.store.limits import reset_ceiling, set_ceiling

RATE: Final = Number(min=0, min_open=True, max=MAX_RATE)
IN_FLIGHT: Final = Number(min=1, max=MAX_IN_FLIGHT)

routes = web.RouteTableDef()


def done(request: web.Request, where: str, *sentences: str) -> web.Response:
    """Lead to a page that says what has come of a change."""
    request.app[SITE].gate.tell(request[SESSION], *sentences)
    return web.Response(status=303, headers={"Location": where})


def _scope(request: web.Request) -> Scope:
    form = request[FORM]
    account = NAME.convert(form.get("account", ""), None, None) or None
    given = form.get("submission", "")
    if account is not None:
        demand_account(request.app[SITE].settings, account)
    return Scope(account, LABEL.convert(given, None, None) if given else None)


@routes.post("/pause")
async def pause_(request: web.Request) -> web.Response:
    """Pause everything, an account or a submission."""
    site, scope = request.app[SITE], _scope(request)
    known = site.settings.accounts
    found = await site.call(pause, site.servers.store, scope, known=known, by=who(request))
    site.changed(request, "pause", account=scope.account_id, submission=scope.submission_id)
    return done(request, _back(scope), f"{found.sentence(scope.account_id)}: nothing more is sent")


@routes.post("/resume")
async def resume_(request: web.Request) -> web.Response:
    """Lift a pause of the same kind."""
    site, scope = request.app[SITE], _scope(request)
    was_paused = await site.call(resume, site.servers.store, scope, known=site.settings.accounts)
    site.changed(request, "resume", account=scope.account_id, submission=scope.submission_id)
    return done(request, "/", "it goes on" if was_paused else "it was not paused")


def _back(scope: Scope) -> str:
    return "/submissions" if scope.submission_id is not None else "/"


@routes.post("/limits")
async def limits(request: web.Request) -> web.Response:
    """Change the ceiling of an account, or return it to the settings."""
    site, form = request.app[SITE], request[FORM]
    store = site.servers.store
    rate, most = form.get("max_rate", "").strip(), form.get("max_in_flight", "").strip()
    is_reset = form.get("reset") == "yes"
    if is_reset == bool(rate or most):
        raise Problem("give a rate or a number of requests in flight, or else reset both")
    max_rate = RATE.convert(rate, None, None) if rate else None
    in_flight = int(IN_FLIGHT.convert(most, None, None)) if most else None
    named = NAME.convert(form.get("account", ""), None, None) or None
    account = await site.call(the_account, store, site.settings, named)
    if is_reset:
        await site.call(reset_ceiling, store, account)
    await site.call(set_ceiling, store, account, rate=max_rate, in_flight=in_flight)
    site.changed(request, "limits", account=account, rate=max_rate, in_flight=in_flight)
    return done(request, "/", f"the limits of account {account} are changed")


@routes.post("/submission/resume")
async def resume_submission(request: web.Request) -> web.Response:
    """Lift a submission's pause, and take its cancellation back."""
    site, name = request.app[SITE], _submission(request)
    goes_on = await site.call(let_go, site.servers.store, site.settings, name)
    site.changed(request, "submission.resume", submission=name)
    was = "goes on" if goes_on else "was neither paused nor cancelled"
    return done(request, "/submissions", f"submission {name} {was}")


@routes.post("/submission/cancel")
async def cancel_(request: web.Request) -> web.Response:
    """Cancel what a submission has not sent yet, if the number that waits was given."""
    site, name = request.app[SITE], _submission(request)
    store, settings = site.servers.store, site.settings
    found = await site.call(lambda: view(store, all_accounts(store, settings), name))
    if found is None:
        raise Problem(f"submission {name} is unknown: no worker has seen a job of it yet")
    _demand_count(request, found.waiting, "job")
    accounts = await site.call(accounts_of_submission, store, settings, found.about)
    await site.call(cancel_submission, store, accounts, name)
    site.changed(request, "submission.cancel", submission=name)
    said = f"{counted(found.waiting, 'job')} of submission {name} will be cancelled"
    return done(request, "/submissions", said)


def _submission(request: web.Request) -> str:
    return LABEL.convert(request[FORM].get("submission", ""), None, None)


def _demand_count(request: web.Request, number: int, noun: str) -> None:
    """Have whoever destroys or repeats know how much it is. Raises Problem."""
    given = request[FORM].get("count", "").replace(",", "").strip()
    if given != str(number):
        raise Problem(f"nothing was changed: it is {counted(number, noun)} now, not {given or '-'}")


@routes.post("/job/cancel")
async def cancel_job(request: web.Request) -> web.Response:
    """Have a job given up before its next attempt."""
    site, form = request.app[SITE], request[FORM]
    account, job = (NAME.convert(form.get(name, ""), None, None) for name in ("account", "job"))
    if account not in await site.call(all_accounts, site.servers.store, site.settings) or not job:
        raise Problem(f"account {account} is unknown")
    state = await site.call(cancel, site.servers.store, account, job)
    site.changed(request, "job.cancel", account=account, job=job)
    said = "already has its outcome" if state in ENDED else "will be cancelled at its next turn"
    return done(request, "/search", f"job {job} {said}")


def _choice(request: web.Request) -> Choice:
    form = request[FORM]
    code, job = form.get("code") or None, NAME.convert(form.get("job", ""), None, None)
    if code is not None and code not in ERROR_CODES:
        raise Problem(f"there is no error code {code}")
    return Choice(jobs=frozenset({job} if job else ()), code=code, is_sure=_is_sure(request))


def _is_sure(request: web.Request) -> Callable[[Dead], bool]:
    """Take the tick for every letter that is in doubt."""
    is_ticked = request[FORM].get("doubt") == "yes"
    return lambda _: is_ticked


@routes.post("/dead-letters/replay")
async def replay(request: web.Request) -> web.Response:
    """Enqueue the jobs of the chosen letters again."""
    return await _replayed(request, _choice(request), "/dead-letters")


@routes.post("/submission/replay")
async def replay_reason(request: web.Request) -> web.Response:
    """Enqueue again what failed for one reason in a submission."""
    name, reason = _submission(request), request[FORM].get("reason", "")
    choice = Choice(submission_id=name, reason=reason, is_sure=_is_sure(request))
    return await _replayed(request, choice, f"/submission?id={quote(name, safe='')}")


async def _replayed(request: web.Request, choice: Choice, where: str) -> web.Response:
    site = request.app[SITE]
    async with site.letters:
        _demand_count(request, await site.call(_how_many, site.servers, choice), "dead letter")
        count = await site.call(replay_chosen, site.servers, site.settings, choice, JOBS_QUEUE)
    site.changed(request, "replay", **_chosen(choice), done=count.done)
    said = [f"replayed {counted(count.done, 'dead letter')}"]
    if count.unreadable:
        said.append(f"{counted(count.unreadable, 'message')}: no job, and cannot be replayed")
    if count.in_doubt:
        said.append(f"{counted(count.in_doubt, 'job')} in doubt: not replayed, not ticked")
    return done(request, where, *said, *_cut_short(count))


def _chosen(choice: Choice) -> dict[str, object]:
    """Name in the log which letters were chosen."""
    return {
        "code": choice.code,
        "jobs": sorted(choice.jobs),
        "submission": choice.submission_id,
        "reason": choice.reason,
    }


@routes.post("/dead-letters/discard")
async def discard(request: web.Request) -> web.Response:
    """Write the chosen letters to a file, and take them off for good."""
    site, choice = request.app[SITE], _choice(request)
    async with site.letters:
        _demand_count(request, await site.call(_how_many, site.servers, choice), "dead letter")
        count = await site.call(_discard, site.servers, choice)
    site.changed(request, "discard", **_chosen(choice), done=count.done)
    said = f"discarded {counted(count.done, 'dead letter')}, written to {DISCARDED.resolve()}"
    return done(request, "/dead-letters", said, *_cut_short(count))


def _how_many(servers: Servers, choice: Choice) -> int:
    with letters_at(servers) as letters:
        return sum(choice.takes(letter) for letter in letters)


def _discard(servers: Servers, choice: Choice) -> Count:
    with closing(Output(DISCARDED, append=True)) as out:
        return discard_chosen(servers, choice, Discarder(out))


def _cut_short(count: Count) -> list[str]:
    if not count.is_cut_short:
        return []
    return [f"stopped after {count.held} dead letters that stay in the queue"]
