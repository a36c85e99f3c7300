"""Both languages say everything, and dates as each has them."""

import re
from datetime import date
from importlib.resources import files

from babel.messages.pofile import read_po

from services.notifier.messages.words import Words, preferred, words
from services.notifier.planning.routing import zone
from tests.unit.notifier.cases import NOON
from tests.unit.notifier.messages.catalogue import messages

TOKYO = zone("Asia/Tokyo")
JA, EN = words("ja"), words("en")


def catalogue_ids() -> set[str]:
    with files("services.notifier").joinpath("locale/ja.po").open("rb") as opened:
        found = (message.id for message in read_po(opened, locale="ja") if message.id and message.string)
        return {m[0] if isinstance(m, tuple) else str(m) for m in found}


def test_every_message_of_code_and_templates_is_in_the_japanese_catalogue() -> None:
    assert messages() - catalogue_ids() == set()


def test_the_catalogue_holds_nothing_that_nobody_says() -> None:
    assert catalogue_ids() - messages() == set()


def test_a_translation_names_no_value_that_its_message_lacks() -> None:
    with files("services.notifier").joinpath("locale/ja.po").open("rb") as opened:
        for message in read_po(opened, locale="ja"):
            ids = message.id if isinstance(message.id, tuple) else (message.id,)
            strings = message.string if isinstance(message.string, tuple) else (message.string,)
            known = {name for text in ids for name in re.findall(r"%\((\w+)\)s", str(text))}
            assert {name for text in strings for name in re.findall(r"%\((\w+)\)s", str(text))} <= known


def test_dates_and_weekdays_are_as_each_language_has_them() -> None:
    monday = date(2026, 3, 2)
    assert (JA.day(monday), EN.day(monday)) == ("3月2日(月)", "Mon 2 Mar")
    assert (JA.day(monday, year=True), EN.day(monday, year=True)) == ("2026年3月2日(月)", "Mon 2 Mar 2026")
    assert (JA.weekday(0), EN.weekday(0)) == ("月曜日", "Monday")
    assert (JA.moment(NOON, TOKYO), EN.moment(NOON, TOKYO)) == ("3月2日(月) 14:15", "Mon 2 Mar 14:15")


def test_customers_and_colleagues_are_addressed_as_each_language_does() -> None:
    assert (JA.name("割烹 さくら"), EN.name("割烹 さくら")) == ("割烹 さくら 様", "割烹 さくら")
    assert (JA.colleague("佐藤"), EN.colleague("Sato")) == ("佐藤さん", "Sato")


def test_numbers_agree_with_their_words() -> None:
    def days(said: Words, n: int) -> str:
        return said.count("%(n)s active day", "%(n)s active days", n)

    assert (days(EN, 1), days(EN, 41), days(JA, 41)) == ("1 active day", "41 active days", "利用41日")


def test_the_browsers_first_language_that_we_speak_is_taken() -> None:
    assert preferred("fr-FR,ja;q=0.8,en;q=0.5") == "ja"
    assert preferred("de") == "en"
    assert preferred("") == "en"


def test_an_unknown_language_is_the_source_language() -> None:
    assert words("fr").language == "en"
