"""From the bytes a camera sent to upright 8-bit RGB: one file per container, no file knows another's.

`models.preprocess` is the only caller; it looks at the signature and asks one `read` of this package. Each reader
takes its limits from the header before it allocates anything, proves that the picture is whole, and only then lets
a decoder at it. Nothing here knows events, models or the size a network wants.
"""
