"""A page on alerts, alive, for a browser: Streamlit's server and what it shows."""
