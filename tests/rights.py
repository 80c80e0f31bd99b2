"""The rights that the operator's page lists, as its reader would copy them."""

from __future__ import annotations

from typing import Final

from tests.documents import codes, read, rows, section

WORKER, PRODUCER, READER = 0, 1, 2
# As whom a worker logs in that has these rights alone.
USER: Final = "worker"
PASSWORD: Final = "secret"


def redis_rules() -> list[str]:
    """Return the rights of the user for store and broker, as ACL SETUSER takes them."""
    _, _, behind = read("docs/operations.md").partition("ACL SETUSER overture on >PASSWORD ")
    return behind.partition("```")[0].split()


def rabbitmq_rights(user: int) -> list[str]:
    """Return the expressions for configure, write and read of one of the three users."""
    table = rows(section(read("docs/operations.md"), "Rights on RabbitMQ"))
    return [codes(cell)[0] for cell in table[user][1:]]
