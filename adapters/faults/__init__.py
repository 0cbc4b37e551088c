"""Seeded faults: each a change to one step of backpropagation, written once and planted in every engine."""
