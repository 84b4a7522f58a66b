"""Models that are conditional on columns: regressions, and weights that depend on covariates."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import noumena

from .test_cli import refused, run


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two lines that cross, a response of two words and one of counts, items; some cells are missing."""
    rng, n = np.random.default_rng(0), 200
    z = np.arange(n) % 2
    x = rng.uniform(0, 10, n)
    frame = pd.DataFrame(
        {
            "name": [f"person {i}" for i in range(n)],
            "x": x,
            "town": np.where(rng.random(n) < 0.5, "Aix", "Bonn"),
            "y": np.where(z, 2 * x, 20 - x) + rng.normal(0, 1, n),
            "said": np.where(rng.random(n) < 1 / (1 + np.exp(-np.where(z, 5 - x, x - 5))), "yes", "no"),
            "visits": rng.poisson(np.exp(np.where(z, 0.3 * x, 3 - 0.3 * x))),
            "w": 1.0 + np.arange(n) % 3,
            "age": rng.normal(size=n) + 2 * z,
            "a": np.where(rng.random(n) < 0.2 + 0.6 * z, "no", "yes"),
            "b": np.where(rng.random(n) < 0.2 + 0.6 * z, "no", "yes"),
            "c": np.where(rng.random(n) < 0.2 + 0.6 * z, "no", "yes"),
        }
    )
    frame.loc[3, "x"], frame.loc[4, "town"], frame.loc[5, "y"], frame.loc[6, "age"] = np.nan, None, np.nan, np.nan
    folder = tmp_path_factory.mktemp("conditional")
    frame.to_csv(folder / "t.csv", index=False)
    return folder


