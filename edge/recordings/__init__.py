"""Recordings: written by `recorder`, looked into by `info`, mended by `repair`, read back by `reader`."""
