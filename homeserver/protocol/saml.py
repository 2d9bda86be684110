"""SAML 2.0 Web SSO as a service provider sees it: the request that a browser carries away, the answer it brings back.

Sources: SAML V2.0 core, bindings and profiles (OASIS, 2005); the HTTP POST "SimpleSign" binding (OASIS, 2008). The
request goes by HTTP-Redirect, unsigned. The answer comes by HTTP-POST, with an XML signature on the response, on the
assertion or on both, or by POST-SimpleSign. What is believed is read only from what a signature covers, see
`saml_signatures.py`; what it does not cover may refuse an answer, never make one good.

Encrypted assertions are not read: the storage's service never sent one.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode
from xml.sax.saxutils import quoteattr

from lxml import etree

from homeserver.errors import SignInRefused
from homeserver.protocol import saml_signatures
from homeserver.protocol.saml_metadata import BEARER, PERSISTENT, POST, IdentityProvider, ServiceProvider
from homeserver.protocol.saml_signatures import ASSERTION, PROTOCOL

MAX_ANSWER_CHARS: Final = 256 * 1024
"""Of the form field; an assertion with a token has some ten thousand."""
MAX_NAME_ID_CHARS: Final = 256
"""SAML's own limit for persistent identifiers."""
MAX_ATTRIBUTES: Final = 100
DEFAULT_SKEW_MS: Final = 120_000

_SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
_UNSPECIFIED: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z")


# --- the request ------------------------------------------------------------------------------------------------------


def request_url(
    provider: IdentityProvider,
    service: ServiceProvider,
    *,
    request_id: str,
    now_ms: int,
    extra: Mapping[str, str] | None = None,
) -> str:
    """The address that asks the identity provider to sign somebody in.

    Args:
        request_id: Random and new; an NCName, so it begins with a letter or `_`. The answer names it (`InResponseTo`).
        extra: Parameters beside the request's own, which some providers want; given as they are to be read.
    """
    document = (
        f'<samlp:AuthnRequest xmlns:samlp="{PROTOCOL}" xmlns:saml="{ASSERTION}" ID={quoteattr(request_id)} '
        f'Version="2.0" IssueInstant="{_written(now_ms)}" Destination={quoteattr(provider.sso_url)} '
        f'AssertionConsumerServiceURL={quoteattr(service.acs_url)} ProtocolBinding="{POST}">'
        f"<saml:Issuer>{_escaped(service.entity_id)}</saml:Issuer>"
        f'<samlp:NameIDPolicy Format="{PERSISTENT}" AllowCreate="true"/>'
        "</samlp:AuthnRequest>"
    )
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)  # raw DEFLATE: bindings, 3.4.4.1
    packed = deflater.compress(document.encode()) + deflater.flush()
    query = urlencode({"SAMLRequest": base64.b64encode(packed).decode(), **(extra or {})})
    return f"{provider.sso_url}{'&' if '?' in provider.sso_url else '?'}{query}"


