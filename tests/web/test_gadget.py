"""The gadget's calls against the whole product: handshake, tokens, CORS, every answer as the document promises."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web
from lxml import etree
from yarl import URL

from homeserver.paths import STATIC
from homeserver.protocol.gadget import iso
from homeserver.sandbox.people import CHARLOTTE, ELIZABETH, JANE
from homeserver.web import setup
from homeserver.web.gadget_script import PARTS, GadgetScript
from homeserver.web.keys import SITE, Site
from homeserver.web.openapi import document
from homeserver.web.routes import routes
from tests.web.conftest import Gadget, Reply, Stack

# --- handshake ------------------------------------------------------------------------------------------------------


async def test_a_signed_call_brings_a_token_and_names_the_viewer(stack: Stack) -> None:
    url = URL(stack.signed("POST", "/gadget/session", viewer=ELIZABETH), encoded=True)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with stack.http.post(url, headers=form, data=b"") as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        opened = await answer.json()
    assert opened.keys() == {"token", "expires", "viewer", "owner"}
    assert opened["viewer"]["id"] != ELIZABETH
    async with stack.http.post(url, headers=form, data=b"") as replayed:
        refused = await replayed.json(content_type=None)
        assert replayed.status == 401
    assert refused["code"] == "signature_refused"
    assert refused["detail"] == "the signed request was refused"  # never which check failed


async def test_a_tampered_call_is_refused(stack: Stack) -> None:
    url = stack.signed("POST", "/gadget/session", viewer=ELIZABETH)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for wrong in (url.replace(ELIZABETH, JANE), url.replace("/gadget/session", "/gadget/lifecycle")):
        async with stack.http.post(URL(wrong, encoded=True), headers=form, data=b"") as answer:
            assert answer.status == 401
    async with stack.http.post(URL(url, encoded=True), data=b"x" * (64 * 1024 + 1)) as answer:
        assert answer.status == 413
    async with stack.http.get(URL(url, encoded=True)) as answer:
        assert answer.status == 405


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_container_tells_of_people_who_leave(stack: Stack, method: Literal["GET", "POST"]) -> None:
    gadget = await stack.open_gadget()
    more = {"eventtype": "event.removeapp", "id": ELIZABETH}
    url = stack.signed(method, "/gadget/lifecycle", viewer=None, **more)
    form = {"Content-Type": "application/x-www-form-urlencoded"} if method == "POST" else {}
    async with stack.http.request(method, URL(url, encoded=True), headers=form) as answer:
        assert answer.status == 204
    assert (await gadget.call("GET", "me")).status == 401


async def test_without_a_good_token_there_is_nothing(stack: Stack) -> None:
    for header in ("", "Bearer", "Bearer wrong", "Basic dTpw", "Bearer a b", "Bearer \u00e9", "Bearer " + "x" * 600):
        async with stack.http.get(f"{stack.home_url}/gadget/v1/me", headers={"Authorization": header}) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert (await answer.json(content_type=None))["code"] == "not_signed_in"


async def test_a_guest_only_reads(stack: Stack) -> None:
    guest = await stack.open_gadget(None)
    assert (await guest.call("GET", "me")).json == {"me": None, "places": []}
    assert (await guest.call("GET", "boards/letters/entries")).status == 200
    assert (await guest.call("GET", "boards/letters/entries?around=me")).status == 403
    assert (await guest.call("GET", "boards/letters/entries?friends=true")).status == 403
    for path, body in (("scores", {"board": "letters", "value": "4"}), ("sync", None), ("page-links", None)):
        refused = await guest.call("POST", path, body)
        assert (refused.status, refused.json["code"]) == (403, "forbidden")


async def test_who_looks_at_somebody_elses_page_writes_their_own(stack: Stack) -> None:
    jane = await stack.open_gadget(JANE, owner=ELIZABETH)
    await jane.call("POST", "scores", {"board": "letters", "value": "7"})
    assert stack.sandbox.container.appdata_of(JANE)["letters"] == "7"
    assert stack.sandbox.container.appdata_of(ELIZABETH)["letters"] == "3"


# --- the main job ---------------------------------------------------------------------------------------------------


async def test_a_score_goes_to_the_container_and_onto_the_board(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    before = (await gadget.call("GET", "me")).json
    own = next(p for p in before["places"] if (p["board"], p["period"]["id"]) == ("letters", "all"))
    assert own["score"] == "3"

    placed = await gadget.call("POST", "scores", {"board": "letters", "value": "9007199254740993"})
    assert placed.status == 201
    assert placed.json["value"] == "9007199254740993"
    everything = placed.json["changes"][0]
    assert everything["period"]["id"] == "all"
    assert (everything["rank"], everything["rank_before"]) == (1, own["rank"])
    assert everything["passed"] == own["rank"] - 1
    assert everything["is_best"] is True
    values = stack.sandbox.container.appdata_of(ELIZABETH)
    assert values["letters"] == "9007199254740993"
    assert values["last_letter_date"] == "2008-10-30T18:30:02Z"  # other keys stay as they were

    (first, *_) = (await gadget.call("GET", "boards/letters/entries?period=day")).json["entries"]
    assert (first["rank"], first["score"], first["me"]) == (1, "9007199254740993", True)


async def test_every_way_of_choosing_entries(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    whole = (await gadget.call("GET", "boards/letters/entries?limit=100")).json
    ranks = [entry["rank"] for entry in whole["entries"]]
    assert ranks == sorted(ranks)
    assert whole["total"] == len(ranks)

    pages, cursor = [], ""
    while True:
        page = (await gadget.call("GET", f"boards/letters/entries?limit=7{cursor}")).json
        pages += page["entries"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert pages == whole["entries"]
    back = (await gadget.call("GET", f"boards/letters/entries?limit=7&cursor={page['previous']}")).json
    assert back["entries"][-1] == whole["entries"][-len(page["entries"]) - 1]

    around = (await gadget.call("GET", "boards/letters/entries?around=me&limit=5")).json["entries"]
    assert [entry["me"] for entry in around].count(True) == 1
    friends = (await gadget.call("GET", "boards/letters/entries?friends=true&limit=100")).json["entries"]
    assert {entry["player"]["id"] for entry in friends} <= {entry["player"]["id"] for entry in whole["entries"]}
    tenth = (await gadget.call("GET", "boards/letters/entries?at_rank=10&limit=1")).json["entries"]
    assert tenth[0]["rank"] == max(rank for rank in ranks if rank <= 10)
    jane = (await gadget.call("GET", "boards/letters/entries?search=jane+ben")).json["entries"]
    assert [entry["player"]["name"] for entry in jane] == ["Jane Bennet"]


async def id_of(gadget: Gadget) -> str:
    """The viewer's public id."""
    return str((await gadget.call("GET", "me")).json["me"]["id"])


