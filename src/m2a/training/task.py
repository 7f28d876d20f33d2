"""What Lightning trains: a video classifier with its loss, optimiser and schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassStatScores
from torchvision import tv_tensors
from torchvision.transforms import v2

from m2a.data.batch import BadClip, Batch
from m2a.errors import ConfigError, DataError
from m2a.models import VideoClassifier, parameter_groups
from m2a.models.optimizer import create_optimizer
from m2a.training.config import TrainConfig

_NO_STATISTICS = "Expected more than 1 value per channel when training"  # of torch's batch norms


class ClassificationTask(L.LightningModule):
    """Cross entropy on clips, with a weight for each class if `class_weights` are given, (K,). `skipped` names each
    training clip that could not be decoded, once, with the reason, and `skipped_validation` those of validation."""

    class_weights: Tensor | None

    def __init__(self, model: VideoClassifier, config: TrainConfig, class_weights: Tensor | None = None):
        super().__init__()
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.model = model
        self.config = config
        self.skipped: dict[Path, str] = {}
        self.skipped_validation: dict[Path, str] = {}
        self._bad: BadClip | None = None  # one of validation
        self._trained_on = 0  # clips, in this epoch
        classes = model.num_classes
        self.train_top1 = MulticlassAccuracy(classes, top_k=1, average="micro")
        self.top1 = MulticlassAccuracy(classes, top_k=1, average="micro")
        self.top5 = MulticlassAccuracy(classes, top_k=min(5, classes), average="micro")
        self.by_class = MulticlassStatScores(classes, top_k=1, average=None)
        mixes = {v2.MixUp: config.mixup, v2.CutMix: config.cutmix}
        self._mixes = [kind(alpha=alpha, num_classes=classes) for kind, alpha in mixes.items() if alpha]

    def on_train_epoch_start(self) -> None:
        self._trained_on = 0
        torch.manual_seed(
            self.config.seed * 1_000_003 + self.current_epoch
        )  # a resumed run draws as the whole one would

    def training_step(self, batch: Batch, index: int) -> Tensor | None:
        _note(batch, self.skipped)
        self._trained_on += len(batch.labels)
        if len(batch.labels) == 0:
            return None  # every clip of the batch was unreadable: no step
        clips, targets = self.mix(self.model.preprocessing.normalize(batch.clips), batch.labels)
        scores = self._scores(clips, batch)
        if scores is None:
            return None
        loss = self._loss(scores, targets)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.labels))
        if not self._mixes:  # else a clip has no one label
            self.train_top1.update(scores.detach().float(), targets)
            self.log("train_top1", self.train_top1, on_step=False, on_epoch=True)
        return loss * self._share(index)

    def _loss(self, scores_BK: Tensor, targets: Tensor) -> Tensor:
        """With weights, too, it is divided by the number of clips, not by their weights, of which a batch has its own
        sum."""
        smoothing, weights = self.config.label_smoothing, self.class_weights
        if weights is None:
            return F.cross_entropy(scores_BK, targets, label_smoothing=smoothing)
        total = F.cross_entropy(scores_BK, targets, weights, label_smoothing=smoothing, reduction="sum")
        return total / len(scores_BK)

    def _scores(self, clips_BTCHW: Tensor, batch: Batch) -> Tensor | None:
        """None where the others of a batch were unreadable and the network cannot be trained on a single clip."""
        try:
            return self.model(clips_BTCHW)
        except ValueError as error:
            if _NO_STATISTICS not in str(error):
                raise
            if batch.bad:
                return None
            raise ConfigError(
                f"A batch norm of the network was given a single value a channel, of a batch of {len(batch.labels)} "
                f"clip{'s' if len(batch.labels) > 1 else ''} of {self.config.num_frames} frames of {self.config.size} "
                "pixels, and has no statistics of that. Use a larger --batch-size, --size or --num-frames."
            ) from error

    def _share(self, index: int) -> float:
        """What the loss of a batch is multiplied by, so that the gradients of an epoch's last batches are averaged too
        where these are fewer than `accumulate`: Lightning divides by that, whatever their number is."""
        batches, together = int(self.trainer.num_training_batches), self.config.accumulate
        last = batches % together
        return together / last if last and index >= batches - last else 1.0

    def mix(self, clips_BTCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Mixup or cutmix of a batch, if any: the same for all frames of a clip; labels become shares, (B, K)."""
        if not self._mixes:
            return clips_BTCHW, labels_B
        mixed, shares_BK = v2.RandomChoice(self._mixes)(tv_tensors.Video(clips_BTCHW), labels_B)
        return mixed.as_subclass(Tensor), shares_BK

    def on_validation_epoch_start(self) -> None:
        if self._trained_on == 0:  # and before any checkpoint says that something was learnt
            path, reason = next(iter(self.skipped.items()))
            raise DataError(
                f"Not one training clip can be decoded, so there is nothing to learn from. One is {path}: {reason}. "
                "Repair them; m2a data check names them all."
            )

    def validation_step(self, batch: Batch, _: int) -> None:
        _note(batch, self.skipped_validation)
        if batch.bad and not self.config.skip_bad:
            raise DataError(
                f"The validation clip {batch.bad[0].path} cannot be decoded: {batch.bad[0].reason}. Repair or remove "
                "it, or leave such clips out of validation with --skip-bad."
            )
        if len(batch.labels) == 0:
            self._bad = batch.bad[0]
            return
        scores = self(batch).float()
        self.top1(scores, batch.labels)
        self.top5(scores, batch.labels)
        self.by_class.update(scores, batch.labels)
        size = len(batch.labels)
        self.log("val_loss", F.cross_entropy(scores, batch.labels), batch_size=size, sync_dist=True)
        self.log_dict({"val_top1": self.top1, "val_top5": self.top5}, on_epoch=True, batch_size=size)

    def on_validation_epoch_end(self) -> None:
        if (bad := self._bad) is not None and not self.top1.update_called:
            raise DataError(
                "Not one validation clip can be decoded, so nothing tells which epoch is the best. One is "
                f"{bad.path}: {bad.reason}. Repair them; m2a data check names them all."
            )
        right_K, _, _, _, clips_K = self.by_class.compute().float().unbind(1)
        self.by_class.reset()
        self.log("val_mean_class", (right_K / clips_K)[clips_K > 0].mean())

    def forward(self, batch: Batch) -> Tensor:
        return self.model(self.model.preprocessing.normalize(batch.clips))

    def groups(self) -> list[dict[str, Any]]:
        """The parameters in groups, with the learning rates and the weight decay that the options name."""
        config = self.config
        return parameter_groups(
            self.model,
            lr=config.lr,
            weight_decay=config.weight_decay,
            lr_scales={"mechanism": config.lr_mechanism, "backbone": config.lr_backbone, "head": config.lr_head},
            decay_all=config.decay_all,
        )

    def configure_optimizers(self) -> Any:
        config, groups = self.config, self.groups()
        optimizer = create_optimizer(groups, kind=config.optimizer, lr=config.lr, momentum=config.momentum)
        if config.schedule == "constant":
            return optimizer
        if config.schedule == "step":
            stepped = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(config.milestones), gamma=0.1)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": stepped, "interval": "epoch"}}
        steps = max(int(self.trainer.estimated_stepping_batches), 2)
        just_one = float(config.warmup * steps) == 1.0  # step of warming up, by whose length less one torch divides
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in groups],
            total_steps=steps,
            pct_start=config.warmup * (1 + 1e-6) if just_one else float(config.warmup),
            cycle_momentum=False,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        if gradient_clip_val and optimizer.defaults.get("fused"):  # which Lightning refuses to clip, for a GPU's sake
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)


def _note(batch: Batch, skipped: dict[Path, str]) -> None:
    for bad in batch.bad:
        skipped.setdefault(bad.path, bad.reason)
