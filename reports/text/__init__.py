"""Words, numbers, tables and templates that terminal and page share."""
