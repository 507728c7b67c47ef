"""From a listing of a download to a dataset that training reads: what `prepare.py` does for every dataset alike."""
