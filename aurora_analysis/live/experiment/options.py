"""Options of a trial."""

from __future__ import annotations

from dataclasses import dataclass

from aurora_analysis.live.experiment.limits import Limits

RUNS_OF_BASELINE = 6
"""The baseline lasts as long as this many runs: enough to estimate how much the means of runs vary."""


@dataclass(frozen=True)
class TrialOptions:
    """Everything that defines a trial.

    Attributes
    ----------
    query : str
        The query to try, as checked by `read_only_query`.
    hours : float
        Length of the trial without its baseline [h].
    run_s : float
        Length of a block's run [s].
    cluster : str
        Name of the cluster in the store.
    workload : str
        Name of the query in the store.
    washout_s : float, optional
        Pause after each run [s]; None takes twice the drain that the pilot run measures.
    quiet_s : float, optional
        Length of the baseline [s]; None takes six runs' length.
    seed : int
        Seed of the assignment of blocks.
    clone : bool
        Whether the servers are a clone, whose load is compared with production's.
    production : str
        Name of production's cluster in the store, for that comparison.
    canary_database : str
        Database for the canary's table; empty runs no canary.
    writer_load : str
        Statements to run on the writer, separated by `;` at the end of a line.
    writer_load_rate : float
        Statements per second for `writer_load`.
    limits : Limits
        Limits at which the trial stops.
    """

    query: str
    hours: float
    run_s: float
    cluster: str = "trial"
    workload: str = "suspect"
    washout_s: float | None = None
    quiet_s: float | None = None
    seed: int = 0
    clone: bool = False
    production: str = ""
    canary_database: str = ""
    writer_load: str = ""
    writer_load_rate: float = 50.0
    limits: Limits = Limits()

    @property
    def baseline_s(self) -> float:
        """Length of the baseline before a new trial [s]."""
        return RUNS_OF_BASELINE * self.run_s if self.quiet_s is None else self.quiet_s

    @property
    def pause_s(self) -> float:
        """Length of the baseline before a trial continues [s]; it is short, because the plan is fixed already."""
        return min(self.run_s, self.baseline_s)
