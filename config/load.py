"""Reads the settings at the start of a process, and reports all faults together, by name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings.exceptions import SettingsError

from config.settings import Account, Settings
from config.sources import NESTED, PREFIX, UnreadableSource

# Variables that say where the settings are.
LOCATORS = frozenset({f"{PREFIX}CONFIG", f"{PREFIX}SECRETS_DIR"})
SINGLE_ACCOUNT = ("client_id", "client_secret")


class InvalidSettings(Exception):
    """The settings are faulty; `faults` has a sentence for each fault, without values."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


def load_settings() -> Settings:
    """Read the settings from the environment, the secrets folder and the file.

    Raises InvalidSettings.
    """
    try:
        return Settings()
    except UnreadableSource as error:
        raise InvalidSettings([str(error)]) from None
    except RecursionError:
        raise InvalidSettings(["the environment contains JSON that is nested too deeply"]) from None
    except SettingsError as error:
        # Its text may quote the value, so only the field's name is used.
        names = [name for name in Settings.model_fields if f'"{name}"' in str(error)]
        remedy = "correct it, or use a settings file"
        faults = [f"{_variable([name])}: is not JSON; {remedy}" for name in names]
        raise InvalidSettings(faults or ["the environment cannot be read as settings"]) from None
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise InvalidSettings(sorted(set(_faults(details)))) from None


def reread_credentials(account_id: str) -> tuple[str, SecretStr] | None:
    """Read an account's client id and secret again; None if the settings are faulty now.

    The environment does not change while a process runs.
    """
    try:
        account = load_settings().accounts.get(account_id)
    except InvalidSettings:
        return None
    return (account.client_id, account.client_secret) if account else None


def misspelt() -> list[str]:
    """Return a sentence for each environment variable that is nearly, but not quite, one of ours.

    They are not faults: Kubernetes sets OVERTURE_SERVICE_HOST and the like by itself.
    """
    known = {_variable([name]) for name in Settings.model_fields} | LOCATORS
    nested = _variable(["accounts", ""])
    found = []
    for name in sorted(os.environ):
        if not name.startswith(PREFIX) or name in known or name.startswith(nested):
            continue
        if near := difflib.get_close_matches(name, known, n=1, cutoff=0.85):
            found.append(f"{name} is not a setting; did you mean {near[0]}?")
    return found


def _faults(details: list[ErrorDetails]) -> Iterator[str]:
    single = os.environ.get(f"{PREFIX}ACCOUNT_ID", "")
    for fault in details:
        # A part of a list has no name of its own.
        path = [part for part in fault["loc"] if isinstance(part, str) and part != "[key]"]
        if path[:2] == ["accounts", single] and path[-1] in SINGLE_ACCOUNT:
            path = path[2:]
        yield f"{_variable(path)}: {_sentence(fault, path)}"


def _sentence(fault: ErrorDetails, path: list[str]) -> str:
    if fault["type"] == "missing":
        return "is missing"
    if fault["type"] == "extra_forbidden":
        known = Account.model_fields if len(path) > 1 else Settings.model_fields
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"; did you mean {_variable([*path[:-1], near[0]])}?" if near else ""
        return f"is not a setting{hint}"
    if fault["type"] == "too_short":
        return f"should have at least {fault['ctx']['min_length']} characters"
    text = fault["msg"]
    if fault["type"] == "value_error":
        return text.removeprefix("Value error, ")
    return f"{text[0].lower()}{text[1:]}"


def _variable(path: Sequence[str]) -> str:
    return PREFIX + NESTED.join(path).upper()
