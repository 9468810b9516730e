"""The model that joins trunk, neck and head."""
