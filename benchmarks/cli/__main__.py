"""`python -m benchmarks.cli` is `ganbench`."""

from benchmarks.cli import main

if __name__ == "__main__":
    main()
