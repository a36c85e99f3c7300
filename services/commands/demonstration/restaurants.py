"""The demo's customers: restaurants with a name, a CSM, closed days and a temper, drawn from a seed."""

import random
from datetime import date, timedelta

import msgspec

from shared.events import Calendar, Profile

CSMS = ("sato", "mori", "tanaka")
SEGMENTS = ("high-touch", "standard", "standard")

_NAMES = (
    *("鮨 はやし", "居酒屋 とり松", "そば処 みなと", "炭火焼 くろべ", "割烹 さくら井", "ラーメン 一番星"),
    *("天ぷら 銀河", "うなぎ 川よし", "焼鳥 やまびこ", "お好み焼き まるや", "とんかつ 大吉", "おでん 月の輪"),
    *("鉄板焼 あさひ", "寿司 海都", "小料理 ゆい", "もつ鍋 博多屋", "串カツ なにわ", "しゃぶしゃぶ 雪国"),
    *("餃子 龍門", "喫茶 こまどり", "食堂 ひなた", "牛たん 仙臺", "沖縄料理 ゆいまーる", "釜めし 里山"),
    *("懐石 竹の庵", "海鮮 まつり", "定食 あおば", "ふぐ 長門", "甘味 つばき", "豆腐料理 清流"),
    *("Trattoria Lucia", "Bistro Marché", "The Harbour Grill", "Taqueria Sol", "Blue Door Café"),
    *("Osteria Vento", "Brasserie Nord", "Spice Route", "Little Hanoi", "Burger Foundry"),
    *("Casa Olivo", "Pizzeria Nonna", "The Tea Room", "Seoul Kitchen", "Curry House Asha"),
    *("Green Table", "Corner Bakery", "Smoke & Oak", "Le Petit Four", "Dim Sum Garden"),
    *("Wine Bar Cuvée", "Ramen Republic", "Cantina Verde", "Oyster Bar Nine", "Noodle Lane"),
    *("Sunday Brunch Co.", "Paella Real", "Mezze House", "Pho Corner", "The Steak Yard"),
)
CUSTOMER_COUNT = len(_NAMES)

NEW_COUNT = 8
"""So many restaurants are new, and form their habit while one looks on."""

HABIT_DAYS = 28
STOPS_FIRST_DAYS = 6
STOPS_A_DAY = 3
"""So many stop each day; more at first, so that the reader's inbox is not empty."""

STEADY_DAYS = 10
"""Nobody stops who was not back in use for so long."""

_CALM = timedelta(days=20)
"""Before one looks on, everybody is back in use."""


class Restaurant(msgspec.Struct, frozen=True, kw_only=True):
    """One customer. `closed_weekdays`: 0 = Monday; `breaks`: first and last day without use."""

    id: str
    profile: Profile
    started_on: date
    closed_weekdays: frozenset[int]
    opens_at_minute: int  # when the staff look at the day's reservations, minutes after midnight
    busy: float  # reservations a day
    breaks: tuple[tuple[date, date], ...]
    rests_on_holidays: bool


def restaurants(*, seed: int, first_on: date, last_on: date, live_on: date) -> tuple[Restaurant, ...]:
    """The restaurants of the demo, with history from `first_on` and breaks up to `last_on`.

    The last few are new: their habit is a day or some days short of complete on `live_on`. From then on
    some stop every day, so that there is something to see.
    """
    found = [
        _restaurant(number, name, random.Random(f"{seed}/{number}"), first_on, live_on - _CALM)
        for number, name in enumerate(_NAMES, 1)
    ]
    for back, restaurant in enumerate(found[-NEW_COUNT:]):
        started_on = live_on - timedelta(days=HABIT_DAYS - 1 - back)
        found[len(found) - NEW_COUNT + back] = _begun_late(restaurant, started_on)
    day = live_on - timedelta(days=2)
    while day <= last_on:
        count = STOPS_FIRST_DAYS if day <= live_on else STOPS_A_DAY
        _take_breaks(found, day, count, random.Random(f"{seed}/{day.toordinal()}"))
        day += timedelta(days=1)
    return tuple(found)


def _take_breaks(found: list[Restaurant], day: date, count: int, chance: random.Random) -> None:
    """Some of the restaurants that are open on `day`, and in steady use, stop for a while."""
    steady = [
        index
        for index, restaurant in enumerate(found)
        if day.weekday() not in restaurant.closed_weekdays
        and restaurant.started_on + timedelta(days=HABIT_DAYS + 7) <= day
        and all(last + timedelta(days=STEADY_DAYS) < day for _, last in restaurant.breaks)
    ]
    for index in chance.sample(steady, min(count, len(steady))):
        last = day + timedelta(days=chance.choice((0, 0, 1, 1, 2, 5)))
        found[index] = msgspec.structs.replace(found[index], breaks=(*found[index].breaks, (day, last)))


def _restaurant(number: int, name: str, chance: random.Random, first_on: date, last_on: date) -> Restaurant:
    closed = frozenset(chance.choice(((), (0,), (0,), (1,), (2,), (6,), (0, 1))))
    return Restaurant(
        id=f"r-{number:03d}",
        profile=_profile(number, name, closed, chance, first_on),
        started_on=first_on + timedelta(days=chance.randrange(20)),
        closed_weekdays=closed,
        opens_at_minute=chance.randrange(8 * 60, 12 * 60),
        busy=chance.uniform(1.0, 4.0),
        breaks=_breaks(chance, first_on, last_on),
        rests_on_holidays=number % 6 == 0,
    )


def _begun_late(restaurant: Restaurant, started_on: date) -> Restaurant:
    """The same restaurant, new since `started_on`, open every day and keen."""
    return msgspec.structs.replace(
        restaurant,
        started_on=started_on,
        closed_weekdays=frozenset(),
        breaks=(),
        profile=msgspec.structs.replace(
            restaurant.profile, calendar=Calendar(), contract_started_on=started_on
        ),
        rests_on_holidays=False,
    )


def _profile(
    number: int, name: str, closed: frozenset[int], chance: random.Random, first_on: date
) -> Profile:
    tells_its_calendar = number % 3 == 0  # the others' closed days have to be learned from their use
    return Profile(
        name=name,
        csm=CSMS[number % len(CSMS)],
        segment=chance.choice(SEGMENTS),
        phone=f"+81-3-0000-{number:04d}",
        calendar=Calendar(
            closed_weekdays=tuple(sorted(closed)) if tells_its_calendar else None,
            holidays="JP" if number % 6 == 0 else None,
        ),
        contract_started_on=first_on,
        mrr=float(chance.choice((9_800, 14_800, 29_800))),
        properties={"area": chance.choice(("渋谷", "銀座", "浅草", "横浜", "鎌倉"))},
    )


def _breaks(chance: random.Random, first_on: date, last_on: date) -> tuple[tuple[date, date], ...]:
    """Every so often a restaurant stops using the service: for some days mostly, for weeks at times."""
    found = []
    day = first_on + timedelta(days=chance.randrange(30, 90))
    while day <= last_on:
        length = chance.choice((1, 2, 2, 3, 4, 7, 21))
        found.append((day, min(day + timedelta(days=length - 1), last_on)))
        day += timedelta(days=length + chance.randrange(25, 70))
    return tuple(found)
