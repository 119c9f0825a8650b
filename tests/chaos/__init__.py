"""Providers that fail in every way known, the same requests to them directly and through sidestream, and a judge.

| module | what |
|---|---|
| `faults` | the ways to fail, how often each is drawn, and what may be done about it |
| `plan` | who asks for what, and what each candidate will do on each visit: pure functions of a seed |
| `words` | answers, errors and events of the dialects, as a provider says them |
| `upstream` | the providers: one process, a port for each; every visit is a line in its log |
| `recorder` | the same log for providers not written here, the mock and llmock, by standing before them |
| `hear` | an answer read by a strict client of its dialect |
| `clients` | many of them at once, each request direct and through sidestream |
| `records` | what upstreams and clients write down: all that the judge may read |
| `oracle` | the judge: which request went wrong, by which rule, and the lines that prove it |
| `table` | what a person reads at the end |
| `stale`, `stale_run` | another run: upstreams that close idle connections at just the wrong moment |
| `casting`, `world` | who plays the providers; starting and ending all these processes |
| `run` | a whole run, from the first process to the verdict |
| `cli` | `scripts/chaos` |

No code is shared with the crate, and the judge asks it nothing.
"""
