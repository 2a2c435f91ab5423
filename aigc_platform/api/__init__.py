"""What every endpoint shares: errors, pages, permissions, limits, health, schema."""
