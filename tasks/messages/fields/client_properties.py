"""What LivePerson is told about the consumer's client: in a header here, in a body there.

Sources: LivePerson's schema clientPropertiesHeader.json and its examples page (the header); its
Monitoring API page "Engagement" (the body). Each has names of operating systems of its own.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from tasks.messages.fields.kinds import about

_OCTET = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"

Text32 = Annotated[str, Field(max_length=32)]
Text64 = Annotated[str, Field(max_length=64)]
IPv4 = Annotated[
    str, about("An IPv4 address, such as 192.0.2.10.", pattern=rf"^({_OCTET}\.){{3}}{_OCTET}$")
]


class ClientProperties(TypedDict, total=False):
    """The `Client-Properties` header: of this request, and of every SEND that follows it."""

    type: Annotated[
        Literal[".ClientProperties", ".ams.headers.ClientProperties"],
        about("LivePerson's examples have the first, its schema the second."),
    ]
    appId: Text64
    appVersion: Text32
    ipAddress: IPv4
    deviceFamily: Literal["DESKTOP", "TABLET", "MOBILE", "OTHER"]
    os: Literal["WINDOWS", "LINUX", "OSX", "ANDROID", "IOS", "OTHER"]
    osName: Text64
    osVersion: Text64
    integration: Literal["WEB_SDK", "MOBILE_SDK", "BRAND_SDK"]
    integrationVersion: Text64
    browser: Text64
    browserVersion: Text64
    timeZone: Text64
    deviceManufacture: Text64
    deviceModel: Text64
    features: Annotated[
        list[Text64],
        about(
            "What the client can do. Clients send more values than are documented, so any is "
            "accepted. AUTO_MESSAGES needs the consumer's first message within 10 s of the "
            "creation.",
            examples=[["AUTO_MESSAGES", "RICH_CONTENT"]],
        ),
    ]


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
