"""Operators' pages of accounts: one's own with its sessions and tokens, and those of all."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from homeserver.errors import BadInput, Conflict, NotSignedIn
from homeserver.model import NewToken, Operator, Role
from homeserver.web.admin_frame import Asked, asked, number, operator_who_may, page, see
from homeserver.web.keys import OPERATOR_TOKENS, OPERATORS
from homeserver.web.security import ADMIN_COOKIE, cookie, peer

ACCOUNT: Final = "/admin/account"
ALL: Final = "/admin/operators"


# --- one's own --------------------------------------------------------------------------------------------------------


async def account_page(request: web.Request) -> web.Response:
    """`GET /admin/account`: who is signed in, where, with which tokens."""
    return await _account(request, await operator_who_may(request, Role.VIEW))


async def _account(request: web.Request, who: Operator, new: NewToken | None = None) -> web.Response:
    return await page(
        request,
        who,
        "admin_account.html",
        sessions=await request.app[OPERATORS].sessions(who, cookie(request, ADMIN_COOKIE)),
        tokens=await request.app[OPERATOR_TOKENS].listed(who.name),
        new=new,
    )


async def change_password(request: web.Request) -> web.Response:
    """`POST /admin/account/password`: with the old one. All sessions end, this one too."""
    act = await asked(request, Role.VIEW, ACCOUNT)
    operators = request.app[OPERATORS]
    if act.form.get("new") != act.form.get("again"):
        raise BadInput("The new password was not typed twice the same.", field="again")
    try:
        extra = await operators.sign_in(act.who.name, act.form.get("old", ""), peer(request))
    except NotSignedIn:
        raise BadInput("The old password is wrong. Nothing was changed.", field="old") from None
    await operators.sign_out(extra)
    await operators.set_password(act.who.name, act.form.get("new", ""), actor=act.who.name)
    return see("/admin/sign-in")


async def end_other_sessions(request: web.Request) -> web.Response:
    """`POST /admin/account/sessions/end`: wherever else one is signed in, one is no more."""
    act = await asked(request, Role.VIEW, ACCOUNT)
    await request.app[OPERATORS].end_other_sessions(act.who, cookie(request, ADMIN_COOKIE))
    return see(ACCOUNT)


async def add_token(request: web.Request) -> web.Response:
    """`POST /admin/account/tokens`: the page that answers is the only one that ever shows the token."""
    act = await asked(request, Role.VIEW, ACCOUNT)
    new = await request.app[OPERATOR_TOKENS].add(
        act.who.name, act.form.get("name", ""), _role(act), days=number(act.form.get("days", ""), "days")
    )
    return await _account(request, act.who, new)


async def revoke_token(request: web.Request) -> web.Response:
    """`POST /admin/account/tokens/{token_id}/revoke`."""
    act = await asked(request, Role.VIEW, ACCOUNT)
    await request.app[OPERATOR_TOKENS].revoke(act.who.name, request.match_info["token_id"])
    return see(ACCOUNT)


# --- of all -----------------------------------------------------------------------------------------------------------


async def operators_page(request: web.Request) -> web.Response:
    """`GET /admin/operators`: all accounts and what they may do."""
    who = await operator_who_may(request, Role.CONFIGURE)
    return await page(
        request, who, "admin_operators.html", accounts=await request.app[OPERATORS].accounts(), roles=tuple(Role)
    )


async def add_operator(request: web.Request) -> web.Response:
    """`POST /admin/operators`: an account with a first password, to be changed by whom it is for."""
    act = await asked(request, Role.CONFIGURE, ALL)
    await request.app[OPERATORS].add(
        act.form.get("name", ""), act.form.get("password", ""), _role(act), actor=act.who.name
    )
    return see(ALL)


async def set_role(request: web.Request) -> web.Response:
    """`POST /admin/operators/{operator}/role`: all their sessions end. Nobody changes their own."""
    act = await asked(request, Role.CONFIGURE, ALL)
    await request.app[OPERATORS].set_role(_other(request, act), _role(act), actor=act.who.name)
    return see(ALL)


async def set_password(request: web.Request) -> web.Response:
    """`POST /admin/operators/{operator}/password`: a new first password; all their sessions end."""
    act = await asked(request, Role.CONFIGURE, ALL)
    await request.app[OPERATORS].set_password(_other(request, act), act.form.get("password", ""), actor=act.who.name)
    return see(ALL)


async def remove_operator(request: web.Request) -> web.Response:
    """`POST /admin/operators/{operator}/remove`: their sessions and tokens end."""
    act = await asked(request, Role.CONFIGURE, ALL)
    await request.app[OPERATORS].remove(_other(request, act), actor=act.who.name)
    return see(ALL)


def _other(request: web.Request, act: Asked) -> str:
    name = request.match_info["operator"]
    if name == act.who.name:
        raise Conflict("This is your own account: somebody else has to do that, or the command line.")
    return name


def _role(act: Asked) -> Role:
    word = act.form.get("role", "")
    if word not in set(Role):
        raise BadInput(f"One of {', '.join(Role)}.", field="role")
    return Role(word)
