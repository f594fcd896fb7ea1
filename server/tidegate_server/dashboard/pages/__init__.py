"""What is on each page. Pages draw what feeds have, and ask the server for what people want."""
