"""Makes the pictures of the README and of docs/: python docs/images/make.py"""

from pathlib import Path

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
