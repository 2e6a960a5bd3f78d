"""Small made data in the form in which each documented set comes: its table, its folders, its names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from tests.train.ct_heads import EASY, make_heads

SIDE = 40
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
LESIONS = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def write(path: Path, marks: Iterable[int], seed: int) -> None:
    """Soft clouds with a bright square in each marked cell of a 4 × 4 grid: learnable in an epoch or two."""
    random = np.random.default_rng(seed)
    coarse = random.integers(30, 110, (5, 5, 3), dtype=np.uint8)
    pixels = np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))
    pixels += random.integers(0, 12, pixels.shape, dtype=np.uint8)
    for mark in marks:
        top, left = 10 * (mark // 4), 10 * (mark % 4)
        pixels[top : top + 10, left : left + 10] += 120
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def folders(root: Path, names: Iterable[str], each: int, pattern: str = "{name}/{index}.png") -> Path:
    """A folder per class; ``pattern`` may hold ``{patient}``, each of whom has two images."""
    for label, name in enumerate(names):
        for index in range(each):
            patient = label * each + index // 2
            write(root / pattern.format(name=name, index=index, patient=patient), [label * 5], 1000 * label + index)
    return root


def cleft(root: Path) -> Path:
    return folders(root, ("none", "cleft"), 40)


def cleft_types(root: Path) -> Path:
    return folders(root, ("none", "lip", "palate", "both"), 20)


def uc(root: Path) -> Path:
    """LIMUC's patient-based form."""
    return folders(root, [f"Mayo {k}" for k in range(4)], 24, "{patient}/{name}/UC_patient_{patient}_{index}.bmp")


def ham10000(root: Path) -> Path:
    """The set's own table; two photographs of each lesion, spread over the two folders."""
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    for index in range(140):
        lesion, part = index // 2, index % 2 + 1
        image, word = f"ISIC_{24306 + index:07d}", LESIONS[lesion % 7]
        write(root / f"HAM10000_images_part_{part}" / f"{image}.jpg", [lesion % 7 * 2], index)
        lines.append(
            f"HAM_{lesion:07d},{image},{word},histo,{45.0 + lesion % 40},{('male', 'female')[lesion % 2]},back"
        )
    (root / "HAM10000_metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def chest(root: Path) -> Path:
    """The set's own table and folders: none, one or two findings an image, three images a patient."""
    lines = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"]
    random = np.random.default_rng(0)
    for index in range(240):
        marks = sorted({index % 15, int(random.integers(0, 60))} & set(range(14)))
        name = f"{index // 3 + 1:08d}_{index % 3:03d}.png"
        write(root / f"images_{index // 120 + 1:03d}/images" / name, marks, index)
        said = "|".join(FINDINGS[mark] for mark in marks) or "No Finding"
        lines.append(f"{name},{said},{index % 3},{index // 3 + 1},58,{'MF'[index % 2]},{('PA', 'AP')[index % 3 % 2]},")
    (root / "Data_Entry_2017.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = [line.partition(",")[0] for line in lines[1:]]
    (root / "train_val_list.txt").write_text("\n".join(names[:192]), encoding="utf-8")  # no line end at the end
    (root / "test_list.txt").write_text("\n".join(names[192:]), encoding="utf-8")
    return root


def head_ct(root: Path) -> Path:
    return make_heads(root, 80, EASY)


def pneumonia(root: Path) -> Path:
    """MedMNIST's arrays."""
    arrays: dict[str, np.ndarray] = {}
    random = np.random.default_rng(0)
    for part, count in {"train": 60, "val": 24, "test": 24}.items():
        labels = np.arange(count) % 2
        images = random.integers(40, 120, (count, 28, 28), dtype=np.uint8)
        images[labels == 1, 8:20, 8:20] += 100
        arrays |= {f"{part}_images": images, f"{part}_labels": labels[:, None].astype(np.uint8)}
    root.mkdir(parents=True)
    np.savez(root / "pneumoniamnist.npz", **arrays)  # type: ignore[arg-type]
    return root / "pneumoniamnist.npz"


def radiographs(root: Path) -> Path:
    """Two images a patient, in a table with the patient and the set's own test part."""
    lines = ["image,label,group,split"]
    for index in range(144):
        label, part = ("normal", "pneumonia")[index // 2 % 2], "train" if index < 96 else "test"
        name = f"images/{part}/{label.upper()}/person{index // 2}_{index}.jpeg"
        write(root / name, [5] if label == "pneumonia" else [], index)
        lines.append(f"{name},{label},{part}-person{index // 2},{part}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


SETS: dict[str, Callable[[Path], Path]] = {
    "cleft": cleft, "cleft-types": cleft_types, "chest-xray14": chest, "ham10000-binary": ham10000,
    "ham10000-7": ham10000, "head-ct": head_ct, "uc-severity": uc, "pneumonia": pneumonia,
    "pneumonia-224": radiographs,
}  # fmt: skip
