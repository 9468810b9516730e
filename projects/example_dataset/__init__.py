"""An example of a project that reads data of its own layout."""

from projects.example_dataset.folder_dataset import KindFolderDataset

__all__ = ['KindFolderDataset']
