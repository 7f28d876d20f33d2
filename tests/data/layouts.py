"""Small real data sets in the layouts that are read as they are. Every clip of a set has its own number of frames."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clip_files import brightness, write_jpeg, write_video

Clips = list[tuple[str, str, int]]  # path below the root, label, number of frames
CODECS = {".webm": "libvpx-vp9", ".avi": "mpeg4", ".mp4": "libx264"}


@dataclass(frozen=True)
class Written:
    """What a reader should find."""

    format: str
    labels: tuple[str, ...]
    train: Clips
    validation: Clips
    data: str = "."
    """What is given as --data, below the root."""
    notes: tuple[str, ...] = ()
    """What notes should say."""


def write_text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_images(folder: Path, num_frames: int, *, name: str = "{:05d}.jpg", flow: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(num_frames):
        write_jpeg(folder / name.format(k + 1), grey=brightness(k), width=32, height=24)
        if flow:
            for prefix in ("flow_x", "flow_y", "x", "y"):
                write_jpeg(folder / f"{prefix}_{k + 1:05d}.jpg", grey=250, width=31, height=23)


def write_clips(root: Path, *sides: Clips, name: str = "{:05d}.jpg", flow: bool = False) -> None:
    for path, _, num_frames in (clip for side in sides for clip in side):
        codec = CODECS.get((root / path).suffix)
        if codec:
            write_video(root / path, num_frames=num_frames, width=32, height=24, codec=codec)
        else:
            write_images(root / path, num_frames, name=name, flow=flow)


def frames_with_csv(root: Path, frames: str, prefix: str, format_: str) -> Written:
    labels = ("Swiping Right", "Doing other things", "Swiping Left")
    train = [(f"{frames}/{i}", labels[k], n) for i, k, n in ((103, 2, 5), (7, 0, 7), (29, 1, 11), (1009, 0, 13))]
    validation = [(f"{frames}/{i}", labels[k], n) for i, k, n in ((31, 1, 3), (5, 2, 17))]
    write_clips(root, train, validation)
    write_text(root / f"{prefix}-labels.csv", *labels)
    for split, clips in (("train", train), ("validation", validation)):
        write_text(root / f"{prefix}-{split}.csv", *(f"{Path(path).name};{label}" for path, label, _ in clips))
    write_text(root / f"{prefix}-test.csv", "37", "41", "43")
    return Written(format_, labels, train, validation, notes=("3 clips without a label, left out",))


def something_something_v1(root: Path) -> Written:
    return frames_with_csv(root, "20bn-something-something-v1", "something-something-v1", "something-something-v1")


def jester(root: Path) -> Written:
    return frames_with_csv(root, "20bn-jester-v1", "jester-v1", "jester")


TEMPLATES = ("Pushing [something] from left to right", "Holding [something]", "Putting [something] on [something]")


def something_something_v2(root: Path, lists: str = "something-something-v2-{}.json") -> Written:
    labels = tuple(template.replace("[", "").replace("]", "") for template in TEMPLATES)
    folder = "20bn-something-something-v2"
    numbers = (("train", 74225, 2, 5), ("train", 7, 0, 7), ("train", 331, 1, 11), ("train", 17, 0, 3))
    numbers += (("validation", 43, 1, 13), ("validation", 2099, 0, 5))
    found: dict[str, Clips] = {"train": [], "validation": []}
    entries: dict[str, list[dict[str, object]]] = {"train": [], "validation": []}
    for split, number, k, num_frames in numbers:
        found[split].append((f"{folder}/{number}.webm", labels[k], num_frames))
        filled = labels[k].replace("something", "a cup")
        entry = {"id": str(number), "label": filled, "template": TEMPLATES[k], "placeholders": ["a cup"]}
        entries[split].append(entry)
    write_clips(root, *found.values())
    ids = {labels[1]: "1", labels[2]: "2", labels[0]: "0"}  # the order in the file is another
    write_text(root / lists.format("labels"), json.dumps(ids))
    for split in found:
        write_text(root / lists.format(split), json.dumps(entries[split], indent=1))
    return Written("something-something-v2", labels, found["train"], found["validation"])


def something_something_v2_newer(root: Path) -> Written:
    return something_something_v2(root, "labels/{}.json")


def kinetics(root: Path, *, train: str = "train", validation: str = "val", nested: bool = True) -> Written:
    """Class folders with underscores in training, with spaces in validation; or none."""
    rows = {
        "train": [("zumba", "aB-7", 3, 13, 5), ("air drumming", "_x1", 107, 117, 7), ("tai chi", "q--", 0, 10, 11)],
        "validation": [("tai chi", "k2k", 29, 39, 3), ("air drumming", "vV_", 1001, 1011, 13)],
        "test": [("", "hidden", 5, 15, 0)],
    }
    found: dict[str, Clips] = {"train": [], "validation": [], "test": []}
    for split, folder in (("train", train), ("validation", validation), ("test", "test")):
        lines = ["label,youtube_id,time_start,time_end,split"]
        for label, video, start, end, num_frames in rows[split]:
            lines.append(f"{label},{video},{start},{end},{folder}")
            within = (label.replace(" ", "_") if split == "train" else label) + "/" if nested else ""
            found[split].append((f"{folder}/{within}{video}_{start:06d}_{end:06d}.mp4", label, num_frames))
        write_text(root / f"{folder}.csv", *lines)
    write_clips(root, found["train"], found["validation"])
    labels = ("air drumming", "tai chi", "zumba")
    notes = ("test.csv: 1 clip without a label, left out",)
    return Written("kinetics", labels, found["train"], found["validation"], notes=notes)


def kinetics_flat(root: Path) -> Written:
    return kinetics(root, validation="validate", nested=False)


def path_label(root: Path, separator: str, suffix: str, format_: str) -> Written:
    train = [("videos/a b.mp4", "2", 5), ("videos/c.mp4", "0", 7), ("videos/d.mp4", "1", 11)]
    validation = [("videos/e.mp4", "1", 3), ("videos/f.mp4", "2", 13)]
    write_clips(root, train, validation)
    for split, clips in (("train", train), ("val", validation)):
        write_text(root / f"{split}{suffix}", *(f"{path}{separator}{label}" for path, label, _ in clips))
    return Written(format_, ("0", "1", "2"), train, validation, notes=("classes are called by their numbers",))


def kinetics_list(root: Path) -> Written:
    return path_label(root, " ", ".csv", "kinetics")


def kinetics_list_colons(root: Path) -> Written:
    return path_label(root, "::", ".csv", "kinetics")


def mmaction2_videos(root: Path) -> Written:
    return path_label(root, " ", ".txt", "mmaction2")


def ucf101(root: Path) -> Written:
    labels = ("YoYo", "Archery", "HandstandPushups")
    names = (("YoYo", "v_YoYo_g07_c01"), ("Archery", "v_Archery_g13_c03"))
    names += (("HandstandPushups", "v_HandStandPushups_g07_c02"), ("YoYo", "v_YoYo_g07_c03"))
    names += (("Archery", "v_Archery_g02_c01"), ("YoYo", "v_YoYo_g01_c05"))
    clips = [(f"UCF-101/{c}/{n}.avi", c, k) for (c, n), k in zip(names, (5, 7, 11, 13, 3, 17), strict=True)]
    write_clips(root, clips)
    lists = root / "ucfTrainTestlist"
    write_text(lists / "classInd.txt", *(f"{k} {label}" for k, label in enumerate(labels, start=1)))
    for split, train, test in (("01", clips[:4], clips[4:]), ("03", [*clips[4:], clips[2]], clips[:2])):
        short = [(path.removeprefix("UCF-101/"), label) for path, label, _ in train]
        write_text(lists / f"trainlist{split}.txt", *(f"{path} {labels.index(label) + 1}" for path, label in short))
        write_text(lists / f"testlist{split}.txt", *(path.removeprefix("UCF-101/") for path, _, _ in test))
    notes = ("split 1: the official test list is read as the validation split",)
    return Written("ucf101", labels, clips[:4], clips[4:], notes=notes)


def hmdb51(root: Path, videos: str = "", lists: str = "testTrainMulti_7030_splits") -> Written:
    sides = {
        "brush_hair": (
            ("April_09_brush_hair_u_nm_np1_ba_goo_0", 1, 5),
            ("a#b&c_brush_hair_f_3", 2, 7),
            ("x_y_5", 0, 3),
        ),
        "climb": (("20060723sfj,_climb_u_1", 1, 11), ("(!)_climb_u_cm_np1_2", 1, 13), ("Climb+it_climb_0", 2, 17)),
    }
    found: dict[int, Clips] = {0: [], 1: [], 2: []}
    for label, clips in sides.items():
        lines = []
        for name, side, num_frames in clips:
            lines.append(f"{name}.avi {side} ")
            found[side].append((f"{videos}{label}/{name}.avi", label, num_frames))
        write_text(root / lists / f"{label}_test_split1.txt", *lines)
    write_clips(root, found[1], found[2])
    notes = ("split 1: the official test", "1 clip in neither list of split 1, left out")
    return Written("hmdb51", ("brush_hair", "climb"), found[1], found[2], notes=notes)


def hmdb51_in_subfolder(root: Path) -> Written:
    return hmdb51(root, videos="hmdb51_org/", lists="splits")


def tsn(root: Path, *, name: str = "img_{:05d}.jpg", under: str = "", data: str = ".", wrong: int = 0) -> Written:
    """A class is 0, 1 or 2 and a clip never that short, so that columns in another order fail."""
    labels = ("wave", "jump", "air guitar")
    train = [(f"{under}v 1", "jump", 5), (f"{under}v2", "air guitar", 7), (f"{under}v3", "wave", 11)]
    validation = [(f"{under}v4", "jump", 13), (f"{under}v5", "wave", 3)]
    write_clips(root, train, validation, name=name, flow=True)
    write_text(root / "category.txt", *labels)
    for split, clips in (("train", train), ("val", validation)):
        lines = (f"{path.removeprefix(under)} {n + wrong} {labels.index(label)}" for path, label, n in clips)
        write_text(root / f"{split}_videofolder.txt", *lines)
    return Written("tsn", labels, train, validation, data=data)


def tsn_in_subfolder(root: Path) -> Written:
    return tsn(root, name="frame_{:06d}.jpg", under="frames/")


def tsn_from_the_frames_folder(root: Path) -> Written:
    return tsn(root, name="{:06d}.jpg", under="frames/", data="frames")


def tsn_list_file(root: Path) -> Written:
    return tsn(root, name="{:05d}.jpg", data="train_videofolder.txt")


def mmaction2_rawframes(root: Path) -> Written:
    """With an offset, from 0: several clips of one recording."""
    train = [("run", "0", 5), ("run", "1", 7), ("walk", "1", 3)]
    validation = [("walk", "0", 11)]
    write_clips(root, [("run", "", 23), ("walk", "", 31)])
    write_text(root / "ucf_train_list.txt", "run 3 5 0", "run 11 7 1", "walk 0 3 1")
    write_text(root / "ucf_val_list.txt", "walk 17 11 0")
    return Written("mmaction2", ("0", "1"), train, validation)


def ibm(root: Path) -> Written:
    train = [("run", "0", 5), ("run", "2", 7), ("walk", "1", 3)]
    validation = [("walk", "2", 11)]
    write_clips(root, [("run", "", 23), ("walk", "", 31)])
    write_text(root / "train.txt", "run;3;7;0", "run;11;17;2", "walk;1;3;1")
    write_text(root / "val.txt", "walk;19;29;2")
    write_text(root / "test.txt", "walk;5;7")
    return Written("ibm", ("0", "1", "2"), train, validation, notes=("test.txt: 1 clip without a label",))


def csv(root: Path, name: str = "my clips.csv", data: str = ".") -> Written:
    train = [("a/1.mp4", "walk", 5), ("b, c/2.avi", "run", 7), ("3", "sit", 11)]
    validation = [("a/4.mp4", "run", 3), ("5.webm", "sit", 13)]
    write_clips(root, train, validation)
    rows = [(path, label, "train") for path, label, _ in train] + [
        (path, label, "val") for path, label, _ in validation
    ]
    write_text(root / name, "label,path,split,group", *(f'{label},"{path}",{split},' for path, label, split in rows))
    return Written("csv", ("run", "sit", "walk"), train, validation, data=data)


def csv_file(root: Path) -> Written:
    write_text(root / "other.csv", "path,label", "nowhere.mp4,run")
    return csv(root, data="my clips.csv")


def csv_pair(root: Path) -> Written:
    train = [("1.mp4", "11", 5), ("2.mp4", "3", 7)]
    validation = [("4.mp4", "3", 3)]
    write_clips(root, train, validation)
    write_text(root / "train.csv", "1.mp4,11", "2.mp4,3")
    write_text(root / "val.csv", "4.mp4,3")
    return Written("csv", ("3", "11"), train, validation)


LAYOUTS: dict[str, Callable[[Path], Written]] = {
    write.__name__: write
    for write in (
        something_something_v1, something_something_v2, something_something_v2_newer, jester, kinetics, kinetics_flat,
        kinetics_list, kinetics_list_colons, ucf101, hmdb51, hmdb51_in_subfolder, tsn, tsn_in_subfolder,
        tsn_from_the_frames_folder, tsn_list_file, mmaction2_videos, mmaction2_rawframes, ibm, csv, csv_file, csv_pair,
    )
}  # fmt: skip
