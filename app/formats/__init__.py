"""What a text says, and how each kind of file says it. Pure: nothing in here reads or writes a file."""
