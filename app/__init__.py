"""The desk: page, session, store and worker. Runs without torch."""
