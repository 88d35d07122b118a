"""Seeded `orders` tables of any size, for tests, examples and benchmarks.

    id          int64                rising by one from `first_id`; the key
    user_id     int64                1..USERS; low numbers order more often
    created_at  timestamp[us, UTC]   strictly rising with id: one order every SECONDS_APART seconds, jittered
    status      string               one of STATUSES
    total       float64              currency units, whole cents
    quantity    int32                1..9
    country     string               one of COUNTRIES, two letters
    note        string               null in 5 of 16 rows, else 2 to 70 bytes of UTF-8, some beyond ASCII

A row is a function of the seed and its id. Two words of the raw PCG64 stream belong to each id, and the
generator is moved to the first id that is asked for; so tables of any length, batch size and first id agree
where they overlap. Only the raw stream, which numpy promises to keep, and integer arithmetic are used: the
same call gives the same table on every machine.

A row takes about 75 bytes of Arrow. There is no Python loop over rows: five million take one to two seconds
as a table, and half a second as a stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

BATCH_ROWS = 65_536
USERS = 200_000
SECONDS_APART = 10
STATUSES = ("new", "paid", "packed", "shipped", "delivered", "returned", "cancelled")
COUNTRIES = ("DE", "US", "FR", "GB", "PL", "ES", "IT", "NL", "JP", "BR", "IS")

SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "user_id": pa.int64(),
        "created_at": pa.timestamp("us", tz="UTC"),
        "status": pa.string(),
        "total": pa.float64(),
        "quantity": pa.int32(),
        "country": pa.string(),
        "note": pa.string(),
    }
)

_Words = npt.NDArray[np.uint64]

_START_US = 1_704_067_200_000_000  # 2024-01-01 00:00 UTC
_US_APART = SECONDS_APART * 1_000_000

# Six bits choose among 64 places, each of which holds an index (or a quantity): how often one comes up is how
# many places it has.
_STATUS_PLACES = np.repeat(np.arange(len(STATUSES)), (3, 8, 4, 9, 34, 3, 3))
_COUNTRY_PLACES = np.repeat(np.arange(len(COUNTRIES)), (15, 13, 8, 7, 5, 4, 4, 3, 2, 2, 1))
_QUANTITY_PLACES = np.repeat(np.arange(1, 10, dtype=np.int32), (32, 14, 7, 4, 2, 2, 1, 1, 1))

_WISHES = (
    "ok", "gift", "gift wrap, please", "fragile", "ring twice", "leave at the door", "call before delivery",
    "no invoice in the box", "second attempt", "urgent", "hold until Friday", "collect from the shop",
    "for the office, third floor, ask for Ana at the desk", "same as last time", "replaces a lost parcel",
    "without plastic", "für Zoë", "Grüße aus Köln", "voilà, merci", "niño: talla 4", "na święta",
    "ð, þ og æ", "お急ぎください", "🎁", "🎂 for Saturday", "до пятницы", "deliver in the evening",
    "half now, half later", "check the size", "blue, not green", "birthday", "neighbour has the key",
)  # fmt: skip
_DETAILS = 2_048


def orders(rows: int, *, seed: int = 0, first_id: int = 1) -> pa.Table:
    """Orders `first_id` to `first_id + rows - 1`, sorted by id, in chunks of BATCH_ROWS rows.

    Columns and units are those at the top of this module. Takes about 0.3 s and 75 MB for a million rows.
    Raises ValueError if `rows` or `seed` is negative or `first_id` is below 1.
    """
    return order_batches(rows, seed=seed, first_id=first_id).read_all()


def order_batches(
    rows: int, *, batch_rows: int = BATCH_ROWS, seed: int = 0, first_id: int = 1
) -> pa.RecordBatchReader:
    """The rows of `orders` as a stream of batches of `batch_rows` rows; the last one may be shorter.

    Each batch is made when it is asked for, so that memory is bounded by one batch however many rows there
    are. Raises ValueError as `orders` does, and if `batch_rows` is below 1.
    """
    for name, value, least in (
        ("rows", rows, 0),
        ("batch_rows", batch_rows, 1),
        ("seed", seed, 0),
        ("first_id", first_id, 1),
    ):
        if value < least:
            raise ValueError(f"{name} is {value}, expected at least {least}")
    return pa.RecordBatchReader.from_batches(SCHEMA, _batches(rows, batch_rows, seed, first_id))


def changed(table: pa.Table, count: int, *, seed: int) -> pa.Table:
    """A work load of updates: `count` rows of an orders table at random, with another status and total.

    No row comes twice; all keep their order and their other columns; each total rises by 0.01 to 50.00.
    Takes about 25 ms for a thousand of five million rows. Raises ValueError if the table has fewer rows than
    `count`.
    """
    if not 0 <= count <= table.num_rows:
        raise ValueError(f"count is {count}, expected 0 to {table.num_rows}, the rows of the table")
    stream = np.random.PCG64(seed)
    rows = table.take(pa.array(_positions(stream, table.num_rows, count)))
    words = stream.random_raw(count)
    statuses = pa.array(STATUSES)
    # An index at least 1 and at most len - 1 further on, round the corner: never the same status.
    before = pc.index_in(rows["status"], statuses).to_numpy()
    status = statuses.take(pa.array((before + 1 + _bits(words, 0, 16) % (len(STATUSES) - 1)) % len(STATUSES)))
    cents = np.rint(rows["total"].to_numpy() * 100) + 1 + _bits(words, 16, 16) % 5_000
    for name, values in (("status", status), ("total", pa.array(cents / 100))):
        place = table.schema.get_field_index(name)
        rows = rows.set_column(place, table.schema.field(place), values)
    return rows


def _batches(rows: int, batch_rows: int, seed: int, first_id: int) -> Iterator[pa.RecordBatch]:
    """The batches, in order; the stream stays where the last one left it."""
    stream = np.random.PCG64(seed)
    stream.advance(2 * (first_id - 1))
    end_id = first_id + rows
    for first in range(first_id, end_id, batch_rows):
        yield _batch(first, stream.random_raw(2 * min(batch_rows, end_id - first)))


def _batch(first_id: int, words: _Words) -> pa.RecordBatch:
    """The orders from `first_id` on, made of two random words each.

    first word   bits 0-15, 16-31 user    32-47 note     48-51 is it null   52-57 status   58-63 country
    second word  bits 0-15, 16-31 price   32-55 jitter   56-61 quantity
    """
    one, two = words[0::2], words[1::2]
    ids = np.arange(first_id, first_id + len(one), dtype=np.int64)
    # The product of two even draws leans towards zero: few users order much, most orders are small.
    user_id = 1 + (_bits(one, 0, 16) * _bits(one, 16, 16) * USERS >> 32)
    price_cents = 99 + (_bits(two, 0, 16) * _bits(two, 16, 16) * 40_000 >> 32)
    quantity = _QUANTITY_PLACES[_bits(two, 56, 6)]
    created_us = _START_US + (ids - 1) * _US_APART + (_bits(two, 32, 24) * _US_APART >> 24)
    note = pa.array(_bits(one, 32, 16), mask=_bits(one, 48, 4) < 5)
    columns = [
        pa.array(ids),
        pa.array(user_id),
        pa.array(created_us).cast(SCHEMA.field("created_at").type),
        pa.array(STATUSES).take(pa.array(_STATUS_PLACES[_bits(one, 52, 6)])),
        pa.array(price_cents * quantity / 100),
        pa.array(quantity),
        pa.array(COUNTRIES).take(pa.array(_COUNTRY_PLACES[_bits(one, 58, 6)])),
        _notes().take(note),
    ]
    return pa.record_batch(columns, schema=SCHEMA)


def _bits(words: _Words, first: int, count: int) -> npt.NDArray[np.int64]:
    """`count` bits of each word from bit `first` on, bit 0 being the lowest."""
    return (words >> np.uint64(first) & np.uint64((1 << count) - 1)).astype(np.int64)


@cache
def _notes() -> pa.StringArray:
    """The 65,536 notes there are: each wish alone, and with a reference, which may carry a shelf."""
    wish = pa.array(np.repeat(np.arange(len(_WISHES)), _DETAILS))
    detail = pa.array(np.tile(np.arange(_DETAILS), len(_WISHES)))
    references = (f", ref {number * 7_919 % 100_000:05}" for number in range(_DETAILS))
    details = [
        ("", reference, reference, f"{reference}/{number % 37}")[number % 4]
        for number, reference in enumerate(references)
    ]
    return pc.binary_join_element_wise(pa.array(_WISHES).take(wish), pa.array(details).take(detail), "")


def _positions(stream: np.random.PCG64, rows: int, count: int) -> npt.NDArray[np.int64]:
    """`count` different positions below `rows`, rising; the work follows `count`, not `rows`."""
    if 4 * count > rows:
        chosen = np.argsort(stream.random_raw(rows), kind="stable")[:count]
    else:
        draws = 2 * count + 16
        while True:
            drawn = stream.random_raw(draws) % np.uint64(max(rows, 1))
            _, first_seen = np.unique(drawn, return_index=True)
            if len(first_seen) >= count:
                break
            draws *= 2  # rare: that many draws fell on too few rows
        chosen = drawn[np.sort(first_seen)[:count]]
    return np.sort(chosen).astype(np.int64)
