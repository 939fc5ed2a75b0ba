"""What the budgets of the design promise, measured: each time as a ratio to its floor in the same run."""
