"""What `syncd check` tries."""
