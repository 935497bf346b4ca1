"""Run folders on disk and the formats of their files. Nothing here loads torch."""
