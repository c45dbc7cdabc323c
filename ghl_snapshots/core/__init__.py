"""Values that every other room speaks in: no input or output, nothing of ours below."""
