"""Experiments: plans, their state, and the pure function that takes them from look to look.

    plan ── checks, templates        what a person writes down beforehand
    look                             what one look at the outside world found
    state                            where an experiment stands
    assessment → tick, commands      (plan, state, look or command, now) → step

Nothing here does I/O: a controller, a simulation and the tests call the same functions.
"""
