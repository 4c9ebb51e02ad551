"""QR codes as text: two modules per cell with half blocks, or two cells per module in ASCII."""

QUIET = 2
"""Light modules around the code; readers accept two."""


def picture(text: str, *, ascii_only: bool = False) -> list[str]:
    """Rows that show `text` as a QR code, dark on light."""
    import segno

    code = segno.make(text, error="l", micro=False)
    matrix = [[bool(module) for module in row] for row in code.matrix_iter(border=QUIET)]
    if ascii_only:
        return ["".join("##" if dark else "  " for dark in row) for row in matrix]
    if len(matrix) % 2:
        matrix.append([False] * len(matrix[0]))
    halves = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
    return [
        "".join(halves[upper, lower] for upper, lower in zip(top, bottom, strict=True))
        for top, bottom in zip(matrix[::2], matrix[1::2], strict=True)
    ]
