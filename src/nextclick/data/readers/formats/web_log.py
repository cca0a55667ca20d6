"""Access logs of web servers in the combined log format of Apache and nginx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextclick.data.readers.columns import Columns
from nextclick.data.readers.formats.log_format import LogFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from nextclick.data.readers.log_file import LogFile
    from nextclick.data.readers.sources import LogSource

# address, identity, user, [time], "method URL version", status, size, and with the combined format
# "referrer" and "user agent"; a virtual host may precede the address
_LINE = (
    r"^(?:\S+:\d+ )?(?P<address>\S+) \S+ (?P<login>\S+) \[(?P<time>[^\]]+)\] "
    r'"(?P<method>[A-Z]+) (?P<url>\S+)[^"]*" (?P<status>\d{3}) \S+'
    r'(?: "[^"]*" "(?P<agent>(?:[^"\\]|\\.)*)")?'
)
_REQUEST_WITHOUT_URL = r'^\S+ \S+ \S+ \[[^\]]+\] "[^"]*" \d{3} '  # such as "-" 400
_BOT = (
    r"(?i)bot\b|bot[/;_-]|crawl|spider|slurp|archiver|facebookexternalhit|preview|monitor|uptime|"
    r"lighthouse|headless|curl/|wget/|python-|java/|go-http|okhttp|libwww|scrapy|httpclient"
)
_FILE = (
    r"(?i)\.(css|js|mjs|map|png|jpe?g|gif|svg|webp|avif|ico|woff2?|ttf|eot|mp4|webm|json|xml|txt)$"
)
_COLUMNS = ("visitor", "address", "login", "time", "url", "path", "agent", "request")


def _open_web_log(file: LogFile) -> LogSource:
    """Read one request per line; `request` is page, bot, file, error, method or no URL."""
    import polars as pl

    from nextclick.data.readers.containers import open_stream
    from nextclick.data.readers.line_blocks import read_blocks
    from nextclick.data.readers.sources import BAD, LINE, ROW, LogSource

    def read(columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
        for block in read_blocks(lambda: open_stream(file)):
            lines = pl.Series("line", [line.decode() for line in block.lines()], dtype=pl.String)
            number = pl.int_range(block.first_line, block.first_line + block.n_lines)
            reasons = pl.Series([block.bad.get(i) for i in range(block.n_lines)], dtype=pl.String)
            frame = _parse_lines(lines).with_columns(
                number.alias(LINE), (number - 1).alias(ROW), pl.coalesce(reasons, BAD).alias(BAD)
            )
            yield frame.select(ROW, LINE, BAD, *columns)

    return LogSource(file.label, dict.fromkeys(_COLUMNS, pl.String()), read)


def _parse_lines(lines: pl.Series) -> pl.DataFrame:
    """Return the columns of a log; a line that is no request has the reason in `BAD`."""
    import polars as pl

    from nextclick.data.readers.sources import BAD

    fields = lines.str.extract_groups(_LINE).struct.unnest().with_columns(lines)
    path = pl.col("url").str.extract(r"^(?:https?://[^/]+)?([^?#]*)")
    is_parsed = pl.col("address").is_not_null()
    without_url = ~is_parsed & pl.col("line").str.contains(_REQUEST_WITHOUT_URL)
    request = (
        pl.when(without_url)
        .then(pl.lit("no URL"))
        .when(pl.col("agent").fill_null("").str.contains(_BOT))
        .then(pl.lit("bot"))
        .when(pl.col("method") != "GET")
        .then(pl.lit("method"))
        .when(~(pl.col("status").str.starts_with("2") | (pl.col("status") == "304")))
        .then(pl.lit("error"))
        .when(path.str.contains(_FILE))
        .then(pl.lit("file"))
        .when(is_parsed)
        .then(pl.lit("page"))
    )
    is_bad = ~is_parsed & ~without_url & (pl.col("line").str.strip_chars() != "")
    return fields.with_columns(
        path.alias("path"),
        request.alias("request"),
        pl.concat_str("address", pl.col("agent").fill_null("-"), separator=" ").alias("visitor"),
        pl.when(is_bad).then(pl.lit("not a line of the combined log format")).alias(BAD),
    )


WEB_LOG = LogFormat(
    name="weblog",
    summary="access log of Apache or nginx; pages read by people, visitor is address and browser",
    suffixes=(".log", ".txt", ".gz"),
    columns=Columns(user="visitor", item="path", time="time", event="request"),
    events=("page",),
    open_file=_open_web_log,
)
