"""What pages show, as values: tables, lines and options of charts. Pure, without elements."""
