"""`/admin/api/` over real HTTP: who may call what, what is answered, and that the document says so."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from yarl import URL

from homeserver.model import Action, Role
from homeserver.services.operator_tokens import OperatorTokens
from homeserver.storage.database import open_database
from homeserver.web import admin_api_calls
from homeserver.web.admin_api_calls import CALLS
from homeserver.web.admin_calls import PREFIX, Call, Kind, Param
from homeserver.web.openapi import document
from homeserver.wiring import wall_clock_ms
from tests.patience import until
from tests.web.conftest import Browser, Gadget, Reply, Stack, running_stack
from tests.web.test_gadget import conforms

WHY: Final = {"reason": "see ticket 7"}


@dataclass(frozen=True, slots=True)
class Program:
    """A program with an operator's token."""

    stack: Stack
    token: str | None

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        url = URL(f"{self.stack.home_url}{PREFIX}{path}", encoded=True)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        async with self.stack.http.request(method, url, headers=sent, data=data) as response:
            return Reply(response.status, response.headers.copy(), await response.read())

    async def get(self, path: str) -> Any:
        reply = await self.call("GET", path)
        assert reply.status == 200, reply.text
        return reply.json

    async def post(self, path: str, body: object, status: int) -> Any:
        reply = await self.call("POST", path, body)
        assert reply.status == status, reply.text
        return reply.json if reply.body else None

    async def ended(self, task: dict[str, Any]) -> dict[str, Any]:
        """The task when it has ended."""
        found: dict[str, Any] = task

        async def has_ended() -> bool:
            nonlocal found
            found = await self.get(f"/tasks/{task['id']}")
            return found["ended"] is not None

        await until(has_ended)
        return found


async def token_of(folder: Path, owner: str, role: Role) -> str:
    async with open_database(f"sqlite:///{folder / 'homeserver.db'}") as database:
        return (await OperatorTokens(database, wall_clock_ms).add(owner, "a test", role)).token


@dataclass(frozen=True, slots=True)
class House:
    stack: Stack
    gadget: Gadget
    configure: Program
    moderate: Program
    view: Program
    nobody: Program


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    programs = {role: await token_of(folder, role.value, role) for role in Role}
    async with running_stack(folder) as stack:
        gadget = await stack.open_gadget()
        made = [Program(stack, programs[role]) for role in (Role.CONFIGURE, Role.MODERATE, Role.VIEW)]
        yield House(stack, gadget, made[0], made[1], made[2], Program(stack, None))


def example(param: Param) -> object:
    if param.words:
        return param.words[0]
    return {Kind.NUMBER: 1, Kind.FRACTION: 5, Kind.FLAG: True, Kind.TIME: "2026-11-22T12:00:00Z"}.get(param.kind, "x")


def filled(call: Call, names: dict[str, str]) -> tuple[str, dict[str, object] | None]:
    path = call.path
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    query = "&".join(f"{param.name}={example(param)}" for param in call.query if param.required)
    body = {param.name: example(param) for param in call.body if param.required} if call.is_act else None
    return f"{path}?{query}" if query else path, body


async def in_person(house: House, browser: Browser, method: str, path: str, body: object, **headers: str) -> Reply:
    """A call by whoever is signed in to the pages."""
    said = {"Origin": house.stack.home_url, "Content-Type": "application/json", **headers}
    return await browser.request(method, f"{PREFIX}{path}", said, json.dumps(body))


def test_routes_and_document_have_the_same_calls() -> None:
    served = {
        (route.method.lower(), route.path) for route in admin_api_calls.routes() if isinstance(route, web.RouteDef)
    }
    described = {
        (method, path)
        for path, methods in document("http://h")["paths"].items()
        for method in methods
        if path.startswith(PREFIX)
    }
    assert described == served
    assert len(served) == len(CALLS)


async def test_every_call_for_every_role_and_for_nobody(house: House) -> None:
    """With a token, which is not enough for some, and with the cookie of the pages; nobody who may not learns whether
    there is such a thing."""
    names = {
        "board": "none",
        "player": "nobody",
        "claim": "1",
        "task": "999",
        "archive": "1",
        "token": "x",
        "upload": "none",
    }
    browsers = {role: house.stack.browser() for role in Role}
    for role, browser in browsers.items():
        assert (await browser.sign_in_as_operator(role.value)).status == 303
    programs = {Role.VIEW: house.view, Role.MODERATE: house.moderate, Role.CONFIGURE: house.configure}
    wrong = []
    for call in CALLS:
        path, body = filled(call, names)
        got = {"nobody": (await house.nobody.call(call.method, path, body, Sec_Fetch_Site="same-origin")).status}
        expected = {"nobody": {401}}
        for role in Role:
            allowed = {200, 201, 202, 204, 404} if role.allows(call.role) else {403}
            got[f"{role} token"] = (await programs[role].call(call.method, path, body)).status
            got[f"{role} cookie"] = (await in_person(house, browsers[role], call.method, path, body or {})).status
            expected |= {f"{role} token": {403} if call.in_person else allowed, f"{role} cookie": allowed}
        wrong += [(call.method, call.path, who, got[who]) for who in got if got[who] not in expected[who]]
    assert wrong == []


