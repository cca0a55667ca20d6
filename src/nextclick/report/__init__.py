"""What a comparison found, as numbers, tables, figures and one page."""
