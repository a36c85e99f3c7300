"""What a bench found, and the page made of it."""

from pathlib import Path

import pytest
from msgspec import structs

from bench import __main__ as all_benches
from bench import capacity, sizing
from bench.page import README, files, page, with_capacity
from bench.result import Comparison, Curve, Figure, Machine, Result, Target, compare, rate, read_all, write

ROOT = Path(__file__).parents[3]
MACHINE = Machine(cores=2, memory_gib=8.0, python="3.11.7", versions={"msgspec": "0.22"})


def result(**given: object) -> Result:
    plain = {"name": "b", "title": "A bench.", "load": "much", "command": "c", "measured_on": "2026-11-22"}
    return Result(**{**plain, "machine": MACHINE, **given})  # type: ignore[arg-type]


def test_the_page_the_charts_and_the_readme_are_those_that_the_kept_results_make():
    made = files(read_all(), *((ROOT / path).read_text() for path in (README, capacity.PAGE)))
    for path, text in made.items():
        assert (ROOT / path).read_text() == text, f"{path}: run `python -m bench.page`"


def test_no_chart_is_left_of_a_bench_that_has_none():
    made = files(read_all(), "", "")
    kept = {str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "images").glob("bench-*.svg")}
    assert kept <= set(made)


def test_every_kept_result_is_of_a_bench_that_all_of_them_run():
    assert set(read_all()) <= set(all_benches.names())


def test_a_result_is_read_as_it_was_written(tmp_path: Path):
    found = result(figures=(rate("ours", "events", 10, [0.5, 0.25]),))
    write(found, tmp_path)
    assert read_all(tmp_path) == {"b": found}


def test_rounds_taken_in_turns_are_compared_one_by_one():
    ours, other = rate("ours", "events", 100, [1, 2, 4]), rate("other", "events", 100, [1, 1, 1])
    assert compare(ours, other).ratios == (1.0, 0.5, 0.25)
    assert compare(ours, other).median == 0.5


def test_different_numbers_of_rounds_are_compared_by_their_medians():
    ours = Figure(name="ours", unit="s", values=(6.0,))
    other = Figure(name="other", unit="s", values=(1.0, 2.0, 9.0))
    assert compare(ours, other).ratios == (3.0,)


@pytest.mark.parametrize(
    ("target", "value", "is_reached"),
    [
        (Target(at_least=0.6), 0.6, True),
        (Target(at_least=0.6), 0.59, False),
        (Target(at_most=3), 3.0, True),
        (Target(at_most=3), 3.1, False),
    ],
)
def test_a_target_is_reached_at_its_bound(target: Target, value: float, is_reached: bool):
    assert target.is_reached_by(value) is is_reached


def test_a_missed_target_stands_on_the_page_with_its_reason():
    missed = Comparison(
        ours="a", against="b", ratios=(0.5,), target=Target(at_least=1, why_missed="it is slow")
    )
    said = page({"b": result(comparisons=(missed,))}, {})
    assert "0 of 1 are reached" in said
    assert "| ≥ 1 | 0.50  | **missed**: it is slow |" in said


def test_the_figures_of_a_busy_machine_never_replace_those_of_a_quiet_one_in_the_readme():
    row, readme = "| `serve` from a cold start to ready |{}", (ROOT / "README.md").read_text()
    figure = Figure(name="cold start on a new store", unit="s", values=(77.0,))
    for busy, said in ((0.9, readme), (0.0, " 77.0 s | `make bench-serve-start` |")):
        made = files({"serve_start": result(name="serve_start", figures=(figure,), busy=busy)}, readme, "")
        shown = [line for line in made["README.md"].splitlines() if line.startswith(row.format(""))]
        assert len(shown) == 1
        assert (shown[0] in said) if busy else (shown[0] == row.format(said))


def test_the_exponent_of_a_square_is_two():
    curve = Curve(name="c", across="size", unit="s", points=((1, 3), (10, 300), (100, 30_000)))
    assert curve.exponent == pytest.approx(2)
    assert curve.at(1_000) == pytest.approx(3_000_000)


PAGE_OF_OPERATIONS = "<!-- capacity: made by bench.page -->\n{}\n<!-- capacity end -->\n"
SENDING = "| webhooks out of a notifier, ten at once |"


def sending(speed: float, *, busy: float) -> dict[str, Result]:
    return {
        "deliveries": result(
            name="deliveries", figures=(rate("sender", "deliveries", speed, [1]),), busy=busy
        )
    }


def test_a_busy_machine_tells_what_is_carried_until_a_quiet_one_does_and_not_after():
    nothing = PAGE_OF_OPERATIONS.format("")
    busy = with_capacity(nothing, sending(800, busy=0.9))
    assert rf"{SENDING} 800 deliveries/s \* | `make bench-deliveries` |" in busy
    quiet = with_capacity(busy, sending(1000, busy=0.0))
    assert f"{SENDING} 1,000 deliveries/s | `make bench-deliveries` |" in quiet
    assert with_capacity(quiet, sending(800, busy=0.9)) == quiet


def test_what_nothing_has_measured_has_no_row():
    assert SENDING not in with_capacity(PAGE_OF_OPERATIONS.format(""), {})


MEASURED = sizing.Measured(
    events=50_000, settled=10_000, taken_in=500_000, bytes_each=300, cores=2, is_quiet=True
)


def test_a_midnight_bounds_what_a_machine_carries_where_events_leave_room_for_more():
    # events: 50,000 / 2 / 5 * 86,400 / 20 = 21.6 million; midnight: 10,000 * 900 / 2 = 4.5 million
    assert sizing.customers_carried(MEASURED) == 4_500_000


def test_events_bound_it_where_midnights_are_quick():
    # 5,000 / 2 / 5 * 86,400 / 20 = 2.16 million, told with two digits
    measured = structs.replace(MEASURED, events=5_000)
    assert sizing.customers_carried(measured) == 2_100_000


def test_twice_the_evaluators_are_counted_on_than_the_rate_alone_would_take():
    assert sizing.evaluators_needed(MEASURED, 100_000) == 4


def test_nothing_is_said_of_size_while_a_figure_for_it_is_missing():
    assert sizing.sentence({}) == ""
    assert sizing.paragraphs({}) == []
