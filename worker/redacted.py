"""The secrets in the settings, to be removed from the log."""

from __future__ import annotations

from config.settings import Settings
from config.urls import passwords_of
from tasks.liveperson.environment import proxy_passwords


def secrets_of(settings: Settings) -> set[str]:
    """Return the values that must not appear in the log."""
    urls = [url.get_secret_value() for url in (settings.broker_url, settings.store_url) if url]
    passwords = set[str]().union(proxy_passwords(), *map(passwords_of, urls))
    console = (settings.console_password, settings.console_reader_password)
    passwords.update(one.get_secret_value() for one in console if one)
    return passwords | {
        account.client_secret.get_secret_value() for account in settings.accounts.values()
    }
