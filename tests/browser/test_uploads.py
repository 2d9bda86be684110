"""Uploads as a person makes them, in Chromium: many, cut off, paused, after a reload, to Orange's pages and back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Literal

import pytest
from playwright.async_api import Browser, Page, ProxySettings, Request, expect

from homeserver.demo import Demo
from homeserver.sandbox.mesdonnees_space import StoredFile
from tests.browser.conftest import KeepPicture, opened_tab
from tests.browser.files_page import choose, expect_no_sideways_scrolling, expect_stored, row, sign_in
from tests.browser.wire import Wire, stretched

pytestmark = pytest.mark.chromium

SLOW_BYTES_PER_S: Final = 800_000
MB: Final = 1_000_000


def written(folder: Path, name: str, size: int) -> Path:
    """A file whose every megabyte is another one."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    seed = hashlib.sha256(name.encode()).digest()
    path.write_bytes((seed * (size // len(seed) + 1))[:size])
    return path


def stored(demo: Demo, name: str) -> StoredFile:
    return demo.sandbox.storage.files[name]


def assert_arrived(demo: Demo, *paths: Path) -> None:
    """Whole, and once."""
    for path in paths:
        assert stored(demo, path.name).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert [file.name for file in demo.sandbox.storage.received].count(path.name) == 1


@pytest.fixture
async def wire(demo: Demo) -> AsyncIterator[Wire]:
    """The line of this test's browser."""
    async with stretched() as wire:
        yield wire


@pytest.fixture
async def page(browser: Browser, wire: Wire, tolerated: list[str]) -> AsyncIterator[Page]:
    """As `page` of other tests, at the end of a wire."""
    # A part that was cut off may still be on its way to the disk when the next one comes; and the browser says of every
    # line that is cut, that it is.
    tolerated += ["409", "423", "net::ERR_"]
    proxy: ProxySettings = {"server": f"socks5://127.0.0.1:{wire.port}", "bypass": "<-loopback>"}
    async with opened_tab(browser, tolerated, proxy=proxy) as tab:
        yield tab


class Parts:
    """The offsets at which a tab began to send parts."""

    def __init__(self, page: Page) -> None:
        self.offsets: list[int] = []
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        if request.method == "PATCH":
            self.offsets.append(int(request.headers["upload-offset"]))


async def lose_the_line(page: Page, wire: Wire) -> None:
    """Nothing is left in anybody's buffers; the page has noticed, and would try again in a second."""
    async with page.expect_event("requestfailed"):
        wire.cut()
    wire.mend()


async def expect_under_way(page: Page, name: str, least_percent: int = 10) -> None:
    """So much of a file has come from here."""
    await expect(row(page, name).locator(".leg.from .amount")).to_have_text(
        re.compile(rf"^({'|'.join(str(each) for each in range(least_percent, 96))})%$")
    )


# --- many files -----------------------------------------------------------------------------------------------------


async def test_several_files_at_once(
    page: Page, demo: Demo, wire: Wire, keep_picture: KeepPicture, tmp_path: Path
) -> None:
    names = ['Été "à" Pemberley.jpg', "a;b.txt", "plan.pdf", "letters.zip", "ball.avi", "太郎.png"]
    files = [written(tmp_path, name, 300_000 + 1_000 * number) for number, name in enumerate(names)]
    files.append(written(tmp_path, "Walk to Netherfield.mov", 3 * MB))
    await sign_in(page, demo, "Marie Dupont")
    wire.bytes_per_s = SLOW_BYTES_PER_S
    await choose(page, *files)
    await expect_under_way(page, "Walk to Netherfield.mov")
    await keep_picture(page, "files-sending")
    # The storage has begun to get it before it has come whole.
    await expect(row(page, "Walk to Netherfield.mov").locator(".leg.to .amount")).not_to_have_text("0%")
    wire.bytes_per_s = None
    await expect_stored(page, [path.name for path in files])
    assert_arrived(demo, *files)
    await expect(page.get_by_role("button", name="choose files")).to_be_visible()
    await keep_picture(page, "files-sent")


async def test_files_may_be_dropped(page: Page, demo: Demo) -> None:
    await sign_in(page, demo, "Marie Dupont")
    transfer = await page.evaluate_handle(
        """() => { const data = new DataTransfer();
        data.items.add(new File(["dropped"], "dropped.txt", {type: "text/plain"}));
        data.items.add(new File(["as well"], "as well.txt", {type: "text/plain"})); return data; }"""
    )
    target = page.locator(".uppy-Dashboard")
    await target.dispatch_event("dragover", {"dataTransfer": transfer})
    await target.dispatch_event("drop", {"dataTransfer": transfer})
    await expect_stored(page, ["dropped.txt", "as well.txt"])
    assert stored(demo, "dropped.txt").media_type == "text/plain"


async def test_eight_files_in_three_tabs(page: Page, demo: Demo, tmp_path: Path) -> None:
    tabs = [page, await page.context.new_page(), await page.context.new_page()]
    await sign_in(page, demo, "Marie Dupont")
    files = [[written(tmp_path, f"tab {tab} file {n}.bin", 700_000 + 1_000 * n) for n in range(8)] for tab in range(3)]
    for tab, own in zip(tabs, files, strict=True):
        await tab.goto(f"{demo.home_url}/files")
        await choose(tab, *own)
    await tabs[0].bring_to_front()
    everything = [path for own in files for path in own]
    await expect_stored(page, [path.name for path in everything])
    assert_arrived(demo, *everything)


async def test_what_cannot_be_sent_is_said_in_words(page: Page, demo: Demo, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    await sign_in(page, demo, "Marie Dupont")
    await expect(page.get_by_text("Up to 2.1 GB each")).to_be_visible()
    await choose(page, empty)
    await expect(page.locator("#trouble").filter(has_text="An empty file cannot be stored.")).to_be_visible()


# --- lines that break -----------------------------------------------------------------------------------------------


async def test_a_line_cut_in_the_middle_goes_on_where_it_stopped(
    page: Page, demo: Demo, wire: Wire, tmp_path: Path
) -> None:
    file = written(tmp_path, "cut.bin", 8 * MB)
    parts = Parts(page)
    await sign_in(page, demo, "Marie Dupont")
    wire.bytes_per_s = SLOW_BYTES_PER_S
    await choose(page, file)
    await expect_under_way(page, "cut.bin", 20)
    wire.cut()
    await page.context.set_offline(True)
    await expect(page.locator("#trouble").filter(has_text="You are offline")).to_be_visible()
    wire.mend()
    await page.context.set_offline(False)
    wire.bytes_per_s = None
    await expect_stored(page, ["cut.bin"])
    assert_arrived(demo, file)
    assert parts.offsets[0] == 0
    assert parts.offsets[-1] > 0


async def test_paused_and_resumed(page: Page, demo: Demo, wire: Wire, tmp_path: Path) -> None:
    file = written(tmp_path, "paused.bin", 8 * MB)
    parts = Parts(page)
    await sign_in(page, demo, "Marie Dupont")
    wire.bytes_per_s = SLOW_BYTES_PER_S
    await choose(page, file)
    await expect_under_way(page, "paused.bin", 20)
    await page.get_by_role("button", name="Pause", exact=True).click()
    wire.bytes_per_s = None
    await page.get_by_role("button", name="Go on", exact=True).click()
    await expect_stored(page, ["paused.bin"])
    assert_arrived(demo, file)
    assert parts.offsets[-1] > 0


@pytest.mark.parametrize("where", ["in the dashboard", "in the list", "in the list while it is paused"])
async def test_cancelled(page: Page, demo: Demo, wire: Wire, tmp_path: Path, where: str) -> None:
    await sign_in(page, demo, "Marie Dupont")
    wire.bytes_per_s = SLOW_BYTES_PER_S
    await choose(page, written(tmp_path, "cancelled.bin", 8 * MB))
    await expect_under_way(page, "cancelled.bin")
    if where == "in the dashboard":
        await page.get_by_role("button", name="Cancel cancelled.bin").click()
    else:
        if "paused" in where:
            await page.get_by_role("button", name="Pause", exact=True).click()
        await row(page, "cancelled.bin").get_by_role("button", name="Cancel").click()
    await expect(row(page, "cancelled.bin").locator(".chip")).to_have_text("cancelled")
    await expect(page.get_by_role("button", name="choose files")).to_be_visible()  # nothing is left to go on with
    assert not demo.sandbox.storage.files


async def test_cancelled_in_another_tab(
    page: Page, demo: Demo, wire: Wire, tolerated: list[str], tmp_path: Path
) -> None:
    tolerated += ["410"]
    await sign_in(page, demo, "Marie Dupont")
    wire.bytes_per_s = SLOW_BYTES_PER_S
    await choose(page, written(tmp_path, "cancelled.bin", 8 * MB))
    await expect_under_way(page, "cancelled.bin")
    other = await page.context.new_page()
    await other.goto(f"{demo.home_url}/files")
    await row(other, "cancelled.bin").get_by_role("button", name="Cancel").click()
    await expect(row(other, "cancelled.bin").locator(".chip")).to_have_text("cancelled")
    await other.close()
    wire.bytes_per_s = None
    await expect(page.get_by_role("button", name="choose files")).to_be_visible()
    await expect(row(page, "cancelled.bin")).to_have_count(1)
    assert not demo.sandbox.storage.files


# --- after a reload -------------------------------------------------------------------------------------------------


async def test_a_small_file_goes_on_by_itself_after_a_reload(
    page: Page, demo: Demo, wire: Wire, tmp_path: Path
) -> None:
    file = written(tmp_path, "small.bin", 8 * MB)
    await sign_in(page, demo, "Marie Dupont")
    wire.bytes_per_s = SLOW_BYTES_PER_S
    await choose(page, file)
    await expect_under_way(page, "small.bin", 20)
    await lose_the_line(page, wire)
    page.once("dialog", lambda dialog: dialog.accept())
    parts = Parts(page)
    await page.reload()
    wire.bytes_per_s = None
    await expect_stored(page, ["small.bin"])
    assert_arrived(demo, file)
    assert parts.offsets[0] > 0


async def test_a_large_file_is_asked_for_after_a_reload_and_goes_on(
    page: Page, demo: Demo, wire: Wire, keep_picture: KeepPicture, tmp_path: Path
) -> None:
    """Larger than what Golden Retriever keeps."""
    file = written(tmp_path, "large.bin", 14 * MB)
    await sign_in(page, demo, "Marie Dupont")
    wire.bytes_per_s = 3 * MB
    await choose(page, file)
    await expect_under_way(page, "large.bin", 20)
    await lose_the_line(page, wire)
    page.once("dialog", lambda dialog: dialog.accept())
    parts = Parts(page)
    await page.reload()
    await expect(page.get_by_text("1 file had not got here whole.")).to_be_visible()
    await keep_picture(page, "files-choose-again")
    await page.get_by_role("button", name="Choose again").click()
    await choose(page, file)
    await expect_stored(page, ["large.bin"])
    assert_arrived(demo, file)
    assert parts.offsets[0] > 0


async def test_a_file_that_is_asked_for_may_be_given_up_instead(
    page: Page, demo: Demo, wire: Wire, tmp_path: Path
) -> None:
    await sign_in(page, demo, "Marie Dupont")
    wire.bytes_per_s = 3 * MB
    await choose(page, written(tmp_path, "large.bin", 14 * MB))
    await expect_under_way(page, "large.bin")
    await lose_the_line(page, wire)
    page.once("dialog", lambda dialog: dialog.accept())
    await page.reload()
    await page.get_by_role("button", name="Cancel large.bin").click()
    await expect(row(page, "large.bin").locator(".chip")).to_have_text("cancelled")
    await expect(page.get_by_role("button", name="choose files")).to_be_visible()


async def test_nobody_who_signs_in_later_gets_a_file_of_who_was_here_before(
    page: Page, demo: Demo, wire: Wire, tolerated: list[str], tmp_path: Path
) -> None:
    """In the same tab, where the browser still holds it; her session has ended, and she has not signed out."""
    tolerated += ["401"]
    await sign_in(page, demo, "Marie Dupont")
    wire.bytes_per_s = SLOW_BYTES_PER_S
    await choose(page, written(tmp_path, "hers.bin", 8 * MB))
    await expect_under_way(page, "hers.bin")
    await lose_the_line(page, wire)
    await page.context.clear_cookies()
    page.once("dialog", lambda dialog: dialog.accept())
    await sign_in(page, demo, "Hugo Lefèvre")
    await expect(page.get_by_role("button", name="choose files")).to_be_visible()
    await expect(page.get_by_text("Nothing sent yet.")).to_be_visible()
    assert not demo.sandbox.storage.files


async def test_the_same_file_in_another_tab_goes_on_where_the_closed_one_stopped(
    page: Page, demo: Demo, wire: Wire, tmp_path: Path
) -> None:
    file = written(tmp_path, "moved.bin", 8 * MB)
    await sign_in(page, demo, "Marie Dupont")
    wire.bytes_per_s = SLOW_BYTES_PER_S
    await choose(page, file)
    await expect_under_way(page, "moved.bin", 20)
    other = await page.context.new_page()
    await lose_the_line(page, wire)
    await page.close()
    parts = Parts(other)
    await other.goto(f"{demo.home_url}/files")
    await choose(other, file)
    await expect_stored(other, ["moved.bin"])
    assert_arrived(demo, file)
    assert parts.offsets[0] > 0


# --- what the storage wants first -------------------------------------------------------------------------------------


async def test_the_page_goes_to_the_portal_by_itself_and_the_file_waits(
    page: Page, demo: Demo, keep_picture: KeepPicture, tmp_path: Path
) -> None:
    file = written(tmp_path, "HelloWorld.jpg", 31_163)
    await sign_in(page, demo, "Paul Martin")
    await choose(page, file)
    await expect(page).to_have_url(re.compile(f"{demo.sandbox_url}/mesdonnees/portal"))
    await page.go_back()
    await expect(page.get_by_text("Your Mes Données space is not switched on yet.")).to_be_visible()
    await keep_picture(page, "files-needs-activation")
    await page.get_by_role("button", name="I have activated it, send now").click()
    await expect(page.locator("#trouble", has_text="Orange says that it is not switched on yet.")).to_be_visible()
    async with page.context.expect_page() as opened:
        await page.get_by_role("link", name="Activate at Orange").click()
    portal = await opened.value
    await portal.get_by_role("button", name="Activate my space").click()
    await portal.close()
    await page.get_by_role("button", name="I have activated it, send now").click()
    await expect_stored(page, [file.name])
    assert_arrived(demo, file)


async def test_the_page_stays_while_it_still_sends_and_the_portal_opens_beside_it(
    page: Page, demo: Demo, wire: Wire, tmp_path: Path
) -> None:
    small, large = written(tmp_path, "small.jpg", 20_000), written(tmp_path, "large.mov", 8 * MB)
    await sign_in(page, demo, "Paul Martin")
    wire.bytes_per_s = SLOW_BYTES_PER_S
    await choose(page, small, large)
    await expect(row(page, "small.jpg").locator(".chip")).to_have_text("waiting for activation")
    async with page.context.expect_page() as opened:
        await page.get_by_role("link", name="Activate at Orange").click()
    portal = await opened.value
    await portal.get_by_role("button", name="Activate my space").click()
    await portal.close()
    await expect_under_way(page, "large.mov")
    await page.get_by_role("button", name="I have activated it, send now").click()
    wire.bytes_per_s = None
    await expect_stored(page, [small.name, large.name])
    await expect(page).to_have_url(f"{demo.home_url}/files")
    assert_arrived(demo, small, large)


@pytest.mark.parametrize("answer", ["allow", "refuse"])
async def test_consent_is_asked_for_and_the_page_comes_back(
    page: Page, demo: Demo, keep_picture: KeepPicture, tmp_path: Path, answer: str
) -> None:
    file = written(tmp_path, "HelloWorld.jpg", 31_163)
    await sign_in(page, demo, "Chloé Bernard")
    await choose(page, file)
    await expect(page).to_have_url(re.compile(f"{demo.sandbox_url}/mesdonnees/consent"))
    await page.get_by_role("button", name="Always allow" if answer == "allow" else "Refuse").click()
    if answer == "allow":
        await expect(page).to_have_url(f"{demo.home_url}/files")
        await expect_stored(page, [file.name])
        assert_arrived(demo, file)
    else:
        await expect(page).to_have_url(f"{demo.home_url}/files?still=needs_consent")
        await expect(page.get_by_text("Orange says that you have not allowed it.")).to_be_visible()
        await keep_picture(page, "files-needs-consent")
        assert not demo.sandbox.storage.files


async def test_whoever_has_made_room_need_not_choose_again(
    page: Page, demo: Demo, keep_picture: KeepPicture, tolerated: list[str], tmp_path: Path
) -> None:
    tolerated += ["422"]
    file = written(tmp_path, "HelloWorld.jpg", 31_163)
    await sign_in(page, demo, "Luc Petit")
    await choose(page, file)
    await expect(page.locator("#refused")).to_contain_text("There is not enough room in your Mes Données space")
    await expect(page.locator("#trouble")).to_be_hidden()
    await expect(page.get_by_role("link", name="Make room at Orange")).to_be_visible()
    await keep_picture(page, "files-no-room")
    demo.sandbox.storage.users["luc"].used_bytes = 0
    await page.get_by_role("button", name="I have made room, send now").click()
    await expect(row(page, file.name).filter(has_text="stored")).to_have_count(1)
    assert_arrived(demo, file)


async def test_a_refused_name_is_replaced_without_choosing_again(
    page: Page, demo: Demo, tolerated: list[str], tmp_path: Path
) -> None:
    tolerated += ["422"]
    file = written(tmp_path, "no good.jpg", 31_163)
    await sign_in(page, demo, "Marie Dupont")
    demo.sandbox.storage.fail_next("PA003")
    await choose(page, file)
    # A name that cannot be sent either costs nothing.
    field = page.get_by_label("Another name for no good.jpg")
    await field.evaluate("field => field.removeAttribute('maxlength')")
    await field.fill("n" * 256)
    await page.get_by_role("button", name="Send under this name").click()
    await expect(page.locator("#trouble")).to_contain_text("is longer than 255 characters")
    await field.fill("better.jpg")
    await page.get_by_role("button", name="Send under this name").click()
    await expect_stored(page, ["better.jpg"])
    assert stored(demo, "better.jpg").size_bytes == 31_163


async def sign_in_again(page: Page) -> None:
    await page.get_by_role("button", name="Sign in at Orange").click()
    await page.get_by_role("button", name="Marie Dupont").click()
    await expect(page).to_have_url(re.compile(r"/files$"))


async def test_whoever_signs_in_again_finds_the_queue_going_on(page: Page, demo: Demo, tmp_path: Path) -> None:
    file = written(tmp_path, "HelloWorld.jpg", 31_163)
    await sign_in(page, demo, "Marie Dupont")
    demo.sandbox.storage.expire_tokens("marie")
    await choose(page, file)
    await expect(row(page, file.name).locator(".chip")).to_have_text("waiting for sign-in")
    await page.get_by_role("link", name="Sign in at Orange").click()
    await sign_in_again(page)
    await expect_stored(page, [file.name])
    assert_arrived(demo, file)


async def test_a_session_that_ends_meanwhile_costs_no_file(
    page: Page, demo: Demo, tolerated: list[str], tmp_path: Path
) -> None:
    """Signed out in another tab. The file stays with its page, which goes on once its owner has signed in again."""
    tolerated += ["401"]
    file = written(tmp_path, "HelloWorld.jpg", 31_163)
    await sign_in(page, demo, "Marie Dupont")
    other = await page.context.new_page()
    await other.goto(f"{demo.home_url}/files")
    await page.evaluate("window.stop()")
    await other.get_by_role("button", name="Sign out of Orange").click()
    await choose(page, file)
    async with page.context.expect_page() as opened:
        await page.locator("#signed-out").get_by_role("link", name="Sign in at Orange").click()
    await sign_in_again(await opened.value)
    await page.bring_to_front()
    await page.evaluate("window.dispatchEvent(new Event('focus'))")  # a window without a screen has none
    await expect_stored(page, [file.name])
    assert_arrived(demo, file)


# --- how it looks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_state_fits_the_window(
    page: Page,
    demo: Demo,
    wire: Wire,
    keep_picture: KeepPicture,
    tmp_path: Path,
    *,
    tolerated: list[str],
    scheme: Literal["light", "dark"],
    width: int,
) -> None:
    tolerated += ["422"]
    look = f"look-{scheme}-{width}"
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size({"width": width, "height": 800})
    await sign_in(page, demo, "Marie Dupont")
    await keep_picture(page, f"{look}-empty")
    await expect_no_sideways_scrolling(page)
    demo.sandbox.storage.fail_next("PA003")
    await choose(page, written(tmp_path, "A name that is rather long and that nobody likes very much.jpg", 31_163))
    await expect(page.get_by_role("button", name="Send under this name")).to_be_visible()
    await choose(page, written(tmp_path, "HelloWorld.jpg", 31_163))
    await expect_stored(page, ["HelloWorld.jpg"])
    wire.bytes_per_s = SLOW_BYTES_PER_S
    movies = [written(tmp_path, f"Walk to Netherfield {number}.mov", 4 * MB) for number in range(3)]
    await choose(page, *movies)
    await expect_under_way(page, movies[0].name)
    await keep_picture(page, f"{look}-sending")
    await expect_no_sideways_scrolling(page)
    wire.bytes_per_s = None
    await expect_stored(page, [path.name for path in movies])

    await page.context.clear_cookies()
    page.on("dialog", lambda dialog: dialog.accept())
    await sign_in(page, demo, "Paul Martin")
    await choose(page, written(tmp_path, "HelloWorld.jpg", 31_163))
    await expect(page).to_have_url(re.compile("/mesdonnees/portal"))
    await page.goto(f"{demo.home_url}/files")
    await expect(page.get_by_role("link", name="Activate at Orange")).to_be_visible()
    await keep_picture(page, f"{look}-waiting")
    await expect_no_sideways_scrolling(page)
