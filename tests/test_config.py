"""Settings: one tree, from a file and the environment; what is wrong is named, what is secret is not shown."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr

from homeserver import config, config_example, config_shown
from homeserver.errors import BadSettings
from homeserver.model import Board, Order


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The example file, as a newcomer begins with it."""
    path = tmp_path / "homeserver.toml"
    path.write_text(config_example.example())
    return path


def test_the_example_loads_as_it_is(file: Path) -> None:
    settings = config.load(file)
    assert settings.boards == (Board("letters", "Letters written", "letters"),)
    assert settings.app_url == "https://letters.example.org/gadget.xml"


def test_every_line_of_the_example_is_a_setting_that_loads(tmp_path: Path) -> None:
    """Also those that are commented out, but for the few without a value to show."""
    lines = []
    for line in config_example.example().splitlines():
        bare = line.removeprefix("# ")
        is_setting = " = " in bare and bare.split(" = ")[0].isidentifier()
        if line.startswith(("# allow_http_loopback", "# url = ")) or not is_setting:
            lines.append(line)
        else:
            lines.append(bare)
    (tmp_path / "all.toml").write_text("\n".join(lines))
    settings = config.load(tmp_path / "all.toml")
    assert settings.gadget.trusted_signers[0].consumer_key == "orkut.com"
    assert settings.boards[0].zone == "America/Sao_Paulo"


def test_the_environment_goes_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMESERVER_SERVER__PORT", "9000")
    monkeypatch.setenv("HOMESERVER_DATABASE__SCHEMA", "letters")
    monkeypatch.setenv("HOMESERVER_GADGET__ALLOWED_ORIGINS", '["https://a.example", "https://B.example/"]')
    settings = config.load(file)
    assert settings.server.port == 9000
    assert settings.database.schema_name == "letters"
    assert settings.gadget.allowed_origins == ("https://a.example", "https://b.example")


def test_the_environment_alone_is_enough(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for section, values in tomllib.loads(file.read_text()).items():
        if section != "boards":
            for key, value in values.items():
                text = value if isinstance(value, str) else str(value).replace("'", '"')
                monkeypatch.setenv(f"HOMESERVER_{section}__{key}".upper(), text)
    assert config.load(None).container.consumer_key == "orkut.com:623061448914"


def test_each_fault_is_a_line_with_name_finding_and_what_is_allowed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMESERVER_SERVER__PORT", "abc")
    monkeypatch.setenv("HOMESERVER_SERVER__PROT", "1")
    monkeypatch.setenv("HOMESERVER_CONTAINER__DIALECT", "klingon")
    monkeypatch.setenv("HOMESERVER_MESDONNEES__UPLOAD_HOSTS", '["https://a.example"]')
    file.write_text(file.read_text().replace('public_url = "https://letters.example.org"', ""))
    with pytest.raises(BadSettings) as caught:
        config.load(file)
    lines = str(caught.value).splitlines()[1:]
    assert "  server.public_url: missing. Set it in the file, or as HOMESERVER_SERVER__PUBLIC_URL." in lines
    assert any(line.startswith("  server.port: found 'abc'; ") for line in lines)
    assert "  server.prot: there is no such setting." in lines
    assert "  container.dialect: found 'klingon'; Input should be 'guide', 'orkut' or 'shindig'" in lines
    assert any(line.startswith("  mesdonnees.upload_hosts.0: found 'https://a.example'; ") for line in lines)
    assert len(lines) == 5


def test_a_variable_of_a_section_that_is_none_is_named_but_not_shown(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMESERVER_MESDONNES__SERVICE_PASSWORD", "hunter2")
    monkeypatch.setenv("HOMESERVER_CONFIG", "of the command line's")
    with pytest.raises(BadSettings) as caught:
        config.load(file)
    assert "  HOMESERVER_MESDONNES__SERVICE_PASSWORD: there is no such setting; " in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOMESERVER_SERVER__SECRET_KEY", "hunter2"),
        ("HOMESERVER_CONTAINER__CONSUMER_SECRET", ""),
        ("HOMESERVER_MESDONNEES__SERVICE_PASSWORD", ""),
    ],
)
def test_a_wrong_secret_is_named_but_not_shown(
    file: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadSettings, match=variable.rsplit("__", maxsplit=1)[-1].lower()) as caught:
        config.load(file)
    assert "hunter2" not in str(caught.value)
    assert "found" not in str(caught.value)


def test_no_secret_is_in_the_repr(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMESERVER_DATABASE__URL", "postgresql://app:hunter2@db/app")
    key = tomllib.loads(file.read_text())["server"]["secret_key"]
    shown = repr(config.load(file))
    assert not any(secret in shown for secret in ("hunter2", key, "its secret", "its password"))


def test_no_two_examples_have_the_same_secret_key() -> None:
    first, second = (tomllib.loads(config_example.example())["server"]["secret_key"] for _ in range(2))
    assert len(first) == len(second) == 64
    assert first != second


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://A.example:443/", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("https://a.example:", "https://a.example"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://[::1]", "https://[::1]"),
    ],
)
def test_an_origin_is_read_as_browsers_write_it(
    file: Path, monkeypatch: pytest.MonkeyPatch, written: str, origin: str
) -> None:
    """The check of `Origin` compares texts: with `:443` in it, no form of the site could be sent."""
    monkeypatch.setenv("HOMESERVER_SERVER__PUBLIC_URL", written)
    assert config.load(file).server.public_url == origin


