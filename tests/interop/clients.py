"""The clients' command lines, as docs/devices/clients.md shows them."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.interop.portal import wait_until


@dataclass(frozen=True)
class Chain:
    """The certificates of GetCACert as PEM files: RA, issuing CA, root."""

    ra: Path
    issuing: Path
    root: Path

    def verifies(self, certificate: Path) -> bool:
        """Whether OpenSSL accepts the certificate for a TLS client, up to the root."""
        trust = [
            "-CAfile",
            str(self.root),
            "-untrusted",
            str(self.issuing),
            "-purpose",
            "sslclient",
        ]
        done = subprocess.run(
            ["openssl", "verify", *trust, str(certificate)], capture_output=True, check=False
        )
        return done.returncode == 0


@dataclass(frozen=True)
class Enrollment:
    """strongSwan at work: it polls until it has an answer or its time is over."""

    process: subprocess.Popen[bytes]
    log: Path
    certificate: Path

    @property
    def said(self) -> str:
        """Its output so far."""
        return self.log.read_text()

    def wait_until_pending(self) -> None:
        """Return when it polls."""
        wait_until(
            lambda: "SCEP request pending" in self.said or self.process.poll() is not None,
            what="PENDING",
        )
        assert self.process.poll() is None, self.said

    def status(self) -> int:
        """Wait for its end; kills it after a minute."""
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@dataclass(frozen=True)
class StrongSwan:
    """`pki --scep` with RA and CA certificates from `pki --scepca`, in one folder."""

    folder: Path
    interval: int = 1
    patience: int = 50

    def fetch_authorities(self, url: str) -> str:
        """Run `pki --scepca` and return its output; ca.der is the root, ca-1.der the issuing CA."""
        command = [
            "pki",
            "--scepca",
            "--url",
            url,
            "--caout",
            "ca.der",
            "--raout",
            "ra.der",
            "--force",
        ]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def enroll(self, url: str, name: str, key: Path, *options: str) -> Enrollment:
        """Start `pki --scep`; a second run for the same name writes over the first certificate."""
        log, certificate = self.folder / f"{name}.log", self.folder / f"{name}.crt"
        command = [
            "pki",
            "--scep",
            "--url",
            url,
            "--in",
            str(key),
            "--dn",
            f"C=DE, O=Exp, CN={name}",
            "--san",
            name,
        ]
        command += [
            "--cacert-enc",
            "ra.der",
            "--cacert-sig",
            "ra.der",
            "--cacert",
            "ca.der",
            "--cacert",
            "ca-1.der",
        ]
        command += [
            "--interval",
            str(self.interval),
            "--maxpolltime",
            str(self.patience),
            "--outform",
            "pem",
            *options,
        ]
        with log.open("wb") as err, certificate.open("wb") as out:
            process = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=err)
        return Enrollment(process, log, certificate)


@dataclass(frozen=True)
class Certmonger:
    """A daemon without D-Bus, with all of its state in one folder, and `getcert` to talk to it."""

    folder: Path

    def start(self) -> subprocess.Popen[bytes]:
        """Start the daemon; returns when it answers."""
        for part in ("config", "requests", "cas", "local", "tmp"):
            (self.folder / part).mkdir()
        command = ["certmonger", "-n", "-d", "1", "-L", "-P", str(self.folder / "socket")]
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(command, env=self._environment(), stdout=log, stderr=log)
        wait_until(lambda: self._getcert("list").returncode == 0, what="certmonger")
        return process

    def getcert(self, *arguments: str) -> str:
        """Run getcert and return its output; fails the test unless it succeeds."""
        done = self._getcert(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def add_authority(self, name: str, url: str, chain: Chain | None) -> None:
        """Name a SCEP server: -N takes the root, -r the RA, -I the CA; default: from GetCACert."""
        files = (
            ["-N", str(chain.root), "-r", str(chain.ra), "-I", str(chain.issuing)] if chain else []
        )
        self.getcert("add-scep-ca", "-c", name, "-u", url, *files)

    def request(self, authority: str, name: str, *options: str) -> Path:
        """Ask for a certificate; returns the file into which it will go."""
        key, certificate = self.folder / f"{name}.key", self.folder / f"{name}.crt"
        where = ["-I", name, "-c", authority, "-k", str(key), "-f", str(certificate)]
        self.getcert("request", *where, "-N", f"CN={name},O=Exp", "-D", name, *options)
        return certificate

    def status(self, name: str) -> str:
        """Return the status of a request, and its error when there is one."""
        statuses = re.findall(
            r"^\t(?:status|ca-error): (.*)$", self.getcert("list", "-i", name), re.MULTILINE
        )
        return " ".join(statuses)

    def wait_until(self, name: str, state: str) -> str:
        """Return the status as soon as it starts with `state`; fails if another one lasts."""
        wait_until(lambda: self.status(name).startswith(state), what=f"{name}: {state}", within=25)
        return self.status(name)

    def refresh_until(self, name: str, state: str) -> str:
        """Let it ask again while it waits, since signing takes a moment; returns the status."""

        def is_there() -> bool:
            if self.status(name).startswith("CA_WORKING"):
                self.getcert("refresh", "-i", name)
            return self.status(name).startswith(state)

        wait_until(is_there, what=f"{name}: {state}", within=25, every=0.5)
        return self.status(name)

    def _getcert(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["getcert", *arguments]
        return subprocess.run(
            command, env=self._environment(), capture_output=True, text=True, check=False
        )

    def _environment(self) -> dict[str, str]:
        places = {
            "CONFIG_DIR": "config",
            "REQUESTS_DIR": "requests",
            "CAS_DIR": "cas",
            "LOCAL_CA_DIR": "local",
            "TMPDIR": "tmp",
            "SYSTEM_LOCK_FILE": "lock",
        }
        state = {f"CERTMONGER_{name}": str(self.folder / place) for name, place in places.items()}
        address = {"CERTMONGER_PVT_ADDRESS": f"unix:path={self.folder / 'socket'}"}
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder)} | state | address
