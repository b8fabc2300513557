"""The statistics stage: projects the statistics of users to the online store."""
