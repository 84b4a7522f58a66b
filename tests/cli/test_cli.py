"""The command line as its users meet it: what is printed and written, exit codes, errors of one line."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from typer.testing import CliRunner, Result

import noumena
from noumena.cli import app
from noumena.cli.fit import model_name
from noumena.cli.options import names, sizes
from noumena.cli.outcome import one_line

NUMBERS = ["height", "width", "mass"]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Two groups with missing cells, among columns that are no numbers."""
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.normal([0, 0, 50], [1, 1, 9], (60, 3)), rng.normal([6, 3, 90], [1, 2, 9], (40, 3))])
    x[::9, 0], x[4::13, 2], x[50] = np.nan, np.nan, np.nan
    columns = {name: pa.array(column, from_pandas=True) for name, column in zip(NUMBERS, x.T, strict=True)}
    return pa.table(
        {
            "code": [f"{i:03d}" for i in range(100)],
            "height": columns["height"],
            "remark": ['says "no", or so' if i == 5 else "NA" if i % 3 else "fine" for i in range(100)],
            "width": columns["width"],
            "mass": columns["mass"],
            "group": pa.array([0 if i < 5 else 1 if i >= 95 else None for i in range(100)], pa.int64()),
            "count": pa.array([1.0 + i % 2 for i in range(100)]),
        }
    )


