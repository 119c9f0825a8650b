"""What sidestream is worth where the provider is far away: `scripts/bench --wan`.

`window` (slow start as arithmetic), `delay` (the proxy that stands in for distance, a process), `truth` (does it delay as it
says?), `gate` (a lossy upstream, a process), `lane` and `call` (the clients, processes), `plan` (what is asked, how often), `scene`
(who runs), `run` (cases one after the other), `found` (figures and goals), `page`, `cli`.
"""
