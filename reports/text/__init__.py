"""Words, numbers, lines, tables and templates that terminal and page share."""
