"""An operator without a script: opens pages, fills in the forms that are there, and goes where an act leads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from homeserver.model import Role
from tests.web.conftest import Browser, Reply, Stack


def words(node: etree._Element) -> str:
    return " ".join(str(node.xpath("string()")).split())


@dataclass(slots=True)
class Desk:
    """A browser with an operator in it, and the page that they see."""

    browser: Browser
    address: str = ""
    tree: Any = field(default=None, repr=False)

    async def open(self, address: str) -> Desk:
        """Go to a page, which is there."""
        reply = await self.browser.get(address)
        assert reply.status == 200, (address, reply.status, reply.text[-3_000:])
        self.address, self.tree = address, etree.HTML(reply.text)
        assert len(self.find("//h1")) == 1
        assert not self.find("//script[not(@src)][not(@type='application/json')] | //style | //@style")
        return self

    def find(self, path: str) -> list[Any]:
        found = self.tree.xpath(path)
        assert isinstance(found, list)
        return found

    def texts(self, path: str) -> list[str]:
        return [words(node) for node in self.find(path)]

    @property
    def done(self) -> str:
        """What the page says was done; empty where it says nothing."""
        return " ".join(self.texts("//*[contains(@class, 'notice done')]//p"))

    def actions(self) -> set[str]:
        """Where the page's forms lead that change something, signing out and choosing a language aside."""
        found = {str(each) for each in self.find("//form[@method='post']/@action")}
        return found - {"/admin/sign-out", "/language"}

    async def send(self, action: str, **fields: str) -> Reply:
        """Fill in the form whose address ends so, and send it as a browser does."""
        (form,) = [each for each in self.find("//form[@method='post']") if each.get("action").endswith(action)]
        filled = {each.get("name"): each.get("value", "") for each in form.xpath(".//input[@name]")}
        for select in form.xpath(".//select[@name]"):
            chosen = select.xpath("./option[@selected]") or select.xpath("./option")
            filled[select.get("name")] = chosen[0].get("value")
        assert fields.keys() <= filled.keys(), (fields, filled)
        boxes = {each.get("name") for each in form.xpath(".//input[@type='checkbox']")} - fields.keys()
        sent = {name: value for name, value in (filled | fields).items() if name not in boxes}
        return await self.browser.post(form.get("action"), sent)

    async def act(self, action: str, **fields: str) -> Desk:
        """The same, of a form that does what it says; and see the page that it leads to."""
        reply = await self.send(action, **fields)
        assert reply.status == 303, reply.text[-3_000:]
        return await self.open(reply.location)

    async def undo(self) -> Desk:
        """Take back what the page says was done."""
        return await self.act("/undo")


async def desk(stack: Stack, role: Role = Role.CONFIGURE) -> Desk:
    """An operator of this role, signed in."""
    browser = stack.browser()
    assert (await browser.sign_in_as_operator(role.value)).status == 303
    return Desk(browser)
