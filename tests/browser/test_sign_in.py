"""Signing in to the storage in Chromium: by an identity provider that others wrote, and not by a trap."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from homeserver.demo import Demo, prepare, running
from homeserver.protocol.saml_metadata import metadata
from homeserver.wiring import service_provider
from tests.patience import PATIENCE_S, until

pytestmark = pytest.mark.chromium


@asynccontextmanager
async def signed_by_pysaml2(folder: Path, style: str, *, allow_sha1: bool = False) -> AsyncIterator[Demo]:
    """The product, with pysaml2 to vouch for people."""
    demo = await asyncio.to_thread(prepare, folder / "demo", 0, 0)
    (folder / "sp.xml").write_bytes(metadata(service_provider(demo.settings)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.pysaml2_idp", str(folder), "0", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            assert await process.stdout.readline() == b"ready\n"
        changes = {
            "metadata": folder / f"idp-{style}.xml",
            "allow_sha1": allow_sha1,
            "name_attribute": "urn:oid:2.16.840.1.113730.3.1.241",  # what pysaml2 makes of displayName
        }
        sign_in = demo.settings.sign_in.model_copy(update=changes)
        demo = replace(demo, settings=demo.settings.model_copy(update={"sign_in": sign_in}))
        async with running(demo):
            yield demo
    finally:
        process.kill()
        await process.wait()


async def sign_in_at_pysaml2(page: Page, demo: Demo) -> None:
    await page.goto(f"{demo.home_url}/files")
    await page.get_by_role("button", name="Sign in at Orange").click()
    await page.get_by_role("button", name="Continue as Marie").click()


@pytest.mark.xmlsec
@pytest.mark.parametrize("style", ["assertion", "response", "both"])
async def test_an_identity_provider_that_others_wrote(page: Page, tmp_path: Path, style: str) -> None:
    async with signed_by_pysaml2(tmp_path, style) as demo:
        await sign_in_at_pysaml2(page, demo)
        await expect(page).to_have_url(f"{demo.home_url}/files")
        await expect(page.get_by_text("Marie of pysaml2")).to_be_visible()
        await page.goto("about:blank")  # the page listens to a server that ends here


@pytest.mark.xmlsec
async def test_sha1_is_refused_and_by_setting_allowed(browser: Browser, tmp_path: Path) -> None:
    for allow_sha1 in (False, True):
        folder = tmp_path / str(allow_sha1)
        folder.mkdir()
        page = await (await browser.new_context()).new_page()
        async with signed_by_pysaml2(folder, "sha1", allow_sha1=allow_sha1) as demo:
            await sign_in_at_pysaml2(page, demo)
            if allow_sha1:
                await expect(page).to_have_url(f"{demo.home_url}/files")
            else:
                await expect(page.get_by_text("The sign-in did not work")).to_be_visible()


async def test_an_answer_brought_to_another_browser_signs_nobody_in(browser: Browser, demo: Demo) -> None:
    """The attacker begins, signs in as themselves, and leaves the last step to the victim."""
    attacker, victim = [await (await browser.new_context()).new_page() for _ in range(2)]
    brought: list[str] = []

    async def keep(route: object) -> None:
        brought.append(route.request.post_data or "")  # type: ignore[attr-defined]
        await route.abort()  # type: ignore[attr-defined]

    await attacker.route("**/sign-in/answer", keep)
    await attacker.goto(f"{demo.home_url}/files")
    await attacker.get_by_role("button", name="Sign in at Orange").click()
    await attacker.get_by_role("button", name="Marie Dupont").click()

    async def comes() -> bool:
        return bool(brought)

    await until(comes)
    await victim.goto(f"{demo.home_url}/files")
    await victim.get_by_role("button", name="Sign in at Orange").click()  # the victim has begun too
    await victim.goto(f"{demo.sandbox_url}/mesdonnees/")
    await victim.evaluate(
        """([action, body]) => {
            const form = document.createElement("form");
            form.method = "post";
            form.action = action;
            for (const [name, value] of new URLSearchParams(body)) {
                const field = document.createElement("input");
                field.name = name;
                field.value = value;
                form.append(field);
            }
            document.body.append(form);
            form.submit();
        }""",
        [f"{demo.home_url}/sign-in/answer", brought[0]],
    )
    await expect(victim.get_by_text("was not begun")).to_be_visible()
    await victim.goto(f"{demo.home_url}/files")
    await expect(victim).to_have_url(f"{demo.home_url}/sign-in?back=/files")
