"""Elements that NiceGUI does not have."""
