"""The company's rules: what breaks them, and what follows. All of it pure."""
