"""What the audit catches: seeded faults, beside other people's checkers, and its false alarms."""
