"""One tree of settings: a TOML file, overridden by environment variables `HOMESERVER_<SECTION>__<KEY>`.

A wrong or missing value is refused at start with its name, what was found and what is allowed; a secret is never shown.
The commented file that `homeserver config example` prints is made of the same declarations: `config_example.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from homeserver.domain.boards import board_from
from homeserver.errors import BadInput, BadSettings
from homeserver.model import Board
from homeserver.protocol.addresses import is_loopback

ENV_PREFIX: Final = "HOMESERVER_"
GIB: Final = 1 << 30
MAX_WORKERS: Final = 64


_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise ValueError("should be an address like https://example.org/path")
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("should be written in ASCII without blanks; a host in other letters has a form with xn--")
    _ = parts.port  # raises what is to be said of one that is none
    return text.rstrip("/")


def _origin(text: str) -> str:
    """As browsers write it in `Origin`: in lower case, without the port that goes without saying."""
    parts = urlsplit(_web_address(text))
    if parts.path or parts.query:
        raise ValueError("should be scheme, host and port alone, like https://example.org")
    host, port = parts.netloc.lower(), parts.port
    if port in {None, _DEFAULT_PORTS[parts.scheme]}:
        host = host.removesuffix(f":{port or ''}")
    return f"{parts.scheme}://{host}"


def _host(text: str) -> str:
    if not re.fullmatch(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", text):
        raise ValueError("should be a host name; with a dot in front it stands for all hosts below it")
    return text.lower()


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise ValueError("should be an address or a network like 10.0.0.0/8") from error


def _long_secret(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < 32:
        raise ValueError("should have at least 32 characters; `openssl rand -hex 32` makes one")
    return secret


WebAddress = Annotated[str, AfterValidator(_web_address)]
WebOrigin = Annotated[str, AfterValidator(_origin)]
Network = Annotated[str, AfterValidator(_network)]
HostName = Annotated[str, AfterValidator(_host)]
LanguageTag = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")]
LongSecret = Annotated[SecretStr, AfterValidator(_long_secret)]


class Section(BaseModel):
    """What all sections share: unknown names are refused, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Visibility(StrEnum):
    """Who may see the boards' pages."""

    PLAYERS = "players"
    EVERYONE = "everyone"


class Server(Section):
    """This server, as browsers and the container reach it."""

    public_url: WebOrigin = Field(
        description="The address that people and the container use. Signatures are checked against it.",
        examples=["https://letters.example.org"],
    )
    secret_key: LongSecret = Field(
        description="Everything that is signed or sealed derives from it. Keep it: losing it ends all sessions.",
    )
    old_secret_key: LongSecret | None = Field(
        None, description="While changing secret_key: the one before, still accepted for reading."
    )
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    trusted_proxies: tuple[Network, ...] = Field(
        ("127.0.0.1/32", "::1/128"),
        description="Web servers in front of this one: what they say in X-Forwarded-For is believed, for limits.",
    )
    workers: int = Field(1, ge=1, le=MAX_WORKERS, description="How many processes share the port.")
    grace_s: float = Field(
        20.0, gt=0, le=600, description="How long requests may go on that run when the server is told to stop."
    )
    node: str = Field(
        "",
        pattern=r"^[a-z0-9-]{0,32}$",
        description="This machine's name where several share one database: ids of uploads begin with it.",
        examples=["left"],
    )
    metrics_token: LongSecret | None = Field(
        None, description="Lets its bearer read /metrics from anywhere; without it, only this machine may."
    )
    boards_visible_to: Visibility = Field(
        Visibility.PLAYERS, description='Who may see the boards\' pages: "players" or "everyone" (not indexed).'
    )


class DatabaseSettings(Section):
    """Where everything is kept."""

    url: SecretStr = Field(
        SecretStr("sqlite:///var/homeserver.db"), description="sqlite:///path, or postgresql://user:password@host/name."
    )
    schema_name: str = Field(
        "public",
        alias="schema",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="PostgreSQL: the schema that holds this application. Several applications may share a database.",
    )
    connections: int = Field(
        10, ge=2, le=1000, description="PostgreSQL: how many connections each process has at most, beside one for news."
    )


