"""The lab: what sidestream costs beside everyone else, in one run on one machine.

`cli` reads the command line and runs the stages; docs/benchmarks.md tells what they mean. In the order in which a
figure comes about: `cases` (what is asked), `arms` and `peers` (who is asked), `world` (cores, folder, the mock), `load` (the
generator), `answers` (is it right?), `measure` (the rounds), `holds`, `beside`, `resources` (memory, head-of-line, start and rest),
`stats`, `goals`, `table`, `report`. `live` is a bench of its own, for people with a key; so is `wan`, for a provider that is far away.
"""
