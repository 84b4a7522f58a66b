"""`noumena fit --model`: which columns are taken, which options go with which model, what is stored and printed."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

import noumena
from noumena.cli.options import degrees, families

from .test_cli import refused, run


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text, counts, bits, measurements, a date, a name for each row; two groups, some holes."""
    rng, n = np.random.default_rng(3), 160
    z = np.arange(n) % 2
    columns = {
        "name": [f"person {i}" for i in range(n)],
        "born": pa.array(["1990-01-01", "1991-02-03"] * (n // 2)),
        "smoker": np.where(rng.random(n) < 0.2 + 0.6 * z, "yes", "no").tolist(),
        "town": [["Aix", "Bonn", "Cork"][(i + k) % 3] for i, k in enumerate(rng.integers(0, 2, n))],
        "visits": rng.poisson(2.0 + 8.0 * z),
        "ill": (rng.random(n) < 0.2 + 0.6 * z).astype(int),
        "height": rng.normal(150.0 + 30.0 * z, 5.0),
        "mass": rng.normal(50.0 + 30.0 * z, 5.0),
        "w": 1.0 + np.arange(n) % 3,
        "group": pa.array([i % 2 if i < 8 else None for i in range(n)], pa.int64()),
    }
    columns["smoker"][5], columns["town"][6] = None, None
    path = tmp_path_factory.mktemp("survey") / "survey.csv"
    csv.write_csv(pa.table(columns), path)
    return path


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


APART = ("--drop", "w,group")


def fit(path: Path, model: str, *args: object, code: int = 0):
    return run("fit", path, "--model", model, "--out", "m.noumena", "--components", 2, *args, code=code)


def test_a_mixture_infers_families_and_takes_text(survey: Path, there: Path) -> None:
    result = fit(survey, "mixture", *APART)
    stored = noumena.load("m.noumena")
    assert stored.families_ == {
        "smoker": "categorical", "town": "categorical", "visits": "poisson", "ill": "bernoulli",
        "height": "normal", "mass": "normal",
    }  # fmt: skip
    assert "left out, for they do not hold numbers or text with few levels: name, born" in result.stderr
    assert re.search(r"^columns +categorical: smoker, town\n +poisson: visits", result.stdout, re.MULTILINE)
    chances = stored.parameters_["town"]["probability"]
    for level, chance in zip(stored.levels_["town"], chances.T, strict=True):
        wanted = " +".join(f"{value:.3f}" for value in chance)
        assert re.search(rf"^P\(town = {level}\) +{wanted}$", result.stdout, re.MULTILINE)
    assert re.search(r"^P\(smoker = yes\)", result.stdout, re.MULTILINE)
    assert "P(smoker = no)" not in result.stdout
    assert re.search(r"^mean of visits ", result.stdout, re.MULTILINE)
    assert "covariance" not in result.stdout


def test_families_may_be_said_and_keep_the_order_of_the_table(survey: Path, there: Path) -> None:
    said = ("--family", "height,mass=normal", "--family", "visits=negative-binomial", "--covariance", "EEE")
    result = fit(survey, "mixture", "--drop", "w,group,name,born", *said)
    stored = noumena.load("m.noumena")
    assert list(stored.families_) == ["smoker", "town", "visits", "ill", ("height", "mass")]
    assert stored.families_["visits"] == "negative-binomial"
    assert stored.families_["smoker"] == "categorical"
    assert stored.covariance == "EEE"
    assert "2 components, covariance EEE" in result.stdout


def test_a_mixture_is_what_the_estimator_fits(survey: Path, there: Path) -> None:
    fit(survey, "mixture", "--columns", "town,visits", "--weights", "w", "--labels", "group", "--prior", "default",
        "--n-init", 2, "--seed", 4)  # fmt: skip
    rows = csv.read_csv(survey, convert_options=csv.ConvertOptions(strings_can_be_null=True))
    label = [-1 if value is None else value for value in rows["group"].to_pylist()]
    direct = noumena.Mixture(n_components=2, prior="default", n_init=2, random_state=4)
    direct.fit(rows.select(["town", "visits"]), label, sample_weight=rows["w"].to_numpy())
    assert noumena.load("m.noumena").log_likelihood_ == pytest.approx(direct.log_likelihood_, rel=1e-12)


def test_latent_classes_take_answers_and_leave_measurements_out(survey: Path, there: Path) -> None:
    result = fit(survey, "latent-class", *APART, "--components", "1:3")
    stored = noumena.load("m.noumena")
    assert list(stored.levels_) == ["smoker", "town", "visits", "ill"]
    assert stored.n_init == 20  # the estimator's own defaults
    assert stored.tol == 1e-6
    left = "left out, for they do not hold answers with few levels: name, born, height, mass"
    assert left in result.stderr
    assert "the best of 3 candidates by BIC" in result.stdout
    assert re.search(r"latent class(es)?,", result.stdout)
    assert re.search(r"^best candidates +log likelihood +BIC", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("model", "columns", "kind", "line"),
    [
        ("bernoulli", "ill", "BernoulliMixture", r"P\(ill = 1\)"),
        ("poisson", "visits,ill", "PoissonMixture", "mean of visits"),
        ("student-t", "height,mass", "StudentTMixture", "location of height"),
    ],
)
def test_the_other_models(survey: Path, there: Path, model: str, columns: str, kind: str, line: str) -> None:
    result = fit(survey, model, "--columns", columns, "--seed", 1, "--max-iter", 3000)
    stored = noumena.load("m.noumena")
    assert type(stored).__name__ == kind
    assert stored.random_state == 1
    assert stored.max_iter == 3000
    assert list(stored.feature_names_in_) == columns.split(",")
    assert re.search(f"^{line} ", result.stdout, re.MULTILINE)


def test_degrees_of_freedom(survey: Path, there: Path) -> None:
    result = fit(survey, "student-t", "--columns", "height,mass", "--degrees-of-freedom", 4, "--covariance", "EEE,EII")
    assert noumena.load("m.noumena").degrees_of_freedom == 4.0
    assert re.search(r"^degrees of freedom +4 +4$", result.stdout, re.MULTILINE)
    assert "the best of 2 candidates" in result.stdout


def test_a_background_of_noise(survey: Path, there: Path) -> None:
    result = fit(survey, "gaussian", "--columns", "height,mass", "--noise", "box", "--report", "r.html")
    stored = noumena.load("m.noumena")
    assert stored.noise == "box"
    assert "2 components and noise, covariance VVV" in result.stdout
    assert re.search(rf"^weight +\S+ +\S+ +{stored.noise_weight_:.3f}$", result.stdout, re.MULTILINE)
    assert re.search(r"^component +0 +1 +noise$", result.stdout, re.MULTILINE)
    assert "noise" in Path("r.html").read_text(encoding="utf-8")


def test_the_report_of_a_weighted_fit_has_its_weights(survey: Path, there: Path) -> None:
    fit(survey, "poisson", "--columns", "visits,ill", "--weights", "w", "--report", "r.html")
    assert "These are not the rows" not in Path("r.html").read_text(encoding="utf-8")
    run("report", "m.noumena", survey, "--out", "again.html", "--weights", "w", "--no-standard-errors")
    assert "These are not the rows" not in Path("again.html").read_text(encoding="utf-8")
    run("report", "m.noumena", survey, "--out", "plain.html", "--no-standard-errors")
    assert "These are not the rows" in Path("plain.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("model", "args", "told"),
    [
        ("latent-class", ["--covariance", "EEE"], "latent-class has none"),
        ("poisson", ["--covariance", "EEE"], "--model gaussian or mixture or student-t"),
        ("bernoulli", ["--family", "ill=poisson"], "bernoulli has none: leave it out, or choose --model mixture"),
        ("gaussian", ["--degrees-of-freedom", "4"], "choose --model student-t"),
        ("poisson", ["--noise", "box"], "choose --model gaussian or mixture"),
        ("mixture", ["--covariance", "EEE"], "for columns that share a normal"),
        ("mixture", ["--family", "visits"], "write COLUMN=FAMILY"),
        ("mixture", ["--family", "visits=poison"], "'poison' is no family: choose among normal, "),
        ("mixture", ["--family", "ill=poisson", "--family", "ill,visits=poisson"], "'ill' has more than one family"),
        ("student-t", ["--degrees-of-freedom", "-1"], "'-1' is neither each nor common"),
        ("factor", [], "factor"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    survey: Path, there: Path, model: str, args: list[str], told: str
) -> None:
    result = fit(survey, model, *args, code=2)
    assert told in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert list(there.iterdir()) == []


def test_columns_that_a_model_cannot_take(survey: Path, there: Path) -> None:
    out = ("--out", "m.noumena", "--components", 2)
    told = refused("fit", survey, "--model", "mixture", *APART, "--family", "vists=poisson", *out)
    assert "no such column: 'vists'. Did you mean 'visits'?" in told
    told = refused("fit", survey, "--model", "mixture", *APART, "--family", "town=normal", *out)
    assert "'town' does not hold numbers" in told
    assert "name another with --family" in told
    told = refused("fit", survey, "--model", "bernoulli", "--columns", "visits", *out)
    assert re.search(r"'visits' holds \d+ at row \d+, but its family, Bernoulli, takes 0 or 1: drop it", told)
    told = refused("fit", survey, "--model", "latent-class", "--columns", "heigth", *out)
    assert "Did you mean 'height'?" in told
    told = refused("fit", survey, "--model", "latent-class", "--drop", "smoker,town,visits,ill,w,group", *out)
    assert "no column holds answers with few levels: left out are 'name', 'born', 'height', 'mass'" in told
    assert list(there.iterdir()) == []


def test_words_of_options() -> None:
    assert families(["a=b=poisson", '"x, y",z=normal']) == [(("a=b",), "poisson"), (("x, y", "z"), "normal")]
    assert degrees("each") == "each"
    assert degrees("2.5") == 2.5