class Container(Section):
    """The container's signed REST API."""

    name: str = Field("container", min_length=1, max_length=64, description="Our name for it; players belong to it.")
    base_url: WebAddress = Field(
        description="Where /people and /appdata begin.", examples=["http://www.orkut.com/social/rest"]
    )
    consumer_key: str = Field(
        min_length=1,
        description="From the Developer Page where the application was submitted; not the domain's key.",
        examples=["orkut.com:623061448914"],
    )
    consumer_secret: SecretStr = Field(min_length=1, description="Comes with the key.", examples=["its secret"])
    dialect: Literal["guide", "orkut", "shindig"] = Field(
        "guide", description='How it wants AppData: "guide" (as printed), "orkut" (three-part), or "shindig".'
    )
    offline: Literal["allowed", "refused"] = Field(
        "allowed", description='"refused" where players who are not running the application cannot be read.'
    )
    body_hash: Literal["auto", "always", "never"] = Field(
        "auto", description='Whether writes carry oauth_body_hash; "auto" leaves it to the dialect (shindig: yes).'
    )
    override_methods: bool = Field(
        False, description="Send PUT and DELETE as POST with X-HTTP-Method-Override, where a firewall forbids them."
    )
    max_connections: int = Field(10, ge=1, le=1000, description="How many requests run at the same time.")
    picture_hosts: tuple[WebOrigin, ...] = Field((), description="Where people's pictures come from.")
    birthday_field: Literal["none", "dateOfBirth", "birthday"] = Field(
        "none", description="The Person field with the date of birth, asked for where something is to happen on it."
    )


class SyncSettings(Section):
    """How players are kept fresh. Whoever opens the gadget is synced at once in any case."""

    appdata_max_age_minutes: int = Field(60, ge=4, le=10_080, description="No score is older than this, give or take.")
    friends_max_age_hours: int = Field(24, ge=1, le=2_160, description="No list of friends is older than this.")
    requests_per_second: float = Field(
        20.0,
        gt=0,
        le=10_000,
        description="How often the container is asked for what may wait, by all processes together.",
    )
    delist_after_days: int = Field(
        7, ge=1, le=365, description="How long players stay listed whom the container refuses while it answers others."
    )


