"""What Streamlit runs for every session and every click."""

from offbeat.dashboard.page import show

show()
