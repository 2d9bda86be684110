"""The people, friendships and keys that Shindig is given. All ids are the guide's, or made up in their manner."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.interop.shindig import HmacKey, Setup

ELIZABETH: Final = "15913663323317925521"
JANE: Final = "10459228050876679741"
LYDIA: Final = "07365476160138082838"
"""The guide's three: two above 2^63, one with a leading 0."""
OUTSIDER: Final = "11111111111111111111"
"""Nobody's friend; has a place for AppData, but none in it."""
WITHOUT_A_PLACE: Final = "12222222222222222222"
"""Is known, but the container has no row for their AppData."""
NOBODY: Final = "13333333333333333333"
"""Is not known."""

NAMES: Final[Mapping[str, tuple[str, str]]] = {
    ELIZABETH: ("Elizabeth", "Bennet"),
    JANE: ("Jane", "Bennet"),
    LYDIA: ("Lýdia 📜", "O'Bennet & <Söhne>"),
    OUTSIDER: ("Mary", ""),
    WITHOUT_A_PLACE: ("Kitty", "Bennet"),
}
# A crowd for Elizabeth, well over the twenty of a page; one in three does not have the application.
CROWD: Final = tuple(f"2{number:019}" for number in range(45))
HAS_APP: Final[Mapping[str, bool]] = dict.fromkeys(NAMES, True) | {
    person: number % 3 != 0 for number, person in enumerate(CROWD)
}
FRIENDS: Final[Mapping[str, tuple[str, ...]]] = {
    ELIZABETH: (JANE, LYDIA, *CROWD),  # answers come in the order of all people, whatever the order here
    JANE: (ELIZABETH, LYDIA),
    LYDIA: (ELIZABETH, JANE),
}
# Everybody in this list has AppData to play with; each test takes people whom no other test touches.
WRITERS: Final = tuple(f"3{number:019}" for number in range(60))
LETTERS: Final = {ELIZABETH: "3", JANE: "12", LYDIA: "7", CROWD[0]: "9", CROWD[1]: "5"}
"""The first of the crowd wrote letters and removed the application since."""

KEY_NAME: Final = "pub.1199819524.-1556113204990931254.cer"
CONTAINER_KEY: Final = "orkut.com"
"""The consumer key of every call that Shindig signs with RSA: the domain in the gadget's token."""
CONSUMER_KEY: Final = "orkut.com:623061448914"
APP_ID: Final = "623061448914"
HMAC_SERVICE: Final = "HMAC"
"""A gadget that asks for this service gets its calls signed with HMAC-SHA1 and its own secret, as on Orkut."""

_ENCODINGS: Final = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True)
class Keys:
    """What both sides of a run know. Made anew for each; 1024 bits, as Orkut's key had."""

    private_pem: bytes
    public_pem: str
    consumer_secret: str


def make_keys() -> Keys:
    """Keys for one run."""
    private = generate_private_key(65537, 1024)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return Keys(private.private_bytes(*_ENCODINGS), public.decode(), secrets.token_urlsafe(18))


def setup(version: str, keys: Keys, gadget_url: str) -> Setup:
    """Shindig with the whole society, and our gadget."""
    people = (*NAMES, *CROWD, *WRITERS)
    empty: dict[str, Mapping[str, str]] = {person: {} for person in people if person != WITHOUT_A_PLACE}
    return Setup(
        version=version,
        people=tuple(map(_person, people)),
        friends=FRIENDS,
        appdata=empty | {person: {"letters": count, "note": "<&>"} for person, count in LETTERS.items()},
        consumers={CONSUMER_KEY: keys.consumer_secret},
        key_name=KEY_NAME,
        private_key_pem=keys.private_pem,
        hmac_keys=(HmacKey(gadget_url, HMAC_SERVICE, CONSUMER_KEY, keys.consumer_secret),),
    )


def _person(person: str) -> dict[str, Any]:
    given, family = NAMES.get(person, ("Number", person[-3:]))
    return {
        "id": person,
        "name": {"givenName": given, "familyName": family, "formatted": f"{given} {family}".strip()},
        "displayName": given,
        "thumbnailUrl": f"http://127.0.0.1:9/pictures/{person}.jpg?size=small&v=1",
        "hasApp": HAS_APP.get(person, True),
    }