@pytest.fixture(autouse=True)
def _here(there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def table(there: Path) -> Path:
    return there / "t.csv"


@pytest.fixture(scope="module")
def frame(table: Path) -> pd.DataFrame:
    return pd.read_csv(table)


def test_the_report_of_a_stored_regression_needs_the_name_of_its_response(frame: pd.DataFrame) -> None:
    complete = frame[["x", "town", "y"]].dropna()
    complete.to_csv("rows.csv", index=False)
    noumena.AugmentedRegressor("student_t").fit(complete[["x", "town"]], complete["y"]).save("t.noumena")
    assert "name it with --response" in refused("report", "t.noumena", "rows.csv", "--out", "r.html")
    run("report", "t.noumena", "rows.csv", "--out", "r.html", "--response", "y")
    assert "Student t regression of y on 2 columns" in Path("r.html").read_text()


def test_a_stored_regression_by_augmentation_predicts_and_scores(table: Path, frame: pd.DataFrame) -> None:
    known = frame[["x", "town"]].notna().all(axis=1)
    rows = frame[known & frame["y"].notna()]
    direct = noumena.AugmentedRegressor("student_t").fit(rows[["x", "town"]], rows["y"])
    direct.save("t.noumena")
    run("predict", "t.noumena", table, "--out", "p.csv")
    answer = pd.read_csv("p.csv", skip_blank_lines=False)["expected"]
    np.testing.assert_allclose(answer[known], direct.predict(frame.loc[known, ["x", "town"]]), rtol=1e-12)
    assert answer[~known].isna().all()
    assert "name it with --response" in refused("score", "t.noumena", table)
    assert f"{direct.log_likelihood_:.6f}" in run("score", "t.noumena", table, "--response", "y").stdout
    assert "no distribution of its covariates" in refused("sample", "t.noumena")
    assert "cannot fill cells" in refused("impute", "t.noumena", table)


def test_a_stored_classifier_predicts_classes(table: Path, frame: pd.DataFrame) -> None:
    rows = frame.dropna(subset=["x", "y"])
    direct = noumena.AugmentedClassifier("logit").fit(rows[["x", "y"]], rows["said"])
    direct.save("c.noumena")
    run("predict", "c.noumena", table, "--probabilities", "--out", "p.csv")
    answer = pd.read_csv("p.csv").loc[rows.index]
    assert list(answer["class"]) == list(direct.predict(rows[["x", "y"]]))
    np.testing.assert_allclose(answer[["probability_no", "probability_yes"]], direct.predict_proba(rows[["x", "y"]]))
    holes = rows[["x", "y"]].mask(np.random.default_rng(0).random((len(rows), 2)) < 0.1)
    noumena.AugmentedClassifier(missing="normal").fit(holes, rows["said"]).save("m.noumena")
    run("predict", "m.noumena", table, "--out", "all.csv")
    assert pd.read_csv("all.csv")["class"].notna().all()  # rows with holes too


@pytest.fixture(scope="module")
def model(table: Path, there: Path) -> Path:
    out = there / "y.noumena"
    args = ("--regressors", "x", "--concomitant", "town", "--components", 2, "--n-init", 4, "--seed", 1, "--out", out)
    run("fit", table, "--model", "regression", "--response", "y", *args)
    return out


@pytest.fixture(scope="module")
def classes(table: Path, there: Path) -> Path:
    out = there / "lca.noumena"
    args = ("--columns", "a,b,c", "--covariates", "age", "--components", 2, "--n-init", 2, "--out", out)
    run("fit", table, "--model", "latent-class", *args)
    return out


def numbers(printed: str, head: str) -> list[float]:
    """What a line of the summary says of each component."""
    (line,) = re.findall(rf"^{re.escape(head)}((?: +-?[\d.]+)+)$", printed, re.MULTILINE)
    return [float(word) for word in line.split()]


# ----------------------------------------------------------------------------------------------------------------- fit


def test_a_regression_is_what_the_estimator_fits(model: Path, frame: pd.DataFrame) -> None:
    used = frame.dropna(subset=["x", "town", "y"])
    direct = noumena.RegressionMixture(2, regressors=["x"], concomitant=["town"], n_init=4, random_state=1)
    direct.fit(used, used["y"])
    stored = noumena.load(model)
    assert stored.log_likelihood_ == pytest.approx(direct.log_likelihood_, rel=1e-9)
    np.testing.assert_allclose(np.sort(stored.coef_[:, 0]), np.sort(direct.coef_[:, 0]), rtol=1e-6)


def test_a_sweep_prints_coefficients_says_what_is_left_out_and_writes_a_report(table: Path) -> None:
    drop = ("--drop", "w,age,a,b,c,visits,said", "--components", "1:2", "--n-init", 2, "--weights", "w")
    result = run("fit", table, "--model", "regression", "--response", "y", *drop, "--report", "r.html")
    stored = noumena.load("t.noumena")
    assert "left out, for they do not hold numbers or text with few levels: name" in result.stderr
    assert "rows left out that have no value in y (1 row), x (1 row), town (1 row)" in result.stderr
    assert "2 linear regressions, the best of 2 candidates by BIC" in result.stdout
    assert re.search(r"^response +y\nregressors +x, town$", result.stdout, re.MULTILINE)
    assert numbers(result.stdout, "x") == pytest.approx(stored.coef_[:, 0], abs=1e-3)
    assert numbers(result.stdout, "town[Bonn]") == pytest.approx(stored.coef_[:, 1], abs=1e-3)
    assert numbers(result.stdout, "residual standard deviation") == pytest.approx(stored.standard_deviation_, abs=1e-3)
    page = Path("r.html").read_text(encoding="utf-8")
    assert "2 linear regressions of y in 197 rows" in page
    assert "These are not the rows" not in page


@pytest.mark.parametrize(
    ("family", "response", "line"),
    [("logistic", "said", r"response +P\(said = yes\)"), ("poisson", "visits", "response +visits")],
)
def test_the_other_families(table: Path, family: str, response: str, line: str) -> None:
    args = ("--regressors", "x", "--components", 2, "--n-init", 2, "--prior", "default", "--out", "m.noumena")
    result = run("fit", table, "--model", "regression", "--response", response, "--response-family", family, *args)
    stored = noumena.load("m.noumena")
    assert (stored.family, stored.prior) == (family, "default")
    assert re.search(f"^{line}$", result.stdout, re.MULTILINE)
    assert "residual standard deviation" not in result.stdout


def test_weights_may_depend_on_covariates(classes: Path, table: Path, frame: pd.DataFrame) -> None:
    stored = noumena.load(classes)
    used = frame.dropna(subset=["age"])[["a", "b", "c", "age"]]
    direct = noumena.LatentClassAnalysis(2, covariates=["age"], n_init=2, random_state=0).fit(used)
    assert stored.log_likelihood_ == pytest.approx(direct.log_likelihood_, rel=1e-12)
    args = ("--columns", "a,x", "--covariates", "age,town", "--components", 2, "--out", "m.noumena")
    result = run("fit", table, "--model", "mixture", *args, "--family", "x=gamma")
    mixture = noumena.load("m.noumena")
    assert mixture.families_ == {"a": "categorical", "x": "gamma"}
    assert mixture.covariates == ["age", "town"]
    assert "rows left out that have no value in age (1 row), town (1 row)" in result.stderr
    assert numbers(result.stdout, "log odds: town[Bonn]") == pytest.approx(mixture.membership_coef_[:, 1], abs=1e-3)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--model", "regression"], "regression needs the column that is to be explained"),
        (["--response", "y"], "gaussian has none: leave it out, or choose --model regression"),
        (["--model", "poisson", "--concomitant", "x"], "choose --model regression"),
        (["--covariates", "x"], "choose --model mixture or latent-class"),
        (["--model", "regression", "--response", "y", "--columns", "x"], "--regressors and --concomitant"),
        (["--model", "regression", "--response", "y", "--labels", "a"], "takes no known components"),
        (["--model", "regression", "--response", "y", "--covariance", "EEE"], "regression has none"),
    ],
)
def test_options_that_make_no_sense_are_refused(table: Path, args: list[str], told: str) -> None:
    result = run("fit", table, *args, code=2)
    assert told in " ".join(result.stderr.split())
    assert list(Path().iterdir()) == []


