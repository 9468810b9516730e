"""Cameras, light and sensors."""
