"""The language of a page: a visitor's choice, the browser's wish, and what machines are told."""

from __future__ import annotations

from fractions import Fraction

import pytest

from homeserver.domain import scores
from homeserver.model import Board, Format, Period, Span
from homeserver.web import formats
from homeserver.web.languages import all_languages, negotiated, ngettext, speaking
from tests.web.conftest import Stack
from tests.web.test_pages import page, texts, values


@pytest.mark.parametrize(
    ("accepted", "tag"),
    [
        ("", "en"),
        ("fr", "fr"),
        ("fr-CA,fr;q=0.9", "fr"),
        ("pt", "pt-BR"),
        ("pt-PT", "pt-BR"),
        ("PT-br", "pt-BR"),
        ("de, fr;q=0.5, en;q=0.4", "fr"),
        ("en;q=0.4, fr;q=0.5", "fr"),
        ("en-US,en;q=0.9,fr;q=0.8", "en"),
        ("fr;q=0, pt;q=0.1", "pt-BR"),
        ("de", "en"),
        ("*", "en"),
        ("fr;q=0.2, *;q=0.9", "en"),
        ("fr;q=high, pt;q=0.1", "pt-BR"),
        ("fr;q=2, pt;q=0.1", "pt-BR"),
        ("fr;q=nan, pt;q=0.1", "pt-BR"),
        (",;=,;q=,fr", "fr"),
        ("de," * 40 + "fr", "en"),  # nobody means more than a few
    ],
)
def test_a_browser_gets_the_first_of_its_languages_that_is_spoken_here(accepted: str, tag: str) -> None:
    assert negotiated(accepted).tag == tag


async def test_pages_come_in_the_language_of_the_browser(stack: Stack) -> None:
    browser = stack.browser()
    for wanted, tag, tabs in (
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr", "Fichiers"),
        ("pt-PT", "pt-BR", "Arquivos"),
        ("de", "en", "Files"),
    ):
        reply = await browser.get("/", Accept_Language=wanted)
        tree = page(reply)
        assert values(tree, "/html/@lang") == [tag]
        assert values(tree, "/html/@dir") == ["ltr"]
        assert reply.headers["Content-Language"] == tag
        assert reply.headers["Vary"] == "Accept-Language, Cookie"
        assert tabs in texts(tree, "//nav/a")


async def test_a_choice_is_kept_and_leads_back_to_the_same_place(stack: Stack) -> None:
    browser = await stack.player()
    tree = page(await browser.get("/boards/letters?period=week&around=me"))
    form = "//form[@action='/language']"
    assert values(tree, f"{form}//button/@value") == ["en", "pt-BR", "fr"]
    assert values(tree, f"{form}//button[@aria-current]/@value") == ["en"]
    (here,) = values(tree, f"{form}//input/@value")
    chosen = await browser.post("/language", {"language": "fr", "here": here})
    assert (chosen.status, chosen.location) == (303, "/boards/letters?period=week&around=me")
    cookie = chosen.headers["Set-Cookie"]
    assert cookie == "language=fr; HttpOnly; Max-Age=31536000; Path=/; SameSite=Lax"
    again = await browser.get(chosen.location, Accept_Language="pt-BR")
    assert values(page(again), "/html/@lang") == ["fr"]

    elsewhere = await browser.post("/language", {"language": "en", "here": "//evil.example/"})
    assert elsewhere.location == "/"
    assert (await browser.post("/language", {"language": "tlh"})).status == 400
    assert (await browser.post("/language", {"language": "fr"}, Origin="https://evil.example")).status == 403


async def test_a_cookie_that_nobody_set_here_changes_nothing(stack: Stack) -> None:
    for odd in ("xx", "../fr", "FR", ""):
        reply = await stack.browser().get("/", Cookie=f"language={odd}", Accept_Language="fr")
        assert reply.headers["Content-Language"] == "fr"


async def test_refusals_on_pages_are_in_words_of_the_language_and_machines_read_english(stack: Stack) -> None:
    browser = stack.browser()
    refused = await browser.get("/boards/letters", Accept_Language="fr")
    assert refused.status == 401
    assert refused.headers["Content-Language"] == "fr"
    assert "Vous n’êtes pas connecté" in refused.text
    assert "not_signed_in" in refused.text
    gadget = await browser.get("/gadget/v1/boards", Accept_Language="fr")
    assert gadget.json["detail"] == "This call needs a bearer token."
    assert "Content-Language" not in gadget.headers


# --- how things are written -----------------------------------------------------------------------------------------


def test_scripts_write_dates_as_the_pages_do() -> None:
    assert [each.words_of("board.js")["language"] for each in all_languages().values()] == ["en-GB", "pt-BR", "fr"]


