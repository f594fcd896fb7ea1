"""Charts of values: how they are distributed, and by how much quantiles differ."""

from collections.abc import Sequence

from tidegate_server.dashboard.charts.parts import (
    AXIS,
    Limit,
    Options,
    base,
    colour,
    levels,
    line_series,
    rounded,
    value_axis,
)


def density_chart(
    lines: Sequence[tuple[str, int, Sequence[tuple[float, float]]]], *, discrete: bool
) -> Options:
    """Return how values are distributed: for each variant its name, place and (value, part of 1).

    discrete: only these values occur.
    """
    if discrete:
        values = sorted({value for _, _, points in lines for value, _ in points})
        axis: Options = {
            "type": "category",
            "data": [f"{value:g}" for value in values],
            "axisLine": {"lineStyle": {"color": AXIS}},
        }
        series = [
            {
                "type": "bar",
                "name": name,
                "itemStyle": {"color": colour(place)},
                "data": [rounded(100 * dict(points).get(value, 0.0)) for value in values],
            }
            for name, place, points in lines
        ]
    else:
        ends = [rounded(value) for _, _, points in lines for value, _ in points]
        limits = {"min": min(ends), "max": max(ends)} if ends else {}
        axis = {**value_axis(), "splitLine": {"show": False}, **limits}
        axis["axisLabel"] |= {"showMinLabel": False, "showMaxLabel": False}  # they are not round
        series = [
            {
                **line_series(name, colour(place), "solid"),
                "step": "end",
                "areaStyle": {"color": colour(place), "opacity": 0.15},
                "data": [[rounded(value), rounded(100 * part)] for value, part in points],
            }
            for name, place, points in lines
        ]
    return {
        **base(utc=True),
        "xAxis": axis,
        "yAxis": value_axis(percent=True, from_zero=True),
        "series": series,
    }


def quantile_chart(
    lines: Sequence[tuple[str, int, Sequence[float]]],
    intervals: Sequence[tuple[int, float, float, float]],
) -> Options:
    """Return differences of percentiles: for each treatment its name, place and 99 of them.

    intervals: place, percentile, lower and upper end.
    """
    series: list[Options] = [
        {
            **line_series(name, colour(place), "solid"),
            "data": [[percent, rounded(value)] for percent, value in enumerate(values, 1)],
        }
        for name, place, values in lines
    ]
    if series:
        series[0]["markLine"] = levels([Limit("no difference", 0.0, harm=False)], 1.0)
    for place, percent, lower, upper in intervals:
        series.append(
            {
                "type": "line",
                "name": f"95 % interval at p{percent:g}",
                "data": [[percent, rounded(lower)], [percent, rounded(upper)]],
                "symbol": "rect",
                "symbolSize": [11, 2],
                "lineStyle": {"color": colour(place), "width": 2},
                "itemStyle": {"color": colour(place)},
            }
        )
    options = base(utc=True)
    options["grid"]["bottom"] = 22  # for the axis's name
    return {
        **options,
        "xAxis": {
            **value_axis(),
            "min": 0,
            "max": 100,
            "interval": 25,
            "name": "percentile",
            "nameLocation": "middle",
            "nameGap": 24,
        },
        "yAxis": value_axis(),
        "series": series,
    }
