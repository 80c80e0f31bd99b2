"""The profile of a consumer: the body of `userprofile.SetUserProfile`, with its attributes.

Sources: CONVERSATION page of the Connector API; schemas setUserProfile.json and userprofile/*.json;
"Types of engagement attributes".
"""

import re
from typing import Annotated, Any, Literal, Required

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# The Monitoring API's own sample has an age of 30.0.
Integer = Annotated[int, BeforeValidator(_whole)]


def _year(value: Any) -> Any:
    return int(value) if isinstance(value, str) and YEAR.fullmatch(value) else _whole(value)


# The page's own example of a year of birth is a text, beside the type "integer".
YEAR = re.compile("[0-9]{4}")
Year = Annotated[int, BeforeValidator(_year)]


class Date(TypedDict):
    """A day of the calendar."""

    day: Integer
    month: Integer
    year: Integer


class AuthInfo(TypedDict, total=False):
    """How the consumer proved who they are."""

    amr: list[
        Literal[
            "face", "fpt", "geo", "hwk", "iris", "kba", "mca", "mfa", "otp", "pin", "pwd", "rba",
            "retina", "sc", "sms", "swk", "tel", "user", "vbm", "wia",
        ]
    ]  # fmt: skip
    iss: str


class CustomerInfo(TypedDict, total=False):
    """What `ctmrinfo` may say; the stores are ignored in the authenticated flow."""

    ctype: str
    cstatus: str
    balance: Annotated[float, Field(allow_inf_nan=False)]
    currency: str
    customerId: str
    socialId: str
    imei: str
    userName: str
    companySize: Integer
    companyBranch: str
    accountName: str
    role: str
    lastPaymentDate: Date
    registrationDate: Date
    loginStatus: Integer
    storeZipCode: str
    storeNumber: str


class Age(TypedDict, total=False):
    """An age, or a day of birth."""

    age: Integer
    year: Year
    month: Integer
    day: Integer


class Address(TypedDict, total=False):
    """Where a contact lives."""

    country: str
    region: str


class Contact(TypedDict, total=False):
    """One way to reach a person."""

    email: str
    phone: str
    phoneType: Literal[
        "HOME", "MOBILE", "WORK", "FAX", "MAIN", "HOME_FAX", "WORK_FAX", "PAGER", "OTHER"
    ]
    address: Address


class PersonalInfo(TypedDict, total=False):
    """What `personal` may say."""

    firstname: str
    lastname: str
    age: Age
    contacts: list[Contact]
    gender: Literal["MALE", "FEMALE", "OTHER"]
    company: str
    language: str


class CustomerSde(TypedDict, total=False):
    """The engagement attribute `ctmrinfo`."""

    type: Required[Literal["ctmrinfo"]]
    info: Required[CustomerInfo]
    auth: AuthInfo


class PersonalSde(TypedDict, total=False):
    """The engagement attribute `personal`."""

    type: Required[Literal["personal"]]
    personal: Required[PersonalInfo]
    auth: AuthInfo


class AuthenticatedData(TypedDict, total=False):
    """The attributes that agents see; only these two kinds are allowed here."""

    lp_sdes: list[Annotated[CustomerSde | PersonalSde, Field(discriminator="type")]]


class PushNotificationData(TypedDict, total=False):
    """Where to push."""

    serviceName: str
    certName: str
    token: str


class PrivateData(TypedDict, total=False):
    """What only the brand sees."""

    mobileNum: str
    mail: str
    pushNotificationData: PushNotificationData


class Profile(TypedDict, total=False):
    """The body of `userprofile.SetUserProfile`; it may be empty."""

    authenticatedData: AuthenticatedData
    firstName: str
    lastName: str
    userId: str
    avatarUrl: str
    backgndImgUri: str
    role: str
    description: str
    nickName: str
    privateData: PrivateData
