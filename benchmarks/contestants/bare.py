"""A loop around `requests` on a number of threads: no queue, no result, nothing else."""

from __future__ import annotations

import sys
import threading

from benchmarks.contestants.call import CONCURRENCY, tokens
from benchmarks.contestants.sessions import post
from benchmarks.jobs import jobs


def main() -> None:
    headers = tokens()
    waiting = jobs(int(sys.argv[1]))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                job = next(waiting, None)
            if job is None:
                return
            post(job, headers)

    threads = [threading.Thread(target=work) for _ in range(CONCURRENCY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The last reading of the processor time must find the process alive.
    sys.stdin.read()


if __name__ == "__main__":
    main()
