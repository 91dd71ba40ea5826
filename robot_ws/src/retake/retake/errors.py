"""What a person can put right: printed as one line, never as a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Says what is wrong, what is allowed and what to do next."""
