"""What a person is shown: words, tables, plots, pages."""
