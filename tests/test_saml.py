"""Reading SAML answers: who signed what, for whom, when; and everything that must be refused."""

from __future__ import annotations

import base64
import subprocess
import zlib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from homeserver.errors import SignInRefused
from homeserver.protocol.saml import Rules, SignedIn, read_answer, request_url
from homeserver.protocol.saml_metadata import IdentityProvider
from homeserver.sandbox.saml_answers import DS, RSA_SHA256, SAML, SAMLP, Answer, sign
from tests.saml_kit import GOOD, IDP, NOW_MS, REQUEST_ID, SERVICE, TOKEN, detached, form, key, provider, signed

STRICT = Rules()
SHA1 = Rules(allow_sha1=True)


def read(
    fields: dict[str, str] | etree._Element | bytes,
    *,
    idp: IdentityProvider | None = None,
    now_ms: int = NOW_MS,
    rules: Rules = STRICT,
) -> SignedIn:
    posted = fields if isinstance(fields, dict) else form(fields)
    return read_answer(posted, idp or provider(), SERVICE, now_ms=now_ms, rules=rules)


def refused(
    fields: dict[str, str] | etree._Element | bytes,
    *,
    idp: IdentityProvider | None = None,
    now_ms: int = NOW_MS,
    rules: Rules = STRICT,
) -> str:
    """The check at which it is refused."""
    with pytest.raises(SignInRefused) as caught:
        read(fields, idp=idp, now_ms=now_ms, rules=rules)
    assert TOKEN not in f"{caught.value}{caught.value.detail}"
    return caught.value.check


# --- the request ------------------------------------------------------------------------------------------------------


def test_the_request_as_the_binding_wants_it() -> None:
    url = request_url(provider(), SERVICE, request_id="_abc", now_ms=NOW_MS, extra={"api token": "yes & no"})
    assert url.startswith(f"{IDP}/sso?")
    query = parse_qs(urlsplit(url).query, strict_parsing=True)
    assert query["api token"] == ["yes & no"]
    root = etree.fromstring(zlib.decompress(base64.b64decode(query["SAMLRequest"][0]), wbits=-15))
    assert root.tag == f"{{{SAMLP}}}AuthnRequest"
    assert {str(name): value for name, value in root.attrib.items()} == {
        "ID": "_abc",
        "Version": "2.0",
        "IssueInstant": "2026-11-22T12:00:00Z",
        "Destination": f"{IDP}/sso",
        "AssertionConsumerServiceURL": SERVICE.acs_url,
        "ProtocolBinding": "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST",
    }
    assert root.findtext(f"{{{SAML}}}Issuer") == SERVICE.entity_id


def test_an_address_with_a_query_keeps_it() -> None:
    idp = IdentityProvider(IDP, f"{IDP}/sso?realm=fr", provider().certificates)
    query = parse_qs(urlsplit(request_url(idp, SERVICE, request_id="_a", now_ms=NOW_MS)).query)
    assert query["realm"] == ["fr"]
    assert "SAMLRequest" in query


# --- what is believed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(signed, id="assertion"),
        pytest.param(lambda: signed(assertion=False, response=True), id="response"),
        pytest.param(lambda: signed(response=True), id="both"),
    ],
)
def test_a_signed_answer(document: Callable[[], etree._Element]) -> None:
    said = read(document())
    assert said.name_id == GOOD.name_id
    assert said.request_id == REQUEST_ID
    assert said.assertion_id == "_assertion"
    assert said.attributes == {"OrangeAPIToken": (TOKEN,)}
    assert said.remembered_until_ms == NOW_MS + 300_000 + STRICT.skew_ms
    assert TOKEN not in repr(said)


def test_an_answer_in_lines() -> None:
    fields = form(signed())
    fields["SAMLResponse"] = "\r\n".join(fields["SAMLResponse"][at : at + 76] for at in range(0, 9_000, 76))
    assert read(fields).name_id == GOOD.name_id


