"""What product-key experts cost by their number."""
