"""Checks access to CA keys, for processes that must not have it."""

import os
from pathlib import Path


def readable_keys(folder: Path) -> list[Path]:
    """Return the key files in `folder` that this process can read; empty for a closed folder."""
    try:
        return sorted(
            path for path in folder.iterdir() if path.suffix == ".pem" and os.access(path, os.R_OK)
        )
    except OSError:
        return []
