"""Tables, figures and contact sheets: pure functions of results."""
