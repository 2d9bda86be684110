"""The operators' pages against the whole product, without a script: what is shown, each act and what takes it back."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from homeserver.model import Board, Origin, Role
from homeserver.sandbox.faults import CannedReply, Fault
from homeserver.sandbox.people import ELIZABETH, JANE
from homeserver.storage import appdata, leaderboards, people
from homeserver.storage.database import Transaction, open_database
from tests.web.admin_desk import Desk, desk
from tests.web.conftest import Browser, Stack, running_stack, until

WHY = "a score that nobody can reach"
FORM = {"Content-Type": "multipart/form-data; boundary=b", "Accept": "application/json"}
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ncontent\r\n--b--\r\n'


async def seen(stack: Stack, player: str, **values: str) -> None:
    """What a sync would find of a player."""

    async def work(tx: Transaction) -> None:
        number = await people.player_of(tx, "sandbox", player)
        boards, now_ms = await leaderboards.begin(tx), stack.now_ms()
        found = await appdata.observe(tx, number, values, observed_ms=now_ms, at_ms=now_ms, origin=Origin.READ)
        await leaderboards.record(tx, boards, found, now_ms)

    async with open_database(stack.settings.database_url) as database:
        await database.write(work)


async def player_page(at: Desk, text: str) -> Desk:
    """Find a player by their name or id, and open their page."""
    await at.open(f"/admin/players?search={quote(text)}")
    return await at.open(at.find("//main//tbody//a/@href")[0])


async def names(stack: Stack, browser: Browser) -> str:
    return (await browser.get("/boards/letters?limit=100")).text


# --- players ----------------------------------------------------------------------------------------------------------


async def test_players_are_found_by_name_and_by_ids(stack: Stack) -> None:
    await stack.player()
    at = await desk(stack, Role.VIEW)
    await at.open(f"/admin/players?search={ELIZABETH}")
    assert at.texts("//main//tbody//a") == ["Elizabeth Bennet"]
    public_id = at.find("//main//tbody//a/@href")[0].rpartition("/")[2]
    await at.open(f"/admin/players?search={public_id}")
    assert at.texts("//main//tbody//a") == ["Elizabeth Bennet"]
    await at.open("/admin/players?search=BENN%C3%89T")
    assert "Elizabeth Bennet" in at.texts("//main//tbody//a")
    await at.open("/admin/players?search=%25")
    assert "Nobody is called" in at.texts("//main")[0]
    await at.open("/admin/players")
    assert at.find("//main//tbody") == []


async def test_a_player_page_has_everything_and_forms_for_those_who_may(stack: Stack) -> None:
    await stack.player()
    at = await player_page(await desk(stack, Role.VIEW), ELIZABETH)
    assert at.texts("//main//h1") == ["EB Elizabeth Bennet"]
    assert ELIZABETH in at.texts("//dl")[0]
    assert at.actions() == set()
    moderator = await player_page(await desk(stack, Role.MODERATE), ELIZABETH)
    assert {each.rpartition("/")[2] for each in moderator.actions()} == {"hide", "remove", "adjust"}


async def test_hiding_is_said_and_undone(stack: Stack) -> None:
    friend = await stack.player(JANE)
    await stack.player()
    at = await player_page(await desk(stack, Role.MODERATE), ELIZABETH)
    assert "Elizabeth Bennet" in await names(stack, friend)
    await at.act("/hide", board="letters", reason=WHY)
    assert at.done.startswith("Done: hidden. Elizabeth Bennet")
    assert WHY in at.done
    assert "Elizabeth Bennet" not in await names(stack, friend)
    assert "hidden" in at.texts("//main//table[1]//tbody/tr[1]")[0]
    await at.undo()
    assert at.done.startswith("Done: restored.")
    assert "Elizabeth Bennet" in await names(stack, friend)
    assert (await at.send("/hide", board="letters", reason=" ")).status == 400


async def test_what_was_done_on_all_boards_is_undone_on_all(stack: Stack) -> None:
    friend = await stack.player(JANE)
    await stack.player()
    at = await player_page(await desk(stack, Role.MODERATE), ELIZABETH)
    await at.act("/remove", reason=WHY)
    assert "letters, busiest" in at.done
    assert "Elizabeth Bennet" not in await names(stack, friend)
    await at.undo()
    assert "Elizabeth Bennet" in await names(stack, friend)
    assert at.texts("//caption//*[contains(@class, 'chip')]") == ["visible"] * 3


async def test_an_older_act_is_not_undone_over_a_newer_one(stack: Stack) -> None:
    await stack.player()
    at = await player_page(await desk(stack, Role.MODERATE), ELIZABETH)
    page = at.address
    removed = await at.send("/remove", board="letters", reason=WHY)
    await at.open(page)
    await at.act("/hide", board="letters", reason=WHY)
    await at.open(removed.location)
    assert (await at.send("/undo")).status == 409
    await at.open("/admin?done=999999")
    assert at.done == ""
    assert (await at.browser.post("/admin/acts/999999/undo")).status == 404


async def test_erasing_asks_for_the_name_and_leaves_none(stack: Stack) -> None:
    await stack.player()
    at = await player_page(await desk(stack, Role.MODERATE), ELIZABETH)
    address = at.address
    await at.act("/hide", reason="Elizabeth cheats")
    await at.open(f"{address}/erase")
    assert (await at.send("/erase", name="Somebody", reason=WHY)).status == 400
    await at.act("/erase", name="Elizabeth Bennet", reason=WHY)
    assert at.done == f"Done: person erased. · \u201c{WHY}\u201d This cannot be undone here."
    assert (await at.browser.get(address)).status == 404
    await at.open("/admin/audit")
    assert "Elizabeth" not in at.texts("//main")[0]
    assert at.texts("//main//tbody//b")[0] == "person erased"


# --- claims -----------------------------------------------------------------------------------------------------------


async def test_a_claim_is_approved_rejected_and_taken_up_again(folder: Path) -> None:
    boards = [Board("letters", "Letters written", "letters", largest_step=10)]
    async with running_stack(folder, boards=boards) as stack:
        player = await stack.player()
        await seen(stack, ELIZABETH, letters="5000")
        at = await desk(stack, Role.MODERATE)
        await at.open("/admin/review?board=letters")
        assert "5,000" in at.texts("//main//tbody/tr")[0]
        assert at.texts("//main//tbody//small")[0] == "a larger step than the board allows"
        await at.act("/approve", reason="seen it myself")
        assert at.done.startswith("Done: claim approved.")
        assert "5,000" in await names(stack, player)
        await at.undo()
        assert at.done.startswith("Done: claim taken up again.")
        await at.act("/reject", reason=WHY)
        assert "Nothing waits here." in at.texts("//main")[0]
        await at.undo()
        assert "5,000" in at.texts("//main//tbody/tr")[0]
        viewer = await desk(stack, Role.VIEW)
        await viewer.open("/admin/review")
        assert viewer.actions() == set()


# --- the house --------------------------------------------------------------------------------------------------------


async def test_boards_are_searched_and_paged(stack: Stack) -> None:
    await stack.player()
    at = await desk(stack, Role.VIEW)
    await at.open("/admin/boards/letters?search=elizabeth&at_rank=&at_score=")
    assert "Elizabeth Bennet" in at.texts("//main//tbody//a")
    await at.open("/admin/boards/letters?at_rank=5&period=all")
    assert 1 < int(at.texts("//main//td[@class='rank']")[0].lstrip("=")) <= 5
    found: list[str] = []
    address = "/admin/boards/letters"
    while address:
        await at.open(address)
        found += at.texts("//main//tbody//a[@class='name']")
        address = next(iter(at.find("//a[@rel='next']/@href")), "")
    assert len(found) == len(set(found)) > 20
    assert (await at.browser.get("/admin/boards/nothing")).status == 404


async def test_uploads_are_tried_again_and_given_up(stack: Stack) -> None:
    marie = stack.browser()
    await marie.sign_in_to_storage("marie")
    stack.sandbox.faults.add(Fault("GET /mesdonnees/PersonalContent/V1", times=9, reply=CannedReply(500, b"no")))
    upload = (await marie.post("/files", FILE, **FORM)).json["id"]

    async def is_in(state: str) -> bool:
        return bool((await marie.get(f"/files/{upload}", Accept="application/json")).json["storage"] == state)

    await until(lambda: is_in("failed"), tries=2_000)
    stack.sandbox.faults.clear()
    at = await desk(stack, Role.MODERATE)
    await at.open("/admin/uploads?group=failed")
    assert at.texts("//main//tbody//b") == ["a.txt"]
    await at.act(f"{upload}/retry", reason="their storage is back")
    assert at.done.startswith("Done: upload tried once more.")
    await until(lambda: is_in("stored"))
    assert (await at.browser.post(f"/admin/uploads/{upload}/cancel", {"reason": WHY})).status == 409
    await at.open("/admin/uploads?user=nobody")
    assert at.texts("//main//tbody//b") == []
    assert (await at.browser.get("/admin/uploads?group=others")).status == 400


async def test_the_sync_page_says_how_fresh_the_data_is(stack: Stack) -> None:
    at = await desk(stack, Role.VIEW)
    await at.open("/admin/sync")
    assert "never synced" in at.texts("//main")[0]
    await stack.player()
    await at.open("/admin/sync")
    assert "less than a minute" in at.texts("//main")[0]


async def test_settings_show_everything_but_secrets(stack: Stack) -> None:
    at = await desk(stack, Role.CONFIGURE)
    await at.open("/admin/settings")
    text = at.texts("//main")[0]
    assert stack.settings.server.public_url in text
    assert stack.settings.mesdonnees.service_id in text
    secrets = {
        stack.settings.server.secret_key,
        stack.settings.container.consumer_secret,
        stack.settings.mesdonnees.service_password,
        stack.settings.database.url,
        *(signer.secret for signer in stack.settings.gadget.trusted_signers if signer.secret),
    }
    assert [secret for secret in secrets if secret.get_secret_value() in text] == []
    assert text.count("set, not shown") >= 4
