"""Refuses an argument that is not what was asked for, in words that say what is."""

import math


def check(name: str, value: object, kinds: type | tuple[type, ...], meaning: str) -> None:
    """Raise TypeError unless ``value`` is one of ``kinds``; True and False are no numbers."""
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(f"{name} is {meaning}; not {value!r}.")


def check_number(
    name: str,
    value: float,
    meaning: str,
    *,
    whole: bool = False,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
) -> None:
    """Raise TypeError unless ``value`` is a number, a ``whole`` one if that is meant, ValueError unless it is within
    the limits.
    """
    check(name, value, int if whole else (int, float), meaning)
    if not (least <= value <= most and value > above):
        raise ValueError(f"{name} is {meaning}; not {value!r}.")
