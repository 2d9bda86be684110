"""Benchmarks run, and tell what they found as lines that programs read. How fast it was is not for a test to say."""

from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import main, names
from benchmarks.report import Figure, Pass, side_by_side


def test_every_benchmark_has_a_name() -> None:
    assert "oauth" in names()
    assert not {"party", "report", "__main__"} & set(names())


def test_signing_and_verifying_are_measured_beside_oauthlib(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["oauth", "--quick"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    figures = {line["name"]: line for line in lines}
    assert set(lines[0]) == {"name", "value", "unit", "ratio", "target", "ok"}
    for name, target in (("oauth.sign", 0.25), ("oauth.verify.hmac", 0.5), ("oauth.verify.rsa", 0.5)):
        ours, reference = figures[name], figures[f"{name}.reference"]
        assert (ours["unit"], ours["target"]) == ("us", target)
        assert ours["ok"] is (ours["ratio"] <= target)
        assert min(ours["value"], reference["value"], ours["ratio"]) > 0
        assert reference["ok"] is None
    assert status == (0 if all(line["ok"] is not False for line in lines) else 1)


@pytest.mark.long
def test_uploads_are_measured_beside_a_bare_forwarder(capsys: pytest.CaptureFixture[str]) -> None:
    main(["uploads", "--quick"])
    figures = {line["name"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    for name in ("spool/through", "memory", "cpu"):
        assert figures[f"uploads.20MB.{name}"]["ok"] is not None
    assert figures["uploads.first_byte"]["unit"] == "ms"
    assert figures["uploads.40_at_once.memory"]["unit"] == "MB"


@pytest.mark.long
@pytest.mark.postgres
def test_pages_and_calls_are_measured_beside_a_bare_handler(capsys: pytest.CaptureFixture[str]) -> None:
    main(["http", "--quick"])
    figures = {line["name"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    for engine in ("sqlite", "postgresql"):
        for name in ("entries_top_10", "page", "page_unchanged", "page_signed_in"):
            assert figures[f"http.{engine}.{name}.of_bare"]["value"] > 0
            assert figures[f"http.{engine}.{name}.bare.cpu"]["unit"] == "us"
        for name in ("top_20", "around_20", "friends_100", "score"):
            assert figures[f"http.{engine}.{name}.cpu"]["ratio"] > 0
    assert figures["http.sqlite.page.of_bare"]["ok"] is not None


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["nothing"])
    assert refused.value.code == 2
    assert "oauth" in capsys.readouterr().err


def test_what_is_prepared_is_not_counted_and_both_take_turns() -> None:
    told: list[str] = []

    def party(name: str) -> Pass:
        return Pass(lambda: told.append(name), 10, lambda: told.append(f"{name} prepares"))

    ours, reference = side_by_side("x", party("ours"), party("theirs"), rounds=2, target=0.5)
    first, second = ["ours prepares", "ours"], ["theirs prepares", "theirs"]
    assert told[4:] == [*second, *first, *first, *second]
    assert (ours.name, ours.target, reference.name) == ("x", 0.5, "x.reference")


@pytest.mark.parametrize(
    ("ratio", "target", "ok"), [(0.2, 0.25, True), (0.3, 0.25, False), (None, None, None), (0.3, None, None)]
)
def test_a_target(ratio: float | None, target: float | None, ok: bool | None) -> None:
    figure = Figure("x", 1.23456, "us", ratio, target)
    assert figure.ok is ok
    expected = {"name": "x", "value": 1.2346, "unit": "us", "ratio": ratio, "target": target, "ok": ok}
    assert json.loads(figure.line()) == expected


def test_the_sync_is_measured_from_the_plan_to_the_database(capsys: pytest.CaptureFixture[str]) -> None:
    main(["sync", "--quick"])
    figures = {line["name"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    for society in ("small_world", "power_law"):
        asked, bound = figures[f"sync.{society}.appdata"], figures[f"sync.{society}.appdata.bound"]
        assert (asked["target"], asked["ok"]) == (0.06, True), "how many requests a plan needs is the same everywhere"
        assert bound["value"] <= asked["value"] <= figures[f"sync.{society}.appdata.paged"]["value"]
        lists = figures[f"sync.{society}.lists.needed"]
        assert figures[f"sync.{society}.lists.bound"]["value"] <= lists["value"]
        assert lists["target"] == 0.6
    assert figures["sync.engine.50ms"]["unit"] == "requests/s"
    assert {f"sync.engine.{part}" for part in ("0ms", "cpu", "sign", "parse", "store")} < figures.keys()
