"""Item tables whose rows are split over the processes of a run."""
