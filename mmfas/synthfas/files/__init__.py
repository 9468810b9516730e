"""What lies on disk: pictures, lists, manifest, contact sheet, statistics."""
