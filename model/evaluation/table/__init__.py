"""The comparison of the paper by one command: every system trained on the same text, measured, in one table.

The way of the data is `plan → texts → training → measures → result → page`. A measure is a small JSON file that is kept
while what it depends on stays the same, so a stopped run goes on.
"""
