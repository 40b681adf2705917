"""Run as a program by an environment with the package `milvus`: a standalone Milvus for tests.

    python milvus_program.py FOLDER PID [kept]

It unpacks the server beside the package once, starts it in FOLDER on ports that are free, and writes
FOLDER/url when it answers, after FOLDER/pid, the server's process. It returns at once. The server is ended,
and FOLDER removed, when the process PID is gone, by SIGTERM, or where it does not start. Where FOLDER is
`kept`, it stays, without the two files, and the next start is on the same data and the same ports. It imports
nothing of ours.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import milvus

FASTER = {
    "proxy.timeTickInterval": 10,  # ms; a Strong read waits for the next one, and they are 200 ms elsewhere
    "queryCoord.checkInterval": 100,  # ms; a collection that is loaded is waited for so long
    "common.session.ttl": 600,  # s; a server that gets no processor for longer than this ends itself
    "log.level": "error",
}
AGAIN = {
    # s; what a server left of itself that was killed ends after so long, and until then none has its rows.
    "common.session.ttl": 10,
}
"""Of a server that is killed and started again."""


# Without a configuration of its own the server inside has a port for its peers that is always the same.
ETCD = """
listen-client-urls: http://127.0.0.1:{client}
advertise-client-urls: http://127.0.0.1:{client}
listen-peer-urls: http://127.0.0.1:{peer}
initial-advertise-peer-urls: http://127.0.0.1:{peer}
initial-cluster: default=http://127.0.0.1:{peer}
"""


def main(folder: Path, owner: int, kept: bool) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    unpacked = Path(sys.prefix) / "milvus-server"
    unpacked.mkdir(exist_ok=True)
    with (unpacked / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        milvus._initialize_data_files(str(unpacked))
    ports = folder / "ports"
    if not ports.exists():
        ports.write_text(json.dumps(configured(folder, {**FASTER, **AGAIN} if kept else FASTER)))
    proxy, metrics = json.loads(ports.read_text())
    environment = {
        **os.environ,
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(metrics),
        "MILVUS_RUN_DIR": str(folder / "data" / "run"),
        "LD_LIBRARY_PATH": str(unpacked / "bin"),
    }
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(
            [unpacked / "bin" / "milvus", "run", "standalone"],
            cwd=folder / "data",
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        (folder / "pid").write_text(str(server.pid))
        while not answers(metrics):
            if server.poll() is not None:
                print((folder / "log").read_text(errors="replace")[:3000], file=sys.stderr)
                return 1
            time.sleep(0.1)
        part = folder / "url.part"
        part.write_text(f"http://127.0.0.1:{proxy}")
        part.rename(folder / "url")
        while server.poll() is None and lives(owner):
            time.sleep(0.5)
        return server.poll() or 0
    finally:
        server.kill()
        server.wait()
        if kept:
            for name in ("url", "pid"):
                (folder / name).unlink(missing_ok=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def configured(folder: Path, settings: dict[str, object]) -> tuple[int, int]:
    """Write the configuration; the ports of the interface and of the metrics."""
    config = milvus.MilvusServerConfig(data_dir=str(folder / "data"))
    config.update(**{name: free_port() for name in config.config_key_maps.values() if name.endswith("_port")})
    for name, value in settings.items():
        config.set(name, value)
    config.resolve()
    client, peer = config.get("etcd_port"), free_port()
    etcd = folder / "data" / "configs" / "etcd.yaml"
    etcd.write_text(ETCD.format(client=client, peer=peer))
    written = folder / "data" / "configs" / "milvus.yaml"
    embedded = f"    embed: true\n  config:\n    path: {etcd}\n"
    written.write_text(re.sub(r"    embed: true.*\n", embedded, written.read_text(), count=1))
    return config.get("proxy_port"), free_port()


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as response:
            return b"OK" in response.read()
    except OSError:
        return False


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    # Not a child of whoever starts it, who may end before others that use it.
    if os.fork():
        os._exit(0)
    os.setsid()
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["kept"]))
