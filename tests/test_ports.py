"""Ports for the programs that tests start."""

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
DRAW = (
    "from tests.ports import free_port; print(*(free_port() for _ in range({})), flush=True); "
    "input()"
)

pytestmark = pytest.mark.enable_socket


@pytest.mark.usefixtures("starts_processes")
@pytest.mark.parametrize(("processes", "each"), [(2, 1), (2, 40), (3, 25), (5, 10), (8, 3)])
def test_processes_at_the_same_time_get_different_ports(processes: int, each: int) -> None:
    def start(_: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", DRAW.format(each)]
        return subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    with ThreadPoolExecutor(processes) as pool:
        running = list(pool.map(start, range(processes)))
    ports: list[str] = []
    for process in running:
        assert process.stdout is not None
        ports += process.stdout.readline().split()
    for process in running:
        process.communicate("\n")
    assert len(ports) == len(set(ports)) == processes * each


def test_a_port_is_none_that_outgoing_connections_are_given() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(port < max(lowest, 32_768) for port in (free_port() for _ in range(20)))


def test_a_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert server.getsockname()[1]