@pytest.mark.parametrize(
    "address",
    [
        "https://a.example:https",
        "https://a.example:70000",
        "https://a b.example",
        "https://b\u00fccher.example",
        "https://:x@a",
    ],
)
def test_an_address_that_cannot_be_called_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HOMESERVER_SERVER__PUBLIC_URL", address)
    with pytest.raises(BadSettings, match=r"server\.public_url"):
        config.load(file)


def test_the_storages_password_never_travels_in_the_clear(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMESERVER_MESDONNEES__BASE_URL", "http://api.example.org/x")
    with pytest.raises(BadSettings, match="base_url should begin with https"):
        config.load(file)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ('[[boards]]\nid = "x"\ntitle = "X"\nfield = "x"\nzone = "Mars/Base"', "number 2, zone: 'Mars/Base'"),
        ('[[boards]]\nid = "letters"\ntitle = "X"\nfield = "x"', "number 2, id: 'letters' is there twice"),
        ('[[boards]]\nid = "x"\ntitle = "X"', "number 2, field: nothing is not right"),
    ],
)
def test_a_faulty_board_is_named_by_number_and_key(file: Path, table: str, fault: str) -> None:
    file.write_text(f"{file.read_text()}\n{table}\n")
    with pytest.raises(BadSettings, match=fault):
        config.load(file)


def test_boards_are_read_by_the_rules_of_boards(file: Path) -> None:
    file.write_text(f'{file.read_text()}\n[[boards]]\nid = "t"\ntitle = "T"\nfield = "t"\norder = "less"\n')
    assert config.load(file).boards[1].order is Order.LESS


@pytest.mark.parametrize(
    ("base_url", "loopback", "fault"),
    [
        ("http://storage.example.org/V1", "false", "should begin with https"),
        ("http://127.0.0.1:8081/V1", "false", "should begin with https"),
        ("https://storage.example.org/V1", "true", "for a base_url on this machine only"),
    ],
)
def test_the_storage_is_reached_by_https_or_on_this_machine(
    file: Path, monkeypatch: pytest.MonkeyPatch, base_url: str, loopback: str, fault: str
) -> None:
    monkeypatch.setenv("HOMESERVER_MESDONNEES__BASE_URL", base_url)
    monkeypatch.setenv("HOMESERVER_MESDONNEES__ALLOW_HTTP_LOOPBACK", loopback)
    with pytest.raises(BadSettings, match=fault):
        config.load(file)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8081/V1", "http://localhost/V1", "http://[::1]:1/V1"])
def test_the_sandbox_may_use_http_on_this_machine(file: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HOMESERVER_MESDONNEES__BASE_URL", url)
    monkeypatch.setenv("HOMESERVER_MESDONNEES__ALLOW_HTTP_LOOPBACK", "true")
    assert config.load(file).mesdonnees.base_url == url


def test_a_signer_needs_the_key_of_its_method(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMESERVER_GADGET__TRUSTED_SIGNERS", '[{"container": "c", "consumer_key": "k"}]')
    with pytest.raises(BadSettings, match="RSA-SHA1 needs `certificate`"):
        config.load(file)


def test_a_missing_file_and_broken_toml_are_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"nowhere\.toml is not there"):
        config.load(tmp_path / "nowhere.toml")
    (tmp_path / "broken.toml").write_text("[server\n")
    with pytest.raises(BadSettings, match=r"broken\.toml"):
        config.load(tmp_path / "broken.toml")


def test_a_trusted_proxy_is_an_address_or_a_network(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMESERVER_SERVER__TRUSTED_PROXIES", '["10.0.0.1", "10.1.0.0/16"]')
    assert config.load(file).server.trusted_proxies == ("10.0.0.1/32", "10.1.0.0/16")
    monkeypatch.setenv("HOMESERVER_SERVER__TRUSTED_PROXIES", '["balancer"]')
    with pytest.raises(BadSettings, match="an address or a network"):
        config.load(file)


def test_settings_are_shown_without_any_secret_at_any_depth(file: Path) -> None:
    secret = "nobody may read this, wherever it stands"
    signer = config.TrustedSignerSettings(
        container="orkut", consumer_key="a key", method="HMAC-SHA1", secret=SecretStr(secret)
    )
    loaded = config.load(file, gadget=config.Gadget(trusted_signers=(signer,)))
    values = {one.name: one.value for section in config_shown.shown(loaded) for one in section.settings}
    assert values["gadget.trusted_signers"].startswith("container: orkut; consumer_key: a key; method: HMAC-SHA1; ")
    hidden = {secret, loaded.server.secret_key.get_secret_value(), loaded.container.consumer_secret.get_secret_value()}
    assert [name for name, value in values.items() for each in hidden if each in value] == []
    assert values["server.secret_key"] == values["database.url"] == "set, not shown"
    assert (values["server.workers"], values["server.old_secret_key"]) == ("1", "")
    assert {name.partition(".")[0] for name in values} >= {"server", "container", "mesdonnees", "sync", "admin"}
