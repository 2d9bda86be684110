"""Apache Shindig on loopback: fetched from Maven's registry, given our keys and people, started, and surely stopped.

Nothing of it is in this repository. What is fetched is kept under `build/`; its digest is checked each time before it
is run. A run unpacks the web application into a folder of its own and removes that folder at its end.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from tests.ports import free_port

BUILD: Final = Path(__file__).resolve().parents[2] / "build" / "interop"

FETCH_S: Final = 300
START_S: Final = 120
STOP_S: Final = 10

# What Guice, XStream and Ehcache of those years do by reflection, JDK 17 allows only when told so.
JVM_FLAGS: Final = (
    "-Xmx384m",
    "-XX:TieredStopAtLevel=1",  # starts in two thirds of the time, and no test runs long enough to gain from the rest
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.text=ALL-UNNAMED",
    "--add-opens=java.base/java.lang.reflect=ALL-UNNAMED",
    "--add-opens=java.desktop/java.awt.font=ALL-UNNAMED",
)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of Maven's registry, and the SHA-256 of what it is known to be."""

    group: str
    name: str
    version: str
    packaging: str
    sha256: str

    @property
    def coordinates(self) -> str:
        return f"{self.group}:{self.name}:{self.version}:{self.packaging}"

    @property
    def file(self) -> Path:
        return BUILD / "downloads" / f"{self.name}-{self.version}.{self.packaging}"


JETTY: Final = Artifact(
    "org.eclipse.jetty",
    "jetty-runner",
    "9.4.57.v20241219",
    "jar",
    "f63fbee00a06f04a3f715267d5d53ba4389b5b3e9ecc6168d8b73d81243a883f",
)
SHINDIGS: Final = {
    version: Artifact("org.apache.shindig", "shindig-server", version, "war", sha256)
    for version, sha256 in {
        "2.0.2": "ecd3c229e800029c15e57d592a2bc14839edefc0ef240f764cb805e5e66654a1",
        "2.5.0-beta1": "d883ec32fed8e848ad7d4794c9b4cf06a23a058bf8cc88db271dc48361fff837",
    }.items()
}


class ShindigFailed(Exception):
    """It could not be fetched or started; the message holds what Maven or Java said last."""


@dataclass(frozen=True, slots=True)
class HmacKey:
    """What signs the calls of one gadget that ask for the service `service` (`OAUTH_SERVICE_NAME`)."""

    gadget_url: str
    service: str
    consumer_key: str
    secret: str


@dataclass(frozen=True, slots=True)
class Setup:
    """What Shindig is told at its start."""

    version: str
    people: tuple[Mapping[str, Any], ...]
    friends: Mapping[str, tuple[str, ...]]
    appdata: Mapping[str, Mapping[str, str]]
    consumers: Mapping[str, str] = field(repr=False)
    """Consumer key to secret, of applications that may call its REST API."""
    key_name: str
    private_key_pem: bytes = field(repr=False)
    """PKCS#8. Signs every call that no `HmacKey` signs."""
    hmac_keys: tuple[HmacKey, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Shindig:
    """A running one. `origin` is such as `http://localhost:40123`."""

    version: str
    origin: str

    @property
    def base_url(self) -> str:
        return f"{self.origin}/social/rest"

    @property
    def remembers_nonces(self) -> bool:
        """2.0.2 makes a new memory for each request, and so has none."""
        return self.version != "2.0.2"


def fetch(artifact: Artifact) -> Path:
    """The artifact's file, by Maven unless it is here already.

    Raises:
        ShindigFailed: It cannot be had, or is not what it was.
    """
    file = artifact.file
    if not file.exists():
        with tempfile.TemporaryDirectory(dir=_made(file.parent)) as folder:
            command = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact.coordinates}"]
            try:
                done = subprocess.run(
                    [*command, f"-DoutputDirectory={folder}"],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=FETCH_S,
                )
            except subprocess.TimeoutExpired as error:
                raise ShindigFailed(f"Maven did not bring {artifact.coordinates} in {FETCH_S} s") from error
            if done.returncode != 0:
                words = "\n".join((done.stdout + done.stderr).splitlines()[:12])
                raise ShindigFailed(f"Maven did not bring {artifact.coordinates}:\n{words}")
            (Path(folder) / file.name).replace(file)
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != artifact.sha256:
        raise ShindigFailed(f"{file} is not the file that is known; its SHA-256 is {digest}")
    return file


