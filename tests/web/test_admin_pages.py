"""The operators' pages against the whole product, without a script: what is shown, each act and what takes it back."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from homeserver.model import Act, Action, Board, Origin, Role
from homeserver.sandbox.faults import CannedReply, Fault
from homeserver.sandbox.people import ELIZABETH, JANE
from homeserver.storage import appdata, leaderboards, moderation, people
from homeserver.storage.database import Transaction, open_database
from tests.patience import until
from tests.web.admin_desk import Desk, desk
from tests.web.conftest import PASSWORD, Browser, Stack, running_stack

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
    await at.open("/admin/players?search=ELIZ%C3%81")
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


async def test_a_removal_is_undone_and_nothing_else(stack: Stack) -> None:
    friend = await stack.player(JANE)
    await stack.player()
    at = await player_page(await desk(stack, Role.MODERATE), ELIZABETH)
    page = at.address
    await at.act("/hide", board="letters", reason=WHY)
    await at.open(page)
    await at.act("/remove", board="letters", reason=WHY)
    await at.undo()
    assert at.done.startswith("Done: score counts again. Elizabeth Bennet")
    assert "This cannot be undone here." in at.done
    assert "Elizabeth Bennet" not in await names(stack, friend)
    assert "hidden" in at.texts("//main//table[1]//tbody/tr[1]")[0]


async def test_what_cannot_be_undone_everywhere_is_undone_nowhere(stack: Stack) -> None:
    friend = await stack.player(JANE)
    await stack.player()
    at = await player_page(await desk(stack, Role.MODERATE), ELIZABETH)
    page = at.address
    hidden = await at.send("/hide", reason=WHY)
    for board in ("letters", "busiest"):  # whichever comes last, there is one before it
        await at.open(page)
        await at.act("/remove", board=board, reason=WHY)
        await at.open(hidden.location)
        assert (await at.send("/undo")).status == 409
        assert "Elizabeth Bennet" not in await names(stack, friend)
        await at.open(page)
        assert at.texts("//caption//*[contains(@class, 'chip')]") == ["hidden"] * 3


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


async def test_the_log_has_words_for_every_act(stack: Stack) -> None:
    async def work(tx: Transaction) -> None:
        for action in Action:
            await moderation.log(tx, Act(action, stack.now_ms(), "maria", WHY, None, None))

    async with open_database(stack.settings.database_url) as database:
        await database.write(work)
    at = await desk(stack, Role.VIEW)
    await at.open("/admin/audit")
    words = set(at.texts("//main//tbody//b"))
    assert len(words) == len(Action)
    assert not words & {action.value for action in Action}


async def test_an_act_comes_from_our_pages_and_leads_to_them(stack: Stack) -> None:
    await stack.player()
    at = await player_page(await desk(stack, Role.MODERATE), ELIZABETH)
    form = {"reason": WHY, "board": "letters"}
    for said in ({"Origin": "https://evil.example"}, {"Origin": "null", "Sec_Fetch_Site": "cross-site"}):
        assert (await at.browser.post(f"{at.address}/hide", form, **said)).status == 403
    for back in ("https://evil.example/admin", "//evil.example/admin", "/boards/letters", "/administration", "\\admin"):
        done = await at.browser.post(f"{at.address}/hide", {**form, "back": back})
        assert done.location.startswith(f"{at.address}?done="), back
        assert (await at.browser.post(f"{at.address}/restore", form)).status == 303


# --- claims -----------------------------------------------------------------------------------------------------------


async def test_a_claim_is_approved_rejected_and_taken_up_again(folder: Path) -> None:
    boards = [Board("first", "First", "first"), Board("letters", "Letters written", "letters", largest_step=10)]
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
        await viewer.open("/admin/review")  # of the board where something waits
        assert "5,000" in viewer.texts("//main//tbody/tr")[0]
        assert viewer.actions() == set()


# --- boards -----------------------------------------------------------------------------------------------------------


async def finished(at: Desk) -> Desk:
    """The page of a task, once it is done."""

    async def is_over() -> bool:
        await at.open(at.address)
        return not at.find("//*[@data-refresh]")

    await until(is_over)
    return at


async def scores(stack: Stack) -> int:
    """How many entries the board of letters has, for whoever may look."""
    at = await desk(stack, Role.VIEW)
    await at.open("/admin/boards/letters")
    return len(at.find("//*[@id='entries']//td[@class='rank']"))


async def test_a_board_is_closed_and_opened(stack: Stack) -> None:
    gadget = await stack.open_gadget()
    at = await desk(stack)
    await at.open("/admin/boards/letters")
    await at.act("/close", reason="the season is over")
    assert at.done.startswith("Done: board closed.")
    assert "closed" in at.texts("//*[@class='lede']")[0]
    await gadget.call("POST", "scores", {"board": "letters", "value": "70"})
    await at.open("/admin/boards/letters?at_rank=1")
    assert "70" not in at.texts("//main//tbody//td[@class='num']")
    await at.open(f"{at.address}&done=1")
    await at.act("/open", reason="it goes on")
    assert at.done.startswith("Done: board opened.")
    await at.undo()
    assert at.done.startswith("Done: board closed.")
    moderator = await desk(stack, Role.MODERATE)
    await moderator.open("/admin/boards/letters")
    assert {each.rpartition("/")[2] for each in moderator.actions()} == {"verify"}


async def test_a_board_is_reset_archived_and_brought_back(stack: Stack) -> None:
    await stack.player()
    before = await scores(stack)
    at = await desk(stack)
    await at.open("/admin/boards/letters")
    await finished(await at.act("/reset", name="Spring", reason="a new season"))
    assert "Archived as" in at.texts("//dl//dt")
    reset = at.address
    assert await scores(stack) == 0
    await at.open("/admin/boards/letters")
    await at.open(at.find("//a[contains(@href, '?archive=')]/@href")[0].partition("#")[0])
    assert len(at.find("//*[@id='entries']//td[@class='rank']")) == before
    await at.open(reset)
    await finished(await at.undo())
    assert await scores(stack) == before
    await at.open("/admin/boards/letters")
    assert at.find("//a[contains(@href, '?archive=')]") == []


async def test_a_rebuild_and_a_check_say_what_came_of_them(stack: Stack) -> None:
    await stack.player()
    at = await desk(stack)
    await at.open("/admin/boards/letters")
    await finished(await at.act("/rebuild", reason="to be sure"))
    facts = dict(zip(at.texts("//dl/dt"), at.texts("//dl/dd"), strict=True))
    assert facts["Entries now"] == f"{facts['Entries before']} as many"
    await at.open("/admin/boards/letters")
    await finished(await at.act("/verify", reason="to be sure"))
    assert "Checksum" in at.texts("//dl/dt")
    await at.open("/admin")
    assert "agree" in at.texts("//main//tbody/tr[1]")[0]
    assert (await at.browser.get("/admin/tasks/999")).status == 404


async def test_a_range_is_looked_at_acted_on_and_undone(stack: Stack) -> None:
    await stack.player()
    before = await scores(stack)
    at = await desk(stack, Role.MODERATE)
    await at.open("/admin/boards/letters/range?action=hide&period=all&least=10&greatest=")
    who = at.texts("//main//tbody//a[@class='name']")
    assert at.texts("//caption") == [f"{len(who)} players would be concerned."]
    assert await scores(stack) == before  # nothing is done by looking
    await finished(await at.act("/range", reason=WHY))
    assert dict(zip(at.texts("//dl/dt"), at.texts("//dl/dd"), strict=True))["Players changed"] == str(len(who))
    assert await scores(stack) == before - len(who)
    await finished(await at.undo())
    assert await scores(stack) == before
    await at.open("/admin/boards/letters/range?action=remove&period=all&least=999999")
    assert at.actions() == set()
    assert (await at.browser.get("/admin/boards/letters/range?action=erase")).status == 400


async def test_a_far_score_is_found_right_and_that_is_taken_back(stack: Stack) -> None:
    await stack.player()
    await seen(stack, ELIZABETH, letters="5000")
    at = await desk(stack, Role.MODERATE)
    await at.open("/admin/review?board=letters&what=scores")
    assert at.texts("//main//tbody//a[@class='name']") == ["Elizabeth Bennet"]
    await at.act("/clear", reason="seen it myself")
    assert at.done.startswith("Done: score found right.")
    assert at.texts("(//main//section)[1]//a[@class='name']") == []
    await at.undo()
    assert "Elizabeth Bennet" in at.texts("//main//tbody//a[@class='name']")
    await at.open("/admin/review?board=letters&what=jumps")
    assert (await at.browser.get("/admin/review?what=others")).status == 400


async def test_a_score_is_adjusted_until_that_is_taken_back(stack: Stack) -> None:
    await stack.player()
    at = await player_page(await desk(stack, Role.MODERATE), ELIZABETH)
    await at.act("/adjust", board="letters", score="4321", reason="counted twice")
    assert at.done.startswith("Done: score adjusted.")
    assert "adjusted to 4321" in at.texts("//main//section[1]//tbody//tr")[0]
    assert "4,321" in at.texts("//main")[0]
    await at.undo()
    assert "4,321" not in at.texts("//main")[0]
    await at.open(at.address.partition("?")[0])
    assert (await at.send("/adjust", board="letters", score="many", reason=WHY)).status == 400


async def test_filters_and_files_of_a_board(stack: Stack) -> None:
    await stack.player()
    at = await player_page(await desk(stack, Role.MODERATE), ELIZABETH)
    await at.act("/hide", board="letters", reason=WHY)
    await at.open("/admin/boards/letters?state=hidden")
    assert at.texts("//main//tbody//a[@class='name']") == ["Elizabeth Bennet"]
    await at.open("/admin/boards/letters?trust=verified")
    assert at.texts("//main//td[@class='rank']") == []
    await at.open("/admin/boards/letters?trust=claimed&period=all")
    shown = len(at.find("//main//td[@class='rank']"))
    for link in at.find("//a[@download]/@href"):
        file = await at.browser.get(link)
        assert file.status == 200
        lines = file.text.strip().splitlines()
        assert len(lines) == shown + (1 if "format=csv" in link else 0)
    for page in ("/admin/audit", "/admin/review?board=letters", "/admin/review?board=letters&what=scores"):
        await at.open(page)
        for link in at.find("//a[@download]/@href"):
            assert (await at.browser.get(link)).status == 200
    for wrong in ("state=gone", "trust=maybe", "at_rank=x", "at_rank=0", "writes=year", "period=never", "archive=7"):
        assert (await at.browser.get(f"/admin/boards/letters?{wrong}")).status in {400, 404}, wrong


# --- accounts ---------------------------------------------------------------------------------------------------------


async def test_a_token_is_shown_once_used_and_revoked(stack: Stack) -> None:
    at = await desk(stack, Role.MODERATE)
    await at.open("/admin/account")
    made = await at.send("/admin/account/tokens", name="nightly", role="view", days="7")
    assert made.status == 200
    token = re.search(r"hsa_[A-Za-z0-9_-]+", made.text)
    assert token is not None
    program = stack.browser()
    said = {"Authorization": f"Bearer {token[0]}", "Accept": "application/json"}
    assert (await program.get("/admin/api/boards", **said)).status == 200
    await at.open("/admin/account")
    assert token[0] not in at.texts("//main")[0]
    assert at.texts("//main//tbody//b") == ["nightly"]
    await at.act("/revoke")
    assert (await program.get("/admin/api/boards", **said)).status == 401
    assert (await at.send("/admin/account/tokens", name="more", role="view", days="many")).status == 400
    assert (
        await at.browser.post("/admin/account/tokens", {"name": "x", "role": "configure", "days": "1"})
    ).status == 403


async def test_other_sessions_are_ended_and_the_password_is_changed(stack: Stack) -> None:
    one, other = await desk(stack, Role.VIEW), await desk(stack, Role.VIEW)
    await one.open("/admin/account")
    await one.act("/sessions/end")
    assert len(one.find("//main//table[1]//tbody/tr")) == 1
    assert (await other.browser.get("/admin/account")).location == "/admin/sign-in"
    new = {"new": "a longer horse battery", "again": "a longer horse battery"}
    assert (await one.send("/password", old="wrong", **new)).status == 400
    assert (await one.send("/password", old=PASSWORD, new=new["new"], again="another")).status == 400
    changed = await one.send("/password", old=PASSWORD, **new)
    assert (changed.status, changed.location) == (303, "/admin/sign-in")
    assert (await one.browser.get("/admin")).location == "/admin/sign-in"
    signed_in = await one.browser.post("/admin/sign-in", {"name": "view", "password": new["new"]})
    assert signed_in.status == 303


async def test_operators_are_added_changed_and_removed_but_not_by_themselves(stack: Stack) -> None:
    at = await desk(stack, Role.CONFIGURE)
    await at.open("/admin/operators")
    await at.act("/admin/operators", name="Maria/1", password=PASSWORD, role="view")
    maria = stack.browser()
    assert (await maria.sign_in_as_operator("Maria/1")).status == 303
    await at.act("/Maria%2F1/role", role="moderate")
    assert (await maria.get("/admin")).location == "/admin/sign-in"  # a new role ends what the old one began
    assert "may moderate" in at.texts("//tbody/tr[td//b='Maria/1']")[0]
    await at.act("/Maria%2F1/password", password="another horse battery")
    assert (await maria.sign_in_as_operator("Maria/1")).status == 401
    await at.act("/Maria%2F1/remove")
    assert at.find("//tbody/tr[td//b='Maria/1']") == []
    assert {each.split("/")[3] for each in at.actions() if each.count("/") == 4} == {"view", "moderate"}
    own = {"role": "view", "password": PASSWORD}
    for act in ("role", "password", "remove"):
        assert (await at.browser.post(f"/admin/operators/configure/{act}", own)).status == 409
    await at.open("/admin/audit")
    assert at.texts("//main//tbody//b")[:4] == [
        "operator removed",
        "password changed",
        "role changed",
        "operator added",
    ]


# --- the house --------------------------------------------------------------------------------------------------------


async def test_boards_are_searched_and_paged(stack: Stack) -> None:
    await stack.player()
    at = await desk(stack, Role.VIEW)
    await at.open("/admin/boards/letters?search=elizabeth&at_rank=&at_score=")
    assert "Elizabeth Bennet" in at.texts("//main//tbody//a")
    await at.open("/admin/boards/letters?at_rank=5&period=all")
    assert 1 < int(at.texts("//main//td[@class='rank']")[0].lstrip("=")) <= 5
    await at.open("/admin/boards/letters?at_score=1,000")  # as it is written there; nobody has as many
    place = at.texts("//main//td[@class='rank']")[0]
    await at.open("/admin/boards/letters?at_score=1000")
    assert at.texts("//main//td[@class='rank']")[0] == place
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

    await until(lambda: is_in("failed"))
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

    async def is_fresh() -> bool:  # what is said of everybody may be a moment old
        await at.open("/admin/sync")
        return "less than a minute" in at.texts("//main")[0]

    await until(is_fresh)


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
