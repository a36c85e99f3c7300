"""Whether stops foretell who leaves, and how long before."""

from datetime import date

from services.commands.backtesting.foresight import Silence, Warned, foresee
from services.commands.backtesting.telling import foresight_lines
from services.commands.outcomes import Outcome

FIRST, LAST = date(2026, 1, 1), date(2026, 12, 31)
BASE = FIRST.toordinal()


def left(day: int | None) -> Outcome:
    return Outcome(stayed=False, known_on=None if day is None else BASE + day)


def kept(day: int) -> Outcome:
    return Outcome(stayed=True, known_on=BASE + day)


def silence(stopped: int, resumed: int | None = None) -> Silence:
    return Silence(BASE + stopped, None if resumed is None else BASE + resumed)


def test_precision_share_caught_and_lead_days() -> None:
    found = foresee(
        {
            "gone": [silence(120, 130), silence(170)],  # called 80 days before, for good 30 days before
            "back": [silence(150, 160)],  # called, came back, stayed
            "late": [silence(200)],  # only after it had left
        },
        {"gone": left(200), "back": kept(200), "late": left(200), "quiet": kept(200)},
        FIRST,
        LAST,
    )
    raised, standing = found.signs
    assert (found.customer_count, found.left_count) == (4, 2)
    assert (raised.customer_count, raised.left_count, raised.lead_days) == (2, 1, (80,))
    assert (standing.customer_count, standing.left_count, standing.lead_days) == (1, 1, (30,))
    text = "\n".join(foresight_lines(found, "left: churned is yes"))
    assert "2 of 4 customers left (50%)" in text
    assert "2 customers, 50% of them left; 50% of all who left, 80 days before" in text


def test_an_outcome_needs_its_90_days_in_what_was_replayed() -> None:
    found = foresee({}, {"early": left(89), "in time": left(90), "after": left(366)}, FIRST, LAST)
    assert (found.customer_count, found.outside_count) == (1, 2)


def test_without_a_day_the_last_one_is_taken_and_it_is_said() -> None:
    found = foresee({"c": [silence(360)]}, {"c": left(None)}, FIRST, LAST)
    assert found.signs[0].lead_days == (5,)  # 31 December is day 364, the outcome known on day 365
    assert "of 1 who left nobody says when" in "\n".join(foresight_lines(found, ""))


def test_nobody_with_an_outcome_is_one_line() -> None:
    (line,) = foresight_lines(foresee({}, {}, FIRST, LAST), "stayed: renewed is yes")
    assert "no outcome has 90 days before it" in line


def test_quartiles_of_the_lead() -> None:
    def lead(*days: int) -> tuple[float, float, float] | None:
        return Warned(sign="", customer_count=5, left_count=5, lead_days=days).lead_quartiles

    assert lead() is None
    assert lead(7) == (7, 7, 7)
    assert lead(1, 2, 3, 4, 5) == (2, 3, 4)
