"""The check finds what was planted, and nothing on sound clips."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from clip_files import FRAMES, brightness, write_frames, write_jpeg, write_ssv1
from dying import nothing, shout
from faulty_sets import good, plant, write_csv
from layouts import ucf101

from m2a.data import CheckReport, ClipSet, check_clips, describe_clips, leave_out, read_clips
from m2a.data.checking.processes import in_processes
from m2a.errors import ConfigError, DataError, NotFoundError

ERRORS = {
    "truncated", "empty", "unreadable", "damaged", "no picture", "frame sizes differ", "copy across the split",
    "copy with another label",
}  # fmt: skip


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, set[str]]]:
    root = tmp_path_factory.mktemp("sets") / "planted"
    return root, plant(root)


@pytest.fixture(scope="module")
def report(planted: tuple[Path, dict[str, set[str]]], tmp_path_factory: pytest.TempPathFactory) -> CheckReport:
    return check_clips(read_clips(planted[0]), workers=1, out=tmp_path_factory.mktemp("check"))


def found(report: CheckReport) -> dict[str, set[str]]:
    return {kind: {finding.clip for finding in members} for kind, members in report.by_kind().items()}


def kinds(report: CheckReport) -> set[str]:
    return set(report.by_kind())


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def entries(skip_list: str) -> set[str]:
    return {line for line in skip_list.splitlines() if line and not line.startswith("#")}


def two_classes(root: Path, *, num: int = 2) -> Path:
    """A sound set."""
    for k in range(num):
        for i, label in enumerate(("open", "close")):
            good(root / "train" / label / f"{k}.mp4", 2 * k + i)
            good(root / "validation" / label / f"{k}.mp4", 15 + 2 * k + i)
    return root


def test_every_planted_fault_is_found_and_nothing_else(
    planted: tuple[Path, dict[str, set[str]]], report: CheckReport
) -> None:
    assert found(report) == planted[1]
    assert report.has_errors


def test_findings_say_where_and_why(report: CheckReport) -> None:
    for finding in report.findings:
        assert Path(finding.path).exists()
        assert finding.why
        assert "\n" not in finding.why
        assert (finding.severity == "error") == (finding.kind in ERRORS)
    why = {finding.clip: finding.why for finding in report.findings}
    assert why["train/open/gap"].startswith(("frame numbers 5 are missing", "jpeg", "rgb", "37x53"))
    assert "frame numbers 5 are missing" in {finding.why for finding in report.findings}
    assert "40 to 360 ms pass" in why["train/open/uneven.mp4"]
    assert "validation/open/leak.mp4 in validation" in why["train/open/2.mp4"]


def test_the_skip_list_holds_the_clips_with_errors_and_makes_the_set_sound(
    planted: tuple[Path, dict[str, set[str]]], report: CheckReport, tmp_path: Path
) -> None:
    expected = set().union(*(planted[1][kind] for kind in ERRORS))
    assert entries(report.skip_list()) == expected
    report.write(tmp_path)
    clips, left_out = leave_out(read_clips(planted[0]), tmp_path / "skip.txt")
    assert {left.clip.id for members in left_out.values() for left in members} == expected
    assert all("skip.txt: " in left.reason for members in left_out.values() for left in members)
    again = check_clips(clips, workers=1)
    assert not again.has_errors
    assert sum(len(members) for members in clips.splits.values()) == report.num_clips - len(expected)
    left_names = {finding.why.split(" is on disk")[0] for finding in again.by_kind()["in no split"]}
    assert left_names == expected


def test_the_report_counts(report: CheckReport) -> None:
    content = report.to_dict()
    assert content["counts"]["error"] == sum(finding.severity == "error" for finding in report.findings)
    assert content["totals"]["validation"] == {"clips": 7, "frames": 70, "seconds": 2.8, "clips_with_seconds": 7}
    assert content["classes"]["close"] == {"train": 14, "validation": 3}
    assert json.loads(json.dumps(content)) == content


def test_a_quick_check_opens_and_counts(planted: tuple[Path, dict[str, set[str]]]) -> None:
    quick = found(check_clips(read_clips(planted[0]), quick=True, workers=1))
    assert set(planted[1]) - set(quick) == {"damaged", "still", "black", "frame sizes differ"}
    assert quick["truncated"] == {"train/open/cut.mp4"}


def test_a_second_check_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    clips = read_clips(two_classes(tmp_path / "set"))
    record = tmp_path / "out" / "check.jsonl"
    check_clips(clips, workers=1, out=record.parent)
    whole = lines(record)
    assert len(whole) == 8
    record.write_text("\n".join(whole[:5]) + "\n" + whole[5][:40])  # killed while it wrote the sixth
    again = check_clips(clips, workers=1, out=record.parent)
    assert again.num_reused == 5
    assert lines(record)[:5] == whole[:5]
    assert lines(record)[6:] == whole[5:]
    before = record.read_bytes()
    assert check_clips(clips, workers=1, out=record.parent).num_reused == 8
    assert record.read_bytes() == before
    assert check_clips(clips, workers=1, out=record.parent, resume=False).num_reused == 0
    assert lines(record) == whole


def test_an_interrupted_check_keeps_what_it_had(tmp_path: Path) -> None:
    clips = read_clips(two_classes(tmp_path / "set"))

    def interrupt(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_clips(clips, workers=1, out=tmp_path / "out", progress=interrupt)
    assert len(lines(tmp_path / "out" / "check.jsonl")) == 3
    assert check_clips(clips, workers=1, out=tmp_path / "out").num_reused == 3


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipSet, Path]:
    """A set and the folder of its check. Not to be changed."""
    folder = tmp_path_factory.mktemp("sound")
    clips = read_clips(two_classes(folder / "set"))
    check_clips(clips, workers=1, out=folder / "check")
    return clips, folder / "check"


@pytest.mark.parametrize("name", ["check.json", "check.jsonl", "skip.txt", "skip-new.txt"])
@pytest.mark.parametrize("content", ['{"mine": 1}\n', "[1]", "my notes"])
def test_a_file_of_somebody_else_is_not_replaced(
    name: str, content: str, sound: tuple[ClipSet, Path], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=rf"{name} is there already .*; nothing is overwritten\. Name another folder"):
        check_clips(sound[0], workers=1, out=tmp_path, resume=False)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, content)]


def test_the_check_of_another_set_is_not_replaced(sound: tuple[ClipSet, Path], tmp_path: Path) -> None:
    clips, out = sound[0], shutil.copytree(sound[1], tmp_path / "check")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    other = replace(clips, root=tmp_path)
    with pytest.raises(ConfigError, match=f"holds the check of another set, {clips.root}; nothing is overwritten"):
        check_clips(other, workers=1, out=out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    content = json.loads(before["check.json"])
    del content["resolved_root"]  # as an earlier version left it
    (out / "check.json").write_text(json.dumps(content))
    assert check_clips(clips, workers=1, out=out).num_reused == 8
    assert json.loads((out / "check.json").read_text())["resolved_root"] == str(clips.root.resolve())


def test_an_edited_skip_list_stays(sound: tuple[ClipSet, Path], tmp_path: Path) -> None:
    clips, out = sound[0], shutil.copytree(sound[1], tmp_path / "check")
    written = (out / "skip.txt").read_text()
    assert check_clips(clips, workers=1, out=out, num_frames=3).skip_file(out) == out / "skip.txt"
    for edited in (written + "train/open/0.mp4\n", "train/open/0.mp4\n"):
        (out / "skip.txt").write_text(edited)
        for _ in range(2):
            assert check_clips(clips, workers=1, out=out).skip_file(out) == out / "skip-new.txt"
            assert (out / "skip.txt").read_text() == edited
            assert (out / "skip-new.txt").read_text() == written
    (out / "skip-new.txt").replace(out / "skip.txt")
    check_clips(clips, workers=1, out=out)
    assert not (out / "skip-new.txt").exists()


def test_a_repaired_clip_is_checked_anew(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "set")
    video = root / "train" / "open" / "0.mp4"
    sound = video.read_bytes()
    video.write_bytes(sound[:-300])
    assert check_clips(read_clips(root), workers=1, out=tmp_path / "out").has_errors
    video.write_bytes(sound)
    again = check_clips(read_clips(root), workers=1, out=tmp_path / "out")
    assert not again.has_errors
    assert again.num_reused == 7
    status = video.stat()
    os.utime(video, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    assert check_clips(read_clips(root), workers=1, out=tmp_path / "out").num_reused == 7


def test_what_a_quick_check_saw_is_decoded_later(tmp_path: Path) -> None:
    clips = read_clips(two_classes(tmp_path / "set"))
    check_clips(clips, workers=1, out=tmp_path / "out", quick=True)
    assert check_clips(clips, workers=1, out=tmp_path / "out").num_reused == 0
    assert check_clips(clips, workers=1, out=tmp_path / "out", quick=True).num_reused == 8


def test_processes_give_the_same(tmp_path: Path) -> None:
    root = two_classes(tmp_path / "set")
    (root / "train" / "open" / "0.mp4").write_text("no video")
    clips = read_clips(root)
    alone, together = (check_clips(clips, workers=workers) for workers in (1, 2))
    assert together.findings == alone.findings
    assert together.facts == alone.facts


def test_an_item_that_kills_its_process_is_told_and_the_others_go_on() -> None:
    words = ["a", "b", "die", "c", "d", "e"]
    results = dict(in_processes(shout, words, workers=2, prepare=nothing))
    assert results == {word: None if word == "die" else word.upper() for word in words}


def test_groups_on_both_sides(tmp_path: Path) -> None:
    clips = with_groups(read_clips(two_classes(tmp_path / "set")), {"train/open/0.mp4", "validation/close/1.mp4"})
    (finding,) = check_clips(clips, workers=1).by_kind()["group across the split"]
    assert finding.severity == "warning"
    assert "'g01' are on both sides of the split: 1 in train, 1 in validation" in finding.why
    clips = with_groups(clips, {"train/open/0.mp4", "train/close/1.mp4"})
    assert "group across the split" not in kinds(check_clips(clips, workers=1))


def with_groups(clips: ClipSet, ids: Iterable[str]) -> ClipSet:
    splits = {
        name: tuple(replace(clip, group="g01" if clip.id in ids else "") for clip in members)
        for name, members in clips.splits.items()
    }
    return replace(clips, splits=splits)


def test_windows_of_one_recording(tmp_path: Path) -> None:
    clips = read_clips(two_classes(tmp_path / "set"))
    first, *rest = clips.split("train")
    windows = [replace(first, id=f"{first.id}#{start}", window=(start, 8)) for start in (0, 1, 5)]
    report = check_clips(replace(clips, splits={**clips.splits, "train": (*windows, *rest)}), workers=1)
    (finding,) = report.by_kind()["outside the recording"]
    assert finding.why == "it is frames 5 to 12 of a recording that has 10"
    assert entries(report.skip_list()) == {f"{first.id}#5"}
    assert report.totals()["train"] == {"clips": 6, "frames": 54, "seconds": 2.16, "clips_with_seconds": 6}
    assert not {kind for kind in kinds(report) if kind.startswith("copy")}


def test_lists_that_name_too_much_or_too_little(tmp_path: Path) -> None:
    root = write_ssv1(tmp_path / "ssv1", labels=("a", "b", "c", "d"), train=("1;a", "2;b", "30;a"), validation=("4;c",))
    for clip in ("1", "2", "30", "4"):
        for frame in (root / FRAMES / clip).iterdir():
            write_jpeg(frame, grey=int(clip) + brightness(int(frame.stem)))
    write_frames(root / FRAMES / "99", num_frames=9)
    write_frames(root / FRAMES / "77", num_frames=9)
    (root / "something-something-v1-test.csv").write_text("77\n")
    shutil.rmtree(root / FRAMES / "30")
    report = check_clips(read_clips(root, missing="skip"), num_frames=3, workers=1)
    whys = {kind: [finding.why for finding in members] for kind, members in report.by_kind().items()}
    assert whys["label without clips"] == ["the label 'd' has no clip"]
    assert whys["class without training clips"] == ["'c' has 1 clip, none of them to train on"]
    assert len(whys["class with few training clips"]) == 2
    assert whys["in no split"] == [f"{FRAMES}/99 is on disk, and in no split"]
    assert "names 1 of 3 clips that are not on disk: 30" in whys["left out on reading"][0]
    assert not report.has_errors


def test_clips_that_are_listed_by_way_of_the_folder_above(tmp_path: Path) -> None:
    for k in range(4):
        good(tmp_path / "videos" / f"{k}.mp4", k)
    good(tmp_path / "videos" / "forgotten.mp4", 4)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train.txt").write_text("../videos/0.mp4 0\n../videos/1.mp4 1\n")
    (tmp_path / "annotations" / "val.txt").write_text("../videos/2.mp4 0\n../videos/3.mp4 1\n")
    for root in (tmp_path, tmp_path / "videos" / ".."):
        report = check_clips(read_clips(root), workers=1, quick=True)
        assert [finding.why for finding in report.by_kind()["in no split"]] == [
            "videos/forgotten.mp4 is on disk, and in no split"
        ]


def test_what_is_beside_a_sets_folder_is_not_the_sets(tmp_path: Path) -> None:
    ucf101(tmp_path)
    good(tmp_path / "UCF-101" / "YoYo" / "forgotten.avi", 19)
    good(tmp_path / "another set" / "a.mp4", 23)
    good(tmp_path / "b.mp4", 29)
    for root in (tmp_path, tmp_path / "UCF-101", tmp_path / "ucfTrainTestlist"):
        report = check_clips(read_clips(root), workers=1, quick=True)
        assert [finding.why for finding in report.by_kind()["in no split"]] == [
            "UCF-101/YoYo/forgotten.avi is on disk, and in no split"
        ]


def test_a_list_and_uneven_classes(tmp_path: Path) -> None:
    rows = []
    for k in range(12):
        good(tmp_path / "clips" / f"{k}.mp4", k)
        rows.append((f"clips/{k}.mp4", "rare" if k in (0, 11) else "common", "validation" if k > 10 else "train"))
    good(tmp_path / "clips" / "forgotten.mp4", 20)
    write_csv(tmp_path, rows)
    report = check_clips(read_clips(tmp_path), workers=1)
    assert kinds(report) == {"uneven classes", "in no split", "class with few training clips"}
    assert "clips/forgotten.mp4" in report.by_kind()["in no split"][0].why
    assert "10 times as many" in report.by_kind()["uneven classes"][0].why


def test_clips_that_disappear(tmp_path: Path) -> None:
    clips = read_clips(two_classes(tmp_path / "set"))
    clips.split("train")[0].path.unlink()
    assert found(check_clips(clips, workers=1))["missing"] == {clips.split("train")[0].id}


def test_skip_lists_that_cannot_be_used(tmp_path: Path) -> None:
    clips = read_clips(two_classes(tmp_path / "set"))
    with pytest.raises(NotFoundError, match=r"no skip list .*nowhere\.txt\. m2a data check writes one"):
        leave_out(clips, tmp_path / "nowhere.txt")
    (tmp_path / "skip.txt").write_text("# gone\ntrain/open/0.mp4\n\ntrain/open/00.mp4\n")
    with pytest.raises(DataError, match=r"skip\.txt:4: 'train/open/00\.mp4' is no clip .*nearest: 'train/open/0\.mp4'"):
        leave_out(clips, tmp_path / "skip.txt")


def test_arguments_that_cannot_work(tmp_path: Path) -> None:
    clips = read_clips(two_classes(tmp_path / "set", num=1))
    with pytest.raises(ConfigError, match="num_frames=0 must be at least 1"):
        check_clips(clips, num_frames=0)
    with pytest.raises(ConfigError, match="sample=0 must be at least 1"):
        describe_clips(clips, sample=0)


def test_statistics(planted: tuple[Path, dict[str, set[str]]]) -> None:
    clips = read_clips(planted[0])
    statistics = describe_clips(clips, workers=1)
    content = statistics.to_dict()
    assert content["num_opened"] == content["num_clips"] == statistics.num_clips
    assert len(content["unreadable"]) == 4
    assert content["measured"]["frames"] == {"least": 3.0, "median": 10.0, "most": 20.0}
    assert next(iter(content["counted"]["codec"])) == "h264, yuv420p"
    few = [describe_clips(clips, sample=3, workers=1) for _ in range(2)]
    assert len(few[0].opened) == 3
    assert few[0].opened == few[1].opened
    assert few[0].class_counts() == statistics.class_counts()


def test_a_picture_without_a_number_among_frames_is_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_frames(tmp_path / "set" / "x" / name, num_frames=5)
        write_frames(tmp_path / "set" / "y" / name, num_frames=5)
    write_jpeg(tmp_path / "set" / "x" / "a" / "cover.jpg", grey=0)
    report = check_clips(read_clips(tmp_path / "set"), num_frames=2, workers=1)
    (odd,) = [finding for finding in report.findings if finding.kind == "gap in the numbering"]
    assert odd.why == "cover.jpg has no number, as the other frames have; it is taken for a frame"