@pytest.mark.parametrize("parts", [{"assertion": True}, {"assertion": False, "response": True}, {"response": True}])
def test_sha1_by_setting_only(parts: dict[str, bool]) -> None:
    document = signed(sha1=True, **parts)
    assert refused(document) == "signature"
    assert read(document, rules=SHA1).name_id == GOOD.name_id


def test_a_change_of_keys() -> None:
    document = signed(number=1)
    assert refused(document) == "signature"
    assert read(document, idp=provider(0, 1)).name_id == GOOD.name_id
    assert refused(signed(), idp=provider(1)) == "signature"


def test_what_is_not_signed_is_not_believed() -> None:
    assert refused(GOOD.document()) == "signature"


# --- SimpleSign -------------------------------------------------------------------------------------------------------


def test_simple_sign() -> None:
    assert read(detached(GOOD.document())).name_id == GOOD.name_id
    assert read(detached(GOOD.document(), relay_state=None)).name_id == GOOD.name_id
    assert read(detached(GOOD.document(), relay_state="")).name_id == GOOD.name_id
    assert refused(detached(GOOD.document(), number=1)) == "signature"
    assert refused(detached(GOOD.document(), sha1=True)) == "signature"
    assert read(detached(GOOD.document(), sha1=True), rules=SHA1).name_id == GOOD.name_id


