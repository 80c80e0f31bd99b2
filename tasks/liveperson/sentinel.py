"""Sentinel: client credentials in, AppJWT out.

Source: Connector API, "Authorization and authentication". The secret goes into the form: a URL
ends up in access logs.
"""

from dataclasses import replace
from urllib.parse import quote, quote_plus, urlencode

from tasks.liveperson import reading
from tasks.liveperson.answer import Answer, no_answer, refusal
from tasks.liveperson.credentials import Credentials
from tasks.liveperson.http import FateUnknown, NotSent
from tasks.liveperson.services import Services
from tasks.liveperson.tokens import TokenFailure, token_in

_SERVICE = "sentinel"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# Nothing but credentials is asked about here; 451 is an account that LivePerson blocked.
_CREDENTIALS = frozenset({400, 401, 403, 451})


class Sentinel:
    """Asks for AppJWTs of one account; threads share one."""

    def __init__(self, services: Services, *, account_id: str, credentials: Credentials) -> None:
        self._services = services
        account = quote(account_id, safe="")
        self._path = (
            f"/sentinel/api/account/{account}/app/token?v=1.0&grant_type=client_credentials"
        )
        self._credentials = credentials

    def ask(self) -> str:
        """Return a new AppJWT; raises TokenFailure."""
        answer = self._answer()
        if isinstance(answer, Answer):
            # Raised from here, so that no frame of its traceback holds the secret.
            raise TokenFailure(answer)
        return answer

    def _answer(self) -> str | Answer:
        self._credentials.read_again()
        client_id, secret = self._credentials.client_id, self._credentials.secret()
        form = urlencode({"client_id": client_id, "client_secret": secret}).encode("ascii")
        try:
            response = self._services.call(_SERVICE, "POST", self._path, headers=_FORM, body=form)
        except (NotSent, FateUnknown) as error:
            answer = no_answer(self._services.place(_SERVICE), error)
        else:
            token = token_in(response, "access_token") if response.status == 200 else None
            if token:
                return token
            place = self._services.place(_SERVICE)
            answer = refusal(place, response, credentials=_CREDENTIALS)
        message = reading.printable(answer.message, secret, quote_plus(secret))
        return replace(answer, message=message)
