# OpenBao: the whole tree of secret/payments in one call, and the values of new versions. Nothing else.
path "secret/detailed-metadata/payments/*" {
  capabilities = ["list", "scan"]
}
path "secret/metadata/payments/*" {
  capabilities = ["read"]
}
path "secret/data/payments/*" {
  capabilities = ["read"]
}
