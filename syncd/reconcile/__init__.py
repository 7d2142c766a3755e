"""The cycle: observe, desired, plan, guard, apply, record."""
