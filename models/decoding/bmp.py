"""BMP: read the header, prove that all rows are there, let Pillow decode.

The file size that a BMP's header states is often wrong and is not looked at.
"""

import struct

from models.decoding.contract import check_size, corrupt, truncated, unsupported
from models.decoding.depth import U8
from models.decoding.pillow import decode_file

SIGNATURE = b"BM"
_CORE_HEADER = 12  # OS/2's; all others begin with the same 20 bytes
_INFO_HEADERS = (40, 52, 56, 64, 108, 124)
_UNCOMPRESSED, _BITFIELDS = 0, 3
_RUN_LENGTH = (1, 2)


def read(data: bytes) -> U8:
    """Decode a BMP to uint8 RGB [H, W, 3]; raises RejectedImageError."""
    if len(data) < 26:
        raise truncated("the file ends within the header")
    offset, header_bytes = struct.unpack_from("<II", data, 10)
    if header_bytes == _CORE_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = _UNCOMPRESSED
    elif header_bytes in _INFO_HEADERS:
        if len(data) < 34:
            raise truncated("the file ends within the header")
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    else:
        raise corrupt(f"a header of {header_bytes} bytes, expected one of {(_CORE_HEADER, *_INFO_HEADERS)}")
    check_size(width, abs(height))  # a negative height means that the first row comes first
    if compression not in (_UNCOMPRESSED, _BITFIELDS, *_RUN_LENGTH):
        raise unsupported(f"BMP compression {compression}, expected none, run length or bit fields")
    if offset < 14 + header_bytes:
        raise corrupt(f"pixels at byte {offset}, within the header")
    row_bytes = (width * bits + 31) // 32 * 4
    if compression not in _RUN_LENGTH and offset + row_bytes * abs(height) > len(data):
        raise truncated(f"{len(data)} bytes came, the header's rows end at {offset + row_bytes * abs(height)}")
    return decode_file(data, "BMP", None)
