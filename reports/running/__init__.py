"""What every measurement needs: worker processes, engines, seeds, tallies and records."""