class AppDataRule(Section):
    """A value that each player's AppData gets on their birthday."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    key: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,255}$")
    value: str | None = Field(None, max_length=4_000)
    at: str = Field("09:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    zone: str = "UTC"

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError("should be a time zone, such as America/Sao_Paulo")
        return zone


class TrustedSignerSettings(Section):
    """One key that a container signs its calls to us with."""

    container: str = Field(min_length=1, description="The container that it speaks for (container.name).")
    consumer_key: str
    method: Literal["RSA-SHA1", "HMAC-SHA1"] = "RSA-SHA1"
    key_name: str | None = None
    certificate: Path | None = None
    secret: SecretStr | None = None
    own_app_only: bool = False

    @model_validator(mode="after")
    def _has_its_key(self) -> Self:
        if self.method == "RSA-SHA1" and (self.certificate is None or self.secret is not None):
            raise ValueError("RSA-SHA1 needs `certificate` (a PEM file, a public key will do) and no secret")
        if self.method == "HMAC-SHA1" and (self.secret is None or self.certificate is not None):
            raise ValueError("HMAC-SHA1 needs `secret`, and no certificate")
        return self


class GadgetWording(Section):
    """What is said of the gadget in one language; what is not said here, is said as everywhere else."""

    title: str = Field("", description="Shown by the container.")
    description: str = Field("", description="One sentence for the container's directory.")
    action: str = Field("", description="The button that adds one to a score.")


class Gadget(Section):
    """The gadget that this server is the home of."""

    title: str = Field("Letters", min_length=1, description="Shown by the container and on the pages.")
    description: str = Field("Who writes the most letters?", description="One sentence for the container's directory.")
    author: str = Field("", description="Shown by the container.")
    author_email: str = Field("", description="Shown by the container.")
    action: str = Field("Write a letter", min_length=1, description="The gadget's button that adds one to a score.")
    translations: dict[LanguageTag, GadgetWording] = Field(
        {},
        description="Title, description and action in other languages.",
        examples=[{"fr": {"title": "Lettres", "action": "Écrire une lettre"}, "pt-BR": {"title": "Cartas"}}],
    )
    app_url: WebAddress | None = Field(
        None, description="The specification's address as the container knows it; public_url/gadget.xml where not set."
    )
    app_id: str | None = Field(None, description="The application's id in the container, accepted beside app_url.")
    allowed_origins: tuple[WebOrigin, ...] = Field(
        (),
        description="Where the container renders gadgets: these origins may call /gadget/v1.",
        examples=[["https://www.orkut.gmodules.com"]],
    )
    trusted_signers: tuple[TrustedSignerSettings, ...] = Field(
        (),
        description="Whose signed calls are accepted.",
        examples=[[{"container": "container", "consumer_key": "orkut.com", "certificate": "orkut.pem"}]],
    )
    allow_missing_body_hash: bool = Field(
        False, description="Accept a body that is no form without oauth_body_hash (containers of 2008 sent none)."
    )


class MesDonnees(Section):
    """Orange's storage service."""

    base_url: WebAddress = Field(
        description="[PersonalContentV1URL], from the mail that validates the subscription.",
        examples=["https://alpha-api.orange.fr/PersonalContent/V1"],
    )
    service_id: str = Field(min_length=1, description="SERVICE_ID of the key.", examples=["YOURSERVIC1234567890"])
    service_password: SecretStr = Field(min_length=1, description="SERVICE PWD.", examples=["its password"])
    basic_auth: bool = Field(True, description="Send the access key with HTTP Basic in step one.")
    upload_hosts: tuple[HostName, ...] = Field(
        description="Hosts that may appear in an upload URL.", examples=[[".orange.fr"]]
    )
    portal_hosts: tuple[HostName, ...] = Field(
        description="Hosts that a browser may be sent to, to activate or to consent.", examples=[[".orange.fr"]]
    )
    portal_url: WebAddress | None = Field(None, description="The portal, where MD804 names none (or a refused one).")
    allow_http_loopback: bool = Field(False, description="For the sandbox: http on this machine instead of https.")
    spool_dir: Path = Field(Path("var/spool"), description="Where files wait until they are stored.")
    max_file_bytes: int = Field(2 * GIB, ge=1, description="The largest file.")
    max_spool_bytes: int = Field(20 * GIB, ge=1, description="All waiting files together.")
    max_user_bytes: int = Field(10 * GIB, ge=1, description="Waiting files of one user together.")
    keep_hours: int = Field(72, ge=1, le=8760, description="How long a file waits before it is given up.")
    history_days: int = Field(90, ge=1, le=3650, description="How long what became of a file is told.")
    free_floor_bytes: int = Field(GIB, ge=0, description="What stays free on the spool's disk.")

    max_sending: int = Field(32, ge=1, le=1000, description="How many files a process sends at once.")
    max_sending_per_user: int = Field(2, ge=1, le=100, description="How many of one user are sent at once.")
    max_send_s: int = Field(
        600,
        ge=10,
        description="How long an upload URL is taken to last: a slower browser's file is spooled whole first.",
    )

    @model_validator(mode="after")
    def _is_encrypted(self) -> Self:
        if self.allow_http_loopback and not is_loopback(urlsplit(self.base_url).hostname or ""):
            raise ValueError("allow_http_loopback is for a base_url on this machine only")
        if urlsplit(self.base_url).scheme != "https" and not self.allow_http_loopback:
            raise ValueError("base_url should begin with https: the password goes there")
        return self


class SignIn(Section):
    """Where people sign in to their storage: the Authentication API (SAML 2.0 Web SSO)."""

    metadata: Path = Field(
        description="The identity provider's metadata, a file of the subscription's mail.",
        examples=["orange-metadata.xml"],
    )
    certificates: tuple[Path, ...] = Field(
        (),
        description="PEM files to trust instead of the metadata's certificates; several while keys are changed.",
        examples=[["new.pem", "old.pem"]],
    )
    identity_provider: str | None = Field(
        None,
        description="Which one, where the metadata describes several.",
        examples=["http://auth.orange.fr"],
    )
    entity_id: str | None = Field(
        None,
        description="What the identity provider knows this site by, where that is not its /sign-in/metadata.",
        examples=["https://your-server.example/sign-in/metadata"],
    )
    parameters: dict[str, str] = Field(
        {}, description="Sent with each request; one asks for the token (the subscription's mail names it)."
    )
    token_attribute: str = Field("OrangeAPIToken", min_length=1, description="The attribute that holds the token.")
    name_attribute: str = Field("displayName", description="The attribute that holds a name to show, if any does.")
    allow_sha1: bool = Field(False, description="Believe signatures made with SHA-1 too: the service is of 2008.")
    skew_s: int = Field(120, ge=0, le=600, description="How far its clock and ours may differ.")


