"""What several wires read and write alike; no wire of its own."""
