"""A Salesforce org on this machine, for the demo and the tests; it imports nothing else of the project."""

from .control_client import ControlClient
from .faults import Fault, FaultRules
from .org import Org
from .server import SimulatorServer

__all__ = ["ControlClient", "Fault", "FaultRules", "Org", "SimulatorServer"]
