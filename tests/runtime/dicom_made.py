"""DICOM files of nobody, made as a test wants them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

NAME, PATIENT, ACCESSION = "Zebrowski^Apolonia", "QX-773190", "ACC5519"
"""Words that are nowhere in the kit, for searching what it writes."""


def made(
    values: npt.NDArray[Any], *, bits: int | None = None, photometric: str = "", syntax: str = ExplicitVRLittleEndian,
    frames: list[bytes] | None = None, patient: str = PATIENT, name: str = NAME, secondary: bool = False, **more: Any,
) -> Dataset:  # fmt: skip
    """``values``: ``[H,W]``, ``[H,W,3]`` or, with ``NumberOfFrames`` in ``more``, ``[n,H,W]``; ``frames``: coded."""
    several = "NumberOfFrames" in more
    shape = values.shape[1:] if several else values.shape
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.SOPClassUID = SecondaryCaptureImageStorage if secondary else CTImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientName, dataset.PatientID, dataset.AccessionNumber = name, patient, ACCESSION
    dataset.PatientBirthDate = "19310427"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.Rows, dataset.Columns = shape[:2]
    dataset.SamplesPerPixel = 3 if len(shape) == 3 else 1
    dataset.PhotometricInterpretation = photometric or ("RGB" if len(shape) == 3 else "MONOCHROME2")
    if len(shape) == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 * values.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.tobytes() if frames is None else encapsulate(frames)
    dataset["PixelData"].VR = "OB" if frames or values.itemsize == 1 else "OW"
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    return dataset


def encoded(dataset: Dataset) -> bytes:
    """The file."""
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def ct(seed: int, side: int = 64, **more: Any) -> bytes:
    """A slice in Hounsfield units with a window of its own."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 2400, (side, side)).astype(np.int16)
    return encoded(
        made(values, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400, **more)
    )  # fmt: skip
