"""checkov over everything that the chart renders; what is skipped stands here, with why.

python -m tests.deploy.checkov
"""

from __future__ import annotations

import subprocess
import sys

import yaml

from tests.deploy.rendering import ROOT, SETS, render

SKIPPED = {
    "CKV_K8S_11": "no CPU limit on purpose: it would only slow a cycle down; memory is limited",
    "CKV_K8S_15": "pullPolicy IfNotPresent is right for a fixed tag or digest",
    "CKV_K8S_21": "the namespace is given by `helm install --namespace`",
    "CKV_K8S_43": "a digest is the operator's choice (image.digest); the sets show both",
    "CKV_K8S_35": "an environment variable from a Secret is one of the two ways that the configuration offers; files are the default",
}


def main() -> int:
    folder = ROOT / "build" / "rendered"
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in SETS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(render(values)))
    argv = [
        str(ROOT / "build" / "checkov" / "bin" / "checkov"), "--directory", str(folder), "--framework", "kubernetes",
        "--quiet", "--compact", "--skip-check", ",".join(SKIPPED), "--skip-download",
    ]  # fmt: skip
    done = subprocess.run(argv, check=False)
    for check, why in SKIPPED.items():
        print(f"skipped {check}: {why}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
