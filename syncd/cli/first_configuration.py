"""The text of a first configuration, with comments on how to go on."""

from __future__ import annotations

from collections.abc import Mapping

HEAD = """\
# What syncd keeps true at Wix. Check it with: syncd check; see what it would do: syncd plan.
# Every key is explained in docs/configuration.md; `syncd schema` is for your editor.

# Who this installation is, at Wix: part of the mark in each secret's description. Keep it.
owner: {owner}

state:
  path: {state}          # the ledger of ids; SQLite, made by the first sync
"""
SOURCES = "\nsources:\n"
VAULT = """\
  vault:
    type: vault                        # HashiCorp Vault or OpenBao
    address: {address}
{auth}"""
AUTHS = {
    "token": "    auth: {method: token, token: {env: VAULT_TOKEN}}\n",
    "kubernetes": "    auth: {method: kubernetes, role: syncd}   # the pod's service account\n",
    "approle": (
        "    auth:\n"
        "      method: approle\n"
        "      role_id: {env: VAULT_ROLE_ID}\n"
        "      secret_id: {file: /run/secrets/vault/secret-id}   # read again at each use\n"
    ),
}
AWS = """\
  aws:
    type: aws_secrets_manager          # the standard AWS credential chain
    region: {region}
    # assume_role: arn:aws:iam::123456789012:role/syncd-reader
"""
TAIL = """\

targets:
  site:
    type: wix
    auth: {{method: api_key, site_id: {site_id}, api_key: {{env: WIX_API_KEY}}}}

jobs:
"""
JOB = """\
  from-{source}:
    source: {source}
    targets: [site]
    schedule: {{every: 5m}}              # for `syncd run`; `syncd sync` runs it at once
    secrets:
      - path: {path}
        name: "{name}"
{more}"""
JSON_FIELDS = """\
        # field: "*"                     # one secret for each key of a JSON document; then name: "{path}_{field}"
"""
DELETION = """\
    # Deletion is off. With it, what is gone at the source goes at Wix after a day of observed absence:
    # deletion_policy: delete
    # deletion_grace: 24h
"""

EXAMPLES = {
    "--owner": "platform-team",
    "--source": "vault",
    "--address": "https://vault.example.com:8200",
    "--path": "secret/shop/**",
    "--region": "eu-west-1",
    "--aws-path": "prod/shop/*",
    "--site-id": "5f1c9b6e-0000-4000-8000-000000000001",
}
"""Examples that stand in for answers which are not given yet.

Each is also offered as the answer, but the id of the site: this one belongs to nobody.
"""
NEEDED = {
    "aws": ("--owner", "--source", "--region", "--path", "--site-id"),
    "vault": ("--owner", "--source", "--address", "--path", "--site-id"),
    "both": ("--owner", "--source", "--address", "--path", "--region", "--aws-path", "--site-id"),
}
"""The options that need an answer, by the answer to `--source`."""


def composed(answers: Mapping[str, str]) -> str:
    """Return the text of the configuration for these answers. Their keys are option names, such as `--owner`."""
    source = answers["--source"]
    text, jobs = HEAD.format(owner=answers["--owner"], state=answers["--state"]) + SOURCES, ""
    if source != "aws":
        text += VAULT.format(address=answers["--address"], auth=AUTHS[answers["--auth"]])
        jobs += JOB.format(source="vault", path=answers["--path"], name="{path}_{field}", more="")
    if source != "vault":
        text += AWS.format(region=answers["--region"])
        jobs += JOB.format(
            source="aws",
            path=answers["--aws-path" if source == "both" else "--path"],
            name="{path}",
            more=JSON_FIELDS,
        )
    return text + TAIL.format(site_id=answers["--site-id"]) + jobs + DELETION
