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

NEW_EVERY = 8
"""One restaurant in so many is new and forms its habit while one looks on."""


class Restaurant(msgspec.Struct, frozen=True, kw_only=True):
    """One customer. `closed_weekdays`: 0 = Monday; `breaks`: first and last day without use."""

    id: str
    profile: Profile
    started_on: date
    closed_weekdays: frozenset[int]
    opens_at_minute: int  # when the staff look at the day's reservations, minutes after midnight
    busy: float  # reservations a day
    breaks: tuple[tuple[date, date], ...]


def restaurants(*, seed: int, first_on: date, last_on: date) -> tuple[Restaurant, ...]:
    """The restaurants of the demo; their breaks lie between `first_on` and `last_on`."""
    return tuple(
        _restaurant(number, name, random.Random(f"{seed}/{number}"), first_on, last_on)
        for number, name in enumerate(_NAMES, 1)
    )


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
    )


def begun_late(restaurant: Restaurant, started_on: date) -> Restaurant:
    """The same restaurant, new since `started_on` and keen: no break in its first weeks."""
    calm = tuple(gap for gap in restaurant.breaks if gap[0] > started_on + timedelta(days=45))
    return msgspec.structs.replace(restaurant, started_on=started_on, breaks=calm)


def _profile(
    number: int, name: str, closed: frozenset[int], chance: random.Random, first_on: date
) -> Profile:
    tells_its_calendar = number % 3 == 0  # the others' closed days have to be learned from their use
    return Profile(
        name=name,
        csm=CSMS[number % len(CSMS)],
        segment=chance.choice(SEGMENTS),
        phone=f"+81-3-0000-{number:04d}",
        calendar=Calendar(closed_weekdays=tuple(sorted(closed))) if tells_its_calendar else Calendar(),
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
        found.append((day, day + timedelta(days=length - 1)))
        day += timedelta(days=length + chance.randrange(25, 70))
    return tuple(found)
