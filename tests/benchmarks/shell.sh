#!/bin/sh
# The other baseline: the shell CronJob. bao, aws and curl, a process for each call.
# sh shell.sh vault|aws, told where by the environment as plain.py is; BAO, AWS and PYTHON name the programs.
set -eu
secrets="$WIX_URL/api/v1/secrets"
wix() { curl -sSf -H "Authorization: $WIX_KEY" -H "wix-site-id: $WIX_SITE" -H "Content-Type: application/json" "$@"; }
known=$(wix "$secrets" | "$PYTHON" -c 'import json,sys; [print(s["name"], s["id"]) for s in json.load(sys.stdin).get("secrets", [])]')

push() { # name value
  id=$(printf '%s\n' "$known" | sed -n "s/^$1 //p")
  if [ -n "$id" ]; then
    printf '{"secret":{"value":"%s"}}' "$2" | wix -X PATCH -d @- "$secrets/$id" >/dev/null
  else
    printf '{"secret":{"name":"%s","value":"%s"}}' "$1" "$2" | wix -X POST -d @- "$secrets" >/dev/null
  fi
}

case "$1" in
  vault)
    for path in $("$BAO" kv list -format=json -mount="$BENCH_MOUNT" / | tr -d '[]",'); do
      push "${path}_value" "$("$BAO" kv get -mount="$BENCH_MOUNT" -field=value "$path")"
    done ;;
  aws)
    for name in $("$AWS" secretsmanager list-secrets --query 'SecretList[].Name' --output text); do
      push "$name" "$("$AWS" secretsmanager get-secret-value --secret-id "$name" --query SecretString --output text)"
    done ;;
esac
