# ruff: noqa: N802 (the names of Spark)
"""The part of Spark that `SparkTable` uses, in this process, with pickled functions and data."""

from __future__ import annotations

import pickle
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from itertools import chain, islice

import numpy as np

from nextclick.data.engines import read_parts
from nextclick.data.sessionize import gather_sessions
from nextclick.data.spark.spark_table import SparkTable


class Broadcast:
    def __init__(self, value):
        self.value = pickle.loads(pickle.dumps(value))


class Rows:
    """An RDD: lists of rows, which a function may read more than once."""

    def __init__(self, context, partitions):
        self.context = context
        self.partitions = [pickle.loads(pickle.dumps(rows)) for rows in partitions]

    def mapPartitions(self, work):
        return Rows(self.context, [list(work(iter(rows))) for rows in self.partitions])

    def map(self, work):
        return self.mapPartitions(lambda rows: map(work, rows))

    def flatMap(self, work):
        return self.mapPartitions(lambda rows: chain.from_iterable(map(work, rows)))

    def zipWithIndex(self):
        numbers = iter(range(sum(map(len, self.partitions))))
        return Rows(self.context, [[(row, next(numbers)) for row in p] for p in self.partitions])

    def partitionBy(self, n, function):
        partitions = [[] for _ in range(n)]
        for pair in reversed(self.collect()):  # the order of a shuffle is not that of the input
            partitions[function(pair[0]) % n].append(pair)
        return Rows(self.context, partitions)

    def collect(self):
        return list(chain.from_iterable(self.partitions))

    def treeReduce(self, function):
        return reduce(function, self.collect())


class Context:
    def broadcast(self, value):
        return Broadcast(value)

    def parallelize(self, rows, n):
        rows = iter(rows)
        return Rows(self, [list(islice(rows, 2)) for _ in range(n)] + [list(rows)])

    def union(self, parts):
        return Rows(self, [rows for part in parts for rows in part.partitions])


class FakePart:
    """A part whose clicks are blocks of `n` groups."""

    def __init__(self, part, by_user, n=50):
        self.part, self.by_user, self.n = part, by_user, n

    @property
    def n_clicks(self):
        return self.part.n_clicks

    @property
    def n_other_user(self):
        return self.part.n_other_user

    def id_summary(self):
        return self.part.id_summary()

    def sessions(self, grouping):
        table = gather_sessions(self.part)
        if self.by_user:
            table.users = np.arange(len(table), dtype=np.int32)
        blocks = [
            (part_of(table, start, min(start + self.n, len(table))), 0)
            for start in range(0, len(table), self.n)
        ]
        context = Context()
        return SparkTable.of(context, Rows(context, [blocks[:1], [], blocks[1:]]), grouping)


def part_of(table, start, stop):
    """The groups `start` to `stop` - 1 that have clicks, as a block."""
    first, last = table.offsets[start], table.offsets[stop]
    clicks = slice(first, last)
    groups = start + np.flatnonzero(np.diff(table.offsets[start : stop + 1]))
    return replace(
        table,
        items=table.items[clicks],
        times=table.times[clicks],
        offsets=np.append(table.offsets[groups], last) - first,
        users=table.users[groups],
        keep=np.empty(0, bool),
        out_of_order=table.out_of_order if start == 0 else 0,
        click_columns=tuple(codes[clicks] for codes in table.click_columns),
    )


@contextmanager
def fake_reader(engine, master, *, by_workers=False):
    """In place of `engines.reader_of`: reads here, and leaves the clicks to the fake workers."""

    def read(log, *arguments):
        read_parts(log, *arguments)
        log.parts[:] = [FakePart(part, log.by_user) for part in log.parts]

    yield read
