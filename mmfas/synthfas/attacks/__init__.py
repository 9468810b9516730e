"""Presentation attacks: photos, sheets, screens and masks."""
