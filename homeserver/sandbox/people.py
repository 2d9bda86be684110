"""The sandbox's people: who they are, who knows whom, what they scored. The same for the same seed, on every machine.

The first three carry the guide's own ids (two above 2^63, one with a leading 0) and its own AppData. Others have names
that break pages which trust them: accents, markup, right-to-left text, emoji, no name at all.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

ELIZABETH: Final = "15913663323317925521"
JANE: Final = "10459228050876679741"
CHARLOTTE: Final = "07365476160138082838"

PEOPLE: Final = 120
FRIENDS_OF_ELIZABETH: Final = 46
"""More than two pages of the default size."""

GUIDE_APPDATA: Final = {
    ELIZABETH: {"letters": "3", "last_letter_date": "2008-10-30T18:30:02Z"},
    JANE: {"letters": "2", "last_letter_date": "2008-10-15T10:01:00Z"},
    CHARLOTTE: {"letters": "1", "last_letter_date": "2008-09-28T08:20:20Z"},
}

_CAST: Final = (
    "Fitzwilliam Darcy", "Charles Bingley", "Mary Bennet", "Catherine Bennet", "Lydia Bennet", "George Wickham",
    "Caroline Bingley", "Louisa Hurst", "William Collins", "Georgiana Darcy", "Maria Lucas", "Edward Gardiner",
    "Madeline Gardiner", "Anne de Bourgh", "Denis Fitzwilliam", "Emma Woodhouse", "George Knightley", "Harriet Smith",
    "Frank Churchill", "Jane Fairfax", "Elinor Dashwood", "Marianne Dashwood", "Edward Ferrars", "John Willoughby",
    "Anne Elliot", "Frederick Wentworth", "Fanny Price", "Edmund Bertram", "Catherine Morland", "Henry Tilney",
)  # fmt: skip
_GIVEN: Final = (
    "Ana", "Bruno", "Carla", "Diego", "Eva", "Fábio", "Gabriela", "Heitor", "Inês", "João", "Karina", "Luís", "Marta",
    "Nuno", "Olívia", "Paulo", "Rita", "Sérgio", "Thaís", "Vítor", "Amélie", "Benoît", "Chloé", "Émile", "Zoë",
)  # fmt: skip
_FAMILY: Final = (
    "Almeida", "Barbosa", "Cardoso", "Dias", "Esteves", "Ferreira", "Gonçalves", "Lima", "Moreira", "Nunes", "Oliveira",
    "Pereira", "Ramos", "Souza", "Teixeira", "Araújo", "Brandão", "Lefèvre", "Martin", "Müller", "Łukasiewicz",
)  # fmt: skip
_AWKWARD: Final = (
    ("Renée-Noëlle", "d'Ångström", ""),
    ("<b>Tom</b>", "<script>alert(1)</script>", ""),
    ("ليلى", "حداد", ""),
    ("נועה", "לוי", ""),
    ("\N{FOX FACE} Kit", "\N{CHERRY BLOSSOM}", ""),
    ("太郎", "山田", ""),
    ("", "", ""),
    ("", "", "just_a_nickname"),
    ('Quentin "Q" & Co', "O'Neil", ""),
    ("Wolfeschlegelsteinhausenbergerdorff" * 3, "Adolph Blaine Charles David Earl Frederick", ""),
)
"""Given name, family name, display name."""


@dataclass(slots=True)
class SandboxPerson:
    """Somebody in the sandbox, as the container knows them. Names may be empty."""

    id: str
    given_name: str = ""
    family_name: str = ""
    display_name: str = ""
    has_picture: bool = True
    has_app: bool = True
    date_of_birth: str = ""
    """`1985-04-12`, or empty."""

    @property
    def shown_name(self) -> str:
        """What the sandbox's own pages call this person."""
        return f"{self.given_name} {self.family_name}".strip() or self.display_name or "(no name)"


