"""The client id and secret of an account: as configured, and read again where they can change."""

from collections.abc import Callable

from pydantic import SecretStr

Pair = tuple[str, SecretStr]


def never() -> Pair | None:
    """Stand for settings that are not read again."""
    return None


class Credentials:
    """What one account identifies itself with; threads share one.

    `reread` reads the settings again and returns the pair they hold now, or None where they cannot
    be used: a file that is just being written is read at the next time.
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
        """Return the client secret in the clear."""
        return self._pair[1].get_secret_value()

    def read_again(self) -> None:
        """Take over what the settings hold now."""
        self._pair = self._reread() or self._pair
