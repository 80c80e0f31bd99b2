"""The consumer's client, for a header of the CONVERSATION call and the Monitoring API's body.

Sources: LivePerson's schema clientPropertiesHeader.json and its examples page (the header); its
Monitoring API page "Engagement" (the body). Each has its own names of operating systems.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from tasks.messages.fields.kinds import about

_OCTET = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_IPV4 = re.compile(rf"({_OCTET}\.){{3}}{_OCTET}")

Text32 = Annotated[str, Field(max_length=32)]
Text64 = Annotated[str, Field(max_length=64)]
IPv4 = Annotated[
    str, about("An IPv4 address, such as 192.0.2.10.", pattern=rf"^({_OCTET}\.){{3}}{_OCTET}$")
]


# LivePerson's documented values. Real clients send others, too (the type without its dot, the name
# of a system, an IPv6 address), so these are accepted, with a warning.
DOCUMENTED: Final[Mapping[str, tuple[str, ...]]] = {
    "type": (".ClientProperties", ".ams.headers.ClientProperties"),
    "deviceFamily": ("DESKTOP", "TABLET", "MOBILE", "OTHER"),
    "os": ("WINDOWS", "LINUX", "OSX", "ANDROID", "IOS", "OTHER"),
    "integration": ("WEB_SDK", "MOBILE_SDK", "BRAND_SDK"),
}
DEFAULT_TYPE: Final = DOCUMENTED["type"][0]


def _documented(name: str) -> Any:
    return about(f"Documented: {', '.join(DOCUMENTED[name])}; any other passes, with a warning.")


class ClientProperties(TypedDict, total=False):
    """The `Client-Properties` header: of this request, and of every SEND that follows it."""

    type: Annotated[
        str,
        about(
            "Filled in where it is missing. LivePerson's examples have .ClientProperties, its "
            "schema .ams.headers.ClientProperties.",
            min_length=1,
            max_length=64,
            examples=[DEFAULT_TYPE],
        ),
    ]
    appId: Text64
    appVersion: Text32
    ipAddress: Annotated[Text64, about("Documented as IPv4; any other passes, with a warning.")]
    deviceFamily: Annotated[Text64, _documented("deviceFamily")]
    os: Annotated[Text64, _documented("os")]
    osName: Text64
    osVersion: Text64
    integration: Annotated[Text64, _documented("integration")]
    integrationVersion: Text64
    browser: Text64
    browserVersion: Text64
    timeZone: Text64
    deviceManufacture: Text64
    deviceModel: Text64
    features: Annotated[
        list[str],
        about(
            "What the client can do. Clients send more values than are documented, so any is "
            "accepted. AUTO_MESSAGES needs the consumer's first message within 10 s of the "
            "creation.",
            examples=[["AUTO_MESSAGES", "RICH_CONTENT"]],
        ),
    ]


def oddities(properties: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning for each value that is not a documented one."""
    for name, documented in DOCUMENTED.items():
        if name in properties and properties[name] not in documented:
            said = ", ".join(documented)
            yield f"clientProperties.{name}: is none of {said}; it is sent as it is"
    if "ipAddress" in properties and not _IPV4.fullmatch(properties["ipAddress"]):
        yield "clientProperties.ipAddress: is no IPv4 address; it is sent as it is"


class MonitoredClient(TypedDict, total=False):
    """The client as the Monitoring API wants it described, for troubleshooting."""

    type: Text64
    appId: Text64
    appVersion: Text32
    ipAddress: IPv4
    deviceFamily: Literal["DESKTOP", "TABLET", "MOBILE"]
    os: Literal["WINDOWS", "MAC_OSX", "LINUX", "IOS", "ANDROID"]
    osName: Text64
    osVersion: Text64
