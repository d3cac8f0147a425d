"""`python -m flows.cli`: the `kdgat` command."""

from flows.cli.main import main

main()
