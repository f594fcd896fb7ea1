"""The public surface of `tidegate_server.analysis`. No name is that of a module there."""

from tidegate_server.analysis.aggregates import (
    ArmAggregate,
    OutcomeAggregate,
)
from tidegate_server.analysis.caps import (
    AbsoluteCap,
    QuantileCap,
)
from tidegate_server.analysis.classic_rule import (
    ClassicRule,
    judge_once,
)
from tidegate_server.analysis.clusters import (
    design_effect,
    intraclass_correlation,
    unit_deviation,
    unit_deviation_of,
)
from tidegate_server.analysis.comparison import (
    Estimate,
    compare,
)
from tidegate_server.analysis.confidence_sequence import (
    AlwaysValid,
    Reading,
    Tuning,
    always_valid,
    effective_size,
    for_harm,
)
from tidegate_server.analysis.covariates import (
    Adjusted,
    cuped,
    post_stratify,
)
from tidegate_server.analysis.crossover import (
    Crossover,
)
from tidegate_server.analysis.crossover import crossover as estimate_crossover
from tidegate_server.analysis.decision import (
    EffectRule,
    Evidence,
    Goal,
    Guardrail,
    Judgement,
    MetricEvidence,
    Options,
    Verdict,
    judge,
)
from tidegate_server.analysis.effect_size import (
    EffectSize,
    Magnitude,
)
from tidegate_server.analysis.effect_size import effect_size as cohens_d
from tidegate_server.analysis.effects import (
    Alternative,
    Effect,
    Interval,
    difference,
    log_ratio,
)
from tidegate_server.analysis.estimable import (
    Cause,
    NotEstimable,
)
from tidegate_server.analysis.evidence import (
    Bounds,
    Scale,
    fixed_source,
    sequence_source,
)
from tidegate_server.analysis.exact import (
    exact_proportion,
    exact_rate,
    exact_rate_ratio,
)
from tidegate_server.analysis.figures import (
    Figure,
)
from tidegate_server.analysis.group_sequential import (
    Boundaries,
    boundaries,
    repeated_interval,
    stagewise_p_value,
)
from tidegate_server.analysis.looks import Analysis
from tidegate_server.analysis.margins import (
    Margin,
    MarginTest,
    equivalence,
    non_inferiority,
)
from tidegate_server.analysis.means import (
    mean_of_moments,
    ratio_of_moments,
)
from tidegate_server.analysis.metrics import (
    Metric,
    Statistic,
    figure_of,
    figures_of,
)
from tidegate_server.analysis.multiplicity import (
    Adjustment,
    adjust_p_values,
    compare_all,
)
from tidegate_server.analysis.novelty import (
    DatedSample,
    Novelty,
    effect_by_day,
)
from tidegate_server.analysis.outliers import (
    Outliers,
    find_outliers,
)
from tidegate_server.analysis.phases import (
    Heterogeneity,
    combine_phases,
    heterogeneity,
)
from tidegate_server.analysis.planning import (
    Design,
    Plan,
    PlannedMetric,
    plan,
    relative_metric,
)
from tidegate_server.analysis.posterior import (
    NormalPrior,
    Posterior,
    posterior_of,
)
from tidegate_server.analysis.quality import (
    Quality,
    judge_quality,
)
from tidegate_server.analysis.ranks import (
    RankComparison,
    mann_whitney,
)
from tidegate_server.analysis.rates import (
    proportion_of_moments,
)
from tidegate_server.analysis.sample_ratio import (
    SampleRatio,
)
from tidegate_server.analysis.sample_ratio import sample_ratio as check_sample_ratio
from tidegate_server.analysis.samples import (
    LiveOutcome,
    Sample,
    UnitTotals,
    fold_units,
    sample,
    sample_of_ids,
    unit_totals,
)
from tidegate_server.analysis.sequence_margins import Horizon
from tidegate_server.analysis.spending import (
    obrien_fleming,
    pocock,
    power_family,
)
from tidegate_server.analysis.spread import (
    PhaseFigures,
)
from tidegate_server.analysis.telemetry import (
    Telemetry,
    lost_events,
    missing_outcomes,
)
from tidegate_server.analysis.units import (
    UnitCount,
    count_units,
)

__all__ = [
    "AbsoluteCap",
    "Adjusted",
    "Adjustment",
    "Alternative",
    "AlwaysValid",
    "Analysis",
    "ArmAggregate",
    "Boundaries",
    "Bounds",
    "Cause",
    "ClassicRule",
    "Crossover",
    "DatedSample",
    "Design",
    "Effect",
    "EffectRule",
    "EffectSize",
    "Estimate",
    "Evidence",
    "Figure",
    "Goal",
    "Guardrail",
    "Heterogeneity",
    "Horizon",
    "Interval",
    "Judgement",
    "LiveOutcome",
    "Magnitude",
    "Margin",
    "MarginTest",
    "Metric",
    "MetricEvidence",
    "NormalPrior",
    "NotEstimable",
    "Novelty",
    "Options",
    "OutcomeAggregate",
    "Outliers",
    "PhaseFigures",
    "Plan",
    "PlannedMetric",
    "Posterior",
    "Quality",
    "QuantileCap",
    "RankComparison",
    "Reading",
    "Sample",
    "SampleRatio",
    "Scale",
    "Statistic",
    "Telemetry",
    "Tuning",
    "UnitCount",
    "UnitTotals",
    "Verdict",
    "adjust_p_values",
    "always_valid",
    "boundaries",
    "check_sample_ratio",
    "cohens_d",
    "combine_phases",
    "compare",
    "compare_all",
    "count_units",
    "cuped",
    "design_effect",
    "difference",
    "effect_by_day",
    "effective_size",
    "equivalence",
    "estimate_crossover",
    "exact_proportion",
    "exact_rate",
    "exact_rate_ratio",
    "figure_of",
    "figures_of",
    "find_outliers",
    "fixed_source",
    "fold_units",
    "for_harm",
    "heterogeneity",
    "intraclass_correlation",
    "judge",
    "judge_once",
    "judge_quality",
    "log_ratio",
    "lost_events",
    "mann_whitney",
    "mean_of_moments",
    "missing_outcomes",
    "non_inferiority",
    "obrien_fleming",
    "plan",
    "pocock",
    "post_stratify",
    "posterior_of",
    "power_family",
    "proportion_of_moments",
    "ratio_of_moments",
    "relative_metric",
    "repeated_interval",
    "sample",
    "sample_of_ids",
    "sequence_source",
    "stagewise_p_value",
    "unit_deviation",
    "unit_deviation_of",
    "unit_totals",
]
