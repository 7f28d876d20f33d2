"""How good a model is, and what it says of a video."""

from m2a.evaluation.evaluate import Evaluation as Evaluation
from m2a.evaluation.evaluate import evaluate as evaluate
from m2a.evaluation.live import Answer as Answer
from m2a.evaluation.live import Watcher as Watcher
from m2a.evaluation.predict import Guess as Guess
from m2a.evaluation.predict import Prediction as Prediction
from m2a.evaluation.predict import load_clip as load_clip
from m2a.evaluation.predict import predict as predict
from m2a.evaluation.predict import predict_all as predict_all
from m2a.evaluation.predictor import load_predictor as load_predictor
from m2a.evaluation.probes import PROBES as PROBES
from m2a.evaluation.streamed import predict_stream as predict_stream
from m2a.evaluation.timeline import Timeline as Timeline
from m2a.evaluation.timeline import predict_timeline as predict_timeline

__all__ = [
    "PROBES",
    "Answer",
    "Evaluation",
    "Guess",
    "Prediction",
    "Timeline",
    "Watcher",
    "evaluate",
    "load_clip",
    "load_predictor",
    "predict",
    "predict_all",
    "predict_stream",
    "predict_timeline",
]