async def test_a_cookie_beside_a_token_means_nothing_and_another_site_cannot_act(house: House) -> None:
    browser = house.stack.browser()
    await browser.sign_in_as_operator("configure")
    path = f"{PREFIX}/boards/letters/close"
    bad = {"Authorization": "Bearer hsa_wrong"}
    assert (await browser.request("POST", path, bad, json.dumps(WHY))).status == 401
    assert (await browser.request("POST", path, {"Origin": "https://evil.example"}, json.dumps(WHY))).status == 403
    assert (await browser.request("POST", path, {}, json.dumps(WHY))).status == 403
    reply = await house.nobody.call("GET", "/me")
    assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert reply.json["code"] == "not_signed_in"
    assert (await house.configure.get("/boards/letters"))["closed"] is None


async def test_live_answers_are_as_the_document_says(house: House) -> None:
    described = document(house.stack.home_url)
    schemas = described["components"]["schemas"]
    player = (await house.gadget.call("GET", "me")).json["me"]["id"]
    names = {"board": "letters", "player": player, "claim": "1", "archive": "1", "token": "x"}
    config = house.configure
    await config.post(f"/players/{player}/adjust", {**WHY, "board": "letters", "score": "2"}, 204)
    task = await config.post("/boards/letters/bulk", {**WHY, "action": "hide", "least": "1"}, 202)
    await config.ended(task)
    await config.ended(await config.post(f"/tasks/{task['id']}/undo", WHY, 202))
    await config.ended(await config.post("/boards/letters/verify", WHY, 202))
    await config.ended(await config.post("/boards/letters/reset", {**WHY, "name": "autumn"}, 202))
    names["task"] = str(task["id"])
    seen = 0
    for call in CALLS:
        if call.is_act or call.answer is str:
            continue
        path, _ = filled(call, names)
        reply = await config.call(call.method, path)
        assert reply.status == 200, (path, reply.text)
        answers = described["paths"][f"{PREFIX}{call.path}"][call.method.lower()]["responses"]
        conforms(reply.json, answers["200"]["content"]["application/json"]["schema"], schemas, path)
        seen += 1
    assert seen == sum(not call.is_act and call.answer is not str for call in CALLS)
    browser, wanted = house.stack.browser(), {"name": "k", "role": "view"}
    await browser.sign_in_as_operator("configure")
    key = {"Idempotency-Key": "t"}
    keyed = [(await in_person(house, browser, "POST", "/tokens", wanted, **key)).json for _ in range(2)]
    assert keyed[0]["token"] != keyed[1]["token"]  # a secret is kept nowhere, so it cannot be said again
    conforms(keyed[0], {"$ref": "#/components/schemas/OperatorsNewToken"}, schemas)
    refused = await config.call("GET", "/boards/letters/entries?limit=x")
    conforms(refused.json, schemas["Problem"], schemas)


# --- what calls do ----------------------------------------------------------------------------------------------------


async def scores(program: Program, query: str = "") -> list[tuple[int | None, str]]:
    page = await program.get(f"/boards/letters/entries{query}")
    return [(entry["rank"], entry["score"]) for entry in page["entries"]]


async def test_acts_on_a_player_and_their_undos(house: House) -> None:
    player = (await house.gadget.call("GET", "me")).json["me"]["id"]
    program, before = house.moderate, await scores(house.view)
    on_board = {**WHY, "board": "letters"}
    assert (await program.post(f"/players/{player}/hide", on_board, 200)) == {"boards": ["letters"]}
    assert len(await scores(house.view)) == len(before) - 1
    assert len(await scores(house.view, "?state=hidden")) == 1
    await program.post(f"/players/{player}/hide", on_board, 409)
    await program.post(f"/players/{player}/restore", on_board, 200)
    await program.post(f"/players/{player}/remove", on_board, 200)
    await program.post(f"/players/{player}/restore", on_board, 200)
    await program.post(f"/players/{player}/adjust", {**on_board, "score": "1"}, 204)
    assert (await scores(house.view))[-1][1] == "1"
    dossier = await house.view.get(f"/players/{player}")
    assert [each["score"] for each in dossier["adjusted"]] == ["1"]
    assert dossier["values"]
    assert all(reading["refused"] is None for value in dossier["values"] for reading in value["readings"])
    await program.post(f"/players/{player}/unadjust", on_board, 204)
    assert await scores(house.view) == before
    log = (await house.view.get(f"/log?player={player}"))["acts"]
    assert [each["action"] for each in log] == ["unadjust", "adjust", "restore", "remove", "restore", "hide"]
    assert {(each["actor"], each["player"]["id"], each["reason"]) for each in log} == {
        ("moderate", player, "see ticket 7")
    }
    assert "moderate" in (await house.view.call("GET", "/log/export")).text


