"""A program that rolls out a second version of a model, as an application would."""
