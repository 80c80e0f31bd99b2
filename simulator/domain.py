"""The Domain API: the hosts of an account's services. Here all of them are the simulator.

Source: LivePerson Domain API page. Only statuses 200, 400 and 401 are documented, and no error
body is.
"""

from simulator import answers
from simulator.calls import Answer, Call, Refused, json_answer
from simulator.state import State

VERSION = "1.0"
SERVICES = (
    "asyncMessagingEnt",
    "sentinel",
    "idp",
    "smt",
    "msgHist",
    "messagingRestApiDomain",
    "agentVep",
    "accountConfigReadOnly",
    "accountConfigReadWrite",
    "swift",
    "engHistDomain",
    "leDataReporting",
    "liveEngageUI",
    "visitorFeed",
    "etool",
    "faasGW",
    "pusher",
    "rtbf",
    "msgEwtAPI",
    "botConnectorsDomain",
)


def _demand_account(state: State, call: Call) -> None:
    if call.query.get("version") != VERSION:
        raise Refused(answers.bad_request(f"version={VERSION} is required"))
    if state.find(call.account_id) is None:
        raise Refused(answers.bad_request("No such account"))


def _entry(call: Call, service: str) -> dict[str, str]:
    """Return the host that the caller used for the simulator, so that a proxy works, too."""
    return {"service": service, "account": call.account_id, "baseURI": call.headers.get("Host", "")}


def look_up_one(state: State, call: Call) -> Answer:
    """Answer for one service; its name is case sensitive."""
    _demand_account(state, call)
    service = call.path["service"]
    if service not in SERVICES:
        raise Refused(answers.bad_request("No such service"))
    return json_answer(200, _entry(call, service))


def look_up_all(state: State, call: Call) -> Answer:
    """Answer for all services."""
    _demand_account(state, call)
    return json_answer(200, {"baseURIs": [_entry(call, service) for service in SERVICES]})
