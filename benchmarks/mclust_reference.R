# Reference values from mclust, for tests and for the comparison of all 14 structures.
#
#   Rscript benchmarks/mclust_reference.R ../shared/data/classical tests/reference
#
# Writes into the second folder
#   mclust.csv            every structure and number of components, mclust's own start, default and converged
#   mclust_me.csv         EM of every structure from one fixed start, converged
#   mclust_mstep.csv      one M-step of every structure from the same start: the covariance matrices
#   mclust_start_*.csv    the hard classification of that start, one integer a row, 1 ... K
# Figures only: no code of mclust (GPL >= 2) is copied.

suppressPackageStartupMessages(library(mclust))

arguments <- commandArgs(trailingOnly = TRUE)
if (length(arguments) != 2) stop("usage: Rscript mclust_reference.R DATA_FOLDER OUTPUT_FOLDER")
data_folder <- arguments[1]
output_folder <- arguments[2]
dir.create(output_folder, showWarnings = FALSE, recursive = TRUE)

default_control <- emControl()
# First figure: relative change of the log likelihood; second: the inner loop of an M-step that has no closed form.
converged_control <- emControl(tol = c(1e-12, 1e-12), itmax = c(20000, 20000))
structures <- mclust.options("emModelNames")

numeric_columns <- function(file, columns) as.matrix(read.csv(file.path(data_folder, file))[, columns, drop = FALSE])

tables <- list(
  faithful = numeric_columns("faithful.csv", c("eruptions", "waiting")),
  iris = numeric_columns("iris.csv", c("Sepal.Length", "Sepal.Width", "Petal.Length", "Petal.Width")),
  galaxies = numeric_columns("galaxies.csv", "dat") / 1000,
  acidity = numeric_columns("acidity.csv", "acidity"),
  diabetes_reaven_miller = numeric_columns("diabetes_reaven_miller.csv", c("glucose", "insulin", "sspg")),
  banknote = numeric_columns("banknote.csv", c("Length", "Left", "Right", "Bottom", "Top", "Diagonal")),
  thyroid = numeric_columns("thyroid_mclust.csv", c("RT3U", "T4", "T3", "TSH", "DTSH")),
  crabs = numeric_columns("crabs.csv", c("FL", "RW", "CL", "CW", "BD"))
)
largest <- c(faithful = 9, iris = 9)

# 15 digits are what a double certainly keeps on its way through text.
text <- function(values) ifelse(is.na(values), "", formatC(values, digits = 15, format = "g", width = 1))
write_table <- function(frame, name) {
  for (column in names(frame)) if (is.double(frame[[column]])) frame[[column]] <- text(frame[[column]])
  write.csv(frame, file.path(output_folder, name), row.names = FALSE, quote = FALSE)
}

# The start that Mclust itself takes: hierarchical clustering (VVV on SVD-scaled columns), or quantiles of one column.
hierarchy <- function(x) if (ncol(x) == 1) NULL else hc(x, modelName = "VVV", use = "SVD")
start <- function(x, pairs, components) {
  if (is.null(pairs)) return(getFromNamespace("qclass", "mclust")(drop(x), components))
  hclass(pairs, components)[, 1]
}

# ---- every structure and number of components -------------------------------------------------------------------

# One cell of mclust's own sweep, with the hierarchy given, so that the seconds are those of the fit.
cell <- function(x, pairs, model, components, control) {
  begin <- Sys.time()
  table <- suppressWarnings(mclustBIC(x, G = components, modelNames = model, control = control, verbose = FALSE,
                                      initialization = list(hcPairs = pairs)))
  list(bic = as.numeric(table)[1], seconds = as.numeric(difftime(Sys.time(), begin, units = "secs")))
}

rows <- list()
failed <- 0
for (name in names(tables)) {
  x <- tables[[name]]
  n <- nrow(x)
  components <- seq_len(if (name %in% names(largest)) largest[[name]] else 6)
  models <- if (ncol(x) == 1) c("E", "V") else structures
  pairs <- hierarchy(x)
  for (k in components) for (model in models) {
    first <- cell(x, pairs, model, k, default_control)
    last <- cell(x, pairs, model, k, converged_control)
    if (is.na(first$bic) || is.na(last$bic)) { failed <- failed + 1; next }
    df <- nMclustParams(model, ncol(x), k)
    # mclust's sign: BIC = 2 loglik - df log n.
    rows[[length(rows) + 1]] <- data.frame(
      dataset = name, model = model, components = as.integer(k),
      loglik_default = (first$bic + df * log(n)) / 2, loglik_converged = (last$bic + df * log(n)) / 2,
      df = as.integer(df), bic_converged = last$bic, seconds = signif(first$seconds, 3))
  }
  # The cells, one by one, are what one plain call gives.
  plain <- Mclust(x, G = components, verbose = FALSE)
  mine <- do.call(rbind, rows)
  mine <- mine[mine$dataset == name, ]
  own <- mine$loglik_default[mine$model == plain$modelName & mine$components == plain$G]
  stopifnot(abs(own - plain$loglik) < 1e-9 * abs(plain$loglik))
  best <- mine[which.max(mine$bic_converged), ]
  cat(sprintf("%-24s Mclust: %s,%d loglik %.4f BIC %.4f | converged: %s,%d loglik %.6f BIC %.6f\n", name,
              plain$modelName, plain$G, plain$loglik, plain$bic,
              best$model, best$components, best$loglik_converged, best$bic_converged))
}
write_table(do.call(rbind, rows), "mclust.csv")
cat(sprintf("%d cells written, %d failed in mclust and left out\n", length(rows), failed))

# ---- one fixed start --------------------------------------------------------------------------------------------

starts <- list(faithful = 3, iris = 3, crabs = 4)
classes <- lapply(names(starts), function(name) {
  class <- as.integer(start(tables[[name]], hierarchy(tables[[name]]), starts[[name]]))
  write.csv(data.frame(class = class), file.path(output_folder, sprintf("mclust_start_%s.csv", name)),
            row.names = FALSE, quote = FALSE)
  class
})
names(classes) <- names(starts)

rows <- list()
for (name in c("faithful", "iris")) for (model in structures) {
  fit <- me(data = tables[[name]], modelName = model, z = unmap(classes[[name]]), control = converged_control)
  rows[[length(rows) + 1]] <- data.frame(
    dataset = name, model = model, loglik = fit$loglik,
    df = as.integer(nMclustParams(model, ncol(tables[[name]]), starts[[name]])))
}
write_table(do.call(rbind, rows), "mclust_me.csv")

rows <- list()
for (name in c("iris", "crabs")) for (model in structures) {
  fit <- mstep(data = tables[[name]], modelName = model, z = unmap(classes[[name]]), control = converged_control)
  sigma <- fit$parameters$variance$sigma
  index <- expand.grid(j = seq_len(dim(sigma)[2]), i = seq_len(dim(sigma)[1]), component = seq_len(dim(sigma)[3]))
  rows[[length(rows) + 1]] <- data.frame(
    dataset = name, model = model, component = index$component, i = index$i, j = index$j,
    value = sigma[cbind(index$i, index$j, index$component)])
}
write_table(do.call(rbind, rows), "mclust_mstep.csv")
cat(sprintf("mclust %s, %s\n", packageVersion("mclust"), R.version.string))
