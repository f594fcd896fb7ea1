"""GrowthBook's statistics, with all that it can say of what a comparison of ours says."""

from benchmarks.analysis_peers.gbstats import REQUIREMENTS as REQUIREMENTS
from benchmarks.analysis_peers.gbstats import main

if __name__ == "__main__":
    main(everything=True)