@dataclass(slots=True)
class Society:
    """Everybody, and what lies between them. Lists of ids are in the order in which the bond was made."""

    people: dict[str, SandboxPerson] = field(default_factory=dict)
    friends: dict[str, list[str]] = field(default_factory=dict)
    """Symmetric."""
    contacts: dict[str, list[str]] = field(default_factory=dict)
    """Those whom somebody has in their address book without being friends; one-sided."""
    appdata: dict[str, dict[str, str]] = field(default_factory=dict)
    """One application's data. A person without any has no row."""

    def add(self, person: SandboxPerson) -> None:
        """Let somebody in, without bonds.

        Raises:
            ValueError: The id is taken, empty, or begins with the `@` of a selector.
        """
        if not person.id or person.id.startswith("@") or person.id in self.people:
            raise ValueError(f"{person.id!r} cannot be a new person's id")
        self.people[person.id] = person
        self.friends[person.id] = []
        self.contacts[person.id] = []

    def befriend(self, one: str, other: str) -> None:
        """Make two people friends, as of now; nothing happens where they are."""
        if one == other or other in self.friends[one]:
            return
        self.friends[one].append(other)
        self.friends[other].append(one)

    def unfriend(self, one: str, other: str) -> None:
        """End a friendship; nothing happens where there is none."""
        if other in self.friends[one]:
            self.friends[one].remove(other)
            self.friends[other].remove(one)


def populate(seed: int) -> Society:
    """The people of a seed: about 120 with a few hundred friendships; three in four have the application."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose, nothing secret
    society = Society()
    for person in _guide_people():
        society.add(person)
    for names in _names(chance):
        society.add(_somebody(chance, society, names))
    _make_friends(chance, society)
    _add_contacts(chance, society)
    _give_scores(chance, society)
    return society


def _guide_people() -> tuple[SandboxPerson, ...]:
    return (
        SandboxPerson(ELIZABETH, "Elizabeth", "Bennet", date_of_birth="1985-05-28"),
        SandboxPerson(JANE, "Jane", "Bennet", has_picture=False, date_of_birth="1983-02-11"),
        SandboxPerson(CHARLOTTE, "Charlotte", "Lucas", date_of_birth="1979-11-03"),
    )


def _names(chance: random.Random) -> list[tuple[str, str, str]]:
    names = [(given, family, "") for given, _, family in (name.partition(" ") for name in _CAST)]
    names += _AWKWARD
    others = [(given, family, "") for given in _GIVEN for family in _FAMILY]
    return names + chance.sample(others, PEOPLE - len(names) - len(GUIDE_APPDATA))


def _somebody(chance: random.Random, society: Society, names: tuple[str, str, str]) -> SandboxPerson:
    identity = f"{chance.randrange(1 << 64):020d}"
    while identity in society.people:
        identity = f"{chance.randrange(1 << 64):020d}"
    born = f"{chance.randrange(1950, 2000)}-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d}"
    picture, app = chance.random() < 0.9, chance.random() < 0.74
    return SandboxPerson(identity, *names, has_picture=picture, has_app=app or names in _AWKWARD, date_of_birth=born)


def _make_friends(chance: random.Random, society: Society) -> None:
    """Elizabeth knows many, others know neighbours and a few strangers; the last player knows nobody."""
    everybody = list(society.people)
    alone = next(identity for identity in reversed(everybody) if society.people[identity].has_app)
    everybody.remove(alone)
    society.befriend(ELIZABETH, JANE)
    society.befriend(ELIZABETH, CHARLOTTE)
    society.befriend(JANE, CHARLOTTE)
    for other in chance.sample(everybody[3:], FRIENDS_OF_ELIZABETH - 2):
        society.befriend(ELIZABETH, other)
    for place, one in enumerate(everybody[1:], start=1):
        for other in everybody[place + 1 : place + 3]:
            society.befriend(one, other)
        for other in chance.sample(everybody[1:], 2):
            society.befriend(one, other)


def _add_contacts(chance: random.Random, society: Society) -> None:
    everybody = list(society.people)
    for one in everybody:
        known = {one, *society.friends[one]}
        society.contacts[one] = [other for other in chance.sample(everybody, 6) if other not in known]


def _give_scores(chance: random.Random, society: Society) -> None:
    """Few letters for most, many for some, ties among all of them; some who have the application have not played."""
    society.appdata.update({identity: dict(values) for identity, values in GUIDE_APPDATA.items()})
    for person in society.people.values():
        if not person.has_app or person.id in society.appdata or chance.random() < 0.1:
            continue
        month, day, hour = chance.randrange(1, 11), chance.randrange(1, 29), chance.randrange(24)
        values = {
            "letters": str(1 + int(chance.expovariate(1 / 9))),
            "last_letter_date": f"2008-{month:02d}-{day:02d}T{hour:02d}:{chance.randrange(60):02d}:00Z",
        }
        if chance.random() < 0.7:
            values["best_time"] = f"{chance.randrange(210, 1_800) / 10:.1f}"
        society.appdata[person.id] = values
