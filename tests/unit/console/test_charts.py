"""The last hour as charts: the numbers that their paths stand for."""

from __future__ import annotations

import re

import pytest

from console.admin.hour import MINUTES, Minute
from console.web.charts import HEIGHT, MAX_ACCOUNTS, Series, hours
from console.web.site import ENVIRONMENT


def hour(**last: int) -> list[Minute]:
    """Make an hour in which something ended in the last minute alone."""
    empty = [Minute(60 * number, {}) for number in range(MINUTES - 1)]
    return [*empty, Minute(60 * MINUTES, {name.replace("_", ":"): n for name, n in last.items()})]


def heights(series: Series) -> list[float]:
    return [float(one) for one in re.findall(r"v-([\d.]+)h", series.path)]


def test_a_bar_is_as_high_as_its_count() -> None:
    """Upon the one below, to a scale that a person reads; failures have their own."""
    found = [Minute(0, {"created": 30, "reused": 10}), Minute(60, {"created": 15})]
    found += [Minute(60 * number, {"failed:expired": 3}) for number in range(2, MINUTES)]
    (drawn,), left_out = hours({"1": found})
    opened, lost = drawn.charts
    assert (opened.words, opened.most, lost.words, lost.most) == (
        "Conversations",
        50,
        "Failures",
        5,
    )
    created, reused = opened.series
    assert (created.total, reused.total, lost.series[0].total) == (45, 10, 3 * (MINUTES - 2))
    assert (heights(created), heights(reused)) == ([60.0, 30.0], [20.0])
    assert created.path.startswith(f"M0 {HEIGHT}v-60.0h8v60.0z")
    assert reused.path == "M0 40.0v-20.0h8v20.0z"
    assert heights(lost.series[0]) == [60.0] * (MINUTES - 2)
    assert left_out == 0
    assert drawn.rows[-1] == ("1970-01-01T00:00:00.000Z", 30, 10, 0)


@pytest.mark.parametrize(
    ("most", "scale"),
    [(1, 1), (2, 2), (3, 5), (7, 10), (10, 10), (501, 1000), (1_999_999, 2_000_000)],
)
def test_a_scale_is_round(most: int, scale: int) -> None:
    """Never below what it has to hold."""
    (drawn,), _ = hours({"1": hour(created=most)})
    assert drawn.charts[0].most == scale


def test_what_never_happened_is_not_drawn() -> None:
    """Neither an outcome, nor an account, nor an hour."""
    assert hours({}) == hours({"1": hour(), "2": hour()}) == ([], 0)
    (drawn,), _ = hours({"1": hour(failed_expired=1), "2": hour()})
    assert drawn.name == "account 1"
    assert [(one.words, [series.words for series in one.series]) for one in drawn.charts] == [
        ("Failures", ["failed"])
    ]


def test_the_charts_of_many_accounts_are_small() -> None:
    """With everything in every minute; a page has 100 KB, and more than this on it."""
    whole = [
        Minute(60 * number, {"created": 60_000, "reused": 6_000 + number, "failed:expired": 600})
        for number in range(MINUTES)
    ]
    drawn, left_out = hours({str(number): whole for number in range(20)})
    page = ENVIRONMENT.get_template("hour_live.html").render(hours=drawn, left_out=left_out)
    assert len(page) < 65_000


def test_many_accounts_are_drawn_together_and_the_busiest_alone() -> None:
    """The others are counted; a page stays small."""
    count = MAX_ACCOUNTS + 3
    drawn, left_out = hours({str(n): hour(created=n + 1) for n in range(count)})
    assert [one.name for one in drawn] == [
        "all accounts",
        *(f"account {count - 1 - n}" for n in range(MAX_ACCOUNTS)),
    ]
    assert left_out == 3
    assert drawn[0].charts[0].series[0].total == sum(range(1, count + 1))
