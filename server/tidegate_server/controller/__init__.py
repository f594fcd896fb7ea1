"""The controller: looks at experiments, and does what `decide` says.

lease                   which of any number of controllers leads
schedule → looks        each active experiment at its interval
    evidence            live aggregates → findings
    gates, checks/      what stands before a preflight's end, a stage's share, a stage's end
notifications/          tells decisions to the addresses that a plan names
web                     requests over HTTP, signed
"""
