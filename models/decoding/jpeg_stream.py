"""Walk a JPEG's markers: its size, its orientation, where it ends, and whether all of its scans are there.

Decoders make a picture of half a file without a word: libjpeg fills what is missing, and says nothing at all where a
progressive stream lacks whole scans. So this walk comes first (ITU-T T.81, annex B); `models.decoding.jpeg` then has
libjpeg judge the inside of the scans, which is the one thing not looked at here. Pure: bytes in, facts out.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from models.decoding.contract import check_size, corrupt, truncated, unsupported
from models.decoding.orientation import exif_orientation

SIGNATURE = b"\xff\xd8\xff"
_SOF0, _SOF1, _SOF2, _DHT, _JPG, _DAC, _DNL = 0xC0, 0xC1, 0xC2, 0xC4, 0xC8, 0xCC, 0xDC
_SOI, _EOI, _SOS, _APP0, _APP1 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1
_HUFFMAN_DCT = {_SOF0, _SOF1, _SOF2}
# Lossless, hierarchical, arithmetic. The last drops trailing zeros, so that no decoder can tell a cut.
_OTHER_PROCESSES = set(range(0xC3, 0xD0)) - {_DHT, _JPG, _DAC}
_NO_PAYLOAD = {0x00, 0x01, *range(0xD0, 0xD8)}  # stuffing, TEM, restarts: never between segments
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # skips stuffed bytes, restart markers and fill bytes
_MAX_SCANS = 100  # encoders write about ten; each one more costs a pass over the picture
_WHOLE_BLOCK = (0, 63, 0)  # spectral selection and bit position of every sequential scan
_UNSEEN = 255
_SAMPLINGS = {(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (1, 4)}  # luma over chroma, across and down: what TurboJPEG reads


@dataclass(slots=True)
class JpegStream:
    """What the markers say. `end` is the offset behind the end marker; what follows is not the picture's.

    `repairs` are bytes to overwrite (offset, new) before decoding: header slips of real cameras that libjpeg would
    report as damage though no pixel depends on them.
    """

    width: int = 0
    height: int = 0
    components: int = 0
    orientation: int = 1
    end: int = 0
    repairs: list[tuple[int, bytes]] = field(default_factory=list)


def read_stream(data: bytes, judge_size: Callable[[int, int], None] = check_size) -> JpegStream:
    """Walk from the start marker to the end marker of the first picture in `data`; `judge_size` may refuse its size.

    Raises RejectedImageError: TRUNCATED, CORRUPT, UNSUPPORTED_FORMAT, TOO_LARGE or SIZE_OUT_OF_RANGE.
    """
    return _Walk(data, judge_size).run()


class _Walk:
    """One pass over one stream. `_precision` holds, per component id, the lowest bit sent of its 64 coefficients."""

    def __init__(self, data: bytes, judge_size: Callable[[int, int], None]) -> None:
        self._data = data
        self._judge_size = judge_size
        self._stream = JpegStream()
        self._progressive = False
        self._precision: dict[int, bytearray] = {}
        self._scans = 0
        self._has_exif = False

    def run(self) -> JpegStream:
        at = 2
        while True:
            marker, at = self._marker(at)
            if marker == _EOI:
                self._check_complete()
                self._stream.end = at
                return self._stream
            if marker == _SOI:
                raise truncated("the next picture begins before this one ends")
            if marker in _NO_PAYLOAD:
                raise corrupt(f"marker 0x{marker:02x} stands between segments")
            payload, end = self._segment(at)
            if handle := self._handler(marker):
                handle(payload, at + 2)
            at = self._end_of_scan(end) if marker == _SOS else end

    def _marker(self, at: int) -> tuple[int, int]:
        """The marker at `at` and the offset behind it; any number of fill bytes 0xFF may precede it."""
        if at < len(self._data) and self._data[at] != 0xFF:
            raise corrupt(f"a marker was expected at byte {at}, 0x{self._data[at]:02x} came")
        while at < len(self._data) and self._data[at] == 0xFF:
            at += 1
        if at >= len(self._data):
            raise truncated("the file ends before the end marker")
        return self._data[at], at + 1

    def _segment(self, at: int) -> tuple[bytes, int]:
        length = int.from_bytes(self._data[at : at + 2], "big")
        if at + max(length, 2) > len(self._data) - 2:  # an end marker must still fit behind it
            raise truncated("the file ends within a segment")
        if length < 2:
            raise corrupt(f"a segment of length {length} at byte {at}, expected at least 2")
        return self._data[at + 2 : at + length], at + length

    def _end_of_scan(self, at: int) -> int:
        if found := _END_OF_SCAN.search(self._data, at):
            return found.start()
        raise truncated("the file ends within a scan")

    def _handler(self, marker: int) -> Callable[[bytes, int], None] | None:
        if marker in _OTHER_PROCESSES:
            raise unsupported(f"JPEG process SOF{marker - _SOF0}; baseline, extended and progressive Huffman are read")
        if marker == _DNL:
            raise unsupported("a JPEG that states its height behind the scan (DNL)")
        if marker in _HUFFMAN_DCT:
            self._progressive = marker == _SOF2
            return self._frame
        return {_SOS: self._scan, _APP0: self._jfif, _APP1: self._exif}.get(marker)

    def _frame(self, payload: bytes, _at: int) -> None:
        if self._precision:
            raise corrupt("a second frame header")
        if len(payload) < 6 or len(payload) != 6 + 3 * payload[5]:
            raise corrupt("a frame header of the wrong length")
        stream = self._stream
        stream.height, stream.width = int.from_bytes(payload[1:3], "big"), int.from_bytes(payload[3:5], "big")
        stream.components = payload[5]
        self._judge_size(stream.width, stream.height)
        if payload[0] != 8 or stream.components not in (1, 3, 4):
            raise unsupported(f"a JPEG of {payload[0]} bits and {stream.components} components, expected 8 and 1, 3, 4")
        if not _sampling_is_read(payload[7::3]):
            raise unsupported(f"chroma sampling {payload[7::3].hex(' ')}, expected 4:4:4, 4:4:0, 4:2:2, 4:2:0, 4:1:1")
        self._precision = {number: bytearray([_UNSEEN]) * 64 for number in payload[6::3]}
        if len(self._precision) != stream.components:
            raise corrupt("two components with one number")

    def _scan(self, payload: bytes, at: int) -> None:
        if not self._precision:
            raise corrupt("a scan before the frame header")
        if not payload or len(payload) != 4 + 2 * payload[0]:
            raise corrupt("a scan header of the wrong length")
        self._scans += 1
        if self._scans > _MAX_SCANS:
            raise corrupt(f"more than {_MAX_SCANS} scans")
        first, last, bits = payload[-3:]
        if not self._progressive and (first, last, bits) != _WHOLE_BLOCK:
            self._stream.repairs.append((at + len(payload) - 3, bytes(_WHOLE_BLOCK)))
            first, last, bits = _WHOLE_BLOCK
        if first > last or last > 63:
            raise corrupt(f"a scan of coefficients {first} to {last}")
        for number in payload[1:-3:2]:
            if number not in self._precision:
                raise corrupt(f"a scan of component {number}, which the frame header lacks")
            self._precision[number][first : last + 1] = bytes([bits & 15]) * (last + 1 - first)

    def _jfif(self, payload: bytes, at: int) -> None:
        if payload.startswith(b"JFIF\0") and payload[5:6] != b"\x01":
            self._stream.repairs.append((at + 5, b"\x01"))

    def _exif(self, payload: bytes, _at: int) -> None:
        if payload.startswith(b"Exif\0\0") and not self._has_exif:
            self._has_exif = True
            self._stream.orientation = exif_orientation(payload)

    def _check_complete(self) -> None:
        """Every coefficient of every component down to its last bit, else scans are missing before the end marker."""
        if not self._precision or any(any(bits) for bits in self._precision.values()):
            raise truncated("scans are missing before the end marker")


def _sampling_is_read(factors: bytes) -> bool:
    """Whether TurboJPEG knows these sampling factors (a byte a component, across << 4 | down); black goes with luma."""
    across, down = [factor >> 4 for factor in factors], [factor & 15 for factor in factors]
    if not all(1 <= factor <= 4 for factor in across + down):
        raise corrupt(f"sampling factors {factors.hex(' ')}, expected 1 to 4")
    if len(factors) == 1:
        return True
    ratio = (across[0] / across[1], down[0] / down[1])
    blue_like_red, black_like_luma = factors[1] == factors[2], factors[3:] in (b"", factors[:1])
    return blue_like_red and black_like_luma and ratio in _SAMPLINGS
