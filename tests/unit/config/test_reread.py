"""Credentials that change while a worker runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import reread_credentials

TOML = """
[accounts.1]
client_id = "{client_id}"
client_secret = "{secret}"
"""


def reread() -> tuple[str, str] | None:
    """Read the credentials of account 1, the secret in the clear."""
    found = reread_credentials("1")
    return (found[0], found[1].get_secret_value()) if found else None


@pytest.fixture
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Begin in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_no_settings")
def test_a_changed_settings_file_is_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both the id and the secret; a file that cannot be used now says nothing."""
    file = tmp_path / "settings.toml"
    monkeypatch.setenv("OVERTURE_CONFIG", str(file))
    file.write_text(TOML.format(client_id="app", secret="old"))
    assert reread() == ("app", "old")
    file.write_text(TOML.format(client_id="another", secret="new"))
    assert reread() == ("another", "new")
    file.write_text(TOML.format(client_id="another", secret="")[:30])
    assert reread() is None
    file.unlink()
    assert reread() is None


@pytest.mark.usefixtures("_no_settings")
def test_a_changed_secret_file_is_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As Kubernetes swaps it; the environment comes first, as ever."""
    monkeypatch.setenv("OVERTURE_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("OVERTURE_ACCOUNTS__1__CLIENT_ID", "app")
    secret = tmp_path / "accounts__1__client_secret"
    for value in ("old", "new"):
        secret.write_text(value)
        assert reread() == ("app", value)
    monkeypatch.setenv("OVERTURE_ACCOUNTS__1__CLIENT_SECRET", "mine")
    assert reread() == ("app", "mine")
