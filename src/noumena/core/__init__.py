"""The theory: models, the E-step, the loop, its acceleration and its result. Imports nothing else of ours."""
