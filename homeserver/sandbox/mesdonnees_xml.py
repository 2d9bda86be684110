"""What the storage stand-in says, byte for byte as the guide prints it: odd declarations, blanks and all.

Source: Personal Content API guide ("sample response", "error codes", "content upload"); the consent answer -3 is one
that was captured from a sibling service of the same platform.
"""

from __future__ import annotations

import html
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final
from zoneinfo import ZoneInfo

STEP_ONE_DETAILS: Final = {
    "PA003": 'Invalid input parameter "content_name"',
    "PA004": 'Invalid input parameter "content_size"',
    "PA900": "Personal Content API internal error : [{inner}]",
    "MD113": 'Your "Mes donnees" service account has been deactivated. Please contact the service administrator.',
    "MD327": "Insufficient available space",
    "MD803": 'User suspended. Please contact the "Mes Données" service administrator.',
    "MD804": 'User unknown. The Orange user should activate first their "Mes Données" service.',
    "-3": "PrivacyAccessDeniedException",
}
"""Code to detail, for every documented error of step one."""

TEMPORARY_FILE: Final = "Error while creating temporary file [{inner}]"
TEMPORARY_WRITE: Final = "An error has occured while writing file in temporary directory"
TEMPORARY_INFO: Final = "Error while getting tmp file info"
PARAMETER_MISSING: Final = "Parameter [{inner}] is not found in [{where}]"
CANNOT_CREATE: Final = "Can not create content"
UPLOADING: Final = "Error while uploading content"
NOT_POST: Final = "HTTP Request method must be POST"
PREPROCESS: Final = "PreprocessURL is mis-configured"
POSTPROCESS: Final = "PostprocessURL is mis-configured"
UPLOAD_MESSAGES: Final = (
    TEMPORARY_FILE, TEMPORARY_WRITE, TEMPORARY_INFO, PARAMETER_MISSING, CANNOT_CREATE,
    UPLOADING, NOT_POST, PREPROCESS, POSTPROCESS,
)  # fmt: skip
"""Every documented message of step two; `{inner}` and `{where}` are the blanks in brackets."""

_PARIS: Final = ZoneInfo("Europe/Paris")


def upload_url(url: str, cookie_value: str) -> str:
    """Success of step one. `url` must not hold `]]>`."""
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<getContentUploadURLResponse>
     <url><![CDATA[ {url} ]]></url>
    <cookie>
        <name>downloadUploadKey</name>
        <value>{_text(cookie_value)}</value>
    </cookie>
</getContentUploadURLResponse>
"""


def error(code: str, detail: str, *, url: str | None = None, url_inside: bool = False) -> str:
    """An error of step one. The guide's note has MD804's `<url>` beside `<code>`, its sample after `</error>`."""
    line = "" if url is None else f"    <url> {_text(url)} </url>\n"
    inside, after = (line, "") if url_inside else ("", line and f"\n{line}")
    return f"""\
<?xml version="1.0"? encoding="UTF-8" >
<getContentUploadURLResponse>
  <error>
    <code> {_text(code)} </code>
    <detail> {_text(detail)} </detail>
{inside}  </error>
{after}</getContentUploadURLResponse>
"""


def consent_needed(url: str) -> str:
    """The platform's -3: another root, everything on one line, the address inside."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><error><!--Warning : operation non autorisee--><code>-3</code>'
        f"<detail>{STEP_ONE_DETAILS['-3']}</detail><url>{_text(url)}</url></error>"
    )


def stored(*, content_id: str, folder_id: str, name: str, size_bytes: int, received_ms: int) -> str:
    """Success of step two: no declaration, no extension in the name, the second date broken over two lines."""
    when = datetime.fromtimestamp(received_ms / 1000, _PARIS).isoformat(timespec="milliseconds")
    return f"""\
<storagexmlengine>
   <uploadcontentdirectlyresponse>
      <content>
         <id>{_text(content_id)}</id>
         <parent_id>{_text(folder_id)}</parent_id>
         <name>{_text(PurePosixPath(name).stem)}</name>
         <commentary/>
         <file_format/>
         <file_size>{size_bytes}</file_size>
         <creation_date>{when}</creation_date>
        <last_modification_date>{when}
        </last_modification_date>
     </content>
  </uploadcontentdirectlyresponse>
</storagexmlengine>
"""


def upload_error(message: str, parameters: str) -> str:
    """An error of step two."""
    return f"""\
<?xml version="1.0"?>

<mum>

    <action>uploadcontent</action>

    <parameters>{_text(parameters)}</parameters>

    <response>

        <message>{_text(message)}</message>

    </response>

</mum>
"""


def _text(value: str) -> str:
    return html.escape(value, quote=False)
