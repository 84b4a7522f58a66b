"""Makes the pictures of the README and of docs/: python docs/images/make.py"""

from pathlib import Path

import numpy as np
import pyarrow.csv

import noumena as nm

measured = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
penguins = pyarrow.csv.read_csv(nm.penguins_path()).select(measured)
best = nm.select(
    nm.GaussianMixture(random_state=0), penguins, n_components=range(1, 6), covariance=["EEE", "VEE", "VVV"]
)
nm.plot(best.estimator_, penguins).savefig(Path(__file__).with_name("penguins.png"), dpi=110)
print(best.estimator_.covariance, best.estimator_.n_components, best.estimator_.status_.value)

complete = pyarrow.csv.ConvertOptions(strings_can_be_null=True)
birds = pyarrow.csv.read_csv(nm.penguins_path(), convert_options=complete).drop_null()
rm = nm.RegressionMixture(2, regressors=["flipper_length_mm"], concomitant=["bill_depth_mm"], random_state=0)
rm.fit(birds, birds["body_mass_g"])
nm.plot(rm, birds, "body_mass_g").savefig(Path(__file__).with_name("regressions.png"), dpi=90)
print(rm.coef_.ravel(), rm.status_.value)

measures = ["species", *measured]
logit = nm.AugmentedClassifier("logit").fit(birds.select(measures), birds["sex"])
nm.plot(logit, birds.select(measures), birds["sex"]).savefig(Path(__file__).with_name("coefficients.png"), dpi=90)
print(logit.coef_, logit.status_.value)

rng = np.random.default_rng(0)
verbal = rng.normal(size=400)
spatial = 0.4 * verbal + rng.normal(size=400)
tests = {name: verbal + rng.normal(size=400) for name in ("vocabulary", "reading", "spelling")}
tests |= {name: spatial + rng.normal(size=400) for name in ("maps", "cubes", "mazes")}
fa = nm.FactorAnalysis(2, rotation="oblimin").fit(pyarrow.table(tests))
nm.plot(fa, pyarrow.table(tests)).savefig(Path(__file__).with_name("loadings.png"), dpi=90)
print(fa.factor_correlations_.ravel(), fa.status_.value)

tables = {  # of Lauritzen & Spiegelhalter (1988), J. R. Statist. Soc. B 50:157
    "visit to Asia": [0.01, 0.99],
    "smoking": [0.5, 0.5],
    "tuberculosis": [[0.05, 0.95], [0.01, 0.99]],
    "lung cancer": [[0.1, 0.9], [0.01, 0.99]],
    "bronchitis": [[0.6, 0.4], [0.3, 0.7]],
    "either": [[[1, 0], [1, 0]], [[1, 0], [0, 1]]],
    "X-ray": [[0.98, 0.02], [0.05, 0.95]],
    "dyspnoea": [[[0.9, 0.1], [0.8, 0.2]], [[0.7, 0.3], [0.1, 0.9]]],
}
parents = {
    "tuberculosis": ["visit to Asia"],
    "lung cancer": ["smoking"],
    "bronchitis": ["smoking"],
    "either": ["tuberculosis", "lung cancer"],
    "X-ray": ["either"],
    "dyspnoea": ["bronchitis", "either"],
}
parents = {name: parents.get(name, []) for name in tables}
chest = nm.BayesianNetwork.from_tables(parents, tables, dict.fromkeys(tables, ("yes", "no")))
nm.plot(chest, evidence={"dyspnoea": "yes"}).savefig(Path(__file__).with_name("network.png"), dpi=90)
