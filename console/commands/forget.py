"""`overture forget`: erases what is held of a person."""

from __future__ import annotations

import click

from console.admin.person import MAX_LOOKED_AT, discard_letters, forget, held_of
from console.asking import demand_yes, yes_option
from console.help import examples
from console.output import complain, counted, printable, say
from console.params import NAME
from console.servers import open_servers, read_settings
from tasks.store.brake import accounts_of


@click.command(epilog=examples("overture forget --consumer c-9f2d7c1e"))
@click.option("--consumer", type=NAME, metavar="ID", required=True, help="The person's consumerId.")
@yes_option
def command(*, consumer: str, yes: bool) -> int:
    """Erase what is held of a person: outcomes, attempts, notes, visits and dead letters.

    That a job was done stays known, by its jobId and a digest of its content: it is not done again
    if it is enqueued again. What still lies in queues is named, and jobs under way are left alone:
    cancel them, or let them end, and call this again. Files that were written, the log, and the
    tokens that workers hold in memory are not erased. The exit status is 1 if anything is left.
    """
    settings = read_settings()
    with open_servers(settings) as servers:
        accounts = accounts_of(servers.store, settings.accounts)
        held = held_of(servers.broker, servers.store, settings, accounts, consumer)
        jobs, letters = counted(len(held.finished), "job"), counted(held.letters, "dead letter")
        demand_yes(f"Erase {jobs} and {letters} of consumer {consumer} for good?", sure=yes)
        erased = forget(servers.store, settings, accounts, consumer, held)
        discarded = discard_letters(servers.broker, consumer) if held.letters else 0
    say(f"erased {counted(erased, 'job')} and {counted(discarded, 'dead letter')}")
    for job in held.under_way:
        complain(
            f"job {printable(job.job_id)} is {job.state} and left alone: overture cancel "
            f"{printable(job.job_id)}, and forget again once it has ended"
        )
    for queue, count in held.queued.items():
        complain(f"{counted(count, 'message')} of this consumer in {queue}: take it off yourself")
    if not held.looked_at_all:
        complain(f"only the first {MAX_LOOKED_AT} messages of each queue were looked at")
    return int(bool(held.under_way or held.queued or not held.looked_at_all))
