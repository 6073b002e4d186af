"""Match replies and receipts with notifications."""
