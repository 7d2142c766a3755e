"""What a cycle does with each name: the truth table, and what it asks for."""