# --- the answer -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a good answer says, all of it covered by a signature."""

    request_id: str
    """The request that it answers: the caller compares it with the one that this browser carried away."""
    assertion_id: str
    """Good once: the caller remembers it until `remembered_until_ms`."""
    remembered_until_ms: int
    name_id: str
    """Persistent and opaque: the same person at the same service provider has it again next time."""
    attributes: Mapping[str, tuple[str, ...]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rules:
    """How strict an answer is read: how far clocks may differ, and whether SHA-1 is admitted in signatures."""

    skew_ms: int = DEFAULT_SKEW_MS
    allow_sha1: bool = False


def read_answer(
    form: Mapping[str, str], provider: IdentityProvider, service: ServiceProvider, *, now_ms: int, rules: Rules
) -> SignedIn:
    """Verify and read what a browser posts in the identity provider's name.

    Args:
        form: The form's fields: `SAMLResponse`, perhaps `RelayState`, and `Signature` with `SigAlg` for SimpleSign.

    Raises:
        SignInRefused: `check` names the first check that failed. Nothing of the answer stands in the message.
    """
    raw = _decoded(form)
    response = _parsed(raw)
    if response.tag != f"{{{PROTOCOL}}}Response" or response.get("Version") != "2.0":
        raise SignInRefused("shape", "not a response of SAML 2.0")
    # Before the signature: an identity provider does not always sign a refusal, and what it says is worth knowing.
    _check_status(response)
    trusted = saml_signatures.verified(raw, response, form, provider.certificates, allow_sha1=rules.allow_sha1)
    if trusted.response is not None:
        response = trusted.response
    _check_response(response, provider, service)
    return _read_assertion(trusted.assertion, response, provider, service, _Clock(now_ms, rules.skew_ms))


def _decoded(form: Mapping[str, str]) -> bytes:
    text = form.get("SAMLResponse", "")
    if not text:
        raise SignInRefused("shape", "no SAMLResponse")
    if len(text) > MAX_ANSWER_CHARS:
        raise SignInRefused("shape", f"more than {MAX_ANSWER_CHARS} characters")
    try:
        return base64.b64decode("".join(text.split()), validate=True)  # some send it in lines
    except (binascii.Error, ValueError):
        raise SignInRefused("shape", "SAMLResponse is not base64") from None


def _parsed(raw: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(raw, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise SignInRefused("shape", "not XML") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise SignInRefused("shape", "a DTD, which no answer has")
    return root


def _check_status(response: etree._Element) -> None:
    codes = response.findall(f"{{{PROTOCOL}}}Status/{{{PROTOCOL}}}StatusCode")
    if len(codes) != 1:
        raise SignInRefused("status", "no single status")
    if codes[0].get("Value") != _SUCCESS:
        nested = codes[0].find(f"{{{PROTOCOL}}}StatusCode")
        value = (codes[0] if nested is None else nested).get("Value", "")
        raise SignInRefused("status", f"the identity provider says {_short(value.rpartition(':')[2])}")


def _check_response(response: etree._Element, provider: IdentityProvider, service: ServiceProvider) -> None:
    issuer = response.find(f"{{{ASSERTION}}}Issuer")
    if issuer is not None and _text(issuer, "issuer") != provider.entity_id:
        raise SignInRefused("issuer", "the response is from somebody else")
    destination = response.get("Destination")
    if destination is not None and destination != service.acs_url:
        raise SignInRefused("destination", "the response is for another address")


@dataclass(frozen=True, slots=True)
class _Clock:
    now_ms: int
    skew_ms: int

    def begun(self, instant: str | None, check: str) -> None:
        """Refuse what begins later than now."""
        if instant is not None and _read_instant(instant, check) > self.now_ms + self.skew_ms:
            raise SignInRefused(check, "not valid yet; do the clocks differ?")

    def not_over(self, instant: str | None, check: str) -> None:
        """Refuse what has ended."""
        if instant is not None and _read_instant(instant, check) <= self.now_ms - self.skew_ms:
            raise SignInRefused(check, "not valid any more; do the clocks differ?")


def _read_assertion(
    assertion: etree._Element,
    response: etree._Element,
    provider: IdentityProvider,
    service: ServiceProvider,
    clock: _Clock,
) -> SignedIn:
    assertion_id = assertion.get("ID", "")
    if not assertion_id or len(assertion_id) > MAX_NAME_ID_CHARS:
        raise SignInRefused("shape", "an assertion without a usable ID")
    if _text(_one(assertion, "Issuer", "issuer"), "issuer") != provider.entity_id:
        raise SignInRefused("issuer", "the assertion is from somebody else")
    conditions = _one(assertion, "Conditions", "conditions")
    clock.begun(conditions.get("NotBefore"), "conditions")
    clock.not_over(conditions.get("NotOnOrAfter"), "conditions")
    _check_audience(conditions, service)
    for statement in assertion.findall(f"{{{ASSERTION}}}AuthnStatement"):
        clock.not_over(statement.get("SessionNotOnOrAfter"), "session")
    subject = _one(assertion, "Subject", "name_id")
    confirmation = _confirmation(subject, service, clock)
    request_id = confirmation.get("InResponseTo", "")
    if response.get("InResponseTo", request_id) != request_id:
        raise SignInRefused("in_response_to", "response and assertion answer different requests")
    ends = confirmation.get("NotOnOrAfter", "")
    return SignedIn(
        request_id=request_id,
        assertion_id=assertion_id,
        remembered_until_ms=_read_instant(ends, "confirmation") + clock.skew_ms,
        name_id=_name_id(subject),
        attributes=_attributes(assertion),
    )


def _check_audience(conditions: etree._Element, service: ServiceProvider) -> None:
    """All restrictions must name us, and there must be one (profiles, 4.1.4.2)."""
    restrictions = conditions.findall(f"{{{ASSERTION}}}AudienceRestriction")
    named = [
        service.entity_id in [_text(each, "audience") for each in restriction.findall(f"{{{ASSERTION}}}Audience")]
        for restriction in restrictions
    ]
    if not named or not all(named):
        raise SignInRefused("audience", "the assertion is for another site")


def _confirmation(subject: etree._Element, service: ServiceProvider, clock: _Clock) -> etree._Element:
    """The data of a bearer confirmation that holds: of several, one is enough. If none does, the last one's fault."""
    refused = SignInRefused("confirmation", "no bearer confirmation")
    for confirmation in subject.findall(f"{{{ASSERTION}}}SubjectConfirmation"):
        data = confirmation.find(f"{{{ASSERTION}}}SubjectConfirmationData")
        if confirmation.get("Method") == BEARER and data is not None:
            try:
                _check_bearer(data, service, clock)
            except SignInRefused as error:
                refused = error
            else:
                return data
    raise refused


def _check_bearer(data: etree._Element, service: ServiceProvider, clock: _Clock) -> None:
    if data.get("Recipient") != service.acs_url:
        raise SignInRefused("recipient", "the assertion is for another address")
    if data.get("NotOnOrAfter") is None:
        raise SignInRefused("confirmation", "a bearer confirmation without an end")
    clock.begun(data.get("NotBefore"), "confirmation")
    clock.not_over(data.get("NotOnOrAfter"), "confirmation")
    if not data.get("InResponseTo"):
        raise SignInRefused("in_response_to", "nobody asked for this answer")


def _name_id(subject: etree._Element) -> str:
    element = _one(subject, "NameID", "name_id")
    if element.get("Format", _UNSPECIFIED) not in {PERSISTENT, _UNSPECIFIED}:
        raise SignInRefused("name_id", "an identifier that is not the same next time")
    name_id = _text(element, "name_id")
    if not 0 < len(name_id) <= MAX_NAME_ID_CHARS or not name_id.isprintable():
        raise SignInRefused("name_id", "an empty, overlong or unprintable identifier")
    return name_id


def _attributes(assertion: etree._Element) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for attribute in assertion.findall(f"{{{ASSERTION}}}AttributeStatement/{{{ASSERTION}}}Attribute"):
        name = attribute.get("Name", "")
        values = [_text(value, "attributes") for value in attribute.findall(f"{{{ASSERTION}}}AttributeValue")]
        found[name] = (*found.get(name, ()), *values)
        if len(found) > MAX_ATTRIBUTES:
            raise SignInRefused("attributes", f"more than {MAX_ATTRIBUTES} attributes")
    return found


# --- parts ------------------------------------------------------------------------------------------------------------


def _one(parent: etree._Element, name: str, check: str) -> etree._Element:
    found = parent.findall(f"{{{ASSERTION}}}{name}")
    if len(found) != 1:
        raise SignInRefused(check, f"not exactly one {name}")
    return found[0]


def _text(element: etree._Element, check: str) -> str:
    """All of the element's text. A comment in it would end the text early for some readers, so there may be none."""
    if len(element):
        raise SignInRefused(check, "a text with something else inside")
    return (element.text or "").strip()


def _read_instant(text: str, check: str) -> int:
    """An xs:dateTime in UTC, as SAML requires (core, 1.3.3)."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise SignInRefused(check, "a time that is not in UTC")
    seconds, fraction = match.groups()
    try:
        moment = datetime.fromisoformat(f"{seconds}+00:00")
    except ValueError:
        raise SignInRefused(check, "a time that does not exist") from None
    return (moment - _EPOCH) // timedelta(milliseconds=1) + int((fraction or "0").ljust(3, "0")[:3])


def _written(now_ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=now_ms)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _short(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", text)[:40] or "no"
