"""The text of a model with a preset and parameters: `MODEL@PRESET+NAME=VALUE+NAME=VALUE`."""

from __future__ import annotations

from nextclick.errors import ConfigError


def split_spec(text: str) -> tuple[str, str | None, dict[str, str]]:
    """Split a text into the name of the model, the preset and the parameters.

    >>> split_spec("asars@paper+variant=time_cat")
    ('asars', 'paper', {'variant': 'time_cat'})
    >>> split_spec("narm")
    ('narm', None, {})

    Raises:
        ConfigError: two presets.
    """
    model, _, suffix = text.partition("@")
    preset: str | None = None
    parameters: dict[str, str] = {}
    for part in filter(None, suffix.split("+")):
        name, equals, value = part.partition("=")
        if equals:
            parameters[name] = value
        elif preset is None:
            preset = part
        else:
            raise ConfigError(
                f"{text} names two presets, {preset} and {part}; a parameter is NAME=VALUE"
            )
    return model, preset, parameters
