"""Networks: trunks, fusion necks, heads, losses and the model that joins them."""
