"""Other libraries that compare variants, each in a process and an environment of its own.

Their requirements and ours exclude each other (one needs numpy below 2). Every adapter has
`REQUIREMENTS`, what pip is to install, and as a program serves its works to `stopwatch`. All answer
with the difference of means and its 95 % interval, Welch's, so that it can be seen that they
compute what we do.
"""
