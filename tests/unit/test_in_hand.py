"""What is in hand: every message is settled once, and no acknowledgement stands for too many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from worker.broker.in_hand import InHand


class Channel:
    """RabbitMQ's side: what it has handed out and not heard of, and what it was told."""

    def __init__(self) -> None:
        self.unacked: set[int] = set()
        self.acked: set[int] = set()
        self.writes = 0

    def ack(self, tag: int, *, multiple: bool) -> None:
        self.writes += 1
        meant = {held for held in self.unacked if held <= tag} if multiple else {tag}
        assert tag in self.unacked, "the broker closes the channel for an unknown tag"
        self.acked |= meant
        self.unacked -= meant


@dataclass(frozen=True, eq=False)
class Message:
    channel: Channel
    tag: int

    def acknowledge(self, *, multiple: bool) -> None:
        self.channel.ack(self.tag, multiple=multiple)


@dataclass
class Loop:
    """Runs what it is given when it is told to."""

    waiting: list[Callable[[], object]] = field(default_factory=list)
    urgent: list[Callable[[], object]] = field(default_factory=list)

    def call_soon(self, action: Callable[[], object]) -> None:
        self.waiting.append(action)

    def call_at_once(self, action: Callable[[], object]) -> None:
        self.urgent.append(action)

    def turn(self) -> None:
        waiting, self.waiting = self.waiting, []
        for action in waiting:
            action()


def made(loop: Loop, *, enough: int = 100, multiple: bool = True) -> InHand:
    return InHand(loop.call_soon, loop.call_at_once, enough=enough, multiple=multiple)


def taken(in_hand: InHand, channel: Channel, tags: range) -> list[Message]:
    messages = [Message(channel, tag) for tag in tags]
    for message in messages:
        channel.unacked.add(message.tag)
        in_hand.add(message)
    return messages


@given(
    ends=st.lists(
        st.tuples(st.integers(0, 1), st.integers(1, 30), st.sampled_from(["ack", "requeue"])),
        max_size=60,
    ),
    turns=st.sets(st.integers(0, 60)),
)
def test_only_what_was_acknowledged_is(ends: list[tuple[int, int, str]], turns: set[int]) -> None:
    """In whatever order jobs end, on a connection and on the one after it."""
    loop, channels = Loop(), (Channel(), Channel())
    in_hand = made(loop)
    held = {
        (number, message.tag): message
        for number, channel in enumerate(channels)
        for message in taken(in_hand, channel, range(1, 31))
    }
    acked: set[tuple[int, int]] = set()
    for step, (number, tag, how) in enumerate(ends):
        message = held.pop((number, tag), None)
        if message is not None and how == "ack":
            in_hand.ack(message)
            acked.add((number, tag))
        elif message is not None:
            channel = message.channel
            in_hand.end(message, lambda c=channel, t=tag: c.unacked.discard(t))  # type: ignore[misc] # mypy does not infer defaults
        if step in turns:
            loop.turn()
    loop.turn()
    assert {(n, tag) for n, channel in enumerate(channels) for tag in channel.acked} == acked
    assert len(in_hand) == len(held)


def test_one_acknowledgement_stands_for_many() -> None:
    """What is older than all that stays in hand takes one write; the rest one each."""
    loop, channel = Loop(), Channel()
    in_hand = made(loop)
    messages = taken(in_hand, channel, range(1, 11))
    for message in [*messages[5::-1], messages[8]]:
        in_hand.ack(message)
    assert len(loop.waiting) == 1
    loop.turn()
    assert (channel.acked, channel.writes) == ({1, 2, 3, 4, 5, 6, 9}, 2)


def test_many_that_have_ended_are_not_kept_waiting() -> None:
    """The slots would have nothing to do; whoever asks for it asks once."""
    loop, channel = Loop(), Channel()
    in_hand = made(loop, enough=3)
    messages = taken(in_hand, channel, range(1, 8))
    for message in messages[:2]:
        in_hand.ack(message)
    assert loop.urgent == []
    for message in messages[2:]:
        in_hand.ack(message)
    assert (len(loop.urgent), len(loop.waiting)) == (1, 1)
    loop.urgent.pop()()
    assert channel.acked == {1, 2, 3, 4, 5, 6, 7}
    loop.turn()
    assert (channel.writes, len(in_hand)) == (1, 0)


def test_a_message_whose_end_failed_is_acknowledged_by_no_other() -> None:
    """It is still the broker's, and comes again when the connection ends."""
    loop, channel = Loop(), Channel()
    in_hand = made(loop)
    first, second, third = taken(in_hand, channel, range(1, 4))

    def fails() -> None:
        raise OSError("cut")

    in_hand.end(first, fails)
    loop.turn()
    in_hand.ack(second)
    in_hand.ack(third)
    loop.turn()
    assert (channel.unacked, channel.acked, len(in_hand)) == ({1}, {2, 3}, 0)


def test_what_failed_on_one_channel_is_not_forgotten_for_another() -> None:
    """As when what was in hand from a lost connection ends on the next one."""
    loop, old, new = Loop(), Channel(), Channel()
    in_hand = made(loop)
    (lost,) = taken(in_hand, old, range(1, 2))
    first, second, third = taken(in_hand, new, range(1, 4))

    def fails() -> None:
        raise OSError("cut")

    in_hand.end(first, fails)
    in_hand.end(lost, fails)
    in_hand.ack(second)
    in_hand.ack(third)
    loop.turn()
    assert (new.unacked, new.acked) == ({1}, {2, 3})


def test_a_loop_that_forgot_to_settle_can_be_made_to() -> None:
    """Whoever turns it does so now and then: nothing waits for an end that was told in vain."""
    loop, channel = Loop(), Channel()
    in_hand = made(loop)
    first, second = taken(in_hand, channel, range(1, 3))
    in_hand.ack(first)
    loop.waiting.clear()
    in_hand.settle()
    assert channel.acked == {1}
    in_hand.ack(second)
    loop.turn()
    assert (channel.acked, len(in_hand)) == ({1, 2}, 0)


def test_brokers_without_such_acknowledgements_get_single_ones() -> None:
    """Redis names each message by itself."""
    loop, channel = Loop(), Channel()
    in_hand = made(loop, multiple=False)
    for message in taken(in_hand, channel, range(1, 5)):
        in_hand.ack(message)
    loop.turn()
    assert (channel.acked, channel.writes) == ({1, 2, 3, 4}, 4)


def test_an_end_that_comes_during_a_turn_is_not_forgotten() -> None:
    """Whoever ends while the loop is at it is dealt with in this turn or the next."""
    loop, channel = Loop(), Channel()
    in_hand = made(loop)
    first, second = taken(in_hand, channel, range(1, 3))
    in_hand.end(first, lambda: in_hand.ack(second))
    loop.turn()
    loop.turn()
    assert (channel.acked, len(in_hand)) == ({1, 2}, 0)
