# HashiCorp Vault, or OpenBao without the one-call listing: folders by LIST, versions by their metadata, values of new versions.
path "secret/metadata/payments/*" {
  capabilities = ["read", "list"]
}
path "secret/data/payments/*" {
  capabilities = ["read"]
}
