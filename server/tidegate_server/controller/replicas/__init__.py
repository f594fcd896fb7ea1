"""Replicas are told what to serve.

reconciler   orders, from the split and the experiments
errands      what drivers are asked for, beside the ticks
driver       what a driver can be asked for: over HTTP
"""