async def history_of(gadget: Gadget, board: str = "letters") -> str:
    """Where the viewer's own history is."""
    return f"players/{await id_of(gadget)}/history?board={board}"


async def test_the_places_of_whose_page_it_is(stack: Stack) -> None:
    """Whoever holds a token sees those of anybody."""
    url = URL(stack.signed("POST", "/gadget/session", owner=JANE, viewer=None), encoded=True)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with stack.http.post(url, headers=form, data=b"") as answer:
        opened = await answer.json()
    guest = Gadget(stack.http, stack.home_url, opened["token"])
    own = (await (await stack.open_gadget(JANE)).call("GET", "me")).json
    assert (opened["viewer"], opened["owner"]["id"]) == (None, own["me"]["id"])
    seen = (await guest.call("GET", f"players/{own['me']['id']}")).json
    assert seen == {"player": own["me"], "places": own["places"]}
    assert (await guest.call("GET", "players/nobody")).status == 404


async def test_how_a_place_lies_among_the_others(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    whole = (await gadget.call("GET", "boards/letters/entries?limit=100")).json["entries"]
    spread = (await gadget.call("GET", "boards/letters/distribution")).json
    assert sum(each["count"] for each in spread["classes"]) == spread["total"] == len(whole)
    for each in spread["classes"]:
        inside = [entry for entry in whole if int(each["least"]) <= int(entry["score"]) <= int(each["greatest"])]
        assert each["count"] == len(inside)
    (mine,) = (entry for entry in whole if entry["me"])
    own = spread["classes"][spread["mine"]["class"]]
    assert int(own["least"]) <= int(mine["score"]) <= int(own["greatest"])
    worse = [entry for entry in whole if int(entry["score"]) < int(mine["score"])]
    assert spread["mine"]["better_than"] == len(worse) / (len(whole) - 1)

    (place, *_) = (await gadget.call("GET", "me")).json["places"]
    assert place["better_than"] == spread["mine"]["better_than"]
    following = next(entry for entry in reversed(whole) if int(entry["score"]) > int(mine["score"]))
    assert (place["next"]["score"], place["next"]["rank"]) == (following["score"], following["rank"])
    assert int(place["next"]["missing"]) == int(following["score"]) - int(mine["score"])
    jump = (await gadget.call("GET", f"boards/letters/entries?at_score={mine['score']}&limit=1")).json
    assert [entry["rank"] for entry in jump["entries"]] == [mine["rank"]]


async def test_periods_and_histories(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    for value in ("7", "5"):
        await gadget.call("POST", "scores", {"board": "letters", "value": value})
    listed = (await gadget.call("GET", "boards/letters/periods?limit=5")).json["periods"]
    assert [(each["id"].split(":")[0], each["current"]) for each in listed] == [
        ("all", True),
        ("season", True),
        ("month", True),
        ("week", True),
        ("day", True),
    ]
    assert listed[-1]["total"] == 1
    days = (await gadget.call("GET", "boards/letters/periods?span=day")).json["periods"]
    assert days == [listed[-1]]

    guest = await stack.open_gadget(None)  # whoever holds a token may see it
    history = (await guest.call("GET", await history_of(gadget))).json
    assert history["player"]["name"] == "Elizabeth Bennet"
    assert [(past["score"], past["origin"]) for past in history["scores"]] == [
        ("5", "submitted"),
        ("7", "submitted"),
        ("3", "baseline"),
    ]
    newest = (await guest.call("GET", f"{await history_of(gadget)}&limit=1")).json
    assert newest["scores"] == history["scores"][:1]


async def test_wrong_questions(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    for path, status, field in (
        ("boards/nothing/entries", 404, None),
        ("boards/letters/entries?period=tuesday", 400, "period"),
        ("boards/letters/entries?cursor=made.up", 400, None),
        ("boards/letters/entries?around=me&search=x", 400, "search"),
        ("boards/letters/entries?limit=1000", 400, "limit"),
        ("boards/letters/entries?at_score=three", 400, "at_score"),
        ("boards/letters/entries?at_score=3&at_rank=3", 400, "at_score"),
        ("boards/nothing/distribution", 404, None),
        ("boards/letters/distribution?period=tuesday", 400, "period"),
        ("boards/nothing/periods", 404, None),
        ("boards/letters/periods?span=year", 400, "span"),
        ("players/nobody/history?board=letters", 404, None),
        (await history_of(gadget, "nothing"), 404, None),
        ((await history_of(gadget)).split("?", 1)[0], 400, "board"),
    ):
        answer = await gadget.call("GET", path)
        assert answer.status == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert field is None or answer.json["field"] == field


async def test_wrong_scores(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    for body, status in (
        (b"not json", 400),
        ({"board": "letters", "value": 4}, 400),
        ({"board": "letters", "value": "four"}, 400),
        ({"board": "nothing", "value": "4"}, 404),
        (b" " * (64 * 1024 + 1), 413),
    ):
        assert (await gadget.call("POST", "scores", body)).status == status
    assert stack.sandbox.container.appdata_of(ELIZABETH)["letters"] == "3"


# --- CORS -----------------------------------------------------------------------------------------------------------


async def test_only_the_containers_pages_may_call(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    url = f"{stack.home_url}/gadget/v1/scores"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    for origin, allowed in ((stack.sandbox_url, True), (f"{stack.sandbox_url}0", False), ("null", False)):
        async with stack.http.options(url, headers={"Origin": origin, **asked}) as preflight:
            assert preflight.status == 204
            assert "Origin" in preflight.headers["Vary"]
            granted = preflight.headers
            assert granted.get("Access-Control-Allow-Origin") == (origin if allowed else None)
            if allowed:
                assert "POST" in granted["Access-Control-Allow-Methods"]
                assert granted["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
                assert int(granted["Access-Control-Max-Age"]) > 0
            assert "Access-Control-Allow-Credentials" not in granted
        answer = await gadget.call("GET", "me", Origin=origin)
        assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
        refused = await gadget.call("GET", "nothing", Origin=origin)
        assert refused.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    page = await stack.browser().get("/", Origin=stack.sandbox_url)
    assert "Access-Control-Allow-Origin" not in page.headers


# --- the document ---------------------------------------------------------------------------------------------------


def test_every_call_of_the_gadget_is_in_the_document() -> None:
    served = {
        (route.method.lower(), route.path)
        for route in routes()
        if isinstance(route, web.RouteDef) and route.path.startswith("/gadget/") and "lifecycle" not in route.path
    }
    described = {(method, path) for path, methods in document("http://h")["paths"].items() for method in methods}
    assert {call for call in described if call[1].startswith("/gadget/")} == served


def conforms(value: object, schema: dict[str, Any], schemas: dict[str, Any], where: str = "answer") -> None:
    """Hold a value to the parts of JSON Schema that the document uses."""
    if not schema or schema.get("additionalProperties") is True:
        return None
    if "$ref" in schema:
        return conforms(value, schemas[schema["$ref"].rsplit("/", 1)[1]], schemas, where)
    if "anyOf" in schema:
        return None if value is None else conforms(value, schema["anyOf"][0], schemas, where)
    if "enum" in schema:
        assert value in schema["enum"], where
        return None
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    python = {
        "string": str,
        "integer": int,
        "number": float,
        "boolean": bool,
        "array": list,
        "object": dict,
        "null": type(None),
    }
    fits = type(value) in [python[kind] for kind in kinds] or (type(value) is int and "number" in kinds)
    assert fits, f"{where}: {value!r} is not {kinds}"
    if isinstance(value, dict):
        assert value.keys() <= schema["properties"].keys(), where
        assert set(schema["required"]) <= value.keys(), where
        for name, member in value.items():
            conforms(member, schema["properties"][name], schemas, f"{where}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            conforms(item, schema["items"], schemas, f"{where}[{number}]")
    return None


async def test_live_answers_are_as_the_document_says(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    async with stack.http.get(f"{stack.home_url}/openapi.json") as answer:
        described = await answer.json()
    assert described["openapi"] == "3.1.0"
    assert described["servers"] == [{"url": stack.home_url}]
    schemas = described["components"]["schemas"]

    calls: dict[tuple[str, str], Reply] = {
        ("get", "/gadget/v1/boards"): await gadget.call("GET", "boards"),
        ("get", "/gadget/v1/boards/{board}/entries"): await gadget.call("GET", "boards/letters/entries?period=week"),
        ("get", "/gadget/v1/boards/{board}/distribution"): await gadget.call("GET", "boards/letters/distribution"),
        ("get", "/gadget/v1/boards/{board}/periods"): await gadget.call("GET", "boards/letters/periods"),
        ("get", "/gadget/v1/players/{player}"): await gadget.call("GET", f"players/{await id_of(gadget)}"),
        ("get", "/gadget/v1/players/{player}/history"): await gadget.call("GET", await history_of(gadget)),
        ("get", "/gadget/v1/me"): await gadget.call("GET", "me"),
        ("post", "/gadget/v1/scores"): await gadget.call("POST", "scores", {"board": "fastest", "value": "12.5"}),
        ("post", "/gadget/v1/sync"): await gadget.call("POST", "sync"),
        ("post", "/gadget/v1/page-links"): await gadget.call("POST", "page-links"),
    }
    url = URL(stack.signed("POST", "/gadget/session", viewer=CHARLOTTE), encoded=True)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with stack.http.post(url, headers=form, data=b"") as answer:
        calls["post", "/gadget/session"] = Reply(answer.status, answer.headers, await answer.read())

    for path, methods in described["paths"].items():
        for method, operation in methods.items() if path.startswith("/gadget/") else ():
            if path == "/gadget/v1/events":  # without end: see test_board_events.py
                continue
            reply = calls.pop((method, path))
            said = operation["responses"][str(reply.status)]["content"]["application/json"]["schema"]
            conforms(reply.json, said, schemas, path)
    assert not calls
    refused = await Gadget(stack.http, stack.home_url, "wrong").call("GET", "me")
    conforms(refused.json, schemas["Problem"], schemas)


# --- what the container fetches -------------------------------------------------------------------------------------


async def test_the_specification_is_served_for_containers(stack: Stack) -> None:
    async with stack.http.get(f"{stack.home_url}/gadget.xml") as answer:
        assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
        assert answer.headers["Cache-Control"] == "public, max-age=300"
        module = etree.fromstring(await answer.read())
    content = module.findtext("Content") or ""
    address = etree.HTML(content).find(".//script").get("src")  # type: ignore[union-attr]
    assert address is not None
    assert address.startswith(f"{stack.home_url}/gadget.js?v=")
    async with stack.http.get(URL(address, encoded=True)) as script:
        assert script.status == 200
        assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert "immutable" in script.headers["Cache-Control"]
        assert (script.headers["Content-Encoding"], script.headers["Vary"]) == ("gzip", "Accept-Encoding")
        source = await script.text()
    for parser in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval("):
        assert parser not in source  # what people wrote is no HTML and no script
    assert stack.home_url not in source  # it takes our address from the specification
    for accepted in ("deflate", "identity", "gzip;q=0, deflate"):  # whoever takes no gzip gets it plain
        headers = {"Accept-Encoding": accepted}
        async with stack.http.get(URL(address, encoded=True), headers=headers) as script:
            assert "Content-Encoding" not in script.headers
            assert await script.text() == source
    for other in ("", "?v=0000000000000000"):
        async with stack.http.get(URL(f"{stack.home_url}/gadget.js{other}", encoded=True)) as script:
            assert script.headers["Cache-Control"] == "no-cache"


def test_a_script_whose_parts_or_words_changed_has_another_address(tmp_path: Path) -> None:
    shutil.copytree(STATIC / "gadget", tmp_path / "gadget")
    paths = [GadgetScript(tmp_path, {"fr": {"texts": {"Live": ["En direct"]}}}).path]
    paths.append(GadgetScript(tmp_path, {"fr": {"texts": {"Live": ["Direct"]}}}).path)
    (tmp_path / "gadget" / PARTS[1]).write_text("// nothing\n")
    paths.append(GadgetScript(tmp_path, {"fr": {"texts": {"Live": ["Direct"]}}}).path)
    assert len(set(paths)) == 3
    assert GadgetScript(tmp_path, {"fr": {"texts": {"Live": ["Direct"]}}}).path == paths[-1]


def test_no_part_of_the_script_is_forgotten() -> None:
    assert {path.name for path in (STATIC / "gadget").iterdir()} == set(PARTS)


def test_two_applications_in_one_process_share_nothing() -> None:
    sites = []
    for url in ("https://one.example", "https://two.example"):
        app = web.Application()
        app[SITE] = Site(public_url=url)
        setup(app)
        sites.append(app[SITE].public_url)
    assert sites == ["https://one.example", "https://two.example"]
    assert iso(0).endswith("Z")
