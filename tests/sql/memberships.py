"""Compares the memberships of a replay with those that DuckDB computes from the raw data.

    cargo build --release -p muster -p muster-tests
    python3 -m venv target/python && target/python/bin/pip install duckdb
    target/python/bin/python tests/sql/memberships.py cdnow
    target/python/bin/python tests/sql/memberships.py clickstream --replay "target/release/muster-naive"

The queries are written by hand from the words of each audience and share nothing with Muster, nor
does the reading of the data. Exits with 1 when one set of members differs.
"""

import argparse
import gzip
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

TESTS = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("MUSTER_DATA", TESTS.parent.parent / "shared" / "data"))
RELEASE = TESTS.parent / "target" / "release"

INSTANTS = {
    "cdnow": [
        "1997-03-31T00:00:00Z",
        "1997-07-01T00:00:00Z",
        "1997-10-15T12:00:00Z",
        "1998-01-01T00:00:00Z",
        "1998-06-30T00:00:00Z",
    ],
    "clickstream": [
        "2024-02-10T08:30:00Z",
        "2024-03-15T00:00:00Z",
        "2024-04-02T17:45:10Z",
        "2024-04-20T00:00:00Z",
        "2024-06-15T00:00:00Z",
    ],
}


def load_cdnow(db):
    with gzip.open(DATA / "cdnow.txt.gz", "rt") as lines:
        rows = [
            (user, f"{date[:4]}-{date[4:6]}-{date[6:]}", seq, int(quantity), amount)
            for seq, (user, date, quantity, amount) in enumerate(line.split() for line in lines)
        ]
    db.execute(
        "CREATE TABLE raw (usr VARCHAR, t TIMESTAMP, seq BIGINT, quantity BIGINT, amount DECIMAL(12, 2))"
    )
    insert(db, rows)
    db.execute("CREATE VIEW seen AS SELECT * FROM raw WHERE t <= instant()")


def load_clickstream(db):
    with gzip.open(DATA / "clickstream.csv.gz", "rt") as lines:
        next(lines)
        rows = [(*line.rstrip("\n").split(","), seq) for seq, line in enumerate(lines)]
    db.execute(
        "CREATE TABLE raw (usr VARCHAR, session VARCHAR, name VARCHAR, t TIMESTAMP, platform VARCHAR,"
        " channel VARCHAR, event_cohort VARCHAR, event_lifecycle VARCHAR, seq BIGINT)"
    )
    insert(db, rows)
    db.execute(
        "CREATE VIEW seen AS SELECT raw.*,"
        " arg_max(event_cohort, (t, seq)) OVER (PARTITION BY usr) AS cohort,"
        " arg_max(event_lifecycle, (t, seq)) OVER (PARTITION BY usr) AS lifecycle"
        " FROM raw WHERE t <= instant()"
    )


def insert(db, rows):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        for row in rows:
            file.write(json.dumps({f"c{i}": value for i, value in enumerate(row)}) + "\n")
        file.flush()
        db.execute(f"INSERT INTO raw SELECT * FROM read_json('{file.name}', format='newline_delimited')")


def queries(dataset):
    text = (TESTS / "sql" / f"{dataset}.sql").read_text()
    parts = re.split(r"^-- audience: (\S+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def replayed(command, dataset, events, instant, folder):
    path = Path(folder) / "memberships.ndjson"
    rules = TESTS / "data" / f"{dataset}.yaml"
    arguments = ["--rules", rules, "--events", events, "--until", instant, "--memberships", path]
    subprocess.run([*shlex.split(command), *map(str, arguments)], check=True)
    members = {}
    with open(path) as lines:
        for line in map(json.loads, lines):
            members.setdefault(line["audience"], set()).add(line["user"])
    return members


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=INSTANTS)
    parser.add_argument("--replay", default=f"{RELEASE}/muster replay", help="the command to compare with")
    arguments = parser.parse_args()
    dataset = arguments.dataset
    asked = queries(dataset)
    differences = compared = nonempty = 0
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.ndjson"
        with open(events, "w") as out:
            subprocess.run([RELEASE / "muster-dataset", dataset], stdout=out, check=True)
        for instant in INSTANTS[dataset]:
            db = duckdb.connect()
            db.execute(f"CREATE MACRO instant() AS TIMESTAMP '{instant.rstrip('Z').replace('T', ' ')}'")
            {"cdnow": load_cdnow, "clickstream": load_clickstream}[dataset](db)
            found = replayed(arguments.replay, dataset, events, instant, folder)
            if unknown := found.keys() - asked.keys():
                sys.exit(f"no query for {sorted(unknown)}: add it to sql/{dataset}.sql")
            for audience, query in asked.items():
                expected = {row[0] for row in db.execute(query).fetchall()}
                members = found.get(audience, set())
                compared, nonempty = compared + 1, nonempty + bool(expected)
                if expected != members:
                    differences += 1
                    missing, extra = sorted(expected - members), sorted(members - expected)
                    print(
                        f"{instant} {audience}: {len(expected)} by SQL, {len(members)} replayed;"
                        f" missing {missing[:5]}, extra {extra[:5]}"
                    )
    print(f"{dataset}: {compared} sets of members compared, {nonempty} not empty, {differences} differ")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
