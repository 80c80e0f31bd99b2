"""How the accounts of a pool share the slots of a process."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tasks.line import Seats


def taken(seats: Seats, stack: ExitStack, account: str, wanted: int = 1000) -> int:
    """Take seats until one is refused; returns how many there were."""
    for count in range(wanted):
        if not stack.enter_context(seats.seat(account)):
            return count
    return wanted


@pytest.mark.parametrize(("slots", "most"), [(1, 1), (2, 1), (10, 5), (51, 26), (100, 50)])
def test_one_account_gets_half(slots: int, most: int) -> None:
    """The rest stays free for whoever comes."""
    with ExitStack() as stack:
        assert taken(Seats(slots, shared=True), stack, "huge") == most


def test_others_get_half_of_what_is_left() -> None:
    """Five accounts that take all they can, one after the other, leave some for a sixth."""
    seats = Seats(50, shared=True)
    with ExitStack() as stack:
        got = [taken(seats, stack, f"account-{number}") for number in range(6)]
        assert got == [25, 13, 6, 3, 2, 1]


def test_accounts_come_to_equal_shares() -> None:
    """As jobs end, their seats go to who has fewer."""
    seats = Seats(30, shared=True)
    jobs = {name: [ExitStack() for _ in range(30)] for name in ("first", "later")}
    for turn in range(300):
        for name, slots in jobs.items():
            slots[turn % 30].close()
            slots[turn % 30].enter_context(seats.seat(name))
    with ExitStack() as stack:
        assert taken(seats, stack, "newcomer") == 5  # ten each, and half of the other ten


def test_an_account_alone_has_every_slot() -> None:
    """There is nobody to keep one for."""
    with ExitStack() as stack:
        assert taken(Seats(50, shared=False), stack, "only", wanted=50) == 50


def test_a_seat_is_given_back_whatever_happens() -> None:
    """Also by a job that stumbles."""
    seats = Seats(3, shared=True)

    def stumble() -> None:
        with seats.seat("account") as seated:
            assert seated
            raise RuntimeError

    for _ in range(10):
        with pytest.raises(RuntimeError):
            stumble()
