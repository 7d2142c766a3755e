"""The baseline: the script that people write first. One secret after another, no state, everything every time.

python tests/benchmarks/plain.py vault|aws, told where by the environment (VAULT_ADDR, VAULT_TOKEN, BENCH_MOUNT,
AWS_ENDPOINT_URL, WIX_URL, WIX_SITE, WIX_KEY).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import httpx


def from_vault() -> Iterator[tuple[str, str]]:
    import hvac

    client = hvac.Client(os.environ["VAULT_ADDR"], token=os.environ["VAULT_TOKEN"])
    kv, mount = client.secrets.kv.v2, os.environ["BENCH_MOUNT"]
    for path in kv.list_secrets("", mount_point=mount)["data"]["keys"]:
        read = kv.read_secret_version(path, mount_point=mount, raise_on_deleted_version=True)
        for field, value in read["data"]["data"].items():
            yield f"{path}_{field}", value


def from_aws() -> Iterator[tuple[str, str]]:
    import boto3

    client = boto3.client("secretsmanager")
    for page in client.get_paginator("list_secrets").paginate(MaxResults=100):
        for one in page["SecretList"]:
            yield one["Name"], client.get_secret_value(SecretId=one["Name"])["SecretString"]


def main(source: str) -> None:
    headers = {"Authorization": os.environ["WIX_KEY"], "wix-site-id": os.environ["WIX_SITE"]}
    secrets = f"{os.environ['WIX_URL']}/api/v1/secrets"
    with httpx.Client(headers=headers) as wix:
        ids = {one["name"]: one["id"] for one in wix.get(secrets).json().get("secrets", [])}
        for name, value in from_vault() if source == "vault" else from_aws():
            if name in ids:
                answer = wix.patch(f"{secrets}/{ids[name]}", json={"secret": {"value": value}})
            else:
                answer = wix.post(secrets, json={"secret": {"name": name, "value": value}})
            answer.raise_for_status()


if __name__ == "__main__":
    main(sys.argv[1])
