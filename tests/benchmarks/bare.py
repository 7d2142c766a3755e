"""The limit: the same requests over as many connections as syncd uses, and nothing else. Stores nothing, checks nothing.

python tests/benchmarks/bare.py vault|aws busy|idle CONNECTIONS, told where by the environment as plain.py is.
Values are read and sent on as they come; idle, only the listings are asked for.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx


def main(source: str, work: str, connections: int) -> None:
    wix = {"Authorization": os.environ["WIX_KEY"], "wix-site-id": os.environ["WIX_SITE"]}
    secrets = f"{os.environ['WIX_URL']}/api/v1/secrets"
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    with httpx.Client(limits=limits, timeout=60) as client, ThreadPoolExecutor(connections) as pool:
        client.get(secrets, headers=wix)

        def push(name: str, value: str) -> None:
            body = {"secret": {"name": name, "value": value}}
            client.post(secrets, headers=wix, json=body).raise_for_status()

        if source == "vault":
            token = {"X-Vault-Token": os.environ["VAULT_TOKEN"]}
            mount = f"{os.environ['VAULT_ADDR']}/v1/{os.environ['BENCH_MOUNT']}"
            keys = client.request("SCAN", f"{mount}/detailed-metadata/", headers=token).json()["data"]["keys"]

            def carry(path: str) -> None:
                fields = client.get(f"{mount}/data/{path}", headers=token).json()["data"]["data"]
                for field, value in fields.items():
                    push(f"{path}_{field}", value)

            list(pool.map(carry, keys if work == "busy" else ()))
            return
        import boto3

        aws = boto3.client("secretsmanager")
        pages = aws.get_paginator("list_secrets").paginate(MaxResults=100)
        names = [one["Name"] for page in pages for one in page["SecretList"]]
        if work == "idle":
            return

        def carry_batch(at: int) -> list[tuple[str, str]]:
            answer = aws.batch_get_secret_value(SecretIdList=names[at : at + 20])
            return [(one["Name"], one["SecretString"]) for one in answer["SecretValues"]]

        batches = pool.map(carry_batch, range(0, len(names), 20))
        list(pool.map(lambda one: push(*one), (one for batch in batches for one in batch)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
