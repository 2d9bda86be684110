"""The set-up on a fresh Debian with Python 3 and make: for somebody who is not root, then for root, up to Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from tests.bare_debian import NOBODY, BareDebian, CannotMake, interrupt, until
from tests.checkout import copy_checkout
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.long, pytest.mark.needs("debootstrap")]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareDebian]:
    """A bare Debian with a copy of this checkout, which belongs to nobody and in which nothing was made yet."""
    machine = BareDebian(tmp_path_factory.mktemp("debian"))
    try:
        try:
            machine.prepare()
        except CannotMake as reason:
            pytest.skip(f"debootstrap can make no Debian here: {reason}")
        copy_checkout(machine.checkout)
        for path in [machine.checkout, *machine.checkout.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        yield machine
    finally:
        shutil.rmtree(machine.root)


def page(address: str) -> str:
    with urlopen(address, timeout=PATIENCE_S) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


def test_who_is_not_root_is_told_the_one_command(debian: BareDebian) -> None:
    status, words = debian.run("make", "demo", user=NOBODY)
    assert status == 2
    assert "cannot make environments yet" in words
    assert "\nsudo apt-get install python3-venv\n" in words
    assert len(words.splitlines()) <= 3, "and little else"


def test_make_demo_starts_the_product_on_a_bare_machine(debian: BareDebian) -> None:
    """Once with everything to fetch, once more with everything there. Free ports, so as to disturb nobody."""
    for first in (True, False):
        with debian.start("make", "demo", "ARGS=--port 0 --sandbox-port 0") as process:
            words = until(process, "Ctrl-C stops")
            assert "homeserver runs" in words, words
            assert ("Installing Debian's python3-venv" in words) == first, words
            assert ("Making the environment" in words) == first, words
            home, sandbox = (re.findall(rf"(http://{host}:\d+)/ ", words)[0] for host in (r"127\.0\.0\.1", "localhost"))
            assert page(f"{home}/healthz").strip()
            assert "Letters written" in page(f"{home}/boards/letters")
            assert "/play?viewer=" in page(f"{sandbox}/")
            status, words = interrupt(process)
            assert (status, words.split()) == (-signal.SIGINT, ["Stopping."])


def test_the_main_job_works_on_a_bare_machine(debian: BareDebian) -> None:
    status, words = debian.run(".venv/bin/homeserver", "demo", "--once")
    assert status == 0, words
    assert words.splitlines()[-1] == "The main job works from end to end."