def test_responses_and_regressors_that_cannot_be_are_refused(table: Path) -> None:
    fit = ("fit", table, "--model", "regression", "--components", 2, "--response")
    assert "is the response, which cannot explain itself" in refused(*fit, "y", "--regressors", "x,y")
    assert "Did you mean 'visits'?" in refused(*fit, "vists")
    told = refused(*fit, "said", "--regressors", "x")
    assert "the response does not hold numbers" in told
    assert "--response-family" in told
    told = refused(*fit, "y", "--regressors", "x", "--response-family", "poisson")
    assert "choose another --response-family" in told


# ----------------------------------------------------------------------------------------------------- what it answers


def test_predict_gives_expectations_and_components_and_leaves_rows_without_covariates_empty(
    model: Path, table: Path, frame: pd.DataFrame
) -> None:
    result = run("predict", model, table, "--probabilities", "--out", "p.csv")
    assert "rows left empty that have no value in x (1 row), town (1 row)" in result.stderr
    told, rm = pd.read_csv("p.csv"), noumena.load(model)
    assert list(told) == ["expected", "component", "probability_0", "probability_1"]
    assert len(told) == len(frame)
    assert told.index[told.isna().all(axis=1)].tolist() == [3, 4]
    whole = frame.dropna(subset=["x", "town"])
    np.testing.assert_allclose(told["expected"].dropna(), rm.predict(whole), rtol=1e-12)
    known = whole["y"].notna()
    posterior = rm.component_proba(whole[known], whole["y"][known])
    np.testing.assert_allclose(told.loc[whole.index[known], "probability_0"], posterior[:, 0], rtol=1e-9)
    np.testing.assert_array_equal(told.loc[whole.index[known], "component"], posterior.argmax(axis=1))
    # without a response, the probabilities are the weights
    assert told.loc[5, "probability_0"] == pytest.approx(rm.component_proba(whole.loc[[5]])[0, 0])


def test_predict_without_the_response_gives_expectations_only(model: Path, frame: pd.DataFrame) -> None:
    frame.drop(columns="y").to_csv("new.csv", index=False)
    run("predict", model, "new.csv", "--out", "p.csv")
    assert list(pd.read_csv("p.csv")) == ["expected"]
    assert "no such column: 'yy'" in refused("predict", model, "new.csv", "--response", "yy")
    assert "no such column: 'y'" in refused("score", model, "new.csv")


