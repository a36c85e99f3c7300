"""Charts of curves and of speeds."""

import re

from bench.charts import bars, curves
from bench.result import Curve


def curve(name: str, *points: tuple[float, float]) -> Curve:
    return Curve(name=name, across="customers", unit="s", points=points)


def test_a_power_is_a_straight_line_and_its_exponent_stands_where_it_ends():
    drawn = curves([curve("time", (10, 2), (100, 20), (1_000, 200))], "Growth")
    [places] = re.findall(r'<polyline points="([^"]*)"', drawn)
    (x0, y0), (x1, y1), (x2, y2) = (map(float, place.split(",")) for place in places.split())
    assert abs((y1 - y0) / (x1 - x0) - (y2 - y1) / (x2 - x1)) < 0.01
    assert "time (^1.00)" in drawn


def test_the_names_of_curves_that_end_at_one_place_stand_apart():
    drawn = curves([curve("a", (1, 1), (9, 9)), curve("b", (1, 2), (9, 9))], "Two")
    heights = [float(y) for y in re.findall(r'y="([\d.]+)" text-anchor="start" style', drawn)]
    assert abs(heights[0] - heights[1]) >= 14


def test_a_title_is_escaped_and_ours_stand_out_among_the_bars():
    drawn = bars([("they", 900.0), ("ours, live", 300.0)], "ours", "events/s", "a < b")
    assert "a &lt; b" in drawn
    colours = re.findall(r'height="18" fill="([^"]*)"', drawn)
    assert len(set(colours)) == 2
