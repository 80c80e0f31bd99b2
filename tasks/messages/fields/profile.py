"""The body of `userprofile.SetUserProfile`, and the engagement attributes (SDEs) within it.

Sources: LivePerson's CONVERSATION page, its schema setUserProfile.json, and its page "Types of
engagement attributes". None of them names a maximum length for these strings.
"""

from __future__ import annotations

from typing import Annotated, Literal, Required

from pydantic import Field
from typing_extensions import TypedDict

from tasks.messages.fields.kinds import Integer, Year, about


class Date(TypedDict):
    """A calendar day."""

    day: Integer
    month: Integer
    year: Integer


class CustomerInfo(TypedDict, total=False):
    """Customer information (`ctmrinfo`)."""

    ctype: Annotated[str, about("Tier of the customer; case-insensitive.")]
    cstatus: Annotated[str, about("Status of the customer; case-insensitive.")]
    balance: Annotated[float, about("Balance of the account; may be negative.")]
    currency: Annotated[str, about("Currency code of the balance.", examples=["USD"])]
    customerId: str
    socialId: Annotated[str, about("An id on a social network.")]
    imei: Annotated[str, about("The device's identity.")]
    userName: str
    companySize: Integer
    companyBranch: str
    accountName: str
    role: str
    lastPaymentDate: Date
    registrationDate: Date
    loginStatus: Integer
    storeZipCode: Annotated[str, about("LivePerson ignores it in the authenticated flow.")]
    storeNumber: Annotated[str, about("LivePerson ignores it in the authenticated flow.")]


class Age(TypedDict, total=False):
    """Age, or the birthday to calculate it from."""

    age: Integer
    year: Annotated[Year, about("LivePerson needs it to calculate the age.")]
    month: Integer
    day: Integer


class Address(TypedDict, total=False):
    """Where a contact lives."""

    country: str
    region: str


class Contact(TypedDict, total=False):
    """One way to reach the person."""

    email: str
    phone: str
    phoneType: Literal[
        "HOME", "MOBILE", "WORK", "FAX", "MAIN", "HOME_FAX", "WORK_FAX", "PAGER", "OTHER"
    ]
    address: Address


class PersonalInfo(TypedDict, total=False):
    """Personal information (`personal`); these names are all lower case."""

    firstname: Annotated[str, about("With lastname, the name that agents see.")]
    lastname: str
    age: Age
    contacts: list[Contact]
    gender: Literal["MALE", "FEMALE", "OTHER"]
    company: str
    language: Annotated[str, about("Language and country.", examples=["en-US"])]


# fmt: off
AuthenticationMethod = Literal[
    "face", "fpt", "geo", "hwk", "iris", "kba", "mca", "mfa", "otp", "pin", "pwd", "rba",
    "retina", "sc", "sms", "swk", "tel", "user", "vbm", "wia",
]
# fmt: on


class AttributeSource(TypedDict, total=False):
    """Who vouches for an attribute, and how the consumer proved their identity."""

    amr: Annotated[list[AuthenticationMethod], about("Authentication methods (RFC 8176).")]
    iss: Annotated[str, about("The issuer, as a URI.")]


class CustomerAttribute(TypedDict, total=False):
    """The engagement attribute that tells about the customer."""

    type: Required[Literal["ctmrinfo"]]
    info: Required[CustomerInfo]
    auth: AttributeSource


class PersonalAttribute(TypedDict, total=False):
    """The engagement attribute that tells about the person."""

    type: Required[Literal["personal"]]
    personal: Required[PersonalInfo]
    auth: AttributeSource


class AuthenticatedData(TypedDict, total=False):
    """What agents see about the consumer."""

    lp_sdes: Annotated[
        list[Annotated[CustomerAttribute | PersonalAttribute, Field(discriminator="type")]],
        about("LivePerson replaces what it has stored of a kind: send the full set every time."),
    ]


class PushNotificationData(TypedDict, total=False):
    """How a mobile app's messages are pushed."""

    serviceName: str
    certName: str
    token: str


class PrivateData(TypedDict, total=False):
    """What only the brand can see."""

    mobileNum: str
    mail: str
    pushNotificationData: PushNotificationData


class Profile(TypedDict, total=False):
    """Body of `userprofile.SetUserProfile`, sent as it is; without it, agents see nothing."""

    authenticatedData: AuthenticatedData
    firstName: str
    lastName: str
    nickName: str
    userId: str
    avatarUrl: Annotated[str, about("URL of a picture of the consumer.")]
    backgndImgUri: Annotated[str, about("URL of a background picture.")]
    role: str
    description: str
    privateData: PrivateData
