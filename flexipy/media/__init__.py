"""Relaying of RTP and RTCP."""
