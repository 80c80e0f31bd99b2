"""The monkey: breaks things on time, or at random, and mends them again."""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any, Final

from tests.chaos.crew import Crew
from tests.chaos.on_rabbitmq import RabbitBroker
from tests.chaos.plan import Plan, Restart
from tests.chaos.stage import Stage
from tests.chaos.troubles import Trouble, troubles

# Workers are frozen for shorter and for longer than a lease (10 s) and a pulse (7 s) last.
SHORT_SECONDS: Final = (0.3, 4.0)
LONG_SECONDS: Final = (8.0, 14.0)
DOWN_SECONDS: Final = (0.0, 3.0)
DELAY_SECONDS: Final = (0.02, 0.3)

Action = Callable[[], None]


class Monkey:
    """Does what is due at each `turn`; what it did stands in `story`, with seconds since start."""

    def __init__(self, stage: Stage, crew: Crew, plan: Plan, rng: random.Random) -> None:
        self._stage = stage
        self._crew = crew
        self._plan = plan
        self._rng = rng
        self._started = time.monotonic()
        self._agenda: list[tuple[float, int, Action]] = []
        self._order = count()
        self._restarts = iter(sorted(plan.restarts))
        self._next_restart = next(self._restarts, None)
        self._restarting: list[threading.Thread] = []
        self.terminations = 0
        self.story: list[tuple[float, str]] = []
        self._repeat(plan.kill_every, self._kill)
        self._repeat(plan.terminate_every, self._terminate)
        self._repeat(plan.node_every, self._kill_node)
        if plan.random:
            self._in(self._pause(plan.random), self._at_random)
        self._troubles = list(troubles(stage, crew, plan, rng)) if plan.field else []
        self._troubled: list[Trouble] = []
        if plan.field:
            self._in(self._pause(plan.field), self._trouble)

    @property
    def is_done(self) -> bool:
        """Tell whether everything happened that the plan has a number of."""
        return self._next_restart is None and self.terminations >= self._plan.terminations

    def turn(self, share: float) -> None:
        """Do what is due now that this share of the outcomes is there."""
        self._crew.look_after()
        while self._agenda and self._agenda[0][0] <= self._now():
            heapq.heappop(self._agenda)[2]()
        if self._next_restart and share >= self._next_restart[0] and not self._is_restarting():
            self._break(self._next_restart[1])
            self._next_restart = next(self._restarts, None)

    def stop(self) -> None:
        """Break nothing more, and mend everything."""
        self._agenda.clear()
        for thread in self._restarting:
            thread.join()
        for trouble in self._troubled:
            trouble.end()
        for proxy in self._stage.proxies.values():
            proxy.restore()
        self._stage.simulator.control("faults", {"probabilities": dict(self._plan.faults)})
        self._crew.thaw()
        self._tell("everything is mended")

    def _now(self) -> float:
        return time.monotonic() - self._started

    def _tell(self, what: str) -> None:
        self.story.append((round(self._now(), 1), what))
        print(f"{self._now():7.1f} s  {what}", flush=True)

    def _in(self, seconds: float, action: Action) -> None:
        heapq.heappush(self._agenda, (self._now() + seconds, next(self._order), action))

    def _repeat(self, seconds: float, action: Action) -> None:
        def again() -> None:
            self._in(seconds, again)
            action()

        if seconds:
            self._in(seconds, again)

    def _pause(self, mean: float) -> float:
        return self._rng.uniform(0.2, 1.8) * mean

    def _place(self) -> int:
        return self._rng.randrange(self._plan.workers)

    def _is_restarting(self) -> bool:
        return any(thread.is_alive() for thread in self._restarting)

    def _at_random(self) -> None:
        actions, weights = zip(*self._breakages(), strict=True)
        self._rng.choices(actions, weights)[0]()
        self._in(self._pause(self._plan.random), self._at_random)

    def _trouble(self) -> None:
        """Begin a trouble that is not under way, and end it after a while."""
        idle = [trouble for trouble in self._troubles if trouble not in self._troubled]
        trouble = self._rng.choice(idle)
        seconds = self._rng.uniform(*trouble.seconds)
        self._tell(f"{trouble.name}, for {seconds:.1f} s")
        trouble.begin()
        self._troubled.append(trouble)

        def end() -> None:
            trouble.end()
            self._troubled.remove(trouble)

        self._in(seconds, end)
        self._in(self._pause(self._plan.field), self._trouble)

    def _breakages(self) -> Iterator[tuple[Action, int]]:
        yield self._kill, 6
        yield self._freeze, 3
        yield self._terminate, 3
        yield self._break_network, 6
        yield self._break_liveperson, 2
        yield lambda: self._restart("broker"), 1
        yield lambda: self._restart("store"), 1

    def _kill(self) -> None:
        place = self._place()
        self._tell(f"worker {place}: kill -9")
        self._crew.kill(place)

    def _terminate(self) -> None:
        if self._plan.terminations and self.terminations >= self._plan.terminations:
            return
        place = self._place()
        if self._crew.terminate(place):
            self.terminations += 1
            self._tell(f"worker {place}: SIGTERM")

    def _freeze(self) -> None:
        place = self._place()
        worker = self._crew.workers[place]
        seconds = self._rng.uniform(*self._rng.choice((SHORT_SECONDS, LONG_SECONDS)))
        self._tell(f"worker {place}: frozen for {seconds:.1f} s")
        worker.freeze()
        self._in(seconds, lambda: worker.thaw() if worker.is_frozen else None)

    def _break_network(self) -> None:
        name, proxy = self._rng.choice(sorted(self._stage.proxies.items()))
        seconds = self._rng.uniform(*SHORT_SECONDS)
        delay = self._rng.uniform(*DELAY_SECONDS)
        how, what = self._rng.choice(
            (
                ("reset", proxy.reset),
                ("cut", proxy.cut),
                ("silent", proxy.blackhole),
                ("half open", proxy.half_open),
                (f"slower by {delay:.2f} s", lambda: proxy.delay(delay)),
            )
        )
        self._tell(f"way to {name}: {how}, for {seconds:.1f} s")
        what()
        self._in(seconds, proxy.restore)

    def _break_liveperson(self) -> None:
        fault = self._rng.choice(
            ("server_error", "server_error_after", "lost_answer", "reset", "withheld_answer")
        )
        seconds = self._rng.uniform(*SHORT_SECONDS)
        self._tell(f"LivePerson: nothing but {fault} for {seconds:.1f} s")
        self._set_faults({fault: 1.0})
        self._in(seconds, lambda: self._set_faults(dict(self._plan.faults)))

    def _set_faults(self, probabilities: dict[str, Any]) -> None:
        self._stage.simulator.control("faults", {"probabilities": probabilities})

    def _break(self, what: Restart) -> None:
        down = self._rng.uniform(*DOWN_SECONDS)
        match what:
            case "master":
                self._tell("master: kill -9, until another one is promoted")
                self._meanwhile(what, partial(self._stage.kill_master, down=down))
            case "primary":
                number = self._rng.randrange(3)
                self._tell("primary: kill -9, until its replica is promoted")
                run = partial(self._stage.kill_primary, number=number, down=down)
                self._meanwhile(what, run)
            case "slots":
                self._tell("slots: those of all accounts move")
                self._meanwhile(what, partial(self._stage.move_slots, self._plan))
            case _:
                self._restart(what)

    def _kill_node(self) -> None:
        broker = self._stage.broker
        assert isinstance(broker, RabbitBroker)
        if self._is_restarting():
            return
        number, down = self._rng.randrange(len(broker.nodes)), self._rng.uniform(*DOWN_SECONDS)
        self._tell(f"node {number}: kill -9")
        self._meanwhile(f"node {number}", partial(broker.kill_node, number, down=down))

    def _restart(self, what: str) -> None:
        if self._is_restarting():
            return
        orderly = self._rng.random() < 0.3
        down = self._rng.uniform(*DOWN_SECONDS)
        self._tell(f"{what}: {'stopped' if orderly else 'kill -9'}, down for {down:.1f} s and more")
        restart = self._stage.broker.restart if what == "broker" else self._stage.restart_store
        self._meanwhile(what, partial(restart, orderly=orderly, down=down))

    def _meanwhile(self, what: str, action: Action) -> None:
        def run() -> None:
            action()
            self._tell(f"{what}: back")

        thread = threading.Thread(target=run, name="restart", daemon=True)
        thread.start()
        self._restarting.append(thread)
