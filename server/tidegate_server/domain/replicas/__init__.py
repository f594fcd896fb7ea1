"""Replicas: running model servers, and which of a flag's variants each shall serve.

replica     what is known of one, and what was ordered
hearing     whose silence counts
checks      what a replica may say of itself
wanted      how many replicas each variant shall have
progress    how far an order has come
reassign    from replicas and what is wanted to the next orders
gate        whether a stage's replicas are ready
"""