def test_numbers_times_and_spans_by_the_language() -> None:
    at_ms, day_ms = 1_795_348_800_000, 86_400_000
    week = Period("w", Span.WEEK, at_ms - 4 * day_ms, at_ms + 3 * day_ms, "UTC")
    month = Period("m", Span.MONTH, at_ms, at_ms + day_ms, "UTC")

    def written() -> list[str]:
        return [
            formats.number(1_284_310),
            formats.score("-1,234.50"),
            formats.place(12_345, tied=True),
            formats.size(1_500_000),
            formats.size(1),
            formats.moment(at_ms),
            formats.claimed("2008-10-30", "UTC"),
            formats.claimed("2008-10-30T16:30", "UTC"),
            formats.period_name(week),
            formats.period_name(month),
            formats.left(3121 * 60_000),
            formats.beats(Fraction(29, 100)),
        ]

    with speaking(all_languages()["pt-BR"]):
        assert written() == [
            *("1.284.310", "-1.234,50", "=12.345", "1,5 MB", "1 byte"),
            *("22 de nov. de 2026 12:00 UTC", "30 de out. de 2008", "30 de out. de 2008 16:30"),
            *("18\u2009\u2013\u200925 de nov. de 2026", "novembro de 2026", "2 dias e 4 horas"),
            "Melhor que 29% dos outros",
        ]
    with speaking(all_languages()["fr"]):
        assert written() == [
            *("1\u202f284\u202f310", "-1\u202f234,50", "=12\u202f345", "1,5\u202fMo", "1\xa0octet"),
            *("22 nov. 2026, 12:00 UTC", "30 oct. 2008", "30 oct. 2008, 16:30"),
            *("18\u201325 nov. 2026", "novembre 2026", "2\xa0jours et 4\xa0heures"),
            "Mieux que 29\xa0% des autres",
        ]


@pytest.mark.parametrize(
    ("tag", "zone", "name"),
    [
        ("en", "America/Sao_Paulo", "São Paulo"),
        ("fr", "America/Sao_Paulo", "São Paulo"),
        ("en", "America/Argentina/Buenos_Aires", "Buenos Aires"),
        ("pt-BR", "America/New_York", "Nova York"),
        ("fr", "UTC", "UTC"),
    ],
)
def test_a_zone_is_called_by_its_city(tag: str, zone: str, name: str) -> None:
    with speaking(all_languages()[tag]):
        assert formats.city(zone) == name


@pytest.mark.parametrize("tag", ["en", "pt-BR", "fr"])
@pytest.mark.parametrize("format_", list(Format))
@pytest.mark.parametrize("decimals", [0, 1, 2, 3])
def test_a_score_may_be_typed_as_it_is_shown(tag: str, format_: Format, decimals: int) -> None:
    board = Board("b", "B", "f", format=format_, decimals=decimals)
    with speaking(all_languages()[tag]):
        for units in (0, 7, -7, 59_000, 60_000, 3_723_000, -3_723_500, 1_234_567_891):
            exact = scores.exact(units, decimals)
            assert scores.parse(formats.typed_score(exact, board) or "", decimals) == units
            shown = formats.score(scores.display(units, board))
            assert formats.typed_score(f" {shown} ", board) == exact


@pytest.mark.parametrize(
    ("tag", "decimals", "typed", "exact"),
    [
        ("en", 0, "1,032", "1032"),
        ("en", 0, "1032", "1032"),
        ("en", 0, "10,32", None),
        ("en", 0, "twelve", None),
        ("en", 0, "1-2", None),
        ("en", 0, "1:17", None),
        ("fr", 1, "77,5", "77.5"),
        ("fr", 1, "77.5", "77.5"),
        ("fr", 0, "1 032", "1032"),
        ("pt-BR", 0, "1.032", "1032"),
        ("pt-BR", 3, "1.032", "1.032"),  # as a link from elsewhere has it
        ("pt-BR", 3, "1,032", "1.032"),
        ("pt-BR", 0, "1,032", None),
        ("pt-BR", 1, "1,50", "1.5"),
        ("en", 0, "\u2212 3", "-3"),
        ("en", 0, "\u0663", None),
    ],
)
def test_what_a_typed_score_means(tag: str, decimals: int, typed: str, exact: str | None) -> None:
    with speaking(all_languages()[tag]):
        assert formats.typed_score(typed, Board("b", "B", "f", decimals=decimals)) == exact


@pytest.mark.parametrize(
    ("typed", "exact"),
    [
        ("1:17.5", "77.5"),
        ("0:01:17.5", "77.5"),
        ("100:00:00", "360000"),
        ("90:00", "5400"),
        ("1:17.55", None),
        ("9" * 5_000 + ":00:00", None),
        ("1:2", None),
        (":30", None),
    ],
)
def test_a_duration_may_be_typed_by_the_clock(typed: str, exact: str | None) -> None:
    board = Board("b", "B", "f", format=Format.DURATION, decimals=1)
    with speaking(all_languages()["en"]):
        assert formats.typed_score(typed, board) == exact


def test_none_is_many_in_english_and_one_in_the_two_others() -> None:
    said = {}
    for tag, language in all_languages().items():
        with speaking(language):
            said[tag] = [ngettext("%(n)s change", "%(n)s changes", n) for n in (0, 1, 2, 1_000_000)]
        assert language.words_of("files")["ones"] == ([1] if tag == "en" else [0, 1])
    assert said == {
        "en": ["0 changes", "1 change", "2 changes", "1000000 changes"],
        "pt-BR": ["0 mudança", "1 mudança", "2 mudanças", "1000000 mudanças"],
        "fr": ["0 changement", "1 changement", "2 changements", "1000000 changements"],
    }
