"""export.py in parts: an encoder for programs that know nothing of this one."""
