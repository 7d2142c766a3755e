"""Where secrets come from: one package per kind of source."""
