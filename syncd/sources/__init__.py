"""Where secrets come from: one package or module per kind of source."""
