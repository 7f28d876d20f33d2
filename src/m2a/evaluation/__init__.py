"""How good a model is, and what it says of a video."""

from m2a.evaluation.evaluate import Evaluation as Evaluation
from m2a.evaluation.evaluate import evaluate as evaluate
from m2a.evaluation.predict import Guess as Guess
from m2a.evaluation.predict import Prediction as Prediction
from m2a.evaluation.predict import load_clip as load_clip
from m2a.evaluation.predict import predict as predict

__all__ = ["Evaluation", "Guess", "Prediction", "evaluate", "load_clip", "predict"]
