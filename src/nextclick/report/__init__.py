"""Reports of model comparisons: JSON data, CSV tables, figures and one HTML page."""
