"""What a finished run says: its file (`schema`), and how sure its numbers are (`statistics`)."""
