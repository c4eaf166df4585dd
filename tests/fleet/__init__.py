"""Faults of the fleet: real workers and beats, killed, frozen, starved and deceived."""
