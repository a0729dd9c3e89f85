"""Who can read the CA's keys. Asked by processes that must not be able to."""

import os
from pathlib import Path


def readable_keys(folder: Path) -> list[Path]:
    """Return the key files in `folder` that this process could read; empty also where it may not
    even look.
    """
    try:
        return sorted(
            path for path in folder.iterdir() if path.suffix == ".pem" and os.access(path, os.R_OK)
        )
    except OSError:
        return []