async def test_a_score_by_a_token_is_verified_and_counts_at_once(house: House) -> None:
    player = (await house.gadget.call("GET", "me")).json["me"]["id"]
    await house.moderate.post("/boards/letters/scores", {**WHY, "player": player, "value": "4000"}, 204)
    page = await house.view.get("/boards/letters/entries?verified=true&period=day")
    assert [(entry["score"], entry["verified"], entry["origin"]) for entry in page["entries"]] == [
        ("4000", True, "verified")
    ]
    refused = await house.moderate.post(
        "/boards/letters/scores", {**WHY, "player": player, "value": "4000", "time": "2199-01-01T00:00:00Z"}, 400
    )
    assert refused["field"] == "time"


async def test_a_call_that_is_repeated_under_its_key_is_done_once(house: House) -> None:
    player = (await house.gadget.call("GET", "me")).json["me"]["id"]
    body = {**WHY, "player": player, "value": "4000"}
    path = "/boards/letters/scores"
    replies = [await house.moderate.call("POST", path, body, Idempotency_Key="one") for _ in range(3)]
    assert [reply.status for reply in replies] == [204, 204, 204]
    other = await house.moderate.call("POST", path, {**body, "value": "4001"}, Idempotency_Key="one")
    assert (other.status, other.json["field"]) == (400, "Idempotency-Key")
    assert (await house.configure.call("POST", path, body, Idempotency_Key="one")).status in {204, 409}
    acts = (await house.view.get(f"/log?player={player}"))["acts"]
    assert [act["actor"] for act in acts if act["action"] == Action.SCORE].count("moderate") == 1
    refused = [await house.moderate.call("POST", path, {**body, "value": "x"}, Idempotency_Key="two") for _ in range(2)]
    assert [reply.status for reply in refused] == [400, 400]  # what was refused may be put right under the same key
    assert (await house.moderate.call("POST", path, {**body, "value": "5"}, Idempotency_Key="two")).status == 204
    task = [await house.moderate.call("POST", "/boards/letters/verify", WHY, Idempotency_Key="t") for _ in range(2)]
    assert task[0].json == task[1].json


async def test_boards_close_open_and_reset(house: House) -> None:
    config, before = house.configure, await scores(house.view)
    assert before
    await config.post("/boards/letters/close", WHY, 204)
    refused = await house.gadget.call("POST", "scores", {"board": "letters", "value": "999"})
    assert (refused.status, refused.json["code"]) == (409, "conflict")
    assert (await config.get("/boards/letters"))["closed"] is not None
    await config.post("/boards/letters/open", WHY, 204)
    assert (await config.ended(await config.post("/boards/letters/reset", {**WHY, "name": "one"}, 202)))[
        "state"
    ] == "done"
    assert await scores(house.view) == []
    (archive,) = (await config.get("/boards/letters/archives"))["archives"]
    assert (archive["name"], archive["entries"]) == ("one", len(before))
    assert await scores(house.view, f"?archive={archive['id']}") == before
    assert (await config.ended(await config.post("/boards/letters/reset/undo", WHY, 202)))["state"] == "done"
    assert await scores(house.view) == before


