"""IDP: issues the ConsumerJWS of a consumer.

Source: Connector API, "Authorization and authentication"; only 201 is documented. `v=1.0` is
documented but clients without it are served, so only another version is refused.
"""

from simulator import answers, documents
from simulator.authentication import authenticate_app
from simulator.calls import Answer, Call, Refused, json_answer
from simulator.reading import demand, read_body
from simulator.state import State
from simulator.tokens import sign_consumer_jws

VERSION = "1.0"


def give_consumer_jws(state: State, call: Call) -> Answer:
    """Answer with the token of the consumer named in the body; asking twice changes nothing."""
    if call.query.get("v", VERSION) != VERSION:
        raise Refused(answers.bad_request(f"v must be {VERSION}"))
    account = authenticate_app(state, call)
    body = read_body(call)
    demand(documents.CONSUMER_REQUEST, body, lenient=state.settings.lenient)
    token = sign_consumer_jws(
        account.id, body["ext_consumer_id"], generation=account.consumer_generation
    )
    return json_answer(201, {"token": token})
