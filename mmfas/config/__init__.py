"""Reading configs and finding their mistakes before anything is built."""