def test_score_is_of_the_responses(model: Path, table: Path, frame: pd.DataFrame) -> None:
    rm, used = noumena.load(model), frame.dropna(subset=["x", "town", "y"])
    result = run("score", model, table)
    assert re.search(r"^response +y$", result.stdout, re.MULTILINE)
    assert f"rows                    {len(used)}" in result.stdout
    assert f"{rm.log_density(used, used['y']).sum():.6f}" in result.stdout
    assert f"{rm.bic(used, used['y']):.6f}" in result.stdout
    run("score", model, table, "--rows", "--out", "s.csv")
    told = pd.read_csv("s.csv", skip_blank_lines=False)["log_likelihood"]
    assert told.index[told.isna()].tolist() == [3, 4, 5]
    np.testing.assert_allclose(told.dropna(), rm.log_density(used, used["y"]), rtol=1e-9)


def test_sample_draws_responses_for_given_covariates(model: Path, table: Path, frame: pd.DataFrame) -> None:
    run("sample", model, "--given", table, "--seed", 3, "--out", "s.csv")
    drawn, used = pd.read_csv("s.csv"), frame.dropna(subset=["x", "town"])
    assert list(drawn) == ["x", "town", "y"]
    np.testing.assert_allclose(drawn["x"], used["x"])
    np.testing.assert_allclose(drawn["y"], noumena.load(model).sample(used, random_state=3)[0], rtol=1e-12)
    assert "name a table of them with --given" in " ".join(run("sample", model, code=2).stderr.split())
    told = run("sample", model, "--given", table, "--rows", 5, code=2).stderr
    assert "a response is drawn for each row of --given" in " ".join(told.split())


def test_impute_is_refused_and_says_what_to_do(model: Path, table: Path) -> None:
    told = refused("impute", model, table)
    assert "cannot fill cells" in told
    assert "`noumena predict` gives the expected response" in told


def test_the_report_of_a_regression(model: Path, table: Path) -> None:
    result = run("report", model, table, "--out", "r.html", "--title", "Lines")
    assert "rows left out that have no value in x (1 row), town (1 row), y (1 row)" in result.stderr
    page = Path("r.html").read_text(encoding="utf-8")
    assert "<title>Lines</title>" in page
    assert "2 linear regressions of y in 197 rows" in page
    assert "These are not the rows" not in page


def test_a_model_knows_its_response_by_name_or_needs_to_be_told(table: Path, frame: pd.DataFrame) -> None:
    used = frame.dropna(subset=["x", "y"])
    noumena.RegressionMixture(2, n_init=2, random_state=0).fit(used[["x"]], used["y"]).save("named.noumena")
    assert "rows                    198" in run("score", "named.noumena", table).stdout
    noumena.RegressionMixture(2, n_init=2, random_state=0).fit(used[["x"]], used["y"].to_numpy()).save("m.noumena")
    assert "name it with --response" in refused("score", "m.noumena", table)
    assert "rows                    198" in run("score", "m.noumena", table, "--response", "y").stdout
    assert run("predict", "m.noumena", table).stdout.startswith("expected\n")
    assert run("predict", "m.noumena", table, "--response", "y").stdout.startswith("expected,component\n")


def test_weights_that_depend_on_covariates_answer_too(classes: Path, table: Path, frame: pd.DataFrame) -> None:
    lca, used = noumena.load(classes), frame.dropna(subset=["age"])
    run("predict", classes, table, "--probabilities", "--out", "p.csv")
    told = pd.read_csv("p.csv")
    assert told.index[told.isna().all(axis=1)].tolist() == [6]
    np.testing.assert_allclose(told["probability_1"].dropna(), lca.predict_proba(used)[:, 1], rtol=1e-9)
    assert f"{lca.score_samples(used).sum():.6f}" in run("score", classes, table).stdout
    run("sample", classes, "--rows", 7, "--out", "s.csv")
    assert pd.read_csv("s.csv").shape == (7, 3)
    assert "column 'age' is missing or infinite at row 6" in refused("impute", classes, table)
    run("report", classes, table, "--out", "r.html", "--no-standard-errors")
    assert "These are not the rows" not in Path("r.html").read_text(encoding="utf-8")
    assert "has none" in " ".join(run("score", classes, table, "--response", "a", code=2).stderr.split())