@contextmanager
def running(setup: Setup) -> Iterator[Shindig]:
    """Shindig with `setup`, answering inside the context and gone after it. Its log stays under `build/interop`.

    Raises:
        ShindigFailed: Java ended, or nothing answered in time.
    """
    jetty, war = fetch(JETTY), fetch(SHINDIGS[setup.version])
    with tempfile.TemporaryDirectory(prefix=f"shindig-{setup.version}-", dir=_made(BUILD)) as folder:
        root, scratch = Path(folder) / "root", Path(folder) / "tmp"
        scratch.mkdir()
        with zipfile.ZipFile(war) as archive:
            archive.extractall(root)
        _override(root, setup, Path(folder) / "key.pem")
        port = free_port()
        command = [
            *_dies_with_us(),
            "java",
            *JVM_FLAGS,
            f"-Djava.io.tmpdir={scratch}",
            "-Dorg.eclipse.jetty.util.log.class=org.eclipse.jetty.util.log.StdErrLog",  # says when it has started
            "-Dshindig.host=localhost",
            f"-Dshindig.port={port}",
            *("-jar", str(jetty), "--host", "127.0.0.1", "--port", str(port), "--path", "/", str(root)),
        ]
        log = BUILD / f"shindig-{setup.version}.log"
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        reader = _Log(process, log)
        try:
            shindig = Shindig(setup.version, f"http://localhost:{port}")
            reader.wait_for("Started @", START_S)
            _check_answer(f"{shindig.base_url}/people/{quote(str(setup.people[0]['id']))}/@self", log)
            yield shindig
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            reader.join()


def _override(root: Path, setup: Setup, key_file: Path) -> None:
    """Put our configuration before the one in Shindig's own jars: the class path has `WEB-INF/classes` first."""
    classes = root / "WEB-INF" / "classes"
    key_file.write_bytes(setup.private_key_pem)
    [common] = (root / "WEB-INF" / "lib").glob("shindig-common-*.jar")
    with zipfile.ZipFile(common) as jar:
        properties = jar.read("shindig.properties").decode("iso-8859-1")
    ours = {"shindig.signing.key-name": setup.key_name, "shindig.signing.key-file": str(key_file)}
    for name, value in ours.items():
        assert f"\n{name}=\n" in properties
        properties = properties.replace(f"\n{name}=\n", f"\n{name}={value}\n")
    (classes / "shindig.properties").write_text(properties, encoding="iso-8859-1")
    _write_json(classes / "sampledata" / "canonicaldb.json", _database(setup))
    keys: dict[str, dict[str, dict[str, str]]] = {}
    for key in setup.hmac_keys:
        keys.setdefault(key.gadget_url, {})[key.service] = {
            "consumer_key": key.consumer_key,
            "consumer_secret": key.secret,
            "key_type": "HMAC_SYMMETRIC",
        }
    _write_json(classes / "config" / "oauth.json", keys)


def _database(setup: Setup) -> dict[str, Any]:
    """Everything that Shindig's sample database may be asked for."""
    return {
        "people": list(setup.people),
        "friendLinks": {person: list(friends) for person, friends in setup.friends.items()},
        "data": {person: dict(item) for person, item in setup.appdata.items()},
        "apps": {key: {"title": "Letters", "consumerSecret": secret} for key, secret in setup.consumers.items()},
        **{name: {} for name in ("activities", "activityEntries", "albums", "mediaItems", "messages", "passwords")},
        "oauth2": {"nobody": {"registration": _NOBODY}},
    }


# 2.5.0-beta1 does not start without a client of OAuth 2.
_NOBODY: Final = {"id": "nobody", "title": "", "type": "public", "flow": "implicit", "redirectURI": "http://localhost/"}


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _check_answer(url: str, log: Path) -> None:
    """Jetty starts even when the web application in it does not."""
    try:
        with urllib.request.urlopen(url, timeout=START_S) as answer:
            answer.read()
    except (urllib.error.URLError, TimeoutError) as error:
        raise ShindigFailed(f"Shindig runs but does not answer ({error}); see {log}") from error


class _Log:
    """Keeps what a process says, in a thread, and lets others wait for words in it."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path) -> None:
        self._process = process
        self._path = path
        self._said: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, name=path.stem, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output, self._path.open("wb") as file:
            for line in output:
                file.write(line)
                file.flush()
                with self._more:
                    self._said.append(line.decode("utf-8", "replace"))
                    self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def wait_for(self, words: str, seconds: float) -> None:
        """Return once a line holds `words`.

        Raises:
            ShindigFailed: The process ended before, or the time is over.
        """
        with self._more:
            self._more.wait_for(lambda: self._ended or any(words in line for line in self._said), seconds)
            if any(words in line for line in self._said):
                return
            ended, last = self._ended, "".join(self._said[-12:])
        what = "ended" if ended else f"was not ready after {seconds:.0f} s"
        raise ShindigFailed(f"Java {what}; {self._path} holds all that it said. The last of it:\n{last}")

    def join(self) -> None:
        self._thread.join(STOP_S)


def _dies_with_us() -> tuple[str, ...]:
    """Linux: a command that has the kernel stop Java when this process is killed and can clean up nothing."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL") if setpriv else ()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
