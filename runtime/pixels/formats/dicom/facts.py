"""What a DICOM file says of itself: size, frames, coding, whose it is, and what a reader has to be warned of."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydicom import uid
from pydicom.dataset import Dataset

from fieldlens.runtime.errors import ImageError
from fieldlens.runtime.pixels.formats.dicom.syntaxes import READ, name_of

_OTHER = "give images; reports, plans and waveforms are not read"
_EXPORT = "export it as Explicit VR Little Endian, or as PNG"
_SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
_PHOTOMETRIC = {
    "MONOCHROME1": 1, "MONOCHROME2": 1, "PALETTE COLOR": 1,
    "RGB": 3, "YBR_FULL": 3, "YBR_FULL_422": 3, "YBR_ICT": 3, "YBR_RCT": 3,
}  # fmt: skip
"""What is read, and how many samples each pixel then has (PS3.3, C.7.6.3.1.2)."""
_MOST_FRAMES = 100_000


class StoredLayout(NamedTuple):
    """How the pixels are stored. ``bits`` of the ``allocated`` ones count; the highest of them is ``high``."""

    columns: int
    rows: int
    samples: int
    allocated: int
    bits: int
    high: int
    signed: bool
    photometric: str
    by_plane: bool
    frames: int
    syntax: str

    @property
    def frame_bytes(self) -> int:
        """Of one frame that is not compressed."""
        if self.photometric == "YBR_FULL_422":
            return self.rows * self.columns * 2
        return self.rows * self.columns * self.samples * self.allocated // 8


def layout_of(dataset: Dataset, name: str) -> StoredLayout:
    """Raises ImageError: no image, or one of a kind that is not read."""
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "")) if hasattr(dataset, "file_meta") else ""
    if "PixelData" not in dataset:
        kind = uid.UID(str(dataset.get("SOPClassUID", ""))).name
        raise ImageError(f"{name}: a DICOM file without an image ({kind or 'of no kind'})", _OTHER)
    if syntax not in READ:
        named = name_of(syntax) if syntax else "that is not named"
        raise ImageError(f"{name}: a DICOM file of the transfer syntax {named}, which this kit does not read", _EXPORT)
    photometric = str(dataset.get("PhotometricInterpretation", "")).strip()
    samples = _whole(dataset, "SamplesPerPixel", name, 1)
    if _PHOTOMETRIC.get(photometric) != samples:
        raise ImageError(
            f"{name}: a DICOM image of the kind {photometric or 'that is not named'} with {samples} samples per pixel, "
            "which this kit does not read",
            "export it as MONOCHROME2 or RGB",
        )
    allocated = _whole(dataset, "BitsAllocated", name)
    bits = _whole(dataset, "BitsStored", name, allocated)
    high = _whole(dataset, "HighBit", name, bits - 1)
    if allocated not in (8, 16) or not 1 <= bits <= allocated or not bits - 1 <= high < allocated:
        raise ImageError(
            f"{name}: a DICOM image of {bits} bits in {allocated}; 8 to 16 bits are read", "export it with 16 bits"
        )
    frames = _whole(dataset, "NumberOfFrames", name, 1)
    if not 1 <= frames <= _MOST_FRAMES:
        raise ImageError(f"{name}: a DICOM file of {frames} frames", "take or export it again")
    rows, columns = _whole(dataset, "Rows", name), _whole(dataset, "Columns", name)
    if not (rows and columns):
        raise ImageError(f"{name}: the image has zero size ({columns}×{rows})", "take or export it again")
    by_plane = samples > 1 and _whole(dataset, "PlanarConfiguration", name, 0) == 1
    signed = _whole(dataset, "PixelRepresentation", name, 0) == 1
    return StoredLayout(
        columns, rows, samples, allocated, bits, high, signed, photometric, by_plane, frames, syntax
    )  # fmt: skip


def _whole(dataset: Dataset, keyword: str, name: str, default: int | None = None) -> int:
    value = dataset.get(keyword)
    if value is None or value == "":
        if default is None:
            raise ImageError(f"{name}: corrupt DICOM file ({keyword} is missing)", "take or export it again")
        return default
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        # What stands there is not quoted: in a damaged file it may be anything.
        raise ImageError(f"{name}: corrupt DICOM file ({keyword} is no number)", "take or export it again") from error


def warnings_of(dataset: Dataset) -> list[str]:
    """``burnt-in``: the file says that writing is part of its pixels; ``secondary``: no image from a modality."""
    found = []
    if str(dataset.get("BurnedInAnnotation", "")).strip().upper() == "YES":
        found.append("burnt-in")
    if str(dataset.get("SOPClassUID", "")).startswith(_SECONDARY):
        found.append("secondary")
    return found


def identity_of(dataset: Dataset) -> dict[str, Any]:
    """Whose image it is. ``patient``, ``study``, ``series``: one word each, empty where the file says nothing.
    ``words``: all that names them and may be part of a file's path. It stays in this machine's memory."""
    patient = _text(dataset, "PatientID")
    issuer = _text(dataset, "IssuerOfPatientID")
    words = [_text(dataset, keyword) for keyword in _NAMING]
    for keyword in ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName"):
        words += _text(dataset, keyword).replace("^", " ").replace("=", " ").replace("\\", " ").split()
    return {
        "patient": f"{issuer}/{patient}" if patient and issuer else patient,
        "study": _text(dataset, "StudyInstanceUID"),
        "series": _text(dataset, "SeriesInstanceUID"),
        "words": sorted({word for word in words if word}),
    }


_NAMING = (
    "PatientID", "OtherPatientIDs", "PatientBirthDate", "AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID",
    "SOPInstanceUID", "FrameOfReferenceUID", "StudyID", "AdmissionID", "MedicalRecordLocator",
    "PatientTelephoneNumbers", "ResponsiblePerson",
)  # fmt: skip


def _text(dataset: Dataset, keyword: str) -> str:
    try:
        return str(dataset.get(keyword, "") or "").strip()
    except (ValueError, TypeError, LookupError, AttributeError, NotImplementedError):  # damaged: it names nobody
        return ""
