"""Invented people, as untidy as real ones: names in many scripts, emails in many spellings, awkward texts."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

FIRST_NAMES = (
    *("Ana", "João", "Maria", "Zoë", "Jürgen", "Søren", "Łukasz", "Noémie", "Wei", "Yuki", "Omar", "Fatima", "Liam"),
    *("Olivia", "Noah", "Emma", "Mateo", "Sofía", "Chloé", "Björn", "Ingrid", "Dmitri", "Анна", "李", "さくら", "محمد"),
    *("Siobhán", "D'Arcy", "Jean-Luc", "Mary Ann", "José María", "Priya", "Arjun", "Thabo", "Ngozi", "Μαρία", "Kwame"),
)
LAST_NAMES = (
    *("Lima", "Silva", "O'Brien", "Müller", "Ng", "García Márquez", "van der Berg", "Smith", "Jones", "Ivanova"),
    *("Иванов", "王", "田中", "Þórsson", "Åkesson", "Çelik", "Nowak", "Dvořák", "Papadopoulos", "Haddad", "Cohen"),
    *("Kim", "Tran", "Okafor", "Mensah", "Rossi", "Dubois", "Fernández", "Costa", "Pereira", "Novák", "Horvat", "Lee"),
)
DOMAINS = ("example.com", "example.org", "example.net", "mail.example.com", "acme.example", "globex.example")
TITLES = ("Engineer", "Head of Sales", "CEO", "CTO", "Buyer", "Marketing Manager", "Student", "VP, Operations")
COMPANIES = ("Acme", "Globex", "Initech", "Stark & Sons", "Wayne, Inc.", 'The "Best" Co', "Søstrene Grå", "株式会社例")
PLACES = (
    ("Lisboa", "", "1100-148", "Portugal"),
    ("Porto", "", "4000-322", "Portugal"),
    ("Berlin", "Berlin", "10115", "Germany"),
    ("Boston", "MA", "02108", "United States"),
    ("New York", "NY", "10001", "United States"),
    ("São Paulo", "SP", "01310-100", "Brazil"),
    ("東京", "東京都", "100-0001", "Japan"),
    ("Genève", "GE", "1201", "Switzerland"),
)
SHARED_EMAILS = ("info@acme.example", "sales@globex.example", "office@example.org")
PLACEHOLDER_EMAILS = ("noreply@example.com", "none@none.com", "test@test.com", "NoReply@Example.com")
INVALID_EMAILS = ("ana(at)example.com", "not an email", "a@b", "two@@example.com", "@example.com", "ana@example", "n/a")
AWKWARD_TEXTS = (
    *("NULL", "null", "#N/A", "None", "NaN", "007", "00012345", "1e5", "=1+1", "+351 900", "-2+3", "@SUM(A1)"),
    *("comma, comma", 'a "quoted" word', '"', '""', "first\nsecond", "first\r\nsecond", "tab\there", "back\\slash"),
    *("it's", "  ", " x ", "zero\u200bwidth", "no\u00a0break", "e\u0301 combined", "\u202eright to left", "ﬁne", "%"),
    *("👩\u200d👩\u200d👧 family", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "İstanbul", "<b>bold</b>", "a;b", "_", '=HYPERLINK("x")', "\ufeffmark"),
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may stand in several records, objects and orgs."""

    first: str
    last: str
    email: str
    phone: str
    company: str


def people(random: Random, tag: str) -> Iterator[Person]:
    """Yield people without end; the same random state and tag give the same people."""
    number = 0
    while True:
        number += 1
        first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
        # One address in twenty keeps its letters beyond ASCII.
        name = (
            f"{first}.{last}".lower().replace(" ", "") if random.random() < 0.05 else f"{_ascii(first)}.{_ascii(last)}"
        )
        email = f"{name}.{tag}{number}@{random.choice(DOMAINS)}"
        phone = f"+351 9{random.randrange(10**8):08d}"
        yield Person(first, last, email[:80], phone, random.choice(COMPANIES))


def _ascii(name: str) -> str:
    kept = "".join(character for character in name if character.isascii() and character.isalpha())
    return kept.lower() or "x"


def spelled(random: Random, email: str) -> str:
    """Return an address as somebody may have typed it: mostly as it is, sometimes in other case or with spaces."""
    roll = random.random()
    if roll < 0.85:
        return email
    if roll < 0.90:
        return email.upper()
    if roll < 0.95:
        return f" {email.title()} "[:80]
    return email + " " if roll < 0.98 else "\u00a0" + email


def email_of(random: Random, person: Person) -> str | None:
    """Return what a record says the email is: perhaps nothing, nonsense, a placeholder or a shared mailbox."""
    roll = random.random()
    if roll < 0.92:
        return spelled(random, person.email)[:80]
    if roll < 0.95:
        return None
    if roll < 0.97:
        return random.choice(SHARED_EMAILS)
    return random.choice(INVALID_EMAILS if roll < 0.985 else PLACEHOLDER_EMAILS)
