"""The address of a topic of Kafka, and the settings of its client."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from nextclick.errors import ConfigError

CONFIG = "NEXTCLICK_KAFKA_CONFIG"


@dataclass(frozen=True, slots=True)
class KafkaTopic:
    """A topic.

    Attributes:
        servers: brokers, as host:port, separated by commas.
        topic: its name.
    """

    servers: str
    topic: str

    @classmethod
    def parse(cls, option: str, address: str) -> Self:
        """The topic of an address `kafka://HOST:PORT/TOPIC`.

        Args:
            option: the option of the command line that has the address, for messages.
            address: the address.

        Raises:
            ConfigError: the address has another form.
        """
        parts = urlsplit(address)
        topic = parts.path.strip("/")
        if "@" in parts.netloc or not parts.netloc or not topic or "/" in topic:
            raise ConfigError(
                f"{option} must be kafka://HOST:PORT/TOPIC without a user and a password; set "
                f"these in a file that the environment variable {CONFIG} names"
            )
        return cls(parts.netloc, topic)

    def __str__(self) -> str:
        return f"kafka://{self.servers}/{self.topic}"


def client_settings() -> dict[str, str]:
    """The settings `name=value` in the file that the environment names.

    Raises:
        ConfigError: the file cannot be read, or a line has another form.
    """
    name = os.environ.get(CONFIG)
    if name is None:
        return {}
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{CONFIG}={name}: cannot be read: {error}; name a text file") from error
    settings = {}
    for number, line in enumerate(lines, 1):
        key, equals, value = line.strip().partition("=")
        if line.strip() and not line.startswith("#"):
            if not equals:
                raise ConfigError(
                    f"{CONFIG}={name}: line {number} must be NAME=VALUE, such as "
                    "security.protocol=SASL_SSL"
                )
            settings[key.strip()] = value.strip()
    return settings


def rejected_setting(reason: str) -> ConfigError:
    """The error of a client that does not accept its settings."""
    return ConfigError(f"{CONFIG}: the Kafka client rejects a setting: {reason}; correct it")
