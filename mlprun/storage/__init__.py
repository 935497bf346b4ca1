"""What is on disk: run folders and what stands in them. Nothing here loads torch."""
