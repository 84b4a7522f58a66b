"""noumena: latent variable models, fitted by EM and its descendants.

Importing the package is light: JAX, scikit-learn and the rest are loaded when a name is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Where each public name lives.
_HOME = {
    # estimators
    "GaussianMixture": "noumena.estimators.gaussian_mixture",
    "Mixture": "noumena.estimators.mixture",
    "BernoulliMixture": "noumena.estimators.cell_mixtures",
    "PoissonMixture": "noumena.estimators.cell_mixtures",
    "BayesianNetwork": "noumena.estimators.bayesian_network",
    "AugmentedClassifier": "noumena.estimators.augmented_classifier",
    "AugmentedRegressor": "noumena.estimators.augmented_regressor",
    "PredictiveDistribution": "noumena.models.predictive",
    "BayesianPCA": "noumena.estimators.bayesian_pca",
    "FactorAnalysis": "noumena.estimators.factor_analysis",
    "MixtureOfFactorAnalyzers": "noumena.estimators.mixture_of_factor_analyzers",
    "HierarchicalNormal": "noumena.estimators.hierarchical_normal",
    "ProbabilisticPCA": "noumena.estimators.probabilistic_pca",
    "RegressionMixture": "noumena.estimators.regression_mixture",
    "StudentTMixture": "noumena.estimators.student_t_mixture",
    "LatentClassAnalysis": "noumena.estimators.latent_class",
    "load": "noumena.estimators.storage",
    "learn_structure": "noumena.estimators.structure_learning",
    "LearnedStructure": "noumena.estimators.structure_learning",
    "select_factors": "noumena.estimators.factor_selection",
    "select_network": "noumena.estimators.network_selection",
    "select": "noumena.estimators.selection",
    "Selection": "noumena.estimators.selection",
    "bootstrap_test": "noumena.estimators.bootstrap_test",
    "BootstrapTest": "noumena.estimators.bootstrap_test",
    "merge_components": "noumena.estimators.merging",
    "Merging": "noumena.estimators.merging",
    "StandardErrors": "noumena.models.standard_errors",
    # data to try things on
    "penguins_path": "noumena.datasets",
    # pictures and pages
    "plot": "noumena.report.plots",
    "plot_merging": "noumena.report.merging",
    "plot_missing": "noumena.report.plots",
    "plot_trace": "noumena.report.plots",
    "write_report": "noumena.report.html",
    # to write a model of one's own
    "Block": "noumena.core.block",
    "Model": "noumena.core.model",
    # priors
    "NormalInverseWishart": "noumena.families.normal_inverse_wishart",
    # outcomes
    "Status": "noumena.core.result",
    "Trace": "noumena.core.result",
    # errors and warnings
    **dict.fromkeys(
        (
            "ColumnMismatchError",
            "ColumnTypeError",
            "ConvergenceWarning",
            "DataError",
            "DegenerateWarning",
            "ModelFileError",
            "NoumenaError",
            "NoumenaWarning",
        ),
        "noumena.core.errors",
    ),
    "BifError": "noumena.data.bif",
    "InformationError": "noumena.models.standard_errors",
    "NetworkError": "noumena.estimators.network_size",
    "OutputError": "noumena.estimators.storage",
    "SeparationError": "noumena.estimators.separation",
    "ReportError": "noumena.report.html",
    "TableFileError": "noumena.data.table",
}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from .core.block import Block as Block
    from .core.errors import ColumnMismatchError as ColumnMismatchError
    from .core.errors import ColumnTypeError as ColumnTypeError
    from .core.errors import ConvergenceWarning as ConvergenceWarning
    from .core.errors import DataError as DataError
    from .core.errors import DegenerateWarning as DegenerateWarning
    from .core.errors import ModelFileError as ModelFileError
    from .core.errors import NoumenaError as NoumenaError
    from .core.errors import NoumenaWarning as NoumenaWarning
    from .core.model import Model as Model
    from .core.result import Status as Status
    from .core.result import Trace as Trace
    from .data.bif import BifError as BifError
    from .data.table import TableFileError as TableFileError
    from .datasets import penguins_path as penguins_path
    from .estimators.augmented_classifier import AugmentedClassifier as AugmentedClassifier
    from .estimators.augmented_regressor import AugmentedRegressor as AugmentedRegressor
    from .estimators.bayesian_network import BayesianNetwork as BayesianNetwork
    from .estimators.bayesian_pca import BayesianPCA as BayesianPCA
    from .estimators.bootstrap_test import BootstrapTest as BootstrapTest
    from .estimators.bootstrap_test import bootstrap_test as bootstrap_test
    from .estimators.cell_mixtures import BernoulliMixture as BernoulliMixture
    from .estimators.cell_mixtures import PoissonMixture as PoissonMixture
    from .estimators.factor_analysis import FactorAnalysis as FactorAnalysis
    from .estimators.factor_selection import select_factors as select_factors
    from .estimators.gaussian_mixture import GaussianMixture as GaussianMixture
    from .estimators.hierarchical_normal import HierarchicalNormal as HierarchicalNormal
    from .estimators.latent_class import LatentClassAnalysis as LatentClassAnalysis
    from .estimators.merging import Merging as Merging
    from .estimators.merging import merge_components as merge_components
    from .estimators.mixture import Mixture as Mixture
    from .estimators.mixture_of_factor_analyzers import MixtureOfFactorAnalyzers as MixtureOfFactorAnalyzers
    from .estimators.network_selection import select_network as select_network
    from .estimators.network_size import NetworkError as NetworkError
    from .estimators.probabilistic_pca import ProbabilisticPCA as ProbabilisticPCA
    from .estimators.regression_mixture import RegressionMixture as RegressionMixture
    from .estimators.selection import Selection as Selection
    from .estimators.selection import select as select
    from .estimators.separation import SeparationError as SeparationError
    from .estimators.storage import OutputError as OutputError
    from .estimators.storage import load as load
    from .estimators.structure_learning import LearnedStructure as LearnedStructure
    from .estimators.structure_learning import learn_structure as learn_structure
    from .estimators.student_t_mixture import StudentTMixture as StudentTMixture
    from .families.normal_inverse_wishart import NormalInverseWishart as NormalInverseWishart
    from .models.predictive import PredictiveDistribution as PredictiveDistribution
    from .models.standard_errors import InformationError as InformationError
    from .models.standard_errors import StandardErrors as StandardErrors
    from .report.html import ReportError as ReportError
    from .report.html import write_report as write_report
    from .report.merging import plot_merging as plot_merging
    from .report.plots import plot as plot
    from .report.plots import plot_missing as plot_missing
    from .report.plots import plot_trace as plot_trace


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'noumena' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