@pytest.mark.parametrize(
    "change",
    [
        {"RelayState": "another"},
        {"SigAlg": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"},
        {"SigAlg": ""},
        {"SigAlg": "http://www.w3.org/2000/09/xmldsig#hmac-sha1"},
        {"Signature": ""},
        {"Signature": "AAAA"},
        {"Signature": "not base64!"},
        {"SAMLResponse": form(GOOD.but(name_id="eve").document())["SAMLResponse"]},
    ],
)
def test_simple_sign_covers_every_part(change: dict[str, str]) -> None:
    assert refused({**detached(GOOD.document()), **change}) == "signature"


def test_simple_sign_without_its_relay_state() -> None:
    fields = detached(GOOD.document())
    del fields["RelayState"]
    assert refused(fields) == "signature"


def test_a_simple_signature_that_is_wrong_is_not_made_good_by_another() -> None:
    assert refused({**form(signed()), "Signature": "AAAA", "SigAlg": RSA_SHA256}) == "signature"


def test_simple_sign_as_openssl_makes_it(tmp_path: Path) -> None:
    """A signature that none of our libraries made, over the octets as the binding (OASIS, 2.5.2.1) puts them."""
    document = etree.tostring(GOOD.document())
    (tmp_path / "key.pem").write_bytes(
        key(0).private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    (tmp_path / "octets").write_bytes(b"SAMLResponse=" + document + b"&RelayState=a b&SigAlg=" + RSA_SHA256.encode())
    signature = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", "key.pem", "octets"], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    fields = {
        "SAMLResponse": base64.b64encode(document).decode(),
        "RelayState": "a b",
        "SigAlg": RSA_SHA256,
        "Signature": base64.b64encode(signature).decode(),
    }
    assert read(fields).name_id == GOOD.name_id
    assert refused({**fields, "RelayState": "a+b"}) == "signature"


# --- the checks -------------------------------------------------------------------------------------------------------

SKEW = STRICT.skew_ms


@pytest.mark.parametrize(
    ("answer", "check"),
    [
        (GOOD.but(status="urn:oasis:names:tc:SAML:2.0:status:Responder"), "status"),
        (GOOD.but(issuer="http://evil.example"), "issuer"),
        (GOOD.but(response_issuer="http://evil.example"), "issuer"),
        (GOOD.but(destination="https://other.example/sign-in/answer"), "destination"),
        (GOOD.but(acs_url="https://other.example/sign-in/answer", destination=SERVICE.acs_url), "recipient"),
        (GOOD.but(audience="https://other.example"), "audience"),
        (GOOD.but(audience=None), "audience"),
        (GOOD.but(begins_ms=SKEW + 1_000), "conditions"),
        (GOOD.but(ends_ms=-SKEW), "conditions"),
        (GOOD.but(confirmed_until_ms=-SKEW), "confirmation"),
        (GOOD.but(session_until_ms=-SKEW), "session"),
        (GOOD.but(request_id=None), "in_response_to"),
        (GOOD.but(request_id="_other", response_to=REQUEST_ID), "in_response_to"),
        (GOOD.but(name_format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient"), "name_id"),
        (GOOD.but(name_id=""), "name_id"),
        (GOOD.but(name_id="a" * 257), "name_id"),
    ],
)
@pytest.mark.parametrize("response", [False, True])
def test_each_check(answer: Answer, check: str, *, response: bool) -> None:
    assert refused(signed(answer, response=response)) == check


def test_within_the_skew() -> None:
    assert read(signed(GOOD.but(begins_ms=SKEW)))
    assert read(signed(GOOD.but(ends_ms=1_000 - SKEW, confirmed_until_ms=1_000 - SKEW)))
    assert read(signed(GOOD.but(destination=None, response_to=None)))


def test_the_identity_providers_own_words_for_a_refusal_are_kept() -> None:
    with pytest.raises(SignInRefused) as caught:
        read(GOOD.but(status="urn:oasis:names:tc:SAML:2.0:status:AuthnFailed!").document())
    assert caught.value.detail == "the identity provider says AuthnFailed"


def test_two_assertions_and_encrypted_ones() -> None:
    document = signed()
    document.append(deepcopy(GOOD.but(assertion_id="_second").document()[2]))
    assert refused(document) == "assertion"
    document = signed()
    document.append(etree.Element(f"{{{SAML}}}EncryptedAssertion"))
    assert refused(document) == "assertion"
    document = GOOD.document()
    document.remove(document[2])
    sign(document, key(0))
    assert refused(document) == "assertion"


def test_a_comment_in_the_name_does_not_shorten_it() -> None:
    """Comments are not signed (exclusive canonical XML): what was `admin.evil.example` must not become `admin`."""
    document = signed(GOOD.but(name_id="admin.evil.example"))
    raw = etree.tostring(document).replace(b"admin.evil.example", b"admin<!---->.evil.example")
    assert read(raw).name_id == "admin.evil.example"
    raw = etree.tostring(GOOD.document()).replace(GOOD.name_id.encode(), b"admin<!---->.evil.example")
    assert refused(detached(etree.fromstring(raw))) == "name_id"


# --- signature wrapping -----------------------------------------------------------------------------------------------


def _wrappings() -> dict[str, Callable[[], etree._Element]]:
    """XSW1 to XSW8, as "On Breaking SAML" (Somorovsky et al., 2012) and SAML Raider number them."""

    def parts(*, response: bool) -> tuple[etree._Element, etree._Element, etree._Element]:
        """The genuine document, an evil copy of what is signed, and the genuine signature, taken out."""
        document = signed(assertion=not response, response=response)
        covered = document if response else document[2]
        signature = covered.find(f"{{{DS}}}Signature")
        assert signature is not None
        evil = deepcopy(covered)
        stale = evil.find(f"{{{DS}}}Signature")
        assert stale is not None
        evil.remove(stale)
        evil.set("ID", "_evil")
        name = evil.find(f".//{{{SAML}}}NameID")
        assert name is not None
        name.text = "eve"
        return document, evil, signature

    def xsw1() -> etree._Element:
        document, evil, signature = parts(response=True)
        original = deepcopy(document)
        inner = original.find(f"{{{DS}}}Signature")
        assert inner is not None
        original.remove(inner)
        moved = deepcopy(signature)
        moved.append(original)
        evil[0].addnext(moved)
        return evil

    def xsw2() -> etree._Element:
        document, evil, signature = parts(response=True)
        original = deepcopy(document)
        inner = original.find(f"{{{DS}}}Signature")
        assert inner is not None
        original.remove(inner)
        evil[0].addnext(original)
        evil[0].addnext(deepcopy(signature))
        return evil

    def xsw3() -> etree._Element:
        document, evil, _ = parts(response=False)
        document.insert(2, evil)
        return document

    def xsw4() -> etree._Element:
        document, evil, _ = parts(response=False)
        original = document[2]
        document.replace(original, evil)
        evil.append(original)
        return document

    def xsw5() -> etree._Element:
        document, evil, signature = parts(response=False)
        original = document[2]
        original.remove(signature)
        document.replace(original, evil)
        evil[0].addnext(signature)
        document.append(original)
        return document

    def xsw6() -> etree._Element:
        document, evil, signature = parts(response=False)
        original = document[2]
        original.remove(signature)
        document.replace(original, evil)
        evil[0].addnext(signature)
        signature.append(original)
        return document

    def xsw7() -> etree._Element:
        document, evil, _ = parts(response=False)
        extensions = etree.Element(f"{{{SAMLP}}}Extensions")
        extensions.append(evil)
        document.insert(1, extensions)
        return document

    def xsw8() -> etree._Element:
        document, evil, signature = parts(response=False)
        original = document[2]
        original.remove(signature)
        document.replace(original, evil)
        evil[0].addnext(signature)
        holder = etree.SubElement(signature, f"{{{DS}}}Object")
        holder.append(original)
        return document

    return {f"XSW{number}": each for number, each in enumerate((xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8), 1)}


@pytest.mark.parametrize("name", list(_wrappings()))
def test_signature_wrapping(name: str) -> None:
    assert refused(_wrappings()[name]()) in {"assertion", "signature", "shape"}


def test_an_evil_copy_that_keeps_the_id() -> None:
    """The verifier finds one of two elements with the ID, a reader the other: so no ID may stand twice."""
    document = signed()
    evil = deepcopy(document[2])
    document.append(evil)
    assert refused(document) in {"assertion", "shape"}


def test_a_signature_of_something_else_in_the_document() -> None:
    """The status is signed, by the right key; the assertion is not."""
    document = GOOD.document()
    status = document[1]
    status.set("ID", "_assertion2")
    signature = signed()[2].find(f"{{{DS}}}Signature")
    assert signature is not None
    document[2][0].addnext(signature)
    document[2].set("ID", "_other")
    assert refused(document) == "signature"


# --- hostile documents ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"junk",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY x "y">]>' + etree.tostring(signed()),
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd">' + etree.tostring(signed()),
        b"<?evil ?>" + etree.tostring(signed()).replace(b"<saml:Subject>", b"<saml:Subject><?evil ?>"),
        etree.tostring(signed()) + b"<a/>",
    ],
)
def test_hostile_documents(raw: bytes) -> None:
    assert refused(raw) == "shape"


def test_an_answer_too_large_and_one_that_is_none() -> None:
    assert refused({"SAMLResponse": "A" * 262_145}) == "shape"
    assert refused({"SAMLResponse": "%%%%"}) == "shape"
    assert refused({}) == "shape"


_SIGNED = etree.tostring(signed(response=True))


@given(at=st.integers(0, len(_SIGNED) - 1), other=st.integers(1, 255))
def test_one_byte_changed_anywhere(at: int, other: int) -> None:
    """Refused; or, where the change is outside of what a signature can cover, the same as before."""
    raw = bytearray(_SIGNED)
    raw[at] ^= other
    try:
        said = read(bytes(raw))
    except SignInRefused:
        return
    assert said == read(_SIGNED)
    # What may change is what carries the signature, not what it covers: blanks in base64, the certificate, prefixes.
    assert any(begin <= at < end for begin, end in _signature_spans())


def _signature_spans() -> list[tuple[int, int]]:
    spans, begin = [], _SIGNED.find(b"<ds:Signature ")
    while begin >= 0:
        end = _SIGNED.find(b"</ds:Signature>", begin) + len(b"</ds:Signature>")
        spans.append((begin, end))
        begin = _SIGNED.find(b"<ds:Signature ", end)
    return spans


@given(length=st.integers(0, len(_SIGNED) - 1))
def test_a_truncated_answer(length: int) -> None:
    assert refused(_SIGNED[:length]) == "shape"
