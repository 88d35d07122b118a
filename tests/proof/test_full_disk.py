"""A disk that is really full: everything acknowledged stays, and once there is room again work goes on.

A child process makes itself a tmpfs of a few MB in a user namespace and fills it by commits, bulk loads and
checkpoints. Where that is not permitted, the size of files is limited instead, so that the log cannot grow.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

COMMON = """
import os, random, resource, signal, sys
from pathlib import Path

import pyarrow as pa

import absdb

directory, seed = Path(sys.argv[1]), int(sys.argv[2])
dice = random.Random(seed)
SETTINGS = dict(wal_segment_size=16384, page_rows=64, run_limit=3, bulk_threshold=8192, author="proof",
                checkpoint_interval="1 h")
known = {}          # id -> number, of what was acknowledged
unsure = []         # what a poisoned engine could not tell: {id: number} each, all or nothing
refused = poisoned = 0

def attempt(shop, ids, number):
    global refused, poisoned
    rows = [{"id": each, "number": number, "text": f"{each}/{number}." * 20} for each in ids]
    try:
        shop["main"]["t"].upsert(pa.Table.from_pylist(rows) if len(rows) > 50 else rows)
    except absdb.EnginePoisonedError:
        unsure.append(dict.fromkeys(ids, number))
        poisoned += 1
        raise
    except absdb.StorageError as error:
        assert error.errno in EXPECTED, error
        assert error.hint, error
        refused += 1
        return False
    known.update(dict.fromkeys(ids, number))
    return True

def keep(shop):
    global refused
    try:
        dice.choice([shop.checkpoint, shop.maintain])()
    except absdb.EnginePoisonedError:
        raise
    except absdb.StorageError as error:
        assert error.errno in EXPECTED, error
        refused += 1

def compare(shop):
    rows = shop["main"]["t"].to_arrow().to_pylist()
    for row in rows:
        assert row["text"] == f"{row['id']}/{row['number']}." * 20
    found = {row["id"]: row["number"] for row in rows}
    for change in unsure:
        if change.items() <= found.items():
            known.update(change)
    unsure.clear()
    assert found == known, sorted(set(found.items()) ^ set(known.items()))[:10]

def let_go(shop):
    # Closing takes a checkpoint, for which there may be no room; the lock is free all the same.
    try:
        shop.close()
    except absdb.StorageError as error:
        assert error.errno in EXPECTED, error
    except absdb.EnginePoisonedError:
        pass

def fill(rounds):
    # Work until the disk has refused often; open again whenever nothing is accepted any more.
    number, enough = 1_000 * len(known), refused + 12
    shop = absdb.connect(directory / "shop", **SETTINGS)
    for turn in range(rounds):
        number += 1
        try:
            first = number * 1_000
            roll = dice.random()
            if roll < 0.5:
                attempt(shop, range(first, first + dice.randrange(1, 20)), number)
            elif roll < 0.7 and known:
                attempt(shop, dice.sample(sorted(known), min(10, len(known))), number)
            elif roll < 0.9:
                attempt(shop, range(first, first + dice.randrange(100, 400)), number)
            else:
                keep(shop)
            if turn % 10 == 0:
                compare(shop)
        except absdb.EnginePoisonedError:
            let_go(shop)
            shop = absdb.connect(directory / "shop", **SETTINGS)
            compare(shop)
        if refused >= enough:
            break
    assert refused >= enough, "the disk was never full"
    compare(shop)
    # On the full disk: it can be closed, opened for reading, and opened again.
    let_go(shop)
    try:
        with absdb.connect(directory / "shop", read_only=True) as reader:
            compare(reader)
    except absdb.StorageError as error:  # a reader has to leave a note of what it reads
        assert error.errno in EXPECTED, error
    shop = absdb.connect(directory / "shop", **SETTINGS)
    compare(shop)
    return shop

def go_on(shop):
    # There is room again: the same instance takes commits, or says that it has to be opened again.
    for number in range(10**9, 10**9 + 20):
        try:
            assert attempt(shop, range(number, number + dice.choice([1, 300])), number)
        except absdb.EnginePoisonedError:
            let_go(shop)
            shop = absdb.connect(directory / "shop", **SETTINGS)
            compare(shop)
    shop.checkpoint()
    shop.maintain()
    compare(shop)
    shop.close()
    with absdb.connect(directory / "shop", **SETTINGS) as shop:
        compare(shop)
        findings = shop.check()
        assert (findings["severity"] != "error").all(), findings.to_dict("records")
    left = [str(path) for path in (directory / "shop").rglob("*.tmp")]
    assert not left, left
    print(f"rows {len(known)}, refused {refused}, poisoned {poisoned}")

