"""Numbers on the command line, and what is said where they are none of that kind."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """1 and above."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def count(text: str) -> int:
    """0 to 64."""
    return _whole(text, 64, "is not between 0 and 64")


def days(text: str) -> int:
    """0 to a hundred years."""
    return _whole(text, 36500, "is not a number of days")


def port(text: str) -> int:
    """0 to 65535."""
    return _whole(text, 65535, "is not a port (0 takes a free one)")


def _whole(text: str, most: int, fault: str) -> int:
    value = int(text)
    if not 0 <= value <= most:
        raise argparse.ArgumentTypeError(f"{text} {fault}")
    return value


def size(text: str) -> int:
    """Bytes; ``k``, ``M`` and ``G`` are powers of 1000."""
    factor = {"k": 10**3, "m": 10**6, "g": 10**9}.get(text[-1:].lower(), 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isdigit() or int(digits) * factor < 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: write 500k, 10M or 1G")
    return int(digits) * factor


def seconds(text: str) -> float:
    """Above 0."""
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value


def rate(text: str) -> float:
    """Images a second: 0.1 to 10,000."""
    value = float(text)
    if not 0.1 <= value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 10,000 images a second")
    return value
