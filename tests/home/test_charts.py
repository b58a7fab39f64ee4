"""Charts: small SVG that reads the same in light and dark, says every value, and obeys a strict content policy."""

import xml.etree.ElementTree as ET

import pytest
from django.utils import translation

from channels_app.console import charts
from channels_app.console.charts import Line, Series, bars, channel_hues, grid, lines, short, spark, stacked_bars
from channels_app.models import Channel


def parsed(drawing: str) -> ET.Element:
    """Well-formed or it raises."""
    return ET.fromstring(str(drawing))  # noqa: S314  # drawn by ourselves


def titles(drawing: str) -> list[str]:
    return [title.text for title in parsed(drawing).iter("title")]


DAYS = [str(day) for day in range(1, 28)]
CHART = stacked_bars(
    DAYS,
    [Series("官网", "1", [1_000_00] * 27), Series("<App> & Store", "2", [500_00] * 27)],
    name="Each day",
    say=lambda fen: f"¥{fen / 100:.2f}",
    ticks=[1_200_00] * 27,
    ticks_name="last month",
    unfinished=26,
)


class TestStackedBars:
    """A bar per day, a segment per series, a tick to compare."""

    def test_every_mark_says_its_value(self):
        said = titles(CHART)
        assert len(said) == 27 * 3 == len(parsed(CHART).findall("rect"))
        assert said[:3] == ["1 · 官网: ¥1000.00", "1 · <App> & Store: ¥500.00", "1 · last month: ¥1200.00"]

    def test_it_has_a_name_for_who_cannot_see_it(self):
        root = parsed(CHART)
        assert (root.get("role"), root.get("aria-label")) == ("img", "Each day")

    def test_no_style_no_script_no_colour_of_its_own(self):
        assert [word for word in ("style=", "<script", "<style", "#", "rgb(") if word in CHART] == []

    def test_segments_stand_on_each_other(self):
        below, above = parsed(CHART).findall("rect")[:2]
        assert float(above.get("y")) + float(above.get("height")) == pytest.approx(float(below.get("y")) - 1, abs=0.2)
        assert float(below.get("height")) == pytest.approx(2 * float(above.get("height")), rel=0.05)

    def test_the_unfinished_one_is_marked(self):
        bold = [text.text for text in parsed(CHART).iter("text") if "unfinished" in text.get("class")]
        assert bold == ["27"]

    def test_it_is_small(self):
        assert len(CHART) < 16_000

    def test_without_data_the_axis_stays(self):
        root = parsed(stacked_bars(DAYS, [], name="Nothing yet"))
        assert [text.text for text in root.iter("text")][:2] == ["0", "1"]
        assert len(root.findall("line")) == 1

    def test_yesterdays_ticks_stay_without_data_of_today(self):
        assert len(titles(stacked_bars(DAYS, [], name="x", ticks=[5] * 27))) == 27

    def test_a_day_below_zero_draws_no_bar(self):
        assert titles(stacked_bars(["1"], [Series("a", "1", [-5])], name="x")) == []


class TestAxis:
    """Round numbers from zero, at most four lines above it."""

    @pytest.mark.parametrize("top", [1, 3, 7, 10, 99, 1_234, 40_000, 61_000, 317_000, 9_999_999])
    def test_four_lines_at_most_and_the_last_reaches_the_top(self, top):
        found = grid(top)
        assert 1 <= len(found) <= 4
        assert found[-1] >= top
        assert found[0] == pytest.approx(found[-1] / len(found))

    def test_chinese_counts_in_ten_thousands_english_in_thousands(self):
        with translation.override("zh-hans"):
            assert [short(value) for value in (0, 5000, 15000, 200000, 10**8)] == ["0", "5,000", "1.5万", "20万", "1亿"]
        with translation.override("en"):
            assert [short(value) for value in (0, 500, 15000, 200000, 10**6)] == ["0", "500", "15k", "200k", "1M"]


class TestLines:
    """Running totals: today thick with a dot at its end, others thin."""

    def test_today_ends_in_a_dot(self):
        drawing = lines(
            [Line("Yesterday", "before", [(0, 0), (24, 900)]), Line("Today", "now", [(0, 0), (12.5, 500)])],
            name="Running total", span=24, labels=[(0, "0"), (24, "24")],
        )  # fmt: skip
        root = parsed(drawing)
        assert [line.get("class") for line in root.findall("polyline")] == ["line-before", "line-now"]
        assert len(root.findall("circle")) == 1
        assert titles(drawing) == ["Yesterday: 900", "Today: 500", "Today: 500"]

    def test_nothing_yet_keeps_the_axis(self):
        root = parsed(lines([Line("Today", "now", [])], name="x", span=24, labels=[(0, "0")]))
        assert root.findall("polyline") == []


class TestSmallOnes:
    """Bars in tables, sparks beside names."""

    def test_bars_share_one_scale(self):
        widths = [float(parsed(one).find("rect").get("width")) for one in bars([("a", 100), ("b", 50), ("c", 0)])]
        assert widths == [240, 120, 0]

    def test_the_smallest_is_still_seen(self):
        assert float(parsed(bars([("a", 1_000_000), ("b", 1)])[1]).find("rect").get("width")) >= 1

    def test_a_spark_skips_what_is_unknown(self):
        points = parsed(spark([1.0, None, 0.5], name="Alipay")).find("polyline").get("points").split()
        assert len(points) == 2


class TestColours:
    """A channel has one colour on every page, whatever else is sold."""

    def test_the_four_oldest_have_hues_others_are_grey(self, db):
        for code in ("official", "appstore", "huawei", "taptap", "bilibili"):
            Channel.objects.create(code=code, name=code)
        assert channel_hues() == {
            "official": "1", "appstore": "2", "huawei": "3", "taptap": "4", "bilibili": charts.OTHER,
        }  # fmt: skip
