"""Files: written whole, locked, checked, bounded; foreign text."""
