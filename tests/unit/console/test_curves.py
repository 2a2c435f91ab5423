"""Charts from progress reports: what is drawn, where, and what a later attempt replaces."""

import pytest

from aigc_platform.console.curves import Report, charts_from, round_ticks, what_counts


def reports(*points: tuple[float, float], name: str = "loss_generator") -> list[Report]:
    return [Report(current, {name: value}) for current, value in points]


def test_a_line_spans_the_chart_from_its_lowest_to_its_highest_tick() -> None:
    [chart] = charts_from(reports((0, 0.0), (1000, 1.0), (2000, 2.0)), unit="images")

    [line] = chart.lines
    assert line.points == f"{chart.left}.0,{chart.bottom}.0 260.0,88.0 {chart.right}.0,10.0"
    assert line.last == "2"
    assert (chart.title, line.name, chart.x_title) == ("Loss", "generator", "kimg")
    assert [tick.label for tick in chart.x_ticks] == ["0", "0.5", "1", "1.5", "2"]
    assert [tick.label for tick in chart.y_ticks] == ["0", "0.5", "1", "1.5", "2"]
    assert chart.y_ticks[0].at == chart.bottom


def test_figures_of_one_kind_share_a_chart_and_losses_come_first() -> None:
    names = ("diversity", "fake_logits", "real_logits", "loss_generator", "loss_discriminator")
    both = [Report(step, dict.fromkeys(names, float(step))) for step in (1, 2)]

    charts = charts_from(both, unit="images")

    assert [(chart.title, [line.name for line in chart.lines]) for chart in charts] == [
        ("Loss", ["discriminator", "generator"]),
        ("Logits", ["fake", "real"]),
        ("Diversity", [""]),
    ]


def test_one_report_makes_no_curve() -> None:
    assert charts_from(reports((0, 1.0)), unit="images") == []
    assert charts_from([], unit="") == []


def test_what_a_later_attempt_did_over_replaces_what_came_after_its_checkpoint() -> None:
    first = reports((0, 9.0), (100, 8.0), (200, 7.0), (300, 6.0))
    second = reports((150, 5.0), (250, 4.0))

    kept = what_counts([*first, *second])

    assert [report.current for report in kept] == [0, 100, 150, 250]


def test_a_constant_figure_is_drawn_within_the_chart() -> None:
    [chart] = charts_from(reports((0, 0.0), (10, 0.0)), unit="steps")

    assert chart.x_title == "steps"
    ys = {float(point.split(",")[1]) for point in chart.lines[0].points.split()}
    assert len(ys) == 1
    assert 0 <= ys.pop() <= chart.bottom


def test_long_runs_are_thinned_to_averages() -> None:
    [chart] = charts_from(reports(*((step, float(step % 2)) for step in range(3000))), unit="images")

    points = chart.lines[0].points.split()
    assert len(points) == 300
    assert {point.split(",")[1] for point in points} == {points[0].split(",")[1]}


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0, 0.5, 1]),
        (-0.6, 0.6, [-1, -0.5, 0, 0.5, 1]),
        (0.2, 0.26, [0.2, 0.22, 0.24, 0.26]),
        (3.0, 3.0, [3, 4]),
        (0.0, 0.0, [0, 0.5]),
        (0.0, 123456.0, [0, 50000, 100000, 150000]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low: float, high: float, ticks: list[float]) -> None:
    assert round_ticks(low, high) == pytest.approx(ticks)
