"""The storage's wire format: the guide's own samples, copied as printed, and what a careless service might send."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import (
    BadInput,
    HomeServerError,
    RemoteGarbage,
    RemoteRefused,
    RemoteUnauthorized,
    RemoteUnavailable,
    StorageRefused,
    TokenRefused,
)
from homeserver.model import HttpReply, StorageLeg
from homeserver.protocol.mesdonnees import (
    MAX_REPLY_BYTES,
    Receipt,
    call_url,
    clean_media_type,
    multipart_envelope,
    parse_receipt,
    parse_upload_url,
    token_ends_ms,
    upload_url_request,
)
from homeserver.protocol.mesdonnees_refusals import classify_message, refusal_of

BASE = "https://alpha-api.orange.fr/PersonalContent/V1"

UPLOAD_URL = """\
<?xml version="1.0" encoding="UTF-8"?>
<getContentUploadURLResponse>
     <url><![CDATA[ url_value ]]></url>
    <cookie>
        <name>downloadUploadKey</name>
        <value>cookie_value</value>
    </cookie>
</getContentUploadURLResponse>
"""

ERROR = """\
<?xml version="1.0"? encoding="UTF-8" >
<getContentUploadURLResponse>
  <error>
    <code> [code d'erreur] </code>
    <detail> [message d'erreur] </detail>
  </error>
</getContentUploadURLResponse>
"""

ERROR_WITH_URL = """\
<?xml version="1.0"? encoding="UTF-8" >
<getContentUploadURLResponse>
  <error>
    <code> [error code] </code>
    <detail> [error message] </detail>
  </error>

    <url> mes données portal url </url>
</getContentUploadURLResponse>
"""

RECEIPT = """\
<storagexmlengine>
   <uploadcontentdirectlyresponse>
      <content>
         <id>6174</id>
         <parent_id>3449</parent_id>
         <name>HelloWorld</name>
         <commentary/>
         <file_format/>
         <file_size>31163</file_size>
         <creation_date>2007-10-31T16:39:57.000+01:00</creation_date>
        <last_modification_date>2007-10-31T16:39:57.000+01:00
        </last_modification_date>
     </content>
  </uploadcontentdirectlyresponse>
</storagexmlengine>
"""

MUM = """\
<?xml version="1.0"?>



<mum>

    <action>uploadcontent</action>

    <parameters>request_parameters</parameters>

    <response>

        <message>error_details</message>

    </response>

</mum>
"""

CONSENT = (
    '<?xml version="1.0" encoding="UTF-8"?><error><!--Warning : operation non autorisee--><code>-3</code>'
    "<detail>PrivacyAccessDeniedException</detail><url>http://int4.mdsp.rec.orange.fr/privacy/interaction.do?"
    "family=contact&amp;serviceId=ZXIDHELLOT5882485470&amp;attributes=,see</url></error>"
)
"""A captured answer of a sibling API: the error is the root, the address inside, a comment between."""

TOKEN = "B64abc+/def=|sau=3|ted=1466864529|q2lXkz+/Zq0a1b2c3d4e5f6g7h8="


def reply(body: str | bytes, status: int = 200, content_type: str = "text/xml") -> HttpReply:
    encoded = body.encode() if isinstance(body, str) else body
    return HttpReply(status, {"content-type": content_type}, encoded)


def refused(body: str | bytes, status: int = 500, content_type: str = "text/xml") -> StorageRefused:
    with pytest.raises(StorageRefused) as caught:
        parse_upload_url(reply(body, status, content_type))
    return caught.value


# --- step one: the request ------------------------------------------------------------------------------------------


def test_the_guides_request_without_its_stray_blank() -> None:
    """The sample has a blank after the token, which a query cannot hold."""
    assert upload_url_request(BASE, "Hjlkzjlfkzef23423kjlkjr", "HelloWorld.jpg", 31163) == (
        BASE
        + "?action=getContentUploadURL&token=Hjlkzjlfkzef23423kjlkjr&content_name=HelloWorld.jpg&content_size=31163"
    )


def test_a_real_token_and_a_french_name_are_percent_encoded() -> None:
    url = upload_url_request(BASE, TOKEN, 'été à la mer & "co".jpg', 1)
    assert "token=B64abc%2B%2Fdef%3D%7Csau%3D3%7Cted%3D1466864529%7C" in url
    assert "content_name=%C3%A9t%C3%A9%20%C3%A0%20la%20mer%20%26%20%22co%22.jpg" in url
    assert dict(parse_qsl(urlsplit(url).query))["token"] == TOKEN


@given(st.text(min_size=1), st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), st.text(min_size=1)))
def test_any_call_reads_back_as_it_was_given(action: str, parameters: dict[str, str]) -> None:
    parameters.pop("action", None)
    pairs = parse_qsl(urlsplit(call_url(BASE, action, parameters)).query, strict_parsing=True)
    assert pairs == [("action", action), *parameters.items()]


def test_a_base_with_a_query_keeps_it() -> None:
    assert call_url(BASE + "?lang=fr", "addevent", {"title": "a"}) == BASE + "?lang=fr&action=addevent&title=a"


@pytest.mark.parametrize("name", ["", "  ", "a\r\nSet-Cookie: x", "a\0b", "a\tb", "a\x85b", "a\u2028b", "\ud800.jpg"])
def test_a_name_that_no_header_can_carry_is_refused(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        upload_url_request(BASE, TOKEN, name, 1)
    assert caught.value.field == "content_name"
    with pytest.raises(BadInput):
        multipart_envelope("b", name, "image/jpeg")


def test_an_empty_file_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(BadInput, match="empty"):
        upload_url_request(BASE, TOKEN, "a.txt", 0)


# --- step one: the answer -------------------------------------------------------------------------------------------


def test_the_guides_upload_url() -> None:
    ticket = parse_upload_url(reply(UPLOAD_URL))
    assert ticket.url == "url_value"
    assert ticket.cookie == "downloadUploadKey=cookie_value"
    assert "url_value" not in repr(ticket)
    assert "cookie_value" not in repr(ticket)


def test_the_guides_error_with_its_malformed_declaration() -> None:
    error = refused(ERROR)
    assert (error.storage_code, error.detail, error.url) == ("[code d'erreur]", "[message d'erreur]", None)


def test_the_guides_error_with_a_url_after_the_error() -> None:
    error = refused(ERROR_WITH_URL)
    assert (error.storage_code, error.detail) == ("[error code]", "[error message]")
    assert error.url == "mes données portal url"


def test_a_captured_consent_error() -> None:
    error = refused(CONSENT)
    assert (error.storage_code, error.detail) == ("-3", "PrivacyAccessDeniedException")
    assert error.url == (
        "http://int4.mdsp.rec.orange.fr/privacy/interaction.do?"
        "family=contact&serviceId=ZXIDHELLOT5882485470&attributes=,see"
    )


def test_an_error_counts_whatever_the_status() -> None:
    for status in (200, 400, 401, 403, 404, 500, 503):
        assert refused(ERROR.replace("[code d'erreur]", "MD327"), status).storage_code == "MD327"


def test_the_url_of_an_error_may_stand_inside_it() -> None:
    body = ERROR.replace("  </error>", "<url> https://portal.example/a?b=1&amp;c=2 </url></error>")
    assert refused(body).url == "https://portal.example/a?b=1&c=2"


DEACTIVATED = "<error><code>MD113</code><detail>désactivé</detail></error>"
QUALIFIED = "<e:error xmlns:e='urn:x'><e:code>MD<!-- - -->113</e:code><e:detail>désactivé</e:detail></e:error>"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (DEACTIVATED.encode("cp1252"), "text/xml"),
        (DEACTIVATED.encode("cp1252"), "text/xml; charset=iso-8859-1"),
        (DEACTIVATED.encode("cp1252"), "text/xml; charset=utf-8"),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?>' + DEACTIVATED.encode("latin-1"), ""),
        (f"\ufeff\n <?xml version='1.0'?>\n{DEACTIVATED}\n".encode(), ""),
        (DEACTIVATED.encode("utf-16"), "text/xml"),
        (QUALIFIED.encode(), ""),
        (DEACTIVATED.encode(), "text/xml; charset=rot13"),
    ],
)
def test_french_texts_in_any_usual_encoding(body: bytes, content_type: str) -> None:
    error = refused(body, content_type=content_type)
    assert (error.storage_code, error.detail) == ("MD113", "désactivé")


def test_blanks_and_controls_in_a_detail_become_one_line() -> None:
    error = refused("<error><code>X1</code><detail>\n a\u202e \n\t b\x85c </detail></error>")
    assert error.detail == "a b c"


def test_a_secret_that_comes_back_is_blotted_out() -> None:
    body = f"<error><code>X1</code><detail>no {TOKEN} nor B64abc%2B%2Fdef%3D%7Csau</detail></error>"
    with pytest.raises(StorageRefused) as caught:
        parse_upload_url(reply(body, 500), hide=[TOKEN, "B64abc+/def=|sau"])
    assert caught.value.detail == "no *** nor ***"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 401),
        ("<html><p>Unauthorized</html>", 403),
        ("<error><code>-1</code><detail>InvalidToken</detail></error>", 500),
        ("<error><code>-27</code></error>", 200),
        ("<error><code>XX1</code><detail>?</detail></error>", 401),
    ],
)
def test_a_refused_token(body: str, status: int) -> None:
    with pytest.raises(TokenRefused) as caught:
        parse_upload_url(reply(body, status))
    assert isinstance(caught.value, RemoteUnauthorized)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("<html><body>Service Unavailable", 503, RemoteUnavailable),
        ("", 500, RemoteUnavailable),
        ("<ok/>", 502, RemoteUnavailable),
        ("", 429, RemoteUnavailable),
        ("", 404, RemoteRefused),
        ("", 302, RemoteRefused),
        ("", 200, RemoteGarbage),
        ("<!DOCTYPE html><html></html>", 200, RemoteGarbage),
        (UPLOAD_URL.replace(" url_value ", "  "), 200, RemoteGarbage),
        (UPLOAD_URL.replace("cookie_value", ""), 200, RemoteGarbage),
        (UPLOAD_URL.replace("cookie_value", "a;b"), 200, RemoteGarbage),
        (UPLOAD_URL.replace("cookie_value", "a,b"), 200, RemoteGarbage),
        (UPLOAD_URL.replace("cookie_value", "a b"), 200, RemoteGarbage),
        (UPLOAD_URL.replace("cookie_value", "a&#13;&#10;b"), 200, RemoteGarbage),
        (UPLOAD_URL.replace("cookie_value", "é"), 200, RemoteGarbage),
        (UPLOAD_URL.replace("downloadUploadKey", "download Key"), 200, RemoteGarbage),
        (UPLOAD_URL + " " * MAX_REPLY_BYTES, 200, RemoteGarbage),
        (UPLOAD_URL + UPLOAD_URL, 200, RemoteGarbage),
    ],
)
def test_answers_that_say_nothing_of_use(body: str, status: int, error: type[HomeServerError]) -> None:
    with pytest.raises(error) as caught:
        parse_upload_url(reply(body, status))
    assert type(caught.value) is error


def test_a_cookie_value_in_base64_passes() -> None:
    assert parse_upload_url(reply(UPLOAD_URL.replace("cookie_value", "aZ09+/=|_-"))).cookie.endswith("=aZ09+/=|_-")


def test_retry_after_is_kept() -> None:
    with pytest.raises(RemoteUnavailable) as caught:
        parse_upload_url(HttpReply(503, {"retry-after": "7"}, b""))
    assert caught.value.wait_s == 7


def test_no_entity_is_expanded_and_nothing_is_fetched() -> None:
    laughs = '<!DOCTYPE e [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><error><code>&b;</code></error>'
    outside = '<!DOCTYPE e [<!ENTITY a SYSTEM "file:///etc/hostname">]><error><code>&a;</code></error>'
    for body in (laughs, outside):
        with pytest.raises(RemoteGarbage):
            parse_upload_url(reply(body))
        with pytest.raises(RemoteUnavailable):
            parse_upload_url(reply('<?xml version="1.0"?>' + body, 500))


# --- step two -------------------------------------------------------------------------------------------------------

GUIDES_BOUNDARY = "BPziGQhPkiFc_L0GBcrC7wBLAAoudpAFRJBc"


def test_the_guides_multipart_body() -> None:
    head, tail = multipart_envelope(GUIDES_BOUNDARY, "HelloWorld.jpg", "image/jpg")
    assert head == (
        b"--BPziGQhPkiFc_L0GBcrC7wBLAAoudpAFRJBc\r\n"
        b'Content-Disposition: form-data; name="file_content"; filename="HelloWorld.jpg"\r\n'
        b"Content-Type: image/jpg\r\n"
        b"Content-Transfer-Encoding: binary\r\n"
        b"\r\n"
    )
    assert tail == b"\r\n--BPziGQhPkiFc_L0GBcrC7wBLAAoudpAFRJBc--\r\n"


def test_quotes_and_backslashes_are_escaped_and_the_rest_is_utf8() -> None:
    head, _ = multipart_envelope("b", 'C:\\é "1".txt', "text/plain")
    assert 'filename="C:\\\\é \\"1\\".txt"\r\n'.encode() in head


@pytest.mark.parametrize("boundary", ["", "a b", 'a"', "a\r\n", "a:b", "x" * 71])
def test_a_boundary_that_would_need_quotes_is_refused(boundary: str) -> None:
    with pytest.raises(BadInput):
        multipart_envelope(boundary, "a", "text/plain")


@pytest.mark.parametrize(
    ("given_type", "sent"),
    [
        ("image/jpeg", "image/jpeg"),
        (" image/svg+xml ", "image/svg+xml"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("", "application/octet-stream"),
        ("jpeg", "application/octet-stream"),
        ("image/jpeg\r\nX-Y: z", "application/octet-stream"),
        ("image/jpég", "application/octet-stream"),
        ("text/plain; a=" + "b" * 200, "application/octet-stream"),
    ],
)
def test_media_types(given_type: str, sent: str) -> None:
    assert clean_media_type(given_type) == sent
    assert f"Content-Type: {sent}\r\n".encode() in multipart_envelope("b", "a", given_type)[0]


def test_the_guides_receipt() -> None:
    assert parse_receipt(reply(RECEIPT)) == Receipt("6174", "3449", "HelloWorld", 31163)


def test_a_receipt_without_a_folder() -> None:
    assert parse_receipt(reply(RECEIPT.replace("3449", ""))).folder_id is None


def test_the_guides_upload_error() -> None:
    with pytest.raises(StorageRefused) as caught:
        parse_receipt(reply(MUM, 400))
    assert (caught.value.storage_code, caught.value.detail) == ("unknown", "error_details")


@pytest.mark.parametrize(
    ("text", "code", "retries"),
    [
        ("Error while creating temporary file [tmp file name]", "upload.tmp_create", 2),
        ("An error has occured while writing file in temporary directory", "upload.tmp_write", 2),
        ("Error while getting tmp file info", "upload.tmp_info", 2),
        ("Parameter [param name] is not found in [code]", "upload.parameter", 1),
        ("Can not create content", "upload.no_content", 2),
        ("Error while uploading content", "upload.failed", 2),
        ("HTTP Request method must be POST", "upload.method", 0),
        ("PreprocessURL is mis-configured", "upload.preprocess", 0),
        ("PostprocessURL is mis-configured", "upload.postprocess", 0),
        ("Parameter problem", "unknown", 1),
        ("Quota of the year used up", "unknown", 1),
    ],
)
def test_every_documented_upload_message(text: str, code: str, retries: int) -> None:
    for variant in (text, text.upper(), f"\n  {text.replace(' ', '  ', 1)} : /tmp/x\n"):
        with pytest.raises(StorageRefused) as caught:
            parse_receipt(reply(MUM.replace("error_details", variant), 400))
        assert caught.value.storage_code == code
        assert caught.value.may_retry is (retries > 0)
    assert classify_message(text).retries == retries


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("", 500, RemoteUnavailable),
        ("<html>", 502, RemoteUnavailable),
        ("", 403, StorageRefused),
        ("", 302, StorageRefused),
        ("gone", 410, StorageRefused),
        ("", 200, RemoteGarbage),
        (RECEIPT.replace("6174", " "), 200, RemoteGarbage),
        (RECEIPT.replace("31163", "-1"), 200, RemoteGarbage),
        (RECEIPT.replace("31163", "٣"), 200, RemoteGarbage),
        (MUM, 200, StorageRefused),
        (ERROR, 500, StorageRefused),
        (CONSENT.replace("-3", "-9"), 500, StorageRefused),
    ],
)
def test_other_answers_of_step_two(body: str, status: int, error: type[HomeServerError]) -> None:
    with pytest.raises(error) as caught:
        parse_receipt(reply(body, status))
    assert type(caught.value) is error


# --- the table of refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "leg", "retries"),
    [
        ("PA003", StorageLeg.NEEDS_NAME, 0),
        ("PA004", StorageLeg.REFUSED, 0),
        ("PA900", StorageLeg.FAILED, 2),
        ("MD113", StorageLeg.REFUSED, 0),
        ("MD327", StorageLeg.OUT_OF_SPACE, 0),
        ("MD803", StorageLeg.REFUSED, 0),
        ("MD804", StorageLeg.NEEDS_ACTIVATION, 0),
        ("-3", StorageLeg.NEEDS_CONSENT, 0),
        ("MD999", StorageLeg.FAILED, 1),
    ],
)
def test_every_documented_code(code: str, leg: StorageLeg, retries: int) -> None:
    assert (refusal_of(code).leg, refusal_of(code).retries) == (leg, retries)
    assert refused(ERROR.replace("[code d'erreur]", code)).may_retry is (retries > 0)
    assert refused(ERROR.replace("[code d'erreur]", code)).storage_code == code


# --- samples cut and lengthened -------------------------------------------------------------------------------------

Parser = Callable[[HttpReply], object]
CASES: list[tuple[Parser, str]] = [
    (parse_upload_url, UPLOAD_URL),
    (parse_upload_url, ERROR),
    (parse_upload_url, ERROR_WITH_URL),
    (parse_upload_url, CONSENT),
    (parse_receipt, RECEIPT),
    (parse_receipt, MUM),
]


@pytest.mark.parametrize(("parse", "sample"), CASES)
@pytest.mark.parametrize("status", [200, 500])
def test_a_sample_cut_at_every_byte_is_one_of_our_errors(parse: Parser, sample: str, status: int) -> None:
    whole = sample.strip().encode()
    for length in range(len(whole)):
        with pytest.raises((RemoteGarbage, RemoteUnavailable)):
            parse(reply(whole[:length], status))


@pytest.mark.parametrize(("parse", "sample"), CASES)
@given(junk=st.binary(min_size=1, max_size=20))
def test_junk_after_a_sample_is_a_value_or_one_of_our_errors(parse: Parser, sample: str, junk: bytes) -> None:
    for body in (sample.encode() + junk, junk + sample.encode()):
        try:
            parse(reply(body))
        except HomeServerError:
            continue


@given(st.binary(max_size=200), st.integers(100, 599), st.text(max_size=30))
def test_anything_is_a_value_or_one_of_our_errors(body: bytes, status: int, content_type: str) -> None:
    for parse in (parse_upload_url, parse_receipt):
        with pytest.raises(HomeServerError):
            parse(reply(body, status, content_type))


def test_when_a_token_says_that_it_ends() -> None:
    """The captured ones of 2008 and 2016."""
    assert token_ends_ms("B64AAAA=|sau=|ted=1208280413|AAAAAAAAAAAAAAAAAAAAAAAAAAA=") == 1_208_280_413_000
    later = "B64AAAA=|MCO=OFR|sau=3|ted=1466864529|tcd=1461594129|AAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert token_ends_ms(later) == 1_466_864_529_000
    for other in ("", "Hjlkz12Ab", "|ted=12|", "ted=1208280413"):
        assert token_ends_ms(other) is None
