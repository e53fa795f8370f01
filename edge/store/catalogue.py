"""The published detectors that `edgebot models pull` fetches, by their official addresses.

A sha256 stands here where several independent projects pin the same one (or the file itself was at hand); a file
without one is trusted on first use: what came then is recorded and checked ever after.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from edge.errors import UsageError

DARKNET = "https://raw.githubusercontent.com/pjreddie/darknet/f6afaabcdf85f77e7aff2ec55c020c0e297c77f9"
ALEXEY = "https://raw.githubusercontent.com/AlexeyAB/darknet/master"
FASTEST = "https://raw.githubusercontent.com/dog-qiuqiu/Yolo-Fastest/master"

YOLO_LICENCE = "free of conditions (YOLO licence)"


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its name in the store, its addresses (the next is tried where one has it not), what it must be."""

    file: str
    urls: tuple[str, ...]
    sha256: str = ""
    size: int = 0  # bytes; 0: not known


@dataclass(frozen=True, slots=True)
class Published:
    """A detector in Darknet's files; `labels` stands in for a names file where the authors keep none."""

    name: str
    about: str
    terms: str  # its licence, in a word
    sources: tuple[Source, ...]
    labels: tuple[str, ...] = ()

    def file(self, suffix: str) -> str:
        """The name of the file with this suffix."""
        return next((one.file for one in self.sources if one.file.endswith(suffix)), f"{self.name}{suffix}")

    @property
    def size(self) -> int:
        """Bytes of all files, as far as known."""
        return sum(source.size for source in self.sources)


TINY = "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c"
COCO_NAMES = Source(
    "coco.names",
    (f"{DARKNET}/data/coco.names",),
    "634a1132eb33f8091d60f2c346ababe8b905ae08387037aed883953b7329af84",
    625,
)
DARKNET_LICENCE = Source("LICENSE", (f"{DARKNET}/LICENSE",))
FASTEST_LICENCE = Source(
    "LICENSE", (f"{FASTEST}/LICENSE",), "2021f0b8d6426fbf9a2f0126f1e8a7d3b1d7027c871b9979fa2543b9557000c4", 515
)
CALIBRATION = Source(
    "coco128.zip", ("https://github.com/ultralytics/assets/releases/download/v0.0.0/coco128.zip",), "", 0
)
"""128 photos of COCO train2017 with Ultralytics' labels: what a model is calibrated on where no folder is given."""


def _fastest(folder: str, stem: str, suffix: str, sha256: str, size: int) -> Source:
    return Source(f"{stem}{suffix}", (f"{FASTEST}/ModelZoo/{folder}/{stem}{suffix}",), sha256, size)


def _redmon(file: str, sha256: str, size: int) -> Source:
    urls = (f"https://pjreddie.com/media/files/{file}", f"https://data.pjreddie.com/files/{file}")
    return Source(file, urls, sha256, size)


PUBLISHED = (
    Published(
        "yolov3",
        "Redmon and Farhadi 2018: 80 classes of COCO, 416 x 416, 62 million weights; for a strong machine",
        YOLO_LICENCE,
        (
            Source(
                "yolov3.cfg",
                (f"{DARKNET}/cfg/yolov3.cfg",),
                "22489ea38575dfa36c67a90048e8759576416a79d32dc11e15d2217777b9a953",
            ),
            _redmon("yolov3.weights", "523e4e69e1d015393a1b0a441cef1d9c7659e3eb2d7e15f793f060a21b32f297", 248007048),
            COCO_NAMES,
            DARKNET_LICENCE,
        ),
    ),
    Published(
        "yolov3-tiny",
        "Redmon and Farhadi 2018: 80 classes of COCO, 416 x 416, 9 million weights",
        YOLO_LICENCE,
        (
            Source(
                "yolov3-tiny.cfg",
                (f"{DARKNET}/cfg/yolov3-tiny.cfg",),
                "84eb7a675ef87c906019ff5a6e0effe275d175adb75100dcb47f0727917dc2c7",
            ),
            _redmon("yolov3-tiny.weights", TINY, 35434956),
            COCO_NAMES,
            DARKNET_LICENCE,
        ),
    ),
    Published(
        "yolov4-tiny",
        "Bochkovskiy et al. 2020: 80 classes of COCO, 416 x 416, 6 million weights",
        YOLO_LICENCE,
        (
            Source(
                "yolov4-tiny.cfg",
                (f"{ALEXEY}/cfg/yolov4-tiny.cfg",),
                "f858e3724962eedf3ac44e3b6cb3f0c3d9ed067c306bb831f539c578b924c90e",
            ),
            Source(
                "yolov4-tiny.weights",
                tuple(
                    f"https://github.com/AlexeyAB/darknet/releases/download/{release}/yolov4-tiny.weights"
                    for release in ("yolov4", "darknet_yolo_v4_pre")
                ),
                "cf9fbfd0f6d4869b35762f56100f50ed05268084078805f0e7989efe5bb8ca87",
                24251276,
            ),
            COCO_NAMES,
            Source("LICENSE", (f"{ALEXEY}/LICENSE",)),
        ),
    ),
    Published(
        "yolo-fastest-1.1",
        "dog-qiuqiu 2021: 80 classes of COCO, 320 x 320, 0.3 million weights; for the smallest boards",
        YOLO_LICENCE,
        (
            _fastest(
                "yolo-fastest-1.1_coco", "yolo-fastest-1.1", ".cfg",
                "f6df5775c1e862998cf69046eba9265be3ae84dfe8b2caab7529823f0795bf70", 9685,
            ),
            _fastest(
                "yolo-fastest-1.1_coco", "yolo-fastest-1.1", ".weights",
                "1c445c42bbd6df63edea2cc69f99667b5650d663ca11e34b116240740cd42890", 1384268,
            ),
            COCO_NAMES,
            FASTEST_LICENCE,
        ),
    ),
    Published(
        "yolo-fastest-1.1-xl",
        "the same with three times the channels: 0.9 million weights",
        YOLO_LICENCE,
        (
            _fastest(
                "yolo-fastest-1.1_coco", "yolo-fastest-1.1-xl", ".cfg",
                "c458427acc4fbeabceff4528ef7b65b066c0308ce599460f8ba299eba63abad3", 9696,
            ),
            _fastest(
                "yolo-fastest-1.1_coco", "yolo-fastest-1.1-xl", ".weights",
                "fac5fb41786c1f38f04972a658443b189f48720d7d117f9a044100e98a35b0c5", 3693964,
            ),
            COCO_NAMES,
            FASTEST_LICENCE,
        ),
    ),
    Published(
        "yolo-fastest-1.1-body",
        "dog-qiuqiu 2021: persons alone (label body), 320 x 320, 0.3 million weights",
        YOLO_LICENCE,
        (
            _fastest(
                "yolo-fastest-1.1_body", "yolo-fastest-1.1_body", ".cfg",
                "045b8e276ebe3924474da8c866b7e709159ea067137b5d66bf9dd560411b2c1a", 9679,
            ),
            _fastest(
                "yolo-fastest-1.1_body", "yolo-fastest-1.1_body", ".weights",
                "5bbb6d878f6e2eb3deee39e91dc6f9b39700e99ec83fa94d258670a554949728", 1177604,
            ),
            FASTEST_LICENCE,
        ),
        ("body",),
    ),
)  # fmt: skip


def published(name: str) -> Published:
    """The entry of this name.

    Raises:
        UsageError: there is none; the sentence tells the nearest.
    """
    for one in PUBLISHED:
        if one.name == name:
            return one
    names = [one.name for one in PUBLISHED]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
    raise UsageError(f"no published model {name!r}; {hint}")
