"""What the preparation needs to know of the clicks of a log, wherever they are.

Sessions have numbers, and what there is one value of per session is an array. The clicks themselves
are counted, dropped and written by the table: in memory (`SessionTable`), or by the workers of
Spark (`spark.spark_table`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from nextclick.core.remote_upload import OutputFolder
    from nextclick.core.types import BoolArray, Int32Array, Int64Array
    from nextclick.data.part_writer import PartArrays, WrittenPart


class ClickTable(Protocol):
    """S sessions with E clicks, of which filters drop some.

    Attributes:
        offsets: (S + 1,) int64; before the filters, session s has offsets[s + 1] - offsets[s]
            clicks.
        users: (S,) int32 user codes, -1 if unknown; None without users.
        columns: for each kept column (S,) int32 codes of the values, -1 if a session has none.
        out_of_order: number of clicks that are earlier than the previous click of their session
            in the log.
    """

    @property
    def offsets(self) -> Int64Array: ...  # noqa: D102
    @property
    def users(self) -> Int32Array | None: ...  # noqa: D102
    @property
    def columns(self) -> tuple[Int32Array, ...]: ...  # noqa: D102
    @property
    def out_of_order(self) -> int: ...  # noqa: D102

    def __len__(self) -> int:
        """The number of sessions."""
        ...

    def starts(self) -> Int64Array | None:
        """(S,) the time of the first click of each session; None if the log has no times."""
        ...

    def ends(self) -> Int64Array | None:
        """(S,) the time of the last click of each session; None if the log has no times."""
        ...

    def copy(self) -> Self:
        """The same clicks; what is dropped from the copy stays in this table."""
        ...

    def append(self, other: Self) -> Self:
        """The sessions of this table, then those of another one."""
        ...

    def remaining_lengths(self) -> Int64Array:
        """(S,) the number of remaining clicks of each session."""
        ...

    def item_counts(self, n_items: int, sessions: BoolArray | None = None) -> Int64Array:
        """(n_items,) the number of remaining clicks on each item, in all or in some sessions."""
        ...

    def drop_sessions(self, dropped: BoolArray) -> None:
        """Drop the sessions that are True in `dropped` (S,)."""
        ...

    def drop_items(self, dropped: BoolArray, sessions: BoolArray | None = None) -> None:
        """Drop the clicks on the items that are True in `dropped`, in all or in some sessions."""
        ...

    def drop_repeats(self, sessions: BoolArray | None = None) -> None:
        """Drop each click on the item of the previous remaining click of its session."""
        ...

    def shorten(self, session: int, n_clicks: int) -> None:
        """Drop all remaining clicks of a session but the first `n_clicks`."""
        ...

    def count_repeated_rows(self) -> int:
        """Count the clicks with the item and the time of the previous click of their session."""
        ...

    def sample_gaps(self, step: int) -> tuple[Int64Array, BoolArray]:
        """(G,) the gaps in every step-th session, and (G,) whether each is its last gap."""
        ...

    def count_repeated_sessions(self, n_train: int) -> tuple[int, int]:
        """Count the long sessions from number `n_train` on that an earlier session equals.

        Returns:
            The number of them whose items are those of an earlier session, and of all.
        """
        ...

    def write_part(
        self, part: PartArrays, name: str, output: OutputFolder, shard_clicks: int
    ) -> WrittenPart:
        """Write the remaining clicks of sessions as a part of a store, as one shard or several."""
        ...