async def test_an_export_is_the_view_as_a_file(house: House) -> None:
    page = (await house.view.get("/boards/letters/entries"))["entries"]
    reply = await house.view.call("GET", "/boards/letters/entries/export")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(reply.text)))
    assert [(int(row["rank"]), row["user_id"], row["score"]) for row in rows] == [
        (entry["rank"], entry["user_id"], entry["score"]) for entry in page
    ]
    lines = (await house.view.call("GET", "/boards/letters/entries/export?format=ndjson")).text.splitlines()
    assert [json.loads(line)["player"] for line in lines] == [entry["player"]["id"] for entry in page]
    assert (await house.view.call("GET", "/boards/none/entries/export")).status == 404
    assert (await house.view.call("GET", "/boards/letters/entries/export?rank=0")).status == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("GET", "/boards/letters/entries?limit=201", None, "limit"),
        ("GET", "/boards/letters/entries?limit=0", None, "limit"),
        ("GET", "/boards/letters/entries?limit=1&limit=2", None, "limit"),
        ("GET", "/boards/letters/periods?limit=101", None, "limit"),
        ("GET", "/boards/letters/tasks?limit=0", None, "limit"),
        ("GET", "/boards/letters/tasks?limit=101", None, "limit"),
        ("GET", "/uploads?limit=0", None, "limit"),
        ("GET", "/uploads?limit=201", None, "limit"),
        ("GET", "/boards/letters/entries?nothing=1", None, "nothing"),
        ("GET", "/boards/letters/entries?rank=1&score=2", None, "score"),
        ("GET", "/boards/letters/entries?cursor=x", None, "cursor"),
        ("GET", "/boards/letters/writes?from=2026-01-01", None, "from"),
        ("GET", "/players", None, "search"),
        ("POST", "/boards/letters/bulk", {**WHY, "action": "erase"}, "action"),
        ("POST", "/boards/letters/bulk", {**WHY, "action": "hide", "least": "2", "greatest": "1"}, "greatest"),
        ("POST", "/boards/letters/verify", {"reason": 7}, "reason"),
        ("POST", "/boards/letters/verify", {}, "reason"),
        ("POST", "/boards/letters/verify", {**WHY, "more": 1}, "more"),
    ],
)
async def test_what_is_wrong_is_named(house: House, method: str, path: str, body: object, field: str) -> None:
    reply = await house.configure.call(method, path, body)
    assert (reply.status, reply.json["field"]) == (400, field)


async def test_limits_are_what_the_document_says(house: House) -> None:
    """The most and the least are answered; what is beyond them is refused."""
    names = {"board": "letters", "player": (await house.gadget.call("GET", "me")).json["me"]["id"]}
    described, looked_at = document(house.stack.home_url)["paths"], 0
    for call in CALLS:
        for param in described[f"{PREFIX}{call.path}"][call.method.lower()].get("parameters", ()):
            if param["name"] != "limit":
                continue
            looked_at += 1
            path, _ = filled(call, names)
            path += "&limit=" if "?" in path else "?limit="
            schema = param["schema"]
            assert schema["minimum"] <= schema["default"] <= schema["maximum"]
            least, most = schema["minimum"], schema["maximum"]
            for limit, status in ((least - 1, 400), (least, 200), (most, 200), (most + 1, 400)):
                assert (await house.view.call("GET", f"{path}{limit}")).status == status, (path, limit)
    assert looked_at == 10


async def test_tokens_are_made_and_ended_in_person(house: House) -> None:
    """They end, and are not above their owner. Whoever has found one makes no other with it, and ends none."""
    browser = house.stack.browser()
    await browser.sign_in_as_operator("view")

    async def call(method: str, path: str, body: object = None) -> Reply:
        return await in_person(house, browser, method, path, body or {})

    assert (await call("POST", "/tokens", {"name": "n", "role": "moderate"})).status == 403
    for wrong in ({"name": ""}, {"days": 0}, {"days": 367}):
        reply = await call("POST", "/tokens", {"name": "n", "role": "view", **wrong})
        assert (reply.status, reply.json["field"]) == (400, next(iter(wrong)))
    reply = await call("POST", "/tokens", {"name": "n", "role": "view", "days": 1})
    assert reply.status == 201
    made = reply.json
    mine = Program(house.stack, made["token"])
    assert (await mine.get("/me"))["role"] == "view"
    listed = (await house.view.get("/tokens"))["tokens"]
    assert made["token"] not in json.dumps(listed)
    assert (await mine.call("POST", "/tokens", {"name": "another", "role": "view"})).status == 403
    for token in listed:
        assert (await mine.call("DELETE", f"/tokens/{token['id']}")).status == 403
    assert (await house.view.get("/tokens"))["tokens"] == listed
    assert (await call("DELETE", f"/tokens/{made['listed']['id']}")).status == 204
    assert (await mine.call("GET", "/me")).status == 401


async def test_whoever_hangs_up_in_an_export_harms_nobody(house: House) -> None:
    url = URL(f"{house.stack.home_url}{PREFIX}/log/export")
    sent = {"Authorization": f"Bearer {house.view.token}"}
    async with house.stack.http.get(url, headers=sent) as response:
        assert response.status == 200
        response.close()
    await asyncio.sleep(0)
    assert (await house.view.get("/me"))["name"] == "view"