class Admin(Section):
    """The operators' view."""

    session_hours: int = Field(12, ge=1, le=168, description="How long an operator stays signed in.")


class Retention(Section):
    """How long things are kept that nobody needs for long; docs/operate.md tells of the others."""

    session_days: int = Field(
        14, ge=1, le=365, description="How long a browser stays signed in after it came from the game or signed in."
    )
    audit_days: int = Field(
        730, ge=30, le=36_500, description="How long the log tells who did what as an operator, and why."
    )


def _boards(definitions: object) -> tuple[Board, ...]:
    """Read `[[boards]]` tables by the rules of `domain/boards.py`; a fault names the board's number and the key."""
    if not isinstance(definitions, list | tuple) or not all(isinstance(item, Mapping) for item in definitions):
        raise ValueError("should be tables, one [[boards]] for each")
    boards: dict[str, Board] = {}
    for number, item in enumerate(definitions):
        try:
            board = board_from(item)
        except BadInput as error:
            raise ValueError(f"number {number + 1}, {error.field}: {error}") from error
        if board.id in boards:
            raise ValueError(f"number {number + 1}, id: {board.id!r} is there twice")
        boards[board.id] = board
    return tuple(boards.values())


class Settings(BaseSettings):
    """All of it. Make one with `load`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )

    server: Server
    database: DatabaseSettings = DatabaseSettings()
    container: Container
    gadget: Gadget = Gadget()
    mesdonnees: MesDonnees
    sign_in: SignIn
    sync: SyncSettings = SyncSettings()
    admin: Admin = Admin()
    retention: Retention = Retention()
    appdata_rules: tuple[AppDataRule, ...] = ()
    boards: Annotated[tuple[Board, ...], BeforeValidator(_boards)] = ()

    @property
    def app_url(self) -> str:
        """The gadget specification's address, as the container signs it."""
        return self.gadget.app_url or f"{self.server.public_url}/gadget.xml"

    @property
    def database_url(self) -> str:
        return self.database.url.get_secret_value()


def load(path: Path | None, **overrides: Any) -> Settings:
    """Read the file (if any) and the environment. `overrides` go before both: whole sections, for tests and the demo.

    Raises:
        BadSettings: One line for each wrong or missing value.
    """
    if path is not None and not path.is_file():
        raise BadSettings(f"The settings file {path} is not there. `homeserver config example` prints one.")

    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            if path is None:
                return init_settings, env_settings
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=path)

    lines = list(_unknown_sections())
    try:
        settings = FromFile(**overrides)
    except ValidationError as error:
        lines += [_in_words(fault) for fault in error.errors(include_url=False)]
    except (ValueError, OSError) as error:  # the TOML itself
        raise BadSettings(f"{path or 'environment'}: {error}") from None
    if lines:
        raise BadSettings("\n".join(["The settings cannot be used:", *lines]))
    return settings


def _unknown_sections() -> Iterator[str]:
    """A line for each variable that looks like a setting of ours in a section that is none: pydantic passes it over."""
    for name in sorted(os.environ):
        section, separator, _ = name.lower().removeprefix(ENV_PREFIX.lower()).partition("__")
        if name.upper().startswith(ENV_PREFIX) and separator and section not in Settings.model_fields:
            yield f"  {name}: there is no such setting; sections are {', '.join(Settings.model_fields)}."


def _in_words(fault: ErrorDetails) -> str:
    """One line: name, what was found (never a secret), what is allowed."""
    name = ".".join(str(part) for part in fault["loc"]) or "settings"
    variable = ENV_PREFIX + "__".join(str(part).upper() for part in fault["loc"])
    allowed = fault["msg"].removeprefix("Value error, ")
    match fault["type"]:
        case "missing":
            return f"  {name}: missing. Set it in the file, or as {variable}."
        case "extra_forbidden":
            return f"  {name}: there is no such setting."
    value = fault.get("input")
    is_plain = isinstance(value, str | int | float | bool)
    found = f"found {value!r}; " if is_plain and not _is_secret(fault["loc"]) else ""
    return f"  {name}: {found}{allowed}"


def _is_secret(location: tuple[int | str, ...]) -> bool:
    return location == ("database", "url") or any(re.search("secret|password", str(part)) for part in location)
