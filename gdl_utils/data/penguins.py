"""Three drawn penguins, one of which lies on its back: a scene to look for bills in."""

import torch


def penguins() -> tuple[torch.Tensor, torch.Tensor]:
    """Return a scene with three penguins, and the bill that two of them hold upright.

    The scene is a torus: the second penguin is cut in two by its right border. The third one is turned by a quarter.

    Returns
    -------
    scene : tensor of shape (48, 48), float64
        Ink from 0 to 1.
    bill : tensor of shape (7, 7), float64
        A piece of it, cut out of the first penguin.

    Examples
    --------
    >>> scene, bill = penguins()
    >>> torch.equal(scene[2:9, 12:19], bill)
    True
    """
    at = torch.arange(24).double() - 11.5
    down, right = torch.meshgrid(at, at, indexing="ij")

    def ellipse(row: float, column: float, height: float, width: float) -> torch.Tensor:
        """Ink of a filled ellipse with soft edges."""
        r = (((down - row) / height) ** 2 + ((right - column) / width) ** 2).sqrt()
        return ((1 - r) * min(height, width) + 0.5).clamp(0, 1)

    ink = 0.9 * ellipse(3, -2, 8, 5.2) - 0.75 * ellipse(4, -0.2, 6, 3.4)  # back and belly
    ink = torch.maximum(ink, 0.9 * ellipse(-6, -1.5, 4.2, 4.2))  # the head
    ink = (ink - 0.9 * ellipse(-7, -0.5, 1.1, 1.1)).clamp(0, 1)  # the eye
    bill = ((8.5 - right) / 2.6 - (down + 5.5).abs()).clamp(0, 1) * (right > 1.5)
    bird = torch.maximum(ink, bill)
    scene = torch.zeros(48, 48, dtype=torch.float64)
    for row, column, quarters in ((0, 0, 0), (20, 36, 0), (24, 8, 1)):
        picture = torch.zeros_like(scene)
        picture[:24, :24] = bird.rot90(quarters)
        scene = torch.maximum(scene, picture.roll((row, column), (0, 1)))
    return scene, bird[2:9, 12:19].clone()
