"""The dashboard: what people look at while traffic moves. A client of the gRPC API, like any other.

serve ── guard ── access ── tokens     who may see what, and the process
└───── pages ── kit                  what is on each page, and its elements
├───── charts ── words      values → options of charts, values → sentences
└───── feeds ── api         values that are kept current ← the server's answers
"""
