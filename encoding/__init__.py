"""encode.py in parts: the features of any videos, in one file; the nearest of them to another video."""
