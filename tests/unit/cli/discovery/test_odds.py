"""Shares and how surely they differ, against figures worked out elsewhere."""

import pytest

from services.commands.discovery.odds import Split, fisher, holm, interval, score


def split(with_stayed: int, with_count: int, without_stayed: int, without_count: int) -> Split:
    return Split(
        with_count=with_count,
        with_stayed=with_stayed,
        without_count=without_count,
        without_stayed=without_stayed,
    )


def test_fisher_s_lady_tasting_tea() -> None:
    # 3 of 4 cups right: (16 + 1) / 70 on either side, two-sided twice that.
    assert fisher(split(3, 4, 1, 4)) == pytest.approx(34 / 70)
    assert fisher(split(4, 4, 0, 4)) == pytest.approx(2 / 70)


def test_fisher_sums_the_unlikely_tables_of_both_sides() -> None:
    # Margins 10 and 14, 12 stayed of 24: C(10,k) C(14,12-k) ways of C(24,12) = 2,704,156. Those of k = 1 are
    # 3640, and as few or fewer have k = 0 (91), 9 (3640) and 10 (91).
    assert fisher(split(1, 10, 11, 14)) == pytest.approx((91 + 3640 + 3640 + 91) / 2_704_156)


def test_newcombe_s_own_example() -> None:
    # Newcombe (1998), 56 of 70 against 48 of 80: 0.2 with 0.0524 to 0.3339.
    low, high = interval(split(56, 70, 48, 80))
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def test_an_even_split_is_no_surprise_and_an_empty_side_says_nothing() -> None:
    assert score(split(5, 10, 10, 20)) == 0
    assert fisher(split(5, 10, 10, 20)) == pytest.approx(1.0)
    assert score(split(0, 0, 10, 20)) == 0
    assert interval(split(0, 0, 10, 20))[0] < 0 < interval(split(0, 0, 10, 20))[1]


def test_the_score_has_the_sign_of_the_difference() -> None:
    # 8 of 10 with, 4 of 10 without: 2 more than the 6 expected, over sqrt(12*8*10*10/19)/20 = 1.1239.
    assert score(split(8, 10, 4, 10)) == pytest.approx(2 / 1.1239, rel=1e-4)
    assert score(split(4, 10, 8, 10)) == pytest.approx(-2 / 1.1239, rel=1e-4)


def test_lift_is_against_all_customers() -> None:
    assert split(8, 10, 4, 10).lift == pytest.approx(0.8 / 0.6)


def test_holm_corrects_the_least_the_most_and_keeps_the_order() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
