"""Measured values, and the rows of the table that are made of them."""

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Row:
    """Compares one figure of two peers, or of one peer in two sizes."""

    title: str
    figure: str
    ours: str
    theirs: str
    unit: str
    # Whether a ratio says something. Nothing is divided by a figure that may be zero.
    has_ratio: bool = True


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row's figures: medians, and the median and the range of the ratios of each round."""

    ours: float
    theirs: float
    ratio: float | None
    lowest: float | None
    highest: float | None


class Figures:
    """The values of each figure and peer, one a round, or why there are none."""

    def __init__(self):
        self.values, self.refused, self.skipped = {}, {}, {}

    def add(self, figure, peer, value):
        self.values.setdefault((figure, peer), []).append(value)

    def refuse(self, figure, peer, why):
        """The figure must not be shown: its scenario did not happen. One refusal is enough."""
        self.refused.setdefault((figure, peer), f"{peer}: {why}")

    def skip(self, figure, why):
        """This machine cannot measure the figure. That is no failure."""
        self.skipped[figure] = why

    def why_not(self, row):
        """Why a row has no figures, and whether that is a failure; None if it has them."""
        if row.figure in self.skipped:
            return self.skipped[row.figure], False
        for peer in (row.ours, row.theirs):
            if (row.figure, peer) in self.refused:
                return self.refused[row.figure, peer], True
        for peer in (row.ours, row.theirs):
            if not self.values.get((row.figure, peer)):
                return f"{peer}: no value", True
        return None

    def cell(self, row):
        ours, theirs = self.values[row.figure, row.ours], self.values[row.figure, row.theirs]
        if not row.has_ratio:
            return Cell(statistics.median(ours), statistics.median(theirs), None, None, None)
        ratios = [one / other for one, other in zip(ours, theirs) if other]
        middle = statistics.median(ratios) if ratios else None
        return Cell(
            statistics.median(ours), statistics.median(theirs), middle, min(ratios, default=None), max(ratios, default=None),
        )
