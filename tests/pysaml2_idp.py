"""An identity provider of pysaml2's, in a process of its own: nothing of its signing or wording is ours.

`python -m tests.pysaml2_idp FOLDER PORT` reads FOLDER/sp.xml, writes FOLDER/idp-STYLE.xml for each of `STYLES`, says
"ready" and serves.
"""

from __future__ import annotations

import base64
import html
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

TOKEN: Final = "B64+/++A=|sau=3|ted=1795352400|abcdefghijklmnopqrstuvwxyz0="
SHA256: Final = {
    "sign_alg": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    "digest_alg": "http://www.w3.org/2001/04/xmlenc#sha256",
}
SHA1: Final = {
    "sign_alg": "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
    "digest_alg": "http://www.w3.org/2000/09/xmldsig#sha1",
}
STYLES: Final[dict[str, dict[str, Any]]] = {
    "assertion": {"sign_assertion": True, "sign_response": False, **SHA256},
    "response": {"sign_assertion": False, "sign_response": True, **SHA256},
    "both": {"sign_assertion": True, "sign_response": True, **SHA256},
    "sha1": {"sign_assertion": True, "sign_response": True, **SHA1},
}
PAGE: Final = """<!doctype html><title>pysaml2</title><link rel="icon" href="data:,">
<form method="post" action="{action}">
<input type="hidden" name="SAMLResponse" value="{answer}"><input type="hidden" name="RelayState" value="">
<button>Continue as Marie</button></form>"""


def make_key(folder: Path) -> None:
    """A key and its certificate, as pysaml2 wants them: in files."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pysaml2")])
    now = datetime.now(UTC)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (folder / "idp-key.pem").write_bytes(pem)
    (folder / "idp.pem").write_bytes(certificate.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


def settings(folder: Path, url: str, style: str) -> Any:
    """Of an identity provider that signs in one way."""
    from saml2 import BINDING_HTTP_REDIRECT
    from saml2.config import IdPConfig

    return IdPConfig().load(
        {
            "entityid": f"{url}/idp",
            "service": {
                "idp": {
                    "endpoints": {"single_sign_on_service": [(f"{url}/sso/{style}", BINDING_HTTP_REDIRECT)]},
                    "policy": {"default": {"lifetime": {"minutes": 5}, "attribute_restrictions": None}},
                    "name_id_format": ["urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"],
                    "want_authn_requests_signed": False,
                }
            },
            "metadata": {"local": [str(folder / "sp.xml")]},
            "key_file": str(folder / "idp-key.pem"),
            "cert_file": str(folder / "idp.pem"),
            "allow_unknown_attributes": True,
        }
    )


def answering(folder: Path, url: str) -> type[BaseHTTPRequestHandler]:
    """A handler that signs everybody in as the same person."""
    from saml2 import BINDING_HTTP_REDIRECT
    from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
    from saml2.server import Server

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            style = urlsplit(self.path).path.rpartition("/")[2]
            if style not in STYLES:
                self.send_error(404)
                return
            server = Server(config=settings(folder, url, style))
            given = parse_qs(urlsplit(self.path).query)["SAMLRequest"][0]
            request = server.parse_authn_request(given, BINDING_HTTP_REDIRECT).message
            answer = server.create_authn_response(
                {"OrangeAPIToken": [TOKEN], "displayName": ["Marie of pysaml2"]},
                in_response_to=request.id,
                destination=request.assertion_consumer_service_url,
                sp_entity_id=request.issuer.text,
                name_id=NameID(format=NAMEID_FORMAT_PERSISTENT, text="persistent-of-pysaml2"),
                authn={"class_ref": "urn:oasis:names:tc:SAML:2.0:ac:classes:Password", "authn_auth": url},
                **STYLES[style],
            )
            page = PAGE.format(
                action=html.escape(request.assertion_consumer_service_url),
                answer=base64.b64encode(str(answer).encode()).decode(),
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *args: object) -> None:
            """Nothing."""

    return Handler


def main(folder: Path, port: int) -> None:
    from saml2.metadata import entity_descriptor

    make_key(folder)
    server = ThreadingHTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler)
    url = f"http://localhost:{server.server_address[1]}"
    for style in STYLES:
        description = str(entity_descriptor(settings(folder, url, style)))
        (folder / f"idp-{style}.xml").write_text(description)
    server.RequestHandlerClass = answering(folder, url)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