def begin():
    with absdb.connect(directory / "shop", **SETTINGS) as shop:
        shop["main"].create_table("t", {"id": "int64", "number": "int64", "text": "string"}, key="id")
"""

TMPFS = """
import errno, subprocess
EXPECTED = {errno.ENOSPC}
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(directory)], check=True)
begin()
# First beside a big file that goes, then until nothing fits at all and the disk grows.
filler = directory / "filler"
filler.write_bytes(bytes(1_500_000))
shop = fill(5_000)
filler.unlink()
for _ in range(3):
    attempt(shop, range(5), 5)
let_go(shop)
shop = fill(5_000)
subprocess.run(["mount", "-o", "remount,size=64m", str(directory)], check=True)
go_on(shop)
"""

LIMIT = """
import errno
EXPECTED = {errno.EFBIG}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
begin()
resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
shop = fill(5_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
go_on(shop)
"""

CREATION = """
import errno, gc, subprocess
EXPECTED = {errno.ENOSPC}
# An instance that is begun on a disk with room for a few of its files only, one more each time.
for size in range(4, 120, 4):
    place = directory / str(size)
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(place)], check=True)
    for _ in range(2):
        try:
            with absdb.connect(place / "shop", **SETTINGS) as shop:
                shop["main"].create_table("t", {"id": "int64"}, key="id")
        except absdb.StorageError as error:
            assert error.errno in EXPECTED, error
        except absdb.EnginePoisonedError:
            pass
        except absdb.AlreadyExistsError:
            pass
    subprocess.run(["mount", "-o", "remount,size=4m", str(place)], check=True)
    with absdb.connect(place / "shop", **SETTINGS) as shop:
        shop["main"].create_table("t", {"id": "int64"}, key="id", if_exists="skip").insert({"id": 1})
        assert (shop.check()["severity"] != "error").all()
    gc.collect()
    held = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists()]
    held += Path("/proc/self/maps").read_text().splitlines()
    held = [line for line in held if str(place) in line]
    assert not held, held
    subprocess.run(["umount", str(place)], check=True)
print("every size")
"""


@cache
def namespaces() -> bool:
    """Whether this process may mount a small disk of its own."""
    if shutil.which("unshare") is None:
        return False
    mount = ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(mount, capture_output=True).returncode == 0


def run(directory: Path, program: str, seed: int, *, own_disk: bool) -> str:
    """The program in a process of its own, on a disk of its own where it makes one; what it says at its end."""
    print(f"seed {seed}")
    command = [sys.executable, "-c", COMMON + textwrap.dedent(program), str(directory), str(seed)]
    result = subprocess.run(
        [*(["unshare", "-Urm"] if own_disk else []), *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, f"seed {seed}, exit {result.returncode}\n{result.stderr}"
    print(result.stdout.strip())
    return result.stdout


SEEDS = [int(os.environ["ABSDB_SEED"])] if os.environ.get("ABSDB_SEED") else [1, 2]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_full_disk_costs_nothing_acknowledged(tmp_path, seed):
    own_disk = namespaces()
    said = run(tmp_path, TMPFS if own_disk else LIMIT, seed, own_disk=own_disk)
    assert "refused" in said


def test_files_that_may_not_grow_cost_nothing_acknowledged(tmp_path):
    assert "refused" in run(tmp_path, LIMIT, SEEDS[0], own_disk=False)


def test_an_instance_can_be_begun_again_where_the_disk_was_full(tmp_path):
    if namespaces():
        assert "every size" in run(tmp_path, CREATION, 0, own_disk=True)
    else:  # the same, file by file
        limits = LIMIT.replace("begin()\n", "", 1).replace("shop = fill(5_000)\n", BEGUN_WITHIN_LIMITS)
        assert "refused" in run(tmp_path, limits, 0, own_disk=False)


BEGUN_WITHIN_LIMITS = """
try:
    begin()
except absdb.StorageError as error:
    assert error.errno in EXPECTED, error
    refused += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
begin()
shop = absdb.connect(directory / "shop", **SETTINGS)
"""


@pytest.mark.deep
def test_full_disks_cost_nothing_acknowledged(tmp_path):
    own_disk = namespaces()
    for seed in range(100, 130):
        place = tmp_path / str(seed)
        place.mkdir()
        run(place, TMPFS if own_disk else LIMIT, seed, own_disk=own_disk)
