"""The orders table: what its columns hold, and that a row depends on the seed and its id alone."""

from __future__ import annotations

import datetime as dt
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.testing import orders as module
from absdb.testing.orders import COUNTRIES, SCHEMA, STATUSES, USERS, changed, order_batches, orders


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """A hundred thousand orders: two chunks, the second one short."""
    return orders(100_000, seed=7)


def test_rows_are_the_same_on_every_machine_and_release():
    """Written down once: if they change, so does every notebook and measurement built on orders."""
    assert orders(4).to_pylist() == [
        {
            "id": 1,
            "user_id": 86_638,
            "created_at": dt.datetime(2024, 1, 1, 0, 0, 0, 653_986, tzinfo=dt.UTC),
            "status": "delivered",
            "total": 172.79,
            "quantity": 1,
            "country": "GB",
            "note": "blue, not green, ref 21025/13",
        },
        {
            "id": 2,
            "user_id": 55_965,
            "created_at": dt.datetime(2024, 1, 1, 0, 0, 12, 310_746, tzinfo=dt.UTC),
            "status": "delivered",
            "total": 29.21,
            "quantity": 1,
            "country": "DE",
            "note": "no invoice in the box, ref 74631",
        },
        {
            "id": 3,
            "user_id": 11_123,
            "created_at": dt.datetime(2024, 1, 1, 0, 0, 26, 654_277, tzinfo=dt.UTC),
            "status": "paid",
            "total": 59.42,
            "quantity": 2,
            "country": "IT",
            "note": None,
        },
        {
            "id": 4,
            "user_id": 70_230,
            "created_at": dt.datetime(2024, 1, 1, 0, 0, 37, 511_195, tzinfo=dt.UTC),
            "status": "delivered",
            "total": 1_174.9,
            "quantity": 5,
            "country": "GB",
            "note": "without plastic, ref 76639",
        },
    ]


def test_columns_hold_what_the_module_says(table):
    table.validate(full=True)
    assert table.schema == SCHEMA
    assert table["id"].to_pylist() == list(range(1, 100_001))
    assert all(table[name].null_count == 0 for name in SCHEMA.names if name != "note")

    user_ids = pc.min_max(table["user_id"]).as_py()
    assert user_ids["min"] >= 1
    assert user_ids["max"] <= USERS
    assert pc.approximate_median(table["user_id"]).as_py() < USERS / 4

    created = table["created_at"].to_numpy()
    assert (created[1:] > created[:-1]).all()

    cents = table["total"].to_numpy() * 100
    assert (abs(cents - cents.round()) < 1e-6).all()
    assert cents.min() > 0
    assert pc.unique(table["quantity"]).sort().to_pylist() == list(range(1, 10))
    assert set(pc.unique(table["status"]).to_pylist()) == set(STATUSES)
    assert set(pc.unique(table["country"]).to_pylist()) == set(COUNTRIES)


def test_notes_vary_in_length_and_script_and_some_are_null(table):
    notes = table["note"]
    assert 0.25 < notes.null_count / len(notes) < 0.35
    lengths = pc.min_max(pc.binary_length(notes)).as_py()
    assert lengths["min"] == 2
    assert 50 < lengths["max"] <= 70
    beyond_ascii = pc.sum(pc.invert(pc.string_is_ascii(notes))).as_py()
    assert 0.1 < beyond_ascii / len(notes) < 0.5
    assert len(pc.unique(notes)) > 10_000


def test_row_takes_about_75_bytes(table):
    assert 72 < table.nbytes / table.num_rows < 78


def test_another_seed_gives_other_rows(table):
    other = orders(100_000, seed=8)
    same = pc.sum(pc.equal(other["total"], table["total"])).as_py()
    assert same < 1_000


