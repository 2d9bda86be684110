"""How the gadget's script writes numbers, times and names: as the server does, and in each language. Run by Node.js."""

from __future__ import annotations

import json
import random
import re
import subprocess
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import pytest

from homeserver.domain import scores
from homeserver.model import Board, Format
from homeserver.paths import STATIC
from homeserver.web.gadget_script import FOLDER
from homeserver.web.languages import all_languages

pytestmark = pytest.mark.node

INT64: Final = 2**63
SCRIPT: Final = (STATIC / FOLDER / "texts.js").read_text(encoding="utf-8")
# The functions of the file on what comes in: a line of JSON with the language and the calls of each case.
_RUN: Final = """
for (const [tag, name, given] of JSON.parse(require("fs").readFileSync(0, "utf8"))) {
  language = tag;
  console.log(JSON.stringify(eval(name)(...given)));
}
"""


def said(calls: Sequence[tuple[str, str, Sequence[Any]]], before: str = "const window = {};") -> list[Any]:
    """What these functions give: language, name, arguments."""
    words = {tag: language.words_of(f"{FOLDER}/") for tag, language in all_languages().items()}
    source = f"{before}\nconst WORDS = {json.dumps(words)};\n{SCRIPT}\n{_RUN}"
    run = subprocess.run(["node", "-e", source], input=json.dumps(calls), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def some_scores() -> list[tuple[int, int]]:
    """Scores of 64 bits with their decimals, the edges among them; the same each time."""
    chance = random.Random(9)
    edges = [0, 1, -1, 59, 60, 3599, 3600, 2**53, 2**53 + 1, INT64 - 1, -INT64]
    found = [(score, decimals) for score in edges for decimals in (0, 1, 2, 3)]
    return found + [(chance.randrange(-INT64, INT64) >> chance.randrange(64), chance.randrange(4)) for _ in range(300)]


@pytest.mark.parametrize("form", Format)
def test_a_score_is_written_as_the_server_writes_it(form: Format) -> None:
    """In English; every digit of it."""
    cases = [
        (scores.exact(score, decimals), Board("b", "B", "f", format=form, decimals=decimals), score)
        for score, decimals in some_scores()
    ]
    written = said([("en", "score", [exact, {"format": form.value}]) for exact, _, _ in cases])
    assert written == [scores.display(score, board) for _, board, score in cases]


def test_one_more_is_exact() -> None:
    texts = [scores.exact(score, decimals) for score, decimals in some_scores()]
    assert [Decimal(text) + 1 for text in texts] == [
        Decimal(one) for one in said([("en", "plusOne", [text]) for text in texts])
    ]
    assert said([("en", "plusOne", ["-0.50"]), ("en", "plusOne", ["-1.00"])]) == ["0.50", "0.00"]


@pytest.mark.parametrize(
    ("call", "english", "portuguese", "french"),
    [
        (("score", ["1234567.5", {"format": "integer"}]), "1,234,567.5", "1.234.567,5", "1 234 567,5"),
        (("place", [1234, True]), "=1,234", "=1.234", "=1 234"),
        (("place", [None, False]), "\u2013", "\u2013", "\u2013"),
        (("percent", [0.29]), "29%", "29%", "29 %"),
        (("percent", [0.999]), "99%", "99%", "99 %"),
        (("duration", [2 * 86_400_000 + 4 * 3_600_000]), "2 days 4 hours", "2 dias 4 horas", "2 jours 4 heures"),
        (("duration", [61_000]), "1 minute", "1 minuto", "1 minute"),
        (("duration", [5]), "1 minute", "1 minuto", "1 minute"),
        (("duration", [86_400_000]), "1 day", "1 dia", "1 jour"),
        (("ago", [7_200_000]), "2 hours ago", "há 2 horas", "il y a 2 heures"),
        (("claimed", ["2008-10-30"]), "30 Oct 2008", "30 de out. de 2008", "30 oct. 2008"),
        (("claimed", ["2008-10-30T23:59"]), "30 Oct 2008", "30 de out. de 2008", "30 oct. 2008"),
        (("listed", [["A", "B", "C"]]), "A, B and C", "A, B e C", "A, B et C"),
    ],
)
def test_each_language_writes_it_in_its_way(
    call: tuple[str, list[Any]], english: str, portuguese: str, french: str
) -> None:
    name, given = call
    written = said([(tag, name, given) for tag in ("en", "pt-BR", "fr")])
    assert [re.sub("[\u00a0\u202f]", " ", text) for text in written] == [english, portuguese, french]


def test_words_have_holes_and_forms() -> None:
    calls: list[tuple[str, str, list[Any]]] = [
        ("en", "_", ["100%% of %(a)s, %(b)s", {"a": "%(b)s", "b": "<b>"}]),
        *(("en", "_n", ["%(n)s player", "%(n)s players", n]) for n in (0, 1, 2, 1234)),
        *(("fr", "_n", ["none such %(n)s", "none such many %(n)s", n]) for n in (0, 1, 2)),
    ]
    assert said(calls) == [
        "100% of %(b)s, <b>",
        *("0 players", "1 player", "2 players", "1,234 players"),
        *("none such 0", "none such 1", "none such many 2"),
    ]


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Jane Bennet", "JB"),
        ("Anne de Bourgh", "AB"),
        ("just_a_nickname", "J"),
        ("<b>Tom</b> 'Q' O'Neil", "O"),
        ("  \u202e ", "?"),
        ("", "?"),
        ("\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL} Kit", None),
        ("e\N{COMBINING ACUTE ACCENT}lan", "E\N{COMBINING ACUTE ACCENT}"),
    ],
)
def test_initials(name: str, letters: str | None) -> None:
    expected = name.split(" ", maxsplit=1)[0] + "K" if letters is None else letters
    assert said([("en", "initials", [name])]) == [expected]


@pytest.mark.parametrize(
    ("lang", "country", "browser", "chosen"),
    [
        ("fr", "ALL", ["en"], "fr"),
        ("fr", "CA", ["en"], "fr"),
        ("pt", "BR", ["en"], "pt-BR"),
        ("pt", "PT", ["en"], "pt-BR"),
        ("pt_BR", "ALL", ["en"], "pt-BR"),
        ("de", "ALL", ["fr"], "en"),
        ("ALL", "ALL", ["de-AT", "fr-FR", "en"], "fr"),
        ("", "", ["pt"], "pt-BR"),
        ("all", "ALL", [], "en"),
    ],
)
def test_the_language_is_the_containers_else_the_browsers(
    lang: str, country: str, browser: list[str], chosen: str
) -> None:
    before = f"""
      class Prefs {{ getLang() {{ return {json.dumps(lang)}; }} getCountry() {{ return {json.dumps(country)}; }} }}
      const gadgets = {{ Prefs }}, window = {{ gadgets }};
      Object.defineProperty(globalThis, "navigator", {{ value: {{ languages: {json.dumps(browser)} }} }});
    """
    assert said([("en", "chooseLanguage", [])], before) == [chosen]
