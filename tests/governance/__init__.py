"""Keys, limits and money, held over real processes."""
