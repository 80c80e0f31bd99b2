"""The entries of a file that are no jobs: reported, and kept to be corrected."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from console.jobfiles.submission import Rejected
from console.output import complain, counted

# So many are named on standard error; all of them are in the file.
REPORTED: Final = 20


class Rejects:
    """The file of rejected entries, made when there is a first one."""

    def __init__(self, path: Path, *, unit: str, append: bool) -> None:
        """Count in `unit`s; a run that goes on with another one appends."""
        self._path = path
        self._unit = unit
        self._mode = "ab" if append else "wb"
        self._file: BinaryIO | None = None
        self._is_broken = False
        self.count = 0

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            # What could not be written was said when it was added.
            with suppress(OSError):
                self._file.close()

    def add(self, rejected: Rejected) -> None:
        """Report an entry and keep it; one that cannot be kept holds up no other."""
        self.count += 1
        self._keep(rejected)
        if self.count <= REPORTED or self._is_broken:
            complain(f"{self._unit} {rejected.number}: {rejected.reason}")
        elif self.count == REPORTED + 1:
            complain(f"more {self._unit}s were rejected; {self._path} lists them all")

    def summary(self) -> str:
        """Say how many there are, and where."""
        where = "" if self._is_broken else f", with the reasons in {self._path}"
        return f"{counted(self.count, self._unit)} rejected{where}"

    def _keep(self, rejected: Rejected) -> None:
        if self._is_broken:
            return
        kept = {self._unit: rejected.number, "reason": rejected.reason, **rejected.content}
        try:
            if self._file is None:
                self._file = self._path.open(self._mode)  # type: ignore[assignment]  # a mode of bytes
            assert self._file is not None
            self._file.write(json.dumps(kept, ensure_ascii=False).encode(errors="replace") + b"\n")
            self._file.flush()
        except OSError as error:
            self._is_broken = True
            complain(
                f"{self._path} cannot be written: {error.strerror}; what is rejected is reported "
                "here alone, and the rest is still sent: name another file with --rejected"
            )
