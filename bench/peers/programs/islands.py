"""DuckDB: the gaps-and-islands query over a file of days; arguments are that file and one for the outcome."""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import duckdb

QUERY = """
    WITH days AS (SELECT DISTINCT customer_id, CAST(date AS date) AS day FROM read_csv(?)),
    numbered AS (
        SELECT customer_id, day,
               day - CAST(row_number() OVER (PARTITION BY customer_id ORDER BY day) AS int) AS island
        FROM days
    )
    SELECT customer_id, CAST(min(day) AS text), CAST(max(day) AS text), count(*)
    FROM numbered GROUP BY customer_id, island ORDER BY customer_id, min(day)
"""


def main(days: str, outcome: str) -> None:
    begun = time.perf_counter()
    islands = duckdb.connect().execute(QUERY, [days]).fetchall()
    seconds = time.perf_counter() - begun
    Path(outcome).write_text(
        json.dumps({"seconds": seconds, "islands": islands, "version": version("duckdb")})
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
