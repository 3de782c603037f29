"""From verdicts to alerts: votes, severity, levels."""
