"""Reports on what models compose and transcribe: a folder a run, taken up where it was left."""
