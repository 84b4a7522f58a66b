"""Cluster handwritten digits: a Bernoulli mixture of binary pixels, and normals with one diagonal covariance.

    python examples/digits.py FOLDER                      # FOLDER holds MNIST's train-images-idx3-ubyte.gz and labels
    python examples/digits.py FOLDER --components 10 --out digits.png

Draws the component means as images, and P(z = k | x) of a few single digits; prints purity and the adjusted Rand index
of the clusters against the labels, which the fit never sees.
"""

import argparse
import gzip
import resource
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import adjusted_rand_score

import noumena as nm


def read(path: Path) -> np.ndarray:
    """An array in the IDX format: its shape, then its bytes."""
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def purity(component: np.ndarray, label: np.ndarray) -> float:
    """Share of rows that have the most frequent label of their component."""
    counts = np.zeros((component.max() + 1, label.max() + 1), dtype=int)
    np.add.at(counts, (component, label), 1)
    return counts.max(axis=1).sum() / len(label)


def draw(means: np.ndarray, images: np.ndarray, posterior: np.ndarray, out: Path) -> None:
    """Component means, largest first, and below them single digits with the components they may belong to."""
    columns = 20
    rows = -(-len(means) // columns)
    figure = plt.figure(figsize=(12, 0.62 * rows + 3.2), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[rows, 4.5])
    upper.suptitle("Component means, by weight")
    for k, axis in enumerate(np.atleast_1d(upper.subplots(rows, columns)).ravel()):
        axis.axis("off")
        if k < len(means):
            axis.imshow(means[k].reshape(28, 28), cmap="gray_r", vmin=0, vmax=1)
    lower.suptitle("Single digits, and the three components they most probably come from")
    for n, (top, *others) in enumerate(zip(*lower.subplots(4, 10), strict=True)):
        top.imshow(images[n].reshape(28, 28), cmap="gray_r")
        top.axis("off")
        for axis, k in zip(others, posterior[n].argsort()[::-1], strict=False):
            axis.imshow(means[k].reshape(28, 28), cmap="gray_r", vmin=0, vmax=1)
            axis.set_title(f"{posterior[n, k]:.2f}", fontsize=8, pad=1)
            axis.axis("off")
    figure.savefig(out, dpi=120)
    plt.close(figure)


def report(name: str, model, x: np.ndarray, label: np.ndarray, seconds: float) -> None:
    component = model.predict(x)
    print(
        f"{name}: {model.status_.value} after {model.n_iter_} iterations in {seconds:.1f} s; log likelihood per image "
        f"{model.log_likelihood_ / len(x):.3f}; purity {purity(component, label):.3f}, adjusted Rand index "
        f"{adjusted_rand_score(label, component):.3f}"
    )


def peak() -> float:
    """Peak resident memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--iterations", type=int, default=50, help="most iterations of a fit (default 50)")
    parser.add_argument("--out", type=Path, default=Path("digits.png"))
    arguments = parser.parse_args()
    images = read(arguments.folder / "train-images-idx3-ubyte.gz").reshape(-1, 784)
    label = read(arguments.folder / "train-labels-idx1-ubyte.gz")
    bits = (images > 127).astype(np.uint8)

    before = peak()
    settings = {"max_iter": arguments.iterations, "random_state": 0, "tol": 1.0}
    begin = time.perf_counter()
    bernoulli = nm.BernoulliMixture(arguments.components, prior="default", **settings).fit(bits)
    seconds = time.perf_counter() - begin
    print(f"{seconds / len(bernoulli.trace_):.2f} s an iteration, start and compilation included; ", end="")
    print(f"peak memory {peak() - before:.0f} MB above that with the images loaded")
    report("Bernoulli mixture of binary pixels", bernoulli, bits, label, seconds)
    order = bernoulli.weights_.argsort()[::-1]
    shown = np.array([np.flatnonzero(label == digit)[7] for digit in range(10)])
    posterior = bernoulli.predict_proba(bits[shown])[:, order]
    draw(bernoulli.probabilities_[order], bits[shown], posterior, arguments.out)
    print(f"{arguments.out}: the means, and P(z = k | x) of ten digits")

    inked = images.std(axis=0) > 0
    begin = time.perf_counter()
    # pixels that a component never inks have no variance of their own: one covariance for all components
    normal = nm.GaussianMixture(arguments.components, covariance="EEI", **settings).fit(images[:, inked])
    report("Normals with one diagonal covariance", normal, images[:, inked], label, time.perf_counter() - begin)


if __name__ == "__main__":
    main()
