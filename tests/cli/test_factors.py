"""Factor models from a shell: numbers of factors, scores of rows, options that do not go with them."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import noumena
from noumena.cli.options import sizes

from .test_cli import refused, run

NAMES = [f"item{j}" for j in range(8)]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers behind which two factors stand, with missing cells, among other columns."""
    rng = np.random.default_rng(0)
    loadings = np.kron(np.eye(2), np.ones((4, 1))) * 0.8
    x = rng.normal(size=(250, 2)) @ loadings.T + rng.normal(size=(250, 8)) * 0.6
    frame = pd.DataFrame(x, columns=NAMES).mask(rng.random(x.shape) < 0.05)
    frame.insert(0, "name", [f"n{i}" for i in range(250)])
    frame["w"] = 1.0 + np.arange(250) % 2
    folder = tmp_path_factory.mktemp("factors")
    frame.to_csv(folder / "answers.csv", index=False)
    return folder


@pytest.fixture(autouse=True)
def _here(there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def answers(there: Path) -> Path:
    return there / "answers.csv"


@pytest.fixture(scope="module")
def frame(answers: Path) -> pd.DataFrame:
    return pd.read_csv(answers)[NAMES]


@pytest.fixture(scope="module")
def model(there: Path, answers: Path) -> Path:
    out = there / "m.noumena"
    run("fit", answers, "--model", "factors", "--factors", 2, "--rotation", "oblimin", "--drop", "w", "--out", out)
    return out


def fit(table: Path, model: str, *args: object, code: int = 0):
    return run("fit", table, "--model", model, "--drop", "w", "--out", "m.noumena", "--force", *args, code=code)


# ------------------------------------------------------------------------------------------------------------------ fit


def test_the_stored_model_is_what_the_library_makes_of_the_table(model, frame):
    stored = noumena.load(model)
    direct = noumena.FactorAnalysis(2, rotation="oblimin", random_state=0).fit(frame)
    assert stored.get_params() == direct.get_params()
    np.testing.assert_allclose(stored.loadings_, direct.loadings_, rtol=1e-9)
    assert stored.log_likelihood_ == pytest.approx(direct.log_likelihood_, rel=1e-12)


def test_numbers_of_factors_are_compared_and_the_summary_tells_loadings(answers, frame):
    printed = fit(answers, "factors", "--factors", "1:3", "--rotation", "oblimin", "--criterion", "aic")
    stored = noumena.load("m.noumena")
    said = printed.stdout
    assert "note: left out, for they do not hold numbers: name" in printed.stderr
    assert "2 factors, rotation oblimin, the best of 3 candidates by AIC\n" in said
    assert f"log likelihood  {stored.log_likelihood_:.4f} (exact, nats)" in said
    # 16 loadings, 8 variances of noise and 8 means, less a rotation
    assert f"BIC             {stored.bic(frame):.4f} (lower is better; 31 parameters)" in said
    for j, name in enumerate(NAMES):
        cells = [f"{value:.2f}" for value in stored.standardized_loadings_[j]] + [f"{stored.communalities_[j]:.2f}"]
        assert re.search(rf"^{name} +" + " +".join(cells).replace("-0.00", "0.00") + "$", said, re.MULTILINE)
    assert re.search(rf"^factor 2 +{stored.factor_correlations_[1, 0]:.2f}$", said, re.MULTILINE)
    assert re.search(r"^best candidates +log likelihood +AIC", said, re.MULTILINE)
    assert re.search(r"^2 factors ", said, re.MULTILINE)


def test_without_a_number_of_factors_five_are_tried(answers):
    # 8 columns have 36 variances and covariances: 8 · 5 − 10 + 8 of five factors do not fit
    assert "the best of 4 candidates by BIC" in fit(answers, "factors").stdout
    assert "the best of 5 candidates by BIC" in fit(answers, "pca").stdout
    assert noumena.load("m.noumena").n_factors == 2


def test_bayesian_components_are_found_and_their_bound_is_called_one(answers):
    said = fit(answers, "bayesian-pca").stdout
    stored = noumena.load("m.noumena")
    assert said.startswith(f"{stored.n_factors_} principal components\n")
    assert f"lower bound     {stored.lower_bound_:.4f} (of the log evidence, nats)" in said
    assert "at the posterior means of the loadings" in said
    assert "BIC" not in said
    fit(answers, "bayesian-pca", "--factors", 3)
    assert noumena.load("m.noumena").n_factors == 3
    scored = run("score", "m.noumena", answers).stdout
    assert "log likelihood" in scored
    assert "BIC" not in scored


def test_a_mixture_of_factor_analysers_is_a_mixture(answers, frame):
    said = fit(answers, "factor-mixture", "--components", "1:2", "--factors", 2).stdout
    stored = noumena.load("m.noumena")
    assert type(stored).__name__ == "MixtureOfFactorAnalyzers"
    assert stored.n_factors == 2
    assert "each with 2 factors, the best of 2 candidates by BIC" in said
    run("predict", "m.noumena", answers, "--out", "p.csv")
    assert (pd.read_csv("p.csv")["component"] == stored.predict(frame)).all()


def test_options_reach_the_estimator_and_weights_count_rows(answers, frame):
    run(
        *("fit", answers, "--model", "factors", "--factors", 1, "--columns", "item0,item1,item2,item3", "--tol", 0),
        *("--weights", "w", "--max-iter", 30, "--accelerate", "none", "--seed", 4, "--out", "m.noumena"),
    )
    stored = noumena.load("m.noumena")
    weight = pd.read_csv(answers)["w"]
    direct = noumena.FactorAnalysis(1, tol=0.0, max_iter=30, accelerate=None, random_state=4)
    direct.fit(frame[NAMES[:4]], sample_weight=weight)
    assert stored.get_params() == direct.get_params()
    assert stored.log_likelihood_ == pytest.approx(direct.log_likelihood_, rel=1e-12)


# -------------------------------------------------------------------------------------------------------------- answers


def test_predict_gives_factor_scores(model, answers, frame):
    run("predict", model, answers, "--out", "s.csv")
    found = pd.read_csv("s.csv")
    assert list(found.columns) == ["factor1", "factor2"]
    np.testing.assert_allclose(found, noumena.load(model).transform(frame), rtol=1e-12)


def test_scores_of_a_pattern_have_its_names(answers, frame):
    cfa = noumena.FactorAnalysis(pattern={"verbal, say": NAMES[:4], "speed": NAMES[4:]}).fit(frame)
    cfa.save("cfa.noumena")
    run("predict", "cfa.noumena", answers, "--out", "s.csv")
    found = pd.read_csv("s.csv")
    assert list(found.columns) == ["verbal, say", "speed"]  # their order is kept in the file
    np.testing.assert_allclose(found, cfa.transform(frame), rtol=1e-12)


def test_impute_score_and_sample(model, answers, frame):
    stored = noumena.load(model)
    run("impute", model, answers, "--out", "filled.csv")
    found, whole = pd.read_csv("filled.csv"), pd.read_csv(answers)
    assert list(found.columns) == list(whole.columns)
    np.testing.assert_allclose(found[NAMES], stored.impute(frame), rtol=1e-12)
    run("impute", model, answers, "--draws", 2, "--seed", 3, "--out", "draws.csv")
    assert len(pd.read_csv("draws.csv")) == 500
    said = run("score", model, answers).stdout
    assert f"log likelihood          {stored.score_samples(frame).sum():.6f}  (exact, nats)" in said
    assert f"BIC                     {stored.bic(frame):.6f}" in said
    run("sample", model, "--rows", 20, "--seed", 3, "--out", "new.csv")
    new = pd.read_csv("new.csv")
    np.testing.assert_allclose(new, stored.sample(20, random_state=3)[0], rtol=1e-12)
    assert list(new.columns) == NAMES


def test_reports_are_written_at_the_fit_and_after_it(answers):
    fit(answers, "pca", "--factors", "1:3", "--report", "r.html")
    text = Path("r.html").read_text(encoding="utf-8")
    assert "2 principal components of 250 rows by 8 columns" in text
    assert "3 candidates, compared by BIC" in text
    run("report", "m.noumena", answers, "--title", "Answers", "--out", "again.html")
    text = Path("again.html").read_text(encoding="utf-8")
    assert "<title>Answers</title>" in text
    assert "These are not the rows" not in text


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("model", "args", "told"),
    [
        ("factors", ["--components", "3"], "'--components': factors has none"),
        ("pca", ["--labels", "w"], "'--labels': pca has none"),
        ("bayesian-pca", ["--init", "random"], "'--init': bayesian-pca has none"),
        ("factors", ["--n-init", "5"], "'--n-init': factors has none"),
        ("factors", ["--criterion", "icl"], "'--criterion': numbers of factors are chosen by bic or aic"),
        ("factors", ["--covariance", "EEE"], "'--covariance': factors has none"),
        ("factors", ["--prior", "default"], "'--prior': factors has none"),
        ("factors", ["--factors", "0"], "'--factors': '0' is no number of factors"),
        ("pca", ["--rotation", "varimax"], "'--rotation': pca has none: leave it out, or choose --model factors"),
        ("bayesian-pca", ["--factors", "1:3"], "'--factors': bayesian-pca finds the number of factors by itself"),
        ("factor-mixture", ["--factors", "1:3"], "'--factors': a mixture tries numbers of components"),
        ("gaussian", ["--factors", "2"], "choose --model factors or pca or bayesian-pca or factor-mixture"),
    ],
)
def test_options_that_make_no_sense_are_refused(answers, model, args, told):
    result = fit(answers, model, *args, code=2)
    assert told in " ".join(result.stderr.split())
    assert not Path("m.noumena").exists()


def test_errors_say_what_to_do(model, answers):
    base = ("fit", answers, "--columns", "item0,item1,item2", "--out", "x.noumena", "--model")
    assert "--factors=3 is too many for 3 columns: at most 2" in refused(*base, "pca", "--factors", 3)
    assert "--factors=4 is too many for a table of 3 column(s)" in refused(*base, "factors", "--factors", "4:5")
    told = run("predict", model, answers, "--probabilities", code=2).stderr
    assert "factors are numbers, not states" in " ".join(told.split())
    assert "it is for networks" in " ".join(run("predict", model, answers, "--target", "w", code=2).stderr.split())
    assert "has none: leave it out" in run("predict", model, answers, "--response", "w", code=2).stderr
    assert "questions are for Bayesian networks" in refused("query", model)


def test_numbers_of_factors_are_read():
    assert sizes("1:3,7", "factors") == [1, 2, 3, 7]