@given(
    first_id=st.integers(1, 200_000),
    rows=st.integers(0, 300),
    batch_rows=st.integers(1, 400),
    skip=st.integers(0, 300),
)
def test_row_depends_on_seed_and_id_alone(first_id, rows, batch_rows, skip):
    whole = orders(rows, seed=5, first_id=first_id)
    assert whole["id"].to_pylist() == list(range(first_id, first_id + rows))
    batched = order_batches(rows, batch_rows=batch_rows, seed=5, first_id=first_id).read_all()
    assert batched.equals(whole)
    skip = min(skip, rows)
    assert orders(rows - skip, seed=5, first_id=first_id + skip).equals(whole.slice(skip))


def test_batches_are_of_the_asked_size_and_the_last_is_the_rest():
    assert [batch.num_rows for batch in order_batches(2_500, batch_rows=1_000)] == [1_000, 1_000, 500]


def test_batches_are_made_when_asked_for():
    """A stream of a thousand million rows costs no more than the batch that is read."""
    orders(1)  # fills the cache of notes
    pool_before = pa.total_allocated_bytes()
    tracemalloc.start()
    reader = order_batches(1_000_000_000, batch_rows=10_000)
    batch = reader.read_next_batch()
    numpy_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert batch.num_rows == 10_000
    assert pa.total_allocated_bytes() - pool_before < 2_000_000
    assert numpy_peak < 4_000_000


@pytest.mark.parametrize(
    "arguments",
    [{"rows": -1}, {"rows": 1, "batch_rows": 0}, {"rows": 1, "seed": -1}, {"rows": 1, "first_id": 0}],
)
def test_arguments_out_of_range_are_refused_at_once(arguments):
    with pytest.raises(ValueError, match=r"is (-1|0), expected at least"):
        order_batches(**arguments)


@pytest.mark.parametrize("count", [0, 1, 1_200, 30_000, 100_000])
def test_changed_rows_differ_in_status_and_total_only(table, count):
    rows = changed(table, count, seed=1)
    assert rows.schema == table.schema
    assert rows.num_rows == count
    ids = rows["id"].to_numpy()
    assert (ids[1:] > ids[:-1]).all()

    before = table.take(pa.array(ids - 1))
    for name in SCHEMA.names:
        if name not in ("status", "total"):
            assert rows[name].equals(before[name]), name
    assert not pc.any(pc.equal(rows["status"], before["status"])).as_py()
    rise = (rows["total"].to_numpy() - before["total"].to_numpy()).round(2)
    assert ((rise >= 0.01) & (rise <= 50.0)).all()
    if count:
        assert set(rows["status"].to_pylist()) <= set(STATUSES)


def test_changed_rows_are_spread_over_the_table_and_follow_the_seed(table):
    rows = changed(table, 1_000, seed=1)
    assert rows.equals(changed(table, 1_000, seed=1))
    assert not rows["id"].equals(changed(table, 1_000, seed=2)["id"])
    thirds = [int((rows["id"].to_numpy() // 33_334 == third).sum()) for third in range(3)]
    assert min(thirds) > 250


@given(count=st.integers(0, 40), seed=st.integers(0, 1_000), rows=st.integers(0, 40))
def test_changed_gives_exactly_as_many_rows_as_asked_for(count, seed, rows):
    small = orders(rows)
    if count > rows:
        with pytest.raises(ValueError, match=f"expected 0 to {rows}, the rows of the table"):
            changed(small, count, seed=seed)
    else:
        assert len(set(changed(small, count, seed=seed)["id"].to_pylist())) == count


def test_draws_that_fall_on_few_rows_are_repeated(monkeypatch):
    """The rare second round of drawing, brought about by a stream that first gives one number only."""

    class Stuck:
        def __init__(self):
            self.rounds = 0

        def random_raw(self, size):
            self.rounds += 1
            return np.arange(size, dtype=np.uint64) * np.uint64(self.rounds > 1)

    stream = Stuck()
    assert module._positions(stream, 100, 3).tolist() == [0, 1, 2]
    assert stream.rounds == 2
