"""Decoders of video files, one class each, all giving the same frames; `choice` picks one."""
