"""`mmfas data ...`: render, convert, crop, check and look at data."""
