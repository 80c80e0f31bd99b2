"""The scripted LivePerson has the methods of the real client that the tasks call."""

from __future__ import annotations

from typing import Final

from tasks.liveperson.client import LivePersonClient
from tests.scripted_liveperson import LivePerson, ScriptedLivePerson

# mypy holds both to the protocol.
KINDS: Final[tuple[type[LivePerson], ...]] = (LivePersonClient, ScriptedLivePerson)
# What a process does with its client at its end: no job asks for it.
NO_JOBS: Final = {"close"}


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_no_public_method_of_the_client_is_left_out() -> None:
    """One that is added to it is added to the protocol, and so to the scripted one."""
    real, scripted = KINDS
    assert public(real) - NO_JOBS == public(scripted) == public(LivePerson)
