"""`make image-test`: build the image without a daemon, then run it: a sync, who it is, what it may, a Deployment.

python -m tests.deploy.image    as root, with buildah, podman and mmdebstrap; stays under build/image.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import hvac
import yaml

from syncd.sandbox.launchers import OpenBao, free_ports, openbao
from syncd.sandbox.wix_server import Wix, serving
from tests.deploy.rendering import ROOT, render

WORK = ROOT / "build" / "image"
BASE, IMAGE = "localhost/syncd-base:bookworm", "localhost/syncd:test"
CONTAINERS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
MEMORY_MB = 128
HARDENED = [
    "--read-only",
    "--user",
    "65532:65532",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--network=host",
]


def run(*argv: str, check: bool = True) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(argv)}\nended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout + ("" if check else done.stderr)


def built() -> None:
    """The base by debootstrap, the image by buildah, twice, to see that it comes out the same."""
    if subprocess.run(["podman", "image", "exists", BASE], check=False).returncode:
        tar = WORK / "base.tar"
        run("mmdebstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates", "bookworm", str(tar))
        run("podman", "import", str(tar), BASE)
        tar.unlink()
    given = [f"--env={name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
    given += ["--volume=/etc/ssl/certs:/etc/ssl/certs:ro"]  # whatever vouches for the package index here
    given += [
        f"--volume={path}:{path}:ro"
        for path in ("/etc/pip.conf", "/etc/xdg/pip", "/opt/wheels", "/opt/pypi")
        if Path(path).exists()
    ]
    digests = []
    for _ in range(2):
        started = time.monotonic()
        run(
            "buildah", "bud", "--isolation=chroot", "--pull-never", "--no-cache", "--timestamp=0", "--format=docker", *given,
            f"--build-arg=BASE_IMAGE={BASE}", "--file", str(ROOT / "deploy" / "Dockerfile"), "--tag", IMAGE, str(ROOT),
        )  # fmt: skip
        layers = json.loads(run("buildah", "inspect", "--type=image", IMAGE))["OCIv1"]["rootfs"]["diff_ids"]
        digests.append(layers)
        print(
            f"built in {time.monotonic() - started:.0f} s, layers {', '.join(one[7:19] for one in layers)}", flush=True
        )
    assert digests[0] == digests[1], "the same tree gives another image"
    size = int(run("podman", "image", "inspect", "--format={{.Size}}", IMAGE))
    below = int(run("podman", "image", "inspect", "--format={{.Size}}", BASE))
    print(f"image: {size / 1e6:.0f} MB, of which the base has {below / 1e6:.0f} MB; both builds have the same layers")


@contextmanager
def sandbox() -> Iterator[tuple[OpenBao, Wix, str, str, str]]:
    """Real OpenBao with ten secrets, and the emulated Wix."""
    with ExitStack() as stack:
        bao = stack.enter_context(openbao())
        wix = Wix()
        url = stack.enter_context(serving(wix))
        site = "5f1c9b6e-0000-4000-8000-000000000001"
        key = wix.issue_key(site)
        client = hvac.Client(bao.address, token=bao.token)
        for number in range(10):
            client.secrets.kv.v2.create_or_update_secret(
                f"app/s{number}", {"value": f"value {number}"}, mount_point="secret"
            )
        yield bao, wix, url, site, key


def configuration(bao: OpenBao, url: str, site: str) -> dict[str, Any]:
    return {
        "owner": "image-test",
        "sources": {"vault": {"type": "vault", "address": bao.address, "auth": {"method": "token", "token": {"file": "/run/secrets/vault/token"}}}},
        "targets": {"shop": {"type": "wix", "base_url": url, "auth": {"method": "api_key", "site_id": site, "api_key": {"file": "/run/secrets/wix/api-key"}}}},
        "jobs": {"app": {"source": "vault", "targets": ["shop"], "schedule": {"every": "1h"}, "secrets": [{"path": "secret/app/*"}]}},
    }  # fmt: skip


def one_shot(bao: OpenBao, wix: Wix, url: str, site: str, key: str) -> None:
    """A sync in a container without rights, on a root that cannot be written."""
    folder = WORK / "one-shot"
    for name in ("state", "vault", "wix"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for old in (folder / "state").iterdir():
        old.unlink()
    os.chown(folder / "state", 65532, 65532)
    (folder / "vault" / "token").write_text(bao.token)
    (folder / "wix" / "api-key").write_text(key)
    told = {**configuration(bao, url, site), "state": {"path": "/var/lib/syncd/state.db"}}
    (folder / "syncd.yaml").write_text(yaml.safe_dump(told))
    mounts = [
        f"--volume={folder}/syncd.yaml:/etc/syncd/syncd.yaml:ro", f"--volume={folder}/state:/var/lib/syncd",
        f"--volume={folder}/vault:/run/secrets/vault:ro", f"--volume={folder}/wix:/run/secrets/wix:ro",
    ]  # fmt: skip
    base = ["podman", "run", "--rm", *HARDENED, *mounts, f"--memory={MEMORY_MB}m"]
    out = run(*base, IMAGE, "sync")
    print(f"sync: {out.strip()}")
    assert "10 created" in out and len(wix.site(site).secrets) == 10
    assert "10 unchanged" in run(*base, IMAGE, "sync"), "the ledger was kept"
    started = time.monotonic()
    run(*base, IMAGE, "--help")
    print(f"syncd --help in a fresh container: {time.monotonic() - started:.2f} s")
    who = run(*base, "--entrypoint=id", IMAGE)
    print(f"id: {who.strip()}")
    assert "uid=65532" in who and "gid=65532" in who
    python = [*base, "--entrypoint=/opt/syncd/bin/python", IMAGE, "-c"]
    said = run(*python, "open('/opt/syncd/x', 'w')", check=False)
    print(f"writing to the root: {said.strip().splitlines()[-1]}")
    assert "Read-only file system" in said
    assert "No module named 'pip'" in run(*python, "import pip", check=False), "no installer inside"
    code = (
        "import sys; from syncd.cli.app import run; run(['sync']);"
        "print([l for l in open('/proc/self/status') if l.startswith('VmHWM')][0])"
    )
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", run(*python, code))[0]) / 1024
    print(f"memory: {peak:.0f} MiB at most, under a limit of {MEMORY_MB} MB")
    assert peak < MEMORY_MB


def deployment(bao: OpenBao, wix: Wix, url: str, site: str, key: str) -> None:
    """The chart's Deployment, as podman plays it."""
    wix.site(site).secrets.clear()
    port = free_ports(1)
    values = {
        "config": configuration(bao, url, site),
        "image": {"repository": IMAGE.split(":", maxsplit=1)[0], "tag": "test", "pullPolicy": "Never"},
        "credentials": [{"name": "vault", "secretName": "vault-token"}, {"name": "wix", "secretName": "wix-api-key"}],
        "server": {"port": port},
        "networkPolicy": {"enabled": False},
        "resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": f"{MEMORY_MB}Mi"}},
    }
    objects = [one for one in render(values) if one["kind"] in {"ConfigMap", "PersistentVolumeClaim", "Deployment"}]
    for one in objects:
        if one["kind"] == "Deployment":
            pod = one["spec"]["template"]["spec"]
            pod["hostNetwork"] = True  # the sandbox is on 127.0.0.1
            for field in ("ports", "startupProbe", "livenessProbe", "readinessProbe"):
                pod["containers"][0].pop(field)  # no mapping on the host's network; podman probes with a curl inside
            for volume in pod["volumes"]:
                if volume.pop("secret", None):  # podman 4.3 mounts a Secret's base64 as it is
                    folder = WORK / "played" / volume["name"]
                    folder.mkdir(parents=True, exist_ok=True)
                    volume["hostPath"] = {"path": str(folder), "type": "Directory"}
    (WORK / "played" / "credential-vault" / "token").write_text(bao.token)
    (WORK / "played" / "credential-wix" / "api-key").write_text(key)
    objects.sort(key=lambda one: one["kind"] == "Deployment")
    file = WORK / "played.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    cleared(file)
    started = time.monotonic()
    run("podman", "play", "kube", str(file))
    try:
        ready = False
        while not ready and time.monotonic() - started < 30:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                    ready = answer.status == 200
            except OSError:
                time.sleep(0.1)
        print(
            f"play kube: ready {time.monotonic() - started:.1f} s after the command; {len(wix.site(site).secrets)} secrets at Wix"
        )
        pod = run("podman", "ps", "--format={{.Names}}", "--filter=ancestor=" + IMAGE).split()
        if not ready or len(wix.site(site).secrets) != 10:
            raise SystemExit(
                run("podman", "ps", "-a", check=False)
                + "".join(run("podman", "logs", one, check=False)[-2000:] for one in pod)
            )
        assert len(wix.site(site).secrets) == 10
        print("status:", run("podman", "exec", pod[0], "syncd", "status").strip().splitlines()[0:3])
        began = time.monotonic()
        run("podman", "stop", "--time", "20", pod[0])
        code = run("podman", "inspect", "--format={{.State.ExitCode}}", pod[0]).strip()
        print(f"SIGTERM: exit {code} after {time.monotonic() - began:.1f} s")
        assert code == "0"
    finally:
        cleared(file)


def cleared(file: Path) -> None:
    """Nothing of a run before is left."""
    run("podman", "play", "kube", "--down", str(file), check=False)
    run("podman", "pod", "rm", "--force", "syncd-pod", check=False)
    run("podman", "volume", "rm", "--force", "syncd-state", "syncd", check=False)


def main() -> int:
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "containers.conf").write_text(CONTAINERS)
    os.environ["CONTAINERS_CONF"] = str(WORK / "containers.conf")
    built()
    with sandbox() as around:
        one_shot(*around)
        deployment(*around)
    print("the image is good")
    return 0


if __name__ == "__main__":
    sys.exit(main())
