"""The files that measurements leave: their format, their journals, and what they ran on."""
