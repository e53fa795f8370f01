"""One module a verb; each has `main(argv) -> int` and is imported only when called."""