@pytest.fixture(scope="module")
def fitted(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the table, as CSV and Parquet, and a model of it."""
    folder = tmp_path_factory.mktemp("fitted")
    csv.write_csv(table, folder / "table.csv")
    parquet.write_table(table, folder / "table.parquet")
    run("fit", folder / "table.csv", "--columns", "height,width,mass", "--components", 2, "--out", folder / "a.noumena")
    return folder


@pytest.fixture
def there(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, so that nothing is found that the test did not write."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result


def refused(*args: object, code: int = 1) -> str:
    """The one line that a command which fails leaves on stderr."""
    result = run(*args, code=code)
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("note:")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


# ----------------------------------------------------------------------------------------------------------------- fit


def test_a_single_candidate_is_what_the_estimator_fits(fitted: Path) -> None:
    stored = noumena.load(fitted / "a.noumena")
    frame = csv.read_csv(fitted / "table.csv").select(NUMBERS)
    direct = noumena.GaussianMixture(2, random_state=0).fit(frame)
    assert stored.log_likelihood_ == direct.log_likelihood_
    assert list(stored.feature_names_in_) == NUMBERS


def test_a_sweep_stores_the_best_and_says_what_was_left_out(fitted: Path, there: Path) -> None:
    result = run(
        "fit", fitted / "table.parquet", "--drop", "group,count", "--components", "1:3", "--covariance", "EII,VVI"
    )
    best = noumena.load("table.noumena")  # the default name
    assert list(best.feature_names_in_) == NUMBERS
    assert best.n_components == 2
    assert "the best of 6 candidates by BIC" in result.stdout
    assert f"log likelihood  {best.log_likelihood_:.4f} (exact, nats)" in result.stdout
    bic = best.bic(fitted / "table.parquet")
    assert f"BIC             {bic:.4f} (lower is better" in result.stdout
    assert "status          converged after" in result.stdout
    assert re.search(r"^mean of width +-?\d+\.\d+ +-?\d+\.\d+$", result.stdout, re.MULTILINE)
    assert result.stderr.splitlines()[0] == "note: left out, for they do not hold numbers: code, remark"
    assert "\x1b" not in result.output


def test_options_reach_the_estimator(fitted: Path, there: Path) -> None:
    run(
        *("fit", fitted / "table.csv", "--columns", '"height",mass', "--components", "2", "--covariance", "EEE"),
        *("--prior", "default", "--n-init", "3", "--init", "random", "--tol", "0", "--max-iter", "12"),
        *("--accelerate", "none", "--seed", "4", "--out", "b"),
    )
    wanted = noumena.GaussianMixture(
        2,
        covariance="EEE",
        prior="default",
        n_init=3,
        init_params="random",
        tol=0.0,
        max_iter=12,
        accelerate=None,
        random_state=4,
    )
    assert noumena.load("b").get_params() == wanted.get_params()


def test_weights_and_labels_are_columns(table: pa.Table, fitted: Path, there: Path) -> None:
    apart = ("--drop", "code", "--weights", "count", "--labels", "group")
    run("fit", fitted / "table.csv", *apart, "--components", 2, "--out", "b")
    direct = noumena.GaussianMixture(2, random_state=0)
    label = [-1 if value is None else value for value in table["group"].to_pylist()]
    frame = csv.read_csv(fitted / "table.csv").select(NUMBERS)
    direct.fit(frame, label, sample_weight=table["count"].to_numpy())
    np.testing.assert_allclose(noumena.load("b").means_, direct.means_, rtol=1e-9)


def test_the_name_of_the_model_is_that_of_the_table(there: Path) -> None:
    for table, name in (
        ("a/my.data.csv.gz", "my.data"),
        ("b.tsv", "b"),
        ("parts/", "parts"),
        ("v1.2.parquet", "v1.2"),
    ):
        assert model_name(Path(table)) == Path(f"{name}.noumena")


def test_a_report_is_written_of_a_fit_and_of_a_model(
    fitted: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def write_report(estimator: object, rows: object, path: Path, **options: object) -> None:
        asked.append((type(estimator).__name__, options))
        Path(path).write_text("a page")

    monkeypatch.setattr(noumena, "write_report", write_report, raising=False)
    sweep = ("--columns", "height,width,mass", "--components", "1:3", "--covariance", "EII,VVI")
    run("fit", fitted / "table.csv", *sweep, "--out", "b.noumena", "--report", "b.html")
    run("report", "b.noumena", fitted / "table.csv", "--out", "c.html", "--no-standard-errors", "--title", "T")
    assert Path("b.html").exists()
    assert asked[0][1]["selection"].table_.num_rows == 6
    assert asked[1] == ("GaussianMixture", {"y": None, "standard_errors": False, "title": "T", "sample_weight": None})
    assert "c.html exists" in refused("report", "b.noumena", fitted / "table.csv", "--out", "c.html")


def test_the_real_report(fitted: Path, there: Path) -> None:
    run("report", fitted / "a.noumena", fitted / "table.csv", "--no-standard-errors")
    assert "<html" in Path("a.html").read_text(encoding="utf-8")


def test_too_few_iterations_are_a_warning_in_words(fitted: Path, there: Path) -> None:
    result = run("fit", fitted / "table.csv", "--columns", "height,width,mass", "--components", 2, "--max-iter", 1)
    warned = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warned) == 1
    assert "raise --max-iter" in warned[0]
    assert Path("table.noumena").exists()


def test_a_collapsed_component_is_named(there: Path) -> None:
    x = np.concatenate([np.full(30, 5.0), np.random.default_rng(0).normal(0, 1, 40)])
    csv.write_csv(pa.table({"a": x}), "t.csv")
    result = run("fit", "t.csv", "--components", 2)
    assert re.search(r"^warning: component \d .*collapsed in a.*--prior default", result.stderr, re.MULTILINE)
    assert "every candidate is degenerate" in refused("fit", "t.csv", "--components", "2,3", "--out", "b")


# ----------------------------------------------------------------------------------------------------------------- use


def test_predict_writes_the_components(fitted: Path, there: Path) -> None:
    model, rows = noumena.load(fitted / "a.noumena"), fitted / "table.csv"
    result = run("predict", fitted / "a.noumena", rows)
    assert result.stdout.splitlines() == ["component", *map(str, model.predict(rows))]
    assert result.stderr == ""
    run("predict", fitted / "a.noumena", fitted / "table.parquet", "--probabilities", "--out", "p.parquet")
    written = parquet.read_table("p.parquet")
    assert written.column_names == ["component", "probability_0", "probability_1"]
    np.testing.assert_allclose(written["probability_1"], model.predict_proba(rows)[:, 1])


def test_impute_from_csv_to_csv_keeps_everything_else_as_it_was(fitted: Path, there: Path) -> None:
    run("impute", fitted / "a.noumena", fitted / "table.csv", "--out", "f.csv")
    text = csv.ConvertOptions(column_types=dict.fromkeys(["code", "remark", "group"], pa.string()))
    before = csv.read_csv(fitted / "table.csv", convert_options=text)
    after = csv.read_csv("f.csv", convert_options=text)
    assert after.column_names == before.column_names
    for name in ("code", "remark", "group", "count"):
        assert after[name].to_pylist() == before[name].to_pylist()
    expected = noumena.load(fitted / "a.noumena").impute(fitted / "table.csv")
    for name, column in zip(NUMBERS, expected.T, strict=True):
        np.testing.assert_allclose(after[name], column, rtol=1e-12)


def test_impute_draws_are_stacked_and_numbered(table: pa.Table, fitted: Path, there: Path) -> None:
    run("impute", fitted / "a.noumena", fitted / "table.parquet", "--draws", 3, "--seed", 1, "--out", "f.parquet")
    after = parquet.read_table("f.parquet")
    assert after.column_names == ["draw", *table.column_names]
    assert after["draw"].to_pylist() == [1] * 100 + [2] * 100 + [3] * 100
    second = after.slice(100, 100)
    assert second.drop_columns(["draw", *NUMBERS]).equals(table.drop_columns(NUMBERS))
    x = np.stack([second[name].to_numpy() for name in NUMBERS], axis=1)
    drawn = noumena.load(fitted / "a.noumena").impute(fitted / "table.parquet", draws=3, random_state=1)
    np.testing.assert_array_equal(x, drawn[1])
    parquet.write_table(after, "again.parquet")
    assert "rename it" in refused("impute", fitted / "a.noumena", "again.parquet", "--draws", 2, "--out", "g.csv")


def test_impute_from_csv_to_parquet_has_types(fitted: Path, there: Path) -> None:
    run("impute", fitted / "a.noumena", fitted / "table.csv", "--out", "f.parquet")
    schema = parquet.read_schema("f.parquet")
    assert schema.field("group").type == pa.int64()
    assert schema.field("remark").type == pa.string()


def test_a_folder_is_a_table(table: pa.Table, fitted: Path, there: Path) -> None:
    Path("parts").mkdir()
    parquet.write_table(table.slice(0, 30), "parts/1.parquet")
    parquet.write_table(table.slice(30).select(table.column_names[::-1]), "parts/2.parquet")
    whole = run("impute", fitted / "a.noumena", fitted / "table.parquet")
    assert run("impute", fitted / "a.noumena", "parts").stdout == whole.stdout


def test_a_model_of_an_array_takes_the_columns_of_numbers(fitted: Path, there: Path) -> None:
    x = np.random.default_rng(1).normal(size=(50, 2))
    noumena.GaussianMixture(random_state=0).fit(x).save("array.noumena")
    csv.write_csv(pa.table({"s": ["u", "v"], "a": [1.0, None], "b": [0.5, 0.1]}), "t.csv")
    assert run("impute", "array.noumena", "t.csv").stdout.splitlines()[1] == "u,1,0.5"
    assert run("sample", "array.noumena", "--rows", 2).stdout.splitlines()[0] == "x0,x1"


def test_score(fitted: Path, there: Path) -> None:
    model, rows = noumena.load(fitted / "a.noumena"), fitted / "table.csv"
    told = run("score", fitted / "a.noumena", rows).stdout
    assert re.search(r"^rows +100$", told, re.MULTILINE)
    assert f"{model.log_likelihood_:.4f}"[:-1] in told
    assert f"{model.bic(rows):.6f}" in told
    run("score", fitted / "a.noumena", rows, "--rows", "--out", "s.csv")
    np.testing.assert_allclose(csv.read_csv("s.csv")["log_likelihood"], model.score_samples(rows), rtol=1e-12)
    run("score", fitted / "a.noumena", rows, "--out", "t.csv", code=2)


def test_sample(fitted: Path, there: Path) -> None:
    first = run("sample", fitted / "a.noumena", "--rows", 5, "--seed", 3).stdout
    assert first.splitlines()[0] == "height,width,mass"
    assert len(first.splitlines()) == 6
    assert run("sample", fitted / "a.noumena", "--rows", 5, "--seed", 3).stdout == first
    assert run("sample", fitted / "a.noumena", "--rows", 5, "--seed", 4).stdout != first


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a,b\n", "too few rows in the table: 0"),
        ("a,b\n1,2\n", "too few rows in the table: 1, where at least 2"),
        ("a,b\n1,2\n3,inf\n", "column 'b' holds infinity at row 1"),
        ("a,b\nx,y\nu,v\n", "no column that holds numbers. Left out, for they do not hold numbers: 'a', 'b'"),
        ("a,b\n1,5\n2,5\n", "column 'b' (always 5) is constant"),
        ("a,b\n1,\n2,\n", "column 'b' has no observed value"),
        ("a,b\n1,2\n3\n", "t.csv cannot be read"),
        ("a;b\n1;2\n3;4\n", "seem to be separated by ';'"),
        ("a,a\n1,2\n3,4\n", "column names must be unique"),
        ("", "t.csv cannot be read"),
    ],
)
def test_tables_that_cannot_be_fitted(content: str, told: str, there: Path) -> None:
    Path("t.csv").write_text(content)
    assert told in refused("fit", "t.csv", "--components", 1)
    assert os.listdir() == ["t.csv"]


def test_too_many_components(there: Path) -> None:
    Path("t.csv").write_text("a\n1\n2\n4\n")
    assert "7 components for so few rows as 3: ask for fewer components" in refused("fit", "t.csv", "--components", 7)


def test_missing_and_damaged_tables(fitted: Path, there: Path) -> None:
    assert "there is no file nothing.csv" in refused("fit", "nothing.csv")
    Path("cut.parquet").write_bytes((fitted / "table.parquet").read_bytes()[:-60])
    assert "cut.parquet cannot be read" in refused("fit", "cut.parquet")
    assert "cut.parquet cannot be read" in refused("impute", fitted / "a.noumena", "cut.parquet")
    Path("table.xls").write_text("")
    assert "cannot tell from its name" in refused("fit", "table.xls")


def test_columns_that_are_not_there(fitted: Path, there: Path) -> None:
    rows = fitted / "table.csv"
    for option in ("--columns", "--drop", "--weights", "--labels"):
        assert "Did you mean 'height'?" in refused("fit", rows, option, "heigth")
    assert "not a number" in refused("fit", rows, "--columns", "height,remark")
    assert "no column is left" in refused("fit", rows, "--drop", ",".join(csv.read_csv(rows).column_names))
    csv.write_csv(pa.table({"height": [1.0, 2.0]}), "narrow.csv")
    for command in ("predict", "impute", "score", "report"):
        assert "no such column: 'width', 'mass'" in refused(command, fitted / "a.noumena", "narrow.csv")


def test_weights_and_labels_that_cannot_be(there: Path) -> None:
    csv.write_csv(pa.table({"a": [1.0, 2.0, 4.0], "w": [1.0, -1.0, 1.0], "y": [0, 1, 0]}), "t.csv")
    assert "the weight (--weights) is negative (-1.0) at row 1" in refused("fit", "t.csv", "--weights", "w")
    assert "labels every row" in refused("fit", "t.csv", "--labels", "y")


def test_nothing_is_replaced_unasked(fitted: Path, there: Path) -> None:
    rows, model = fitted / "table.csv", fitted / "a.noumena"
    Path("x.csv").write_text("mine")
    for command in (
        ("fit", rows, "--out", "x.csv"),
        ("fit", rows, "--out", "y", "--report", "x.csv"),
        ("predict", model, rows, "--out", "x.csv"),
        ("impute", model, rows, "--out", "x.csv"),
        ("score", model, rows, "--rows", "--out", "x.csv"),
        ("sample", model, "--out", "x.csv"),
        ("report", model, rows, "--out", "x.csv"),
    ):
        assert "x.csv exists: name another file, or add --force" in refused(*command)
    assert Path("x.csv").read_text() == "mine"
    run("sample", model, "--out", "x.csv", "--rows", 1, "--force")
    assert Path("x.csv").read_text().startswith("height,")
    assert "also read by this command" in refused("impute", model, "x.csv", "--out", "x.csv", "--force")
    assert "also read by this command" in refused("fit", "x.csv", "--out", "x.csv", "--force")


def test_outputs_that_cannot_be_written_are_refused_before_the_fit(
    fitted: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noumena.GaussianMixture, "fit", None)
    Path("file").write_text("")
    Path("folder").mkdir()
    for out in ("nowhere/m", "file/m", "/proc/m"):
        assert f"cannot write {out}" in refused("fit", fitted / "table.csv", "--components", 2, "--out", out)
    assert "folder is a folder" in refused("fit", fitted / "table.csv", "--components", 2, "--out", "folder")
    assert "cannot write nowhere/r" in refused("fit", fitted / "table.csv", "--out", "m", "--report", "nowhere/r")


def test_files_that_are_no_model(fitted: Path, there: Path) -> None:
    assert "not a stored model" in refused("predict", fitted / "table.csv", fitted / "table.csv")
    assert "cannot read nothing" in refused("sample", "nothing")
    Path("cut").write_bytes((fitted / "a.noumena").read_bytes()[:200])
    assert "truncated" in refused("sample", "cut")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--components", "0"], "'0' is no number of components"),
        (["--components", "3:1"], "'3:1' is no number of components"),
        (["--components", "many"], "'many' is no number of components"),
        (["--covariance", "EEE,XYZ"], "'XYZ' is no covariance structure"),
        (["--columns", "a", "--drop", "b"], "leave --drop out"),
        (["--criterion", "bick"], "bick"),
        (["--tol", "-1"], "'--tol'"),
        (["--out", "x", "--report", "x"], "another file than that of --out"),
        (["--what"], "No such option"),
    ],
)
def test_wrong_usage(args: list[str], told: str, there: Path) -> None:
    result = run("fit", "t.csv", *args, code=2)
    assert told in result.stderr
    assert "Usage: " in result.stderr
    assert result.stdout == ""


def test_names_of_outputs(fitted: Path, there: Path) -> None:
    assert "end the name in .csv or .parquet" in run("sample", fitted / "a.noumena", "--out", "x.txt", code=2).stderr


def test_debug_shows_the_traceback(there: Path) -> None:
    result = run("fit", "nothing.csv", "--debug", code=1)
    assert isinstance(result.exception, noumena.DataError)
    result = CliRunner(env={"NOUMENA_DEBUG": "1"}).invoke(app, ["fit", "nothing.csv"])
    assert isinstance(result.exception, noumena.DataError)


# --------------------------------------------------------------------------------------------------------------- words


def test_numbers_of_components() -> None:
    assert sizes("3") == [3]
    assert sizes("4,1:3, 2") == [1, 2, 3, 4]


def test_lists_of_names() -> None:
    assert names("a, b") == ["a", "b"]
    assert names('"a, or so",b') == ["a, or so", "b"]
    assert names(None) == []


def test_messages_name_options_but_leave_paths_alone() -> None:
    assert one_line("raise max_iter or tol") == "raise --max-iter or --tol"
    assert one_line("n_components=0 must be\nat least 1") == "--components=0 must be at least 1"
    assert one_line("/a/max_iter/tol.csv: max_iter.csv") == "/a/max_iter/tol.csv: max_iter.csv"


def test_help_and_version() -> None:
    assert run("--version").stdout == f"noumena {noumena.__version__}\n"
    for command in ("fit", "predict", "impute", "score", "sample", "report", "query"):
        text = run(command, "--help").stdout
        assert f"  noumena {command} " in text
        assert "..." not in text.split("Options:")[0]
        assert all(len(line) <= 80 for line in text.splitlines())
    assert "..." not in run("--help").stdout.partition("\n")[2]


# ----------------------------------------------------------------------------------------------------------- processes


def command(*args: object) -> list[str]:
    return [sys.executable, "-c", "from noumena.cli import main; main()", *map(str, args)]


def test_help_needs_nothing_heavy() -> None:
    heavy = "jax", "sklearn", "pyarrow", "numpy", "matplotlib"
    code = f"import sys, noumena.cli; sys.exit(str([m for m in {heavy!r} if m in sys.modules] or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == ""


def test_a_pipe_gets_the_table_and_nothing_else(fitted: Path, there: Path) -> None:
    done = subprocess.run(command("sample", fitted / "a.noumena", "--rows", 3), capture_output=True, timeout=120)
    assert done.returncode == 0
    assert done.stderr == b""
    assert done.stdout.count(b"\n") == 4


def test_a_reader_that_leaves_early_is_no_error(fitted: Path, there: Path) -> None:
    long = command("sample", fitted / "a.noumena", "--rows", 100_000)
    process = subprocess.Popen(long, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=120)
        assert process.stderr.read() == b""


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize("components", ["3", "2:3"])
def test_ctrl_c_keeps_the_best_parameters_so_far(components: str, there: Path) -> None:
    x = np.random.default_rng(0).normal(size=(20_000, 4))
    parquet.write_table(pa.table(dict(zip("abcd", x.T, strict=True))), "t.parquet")
    main, terminal = os.openpty()  # progress, shown on terminals only, tells when the iterations have begun
    args = ["--components", components, "--tol", 0, "--max-iter", 100_000, "--report", "r.html"]
    process = subprocess.Popen(
        command("fit", "t.parquet", *args), stdout=subprocess.PIPE, stderr=terminal, start_new_session=True
    )
    os.close(terminal)
    seen = b""
    assert process.stdout is not None
    with process.stdout:
        try:
            end = time.monotonic() + 60
            while not re.search(rb"iteration \d\d", seen) and time.monotonic() < end:
                seen += os.read(main, 4096)
            process.send_signal(signal.SIGINT)
            while True:
                seen += os.read(main, 4096)
        except OSError:  # how Linux ends a terminal whose other side is closed
            pass
        finally:
            os.close(main)
        assert process.wait(timeout=60) == 130, seen
        out = process.stdout.read().decode()
    assert noumena.load("t.noumena").status_ is noumena.Status.INTERRUPTED
    assert "status          interrupted after" in out
    assert b"these are the best parameters so far" in seen
    assert sorted(os.listdir()) == ["t.noumena", "t.parquet"]


def test_ctrl_c_before_the_fit_leaves_nothing(fitted: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(noumena.GaussianMixture, "fit", interrupt)
    result = run("fit", fitted / "table.csv", "--components", 2, code=130)
    assert result.stderr.splitlines()[-1] == "interrupted: no file was left half written"
    assert os.listdir() == []


@pytest.fixture(scope="module")
def mixed_model(tmp_path_factory):
    """A model of text and counts, and the file it was fitted on, with a hole in each column."""
    folder = tmp_path_factory.mktemp("mixed")
    rows = [f"{count},{'yes' if count > 4 else 'no'}" for count in (0, 1, 2, 9, 8, 11, 1, 10)]
    (folder / "table.csv").write_text("\n".join(["visits,smoker", *rows, ",yes", "3,"]) + "\n")
    families = {"visits": "poisson", "smoker": "categorical"}
    noumena.Mixture(families, 2, prior="default", random_state=0).fit(folder / "table.csv").save(folder / "m.noumena")
    return folder / "m.noumena", folder / "table.csv"


def test_commands_take_models_of_other_families(mixed_model, tmp_path):
    model, table = mixed_model
    for command, file in (("predict", "labels.csv"), ("impute", "filled.csv")):
        outcome = CliRunner().invoke(app, [command, str(model), str(table), "--out", str(tmp_path / file)])
        assert outcome.exit_code == 0, outcome.output
    filled = (tmp_path / "filled.csv").read_text().splitlines()
    assert filled[0] == "visits,smoker"
    assert filled[10].split(",")[1] == "no"
    assert 5 < float(filled[9].split(",")[0]) < 12
    outcome = CliRunner().invoke(app, ["sample", str(model), "--rows", "5", "--out", str(tmp_path / "new.csv")])
    assert outcome.exit_code == 0, outcome.output
    assert {line.split(",")[1] for line in (tmp_path / "new.csv").read_text().splitlines()[1:]} <= {"yes", "no"}


def test_the_report_of_a_model_of_other_families(mixed_model, tmp_path):
    model, table = mixed_model
    run("report", model, table, "--out", tmp_path / "page.html", "--no-standard-errors")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "2 clusters of 10 rows by 2 columns" in text
    assert "Probabilities of levels" in text
