"""Sizes, spans and instants read and print as Docker's do."""

from __future__ import annotations

import pytest

from core.clock import format_instant, parse_instant
from core.errors import InvalidInput
from core.units import go_duration, human_duration, human_size, parse_duration, parse_size, whole_number


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (1234, "1.23kB"),
        (12_345_678, "12.3MB"),
        (123_456_789, "123MB"),
        (5 * 10**9, "5GB"),
    ],
)
def test_sizes_are_decimal_with_three_digits(size: int, text: str) -> None:
    assert human_size(size) == text


def test_memory_is_binary() -> None:
    assert human_size(1536 * 1024, binary=True) == "1.5MiB"


@pytest.mark.parametrize(
    ("text", "size"),
    [("512", 512), ("64k", 65536), ("1.5M", 1572864), ("10GB", 10 * 2**30), ("1GiB", 2**30), ("7b", 7)],
)
def test_sizes_in_flags_are_binary(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1q", "1 2", "8388608t", "9" * 400])
def test_a_malformed_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "ns"),
    [("0", 0), ("30s", 30 * 10**9), ("1h30m", 5400 * 10**9), ("1.5ms", 1_500_000), ("-2us", -2000), (".5s", 5 * 10**8)],
)
def test_durations_are_gos(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "1h 2m", "2562048h", "9" * 400 + "h"])
def test_a_malformed_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (120, "2 minutes"), (3600, "About an hour"),
     (7200, "2 hours"), (3 * 86400, "3 days"), (21 * 86400, "3 weeks"), (90 * 86400, "3 months"), (800 * 86400, "2 years")],
)  # fmt: skip
def test_spans_are_worded_as_docker_ps_does(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123456789Z", "1970-01-01T00:00:00.5Z"])
def test_instants_survive_reading_and_writing(text: str) -> None:
    assert format_instant(parse_instant(text)) == text


def test_offsets_are_understood_and_nonsense_refused() -> None:
    assert parse_instant("2026-01-31T13:00:00+01:00") == parse_instant("2026-01-31T12:00:00Z")
    for text in ("", "yesterday", "2026-13-01T00:00:00Z", "2026-01-31"):
        with pytest.raises(InvalidInput):
            parse_instant(text)


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1.5µs"),
        (20 * 10**6, "20ms"),
        (10**9, "1s"),
        (1_500_000_000, "1.5s"),
        (90 * 10**9, "1m30s"),
        (60 * 10**9, "1m0s"),
        (3600 * 10**9, "1h0m0s"),
        (3_661_000_000_001, "1h1m1.000000001s"),
    ],
)
def test_a_duration_is_printed_as_go_prints_it(nanoseconds: int, shown: str) -> None:
    assert go_duration(nanoseconds) == shown
    assert parse_duration(shown) == pytest.approx(nanoseconds)


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("7", 7), ("99", 99), ("100", None), ("007", 7), ("0" * 9000 + "7", 7), ("1" * 9000, None), ("", None),
     ("-1", None), ("+1", None), ("1_0", None), (" 1", None), ("\u0661", None), ("1.0", None)],
)  # fmt: skip
def test_a_whole_number_is_decimal_digits_up_to_the_most(text: str, number: int | None) -> None:
    assert whole_number(text, 99) == number
