"""The client id and secret of an account, which can change while a worker runs."""

from collections.abc import Callable

from pydantic import SecretStr

Pair = tuple[str, SecretStr]


def never() -> Pair | None:
    """Return None: for settings that are not read again."""
    return None


class Credentials:
    """The credentials of one account; threads share one.

    `reread` reads the settings again and returns the pair that they contain now, or None if they
    are faulty, as a file can be while it is being written.
    """

    def __init__(
        self, client_id: str, client_secret: SecretStr, *, reread: Callable[[], Pair | None] = never
    ) -> None:
        self._pair: Pair = client_id, client_secret
        self._reread = reread

    @property
    def client_id(self) -> str:
        """The client id, which is also that of the app installation."""
        return self._pair[0]

    def secret(self) -> str:
        """Return the client secret in plain text."""
        return self._pair[1].get_secret_value()

    def read_again(self) -> None:
        """Use what the settings contain now."""
        self._pair = self._reread() or self._pair
