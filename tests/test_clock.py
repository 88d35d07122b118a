"""Clocks, and the one way from what a user wrote to a point in time."""

from __future__ import annotations

import datetime as dt
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.clock import ManualClock, SystemClock, ago, format_time, parse_time, to_datetime
from absdb.errors import InvalidInputError

NOON = 1_775_311_500_000_000  # 2026-04-04 14:05:00 UTC

moments = st.datetimes(dt.datetime(1000, 1, 3), dt.datetime(9999, 12, 29), timezones=st.just(dt.UTC))


@given(moments)
def test_times_round_trip(moment):
    micros = parse_time(moment)
    assert to_datetime(micros) == moment
    assert parse_time(format_time(micros)) == micros
    assert parse_time(moment.isoformat()) == micros


@given(moments, st.integers(-23 * 60, 23 * 60))
def test_the_zone_does_not_matter(moment, minutes):
    zone = dt.timezone(dt.timedelta(minutes=minutes))
    assert parse_time(moment.astimezone(zone)) == parse_time(moment)


@pytest.mark.parametrize(
    "text",
    [
        "2026-04-04 14:05:00Z",
        "2026-04-04T14:05:00Z",
        "2026-04-04 14:05",
        " 2026-04-04 14:05:00 ",
        "2026-04-04 16:05:00+02:00",
        "2026-04-04 14:05:00.000000",
    ],
)
def test_ways_to_write_one_moment(text):
    assert parse_time(text) == NOON


def test_naive_means_utc():
    assert parse_time(dt.datetime(2026, 4, 4, 14, 5)) == NOON
    assert parse_time("2026-04-04") == NOON - (14 * 3600 + 5 * 60) * 1_000_000


def test_text_of_a_time():
    assert format_time(NOON) == "2026-04-04 14:05:00Z"
    assert format_time(NOON + 1) == "2026-04-04 14:05:00.000001Z"
    assert format_time(-1) == "1969-12-31 23:59:59.999999Z"
    assert to_datetime(NOON).tzinfo is dt.UTC


@pytest.mark.parametrize(
    "bad", ["", "yesterday", "14:05", "2026-13-01", "2026-04-04 25:00", 5, None, dt.date(2026, 4, 4)]
)
def test_what_is_no_time(bad):
    with pytest.raises(InvalidInputError, match="is not a point in time") as caught:
        parse_time(bad)
    assert "2026-04-04 14:05:00Z" in caught.value.hint


class TestManualClock:
    def test_stands_still(self):
        clock = ManualClock("2026-04-04 14:05:00Z")
        assert [clock.now_us(), clock.now_us()] == [NOON, NOON]

    def test_moves_by_hand(self):
        clock = ManualClock("2026-04-04 14:05:00Z")
        clock.advance(hours=1, microseconds=5)
        assert clock.now_us() == NOON + 3_600_000_005
        clock.advance(days=-1)
        assert clock.now_us() == NOON + 3_600_000_005 - 86_400_000_000
        clock.set("2026-04-04 14:05:00Z")
        assert clock.now_us() == NOON

    def test_ticks(self):
        clock = ManualClock(dt.datetime(2026, 4, 4, 14, 5, tzinfo=dt.UTC), tick_us=10)
        assert [clock.now_us() for _ in range(3)] == [NOON, NOON + 10, NOON + 20]

    def test_threads_never_get_the_same_tick(self):
        clock = ManualClock(tick_us=1)
        seen: list[int] = []
        threads = [
            threading.Thread(target=lambda: seen.extend([clock.now_us() for _ in range(500)]))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(seen)) == 2000

    def test_starts_at_the_same_moment_every_time(self):
        assert format_time(ManualClock().now_us()) == "2026-01-01 00:00:00Z"


def test_the_system_clock_is_the_systems():
    before = time.time_ns() // 1000
    now = SystemClock().now_us()
    assert before <= now <= time.time_ns() // 1000


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "just now"),
        (0.4, "just now"),
        (59.999998, "1 minute ago"),
        (1, "1 second ago"),
        (119, "1 minute ago"),
        (7_199, "1 hour ago"),
        (86_400 * 29, "29 days ago"),
        (86_400 * 40, "1 month ago"),
        (86_400 * 800, "2 years ago"),
    ],
)
def test_ago_is_in_whole_units(seconds, said):
    assert ago(NOON, NOON + int(seconds * 1e6)) == said
