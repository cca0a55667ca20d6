"""List the versions of the site: `versions.json` for the selector, and `index.html`.

    python docs/site/versions.py docs/_build/html

Each folder with a built site is a version: `latest`, of the development tree, and one for each
release, such as `0.2`. `index.html` leads to the newest release, or to `latest` without one.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

START = "docs/index.html"  # of the site of a version
LATEST = "latest"


def built_versions(site: Path) -> list[str]:
    """The versions in a folder: `latest`, then the releases, the newest first."""
    names = [path.name for path in site.iterdir() if (path / START).is_file()]
    releases = [name for name in names if re.fullmatch(r"\d+(\.\d+)*", name)]
    releases.sort(key=lambda name: [int(part) for part in name.split(".")], reverse=True)
    return [LATEST] * (LATEST in names) + releases


def write_index(site: Path) -> list[str]:
    """Write both files and return the versions.

    Raises:
        SystemExit: there is no version.
    """
    versions = built_versions(site)
    if not versions:
        raise SystemExit(f"{site} has no built version; run `make docs`")
    newest = next((name for name in versions if name != LATEST), LATEST)
    target = f"{newest}/{START}"
    (site / "versions.json").write_text(json.dumps(versions) + "\n", encoding="utf-8")
    (site / "index.html").write_text(
        '<!doctype html>\n<meta charset="utf-8">\n<title>nextclick</title>\n'
        f'<meta http-equiv="refresh" content="0; url={target}">\n'
        f'<a href="{target}">nextclick</a>\n',
        encoding="utf-8",
    )
    return versions


if __name__ == "__main__":
    write_index(Path(sys.argv[1]))
