"""The version, where it costs nothing to read, and the digest of the code."""

from hashlib import blake2b
from pathlib import Path

__version__ = "0.1.0"


def code_digest() -> str:
    """A digest of the source files of the package; two machines compare their code with it."""
    package = Path(__file__).parent
    digest = blake2b(digest_size=8)
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
