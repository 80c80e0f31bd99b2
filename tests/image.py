"""Images built from the Dockerfile by Debian's buildah, which needs no daemon, and run by it.

The bases are made by mmdebstrap, from Debian's packages: an image registry is not needed either.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.documents import ROOT

# Debian's release, for its Python 3.13, and what each stage needs of its base.
RELEASE: Final = "trixie"
BASES: Final = {
    "BUILDER": "python3,python3-venv,ca-certificates",
    # Without venv, which brings pip's wheel along.
    "RUNTIME": "python3,ca-certificates",
}
BUILD_SECONDS: Final = 600.0
# The machine's own certificates are trusted, as pip needs behind a proxy that has one of its own.
CERTIFICATES: Final = "/etc/ssl/certs:/etc/ssl/certs:ro"


def building_missing() -> str:
    """Say why no image can be built here; empty where one can."""
    missing = [name for name in ("buildah", "mmdebstrap") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} cannot be found here"
    return "" if os.geteuid() == 0 else "only root can build an image without a daemon"


class Engine:
    """Keeps its images in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def make_bases(self) -> None:
        """Make the base image of each stage."""
        for name, packages in BASES.items():
            archive = self._folder / "base.tar"
            parts = ("--variant=minbase", f"--include={packages}")
            subprocess.run(
                ["mmdebstrap", "--quiet", *parts, RELEASE, archive],
                check=True,
                timeout=BUILD_SECONDS,
            )
            container = self.buildah("from", "scratch")
            self.buildah("add", "--quiet", container, str(archive))
            self.buildah("commit", "--quiet", "--rm", container, _base(name))
            archive.unlink()

    def build(self, target: str) -> str:
        """Build a target of the Dockerfile; returns the image's name."""
        tag = f"localhost/overture:{target}"
        arguments = [f"--build-arg={name}={_base(name)}" for name in BASES]
        # Docker's format keeps the health check, which OCI's has no word for.
        arguments += ["--format=docker", "--isolation=chroot", "--quiet", "--layers"]
        arguments += [f"--target={target}"]
        arguments += [f"--volume={CERTIFICATES}", f"--tag={tag}", "--file=docker/Dockerfile"]
        self.buildah("build", *arguments, ".")
        return tag

    def archive(self, image: str) -> Path:
        """Write an image into a file, as other programs take it."""
        path = self._folder / "image.tar"
        self.buildah("push", "--quiet", image, f"oci-archive:{path}")
        return path

    @contextlib.contextmanager
    def container(self, image: str) -> Iterator[Container]:
        """Give a container of an image, which runs what it is told to."""
        name = self.buildah("from", image)
        try:
            yield Container(self, name, Path(self.buildah("mount", name)))
        finally:
            self.buildah("rm", name)

    def close(self) -> None:
        """Remove every image."""
        self.buildah("rmi", "--all", "--force")
        shutil.rmtree(self._folder)

    def buildah(self, *arguments: str) -> str:
        """Run it to its end; returns what it wrote."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def command(self, *arguments: str) -> list[str]:
        """Return the command line for these arguments."""
        folders = [f"--root={self._folder}/root", f"--runroot={self._folder}/run"]
        return ["buildah", *folders, *arguments]


@dataclass(frozen=True, slots=True)
class Container:
    """A container that shares the machine's network and processes; its root is at `root`."""

    engine: Engine
    name: str
    root: Path

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end."""
        return subprocess.run(
            self._line(command, variables), capture_output=True, text=True, timeout=120, check=False
        )

    @contextlib.contextmanager
    def running(self, *command: str, **variables: str) -> Iterator[Process]:
        """Run a command in it for as long as the block runs."""
        line = self._line(("sh", "-c", 'echo $$ > /tmp/pid; exec "$@"', "sh", *command), variables)
        process = subprocess.Popen(line)
        try:
            yield Process(process, self.root / "tmp/pid")
        finally:
            process.terminate()  # buildah then kills what it runs
            process.wait(30)

    def _line(self, command: tuple[str, ...], variables: dict[str, str]) -> list[str]:
        given = [f"--env={name}={value}" for name, value in variables.items()]
        return self.engine.command("run", "--isolation=chroot", *given, self.name, "--", *command)


@dataclass(frozen=True, slots=True)
class Process:
    """What runs in a container."""

    buildah: subprocess.Popen[bytes]
    pid_file: Path

    def stop(self) -> int:
        """Ask it to end, as an engine does; returns its exit status."""
        os.kill(int(self.pid_file.read_text()), signal.SIGTERM)
        return self.buildah.wait(60)


def _base(name: str) -> str:
    return f"localhost/overture-{name.lower()}"
