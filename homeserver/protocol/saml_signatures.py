"""Which part of a SAML answer is signed by whom we trust, and nothing else.

An attacker who holds one signed assertion can move it about in a document of their own and put another one where a
careless reader looks (signature wrapping). So: every ID stands once; there is exactly one assertion; a signature stands
directly in the element that it covers, names it by its ID, and covers all of it but itself; and what is handed on is
the element that the verifier has rebuilt from the very bytes that were signed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature as NotSigned
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from homeserver.errors import SignInRefused

PROTOCOL: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
ASSERTION: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
DSIG: Final = "http://www.w3.org/2000/09/xmldsig#"

_EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_TRANSFORMS: Final = frozenset({f"{DSIG}enveloped-signature", _EXCLUSIVE, f"{_EXCLUSIVE}WithComments"})
_METHODS: Final = frozenset({SignatureMethod.RSA_SHA256, SignatureMethod.RSA_SHA384, SignatureMethod.RSA_SHA512})
_DIGESTS: Final = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
_SIMPLE_SIGN: Final[Mapping[str, type[hashes.HashAlgorithm]]] = {
    SignatureMethod.RSA_SHA256.value: hashes.SHA256,
    SignatureMethod.RSA_SHA384.value: hashes.SHA384,
    SignatureMethod.RSA_SHA512.value: hashes.SHA512,
    SignatureMethod.RSA_SHA1.value: hashes.SHA1,
}


@dataclass(frozen=True, slots=True)
class Trusted:
    """What signatures cover. `response` is None where only the assertion in it is signed."""

    assertion: etree._Element
    response: etree._Element | None


def verified(
    raw: bytes,
    response: etree._Element,
    form: Mapping[str, str],
    certificates: Sequence[x509.Certificate],
    *,
    allow_sha1: bool,
) -> Trusted:
    """The parts of an answer that one of these certificates' keys has signed.

    A certificate is pinned: its dates, names and chain are not looked at.

    Args:
        raw: The document as it was decoded.
        response: The same, parsed.
        form: The fields that came with it.

    Raises:
        SignInRefused: Checks "shape", "assertion", "signature".
    """
    _check_shape(response)
    assertion = _only_assertion(response)
    signed = [element for element in (response, assertion) if element.find(f"{{{DSIG}}}Signature") is not None]
    if len(signed) != sum(1 for _ in response.iter(f"{{{DSIG}}}Signature")):
        raise SignInRefused("signature", "a signature where none belongs")
    if "Signature" in form or "SigAlg" in form:
        _check_simple_sign(raw, form, certificates, allow_sha1=allow_sha1)
        return Trusted(assertion, response)
    if not signed:
        raise SignInRefused("signature", "not signed")
    covered = {element.tag: _covered(raw, element, certificates, allow_sha1=allow_sha1) for element in signed}
    whole = covered.get(response.tag)
    if whole is None:
        return Trusted(covered[assertion.tag], None)
    return Trusted(covered.get(assertion.tag, _only_assertion(whole)), whole)


def _check_shape(response: etree._Element) -> None:
    if next(response.iter(etree.ProcessingInstruction, etree.Entity), None) is not None:
        raise SignInRefused("shape", "a processing instruction or an entity")
    seen: set[str] = set()
    for element in response.iter(etree.Element):
        # `Id` belongs to XML signatures; an `ID` of another case in SAML's own elements is nobody's.
        ids = [value for name, value in element.attrib.items() if str(name).lower() in {"id", "assertionid"}]
        if any(value in seen for value in ids):
            raise SignInRefused("shape", "an ID that stands twice")
        seen.update(map(str, ids))


def _only_assertion(response: etree._Element) -> etree._Element:
    if next(response.iter(f"{{{ASSERTION}}}EncryptedAssertion"), None) is not None:
        raise SignInRefused("assertion", "an encrypted assertion, which is not supported")
    everywhere = list(response.iter(f"{{{ASSERTION}}}Assertion"))
    if len(everywhere) != 1 or everywhere[0].getparent() is not response:
        raise SignInRefused("assertion", "not exactly one assertion")
    return everywhere[0]


def _covered(
    raw: bytes, element: etree._Element, certificates: Sequence[x509.Certificate], *, allow_sha1: bool
) -> etree._Element:
    """The element as its own signature covers it."""
    signatures = element.findall(f"{{{DSIG}}}Signature")
    references = signatures[0].findall(f"{{{DSIG}}}SignedInfo/{{{DSIG}}}Reference")
    own_id = element.get("ID")
    if len(signatures) != 1 or len(references) != 1 or not own_id or references[0].get("URI") != f"#{own_id}":
        raise SignInRefused("signature", "a signature that does not cover the element in which it stands")
    transforms = references[0].findall(f"{{{DSIG}}}Transforms/{{{DSIG}}}Transform")
    if any(transform.get("Algorithm") not in _TRANSFORMS for transform in transforms):
        raise SignInRefused("signature", "a transform that no answer needs")
    if signatures[0].find(f"{{{DSIG}}}Object") is not None:
        raise SignInRefused("signature", "a signature with something inside")
    is_root = element.getparent() is None
    for certificate in certificates:
        config = SignatureConfiguration(
            location="./" if is_root else f"./{{{ASSERTION}}}Assertion/",
            signature_methods=_METHODS | ({SignatureMethod.RSA_SHA1} if allow_sha1 else set()),
            digest_algorithms=_DIGESTS | ({DigestAlgorithm.SHA1} if allow_sha1 else set()),
            ignore_ambiguous_key_info=True,
            verification_time=certificate.not_valid_before_utc,  # pinned: an expired one is as good
        )
        try:
            result = XMLVerifier().verify(raw, x509_cert=certificate, expect_config=config, id_attribute="ID")
        except (SignXMLException, ValueError, TypeError, etree.Error):
            continue
        covered = None if isinstance(result, list) else result.signed_xml
        if covered is not None and covered.tag == element.tag and covered.get("ID") == own_id:
            return covered
    raise SignInRefused("signature", "no trusted key has signed this")


def _check_simple_sign(
    raw: bytes, form: Mapping[str, str], certificates: Sequence[x509.Certificate], *, allow_sha1: bool
) -> None:
    """The detached signature over document, RelayState (where there is one) and algorithm, as raw texts."""
    algorithm = form.get("SigAlg", "")
    digest = _SIMPLE_SIGN.get(algorithm)
    if digest is None or (digest is hashes.SHA1 and not allow_sha1):
        raise SignInRefused("signature", "an algorithm that is not admitted")
    try:
        signature = base64.b64decode("".join(form.get("Signature", "").split()), validate=True)
    except (binascii.Error, ValueError):
        raise SignInRefused("signature", "a signature that is not base64") from None
    relay_state = f"&RelayState={form['RelayState']}".encode() if "RelayState" in form else b""
    signed = b"SAMLResponse=" + raw + relay_state + b"&SigAlg=" + algorithm.encode()
    for certificate in certificates:
        key = certificate.public_key()
        if isinstance(key, RSAPublicKey):
            try:
                key.verify(signature, signed, PKCS1v15(), digest())
            except NotSigned:
                continue
            return
    raise SignInRefused("signature", "no trusted key has signed this")
