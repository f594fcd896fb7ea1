"""Redis (or Valkey) behind the ports; scripts stand in *.lua files beside the code."""
