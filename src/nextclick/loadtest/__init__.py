"""Load on a server: requests at fixed rates, and how long each answer took from when it was due.

from nextclick.loadtest import LoadConfig, Work, WorkConfig, load, open_server, simulated

server = open_server("http://127.0.0.1:8000")
work = Work(simulated(server, seed=0), WorkConfig(mode="events"))
curve = load(server, work, LoadConfig(rates=(100, 200, 500)))
"""

from nextclick.loadtest.address import Address
from nextclick.loadtest.ask import Server, open_server
from nextclick.loadtest.config import LoadConfig, WorkConfig
from nextclick.loadtest.curve import Curve, load
from nextclick.loadtest.measured import Measured
from nextclick.loadtest.visits import Visit, from_store, simulated
from nextclick.loadtest.work import Work

__all__ = [
    "Address",
    "Curve",
    "LoadConfig",
    "Measured",
    "Server",
    "Visit",
    "Work",
    "WorkConfig",
    "from_store",
    "load",
    "open_server",
    "simulated",
]
