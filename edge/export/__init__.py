"""Recordings for other programs: tables, videos, data sets to train on."""
