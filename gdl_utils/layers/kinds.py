"""What weights are for: a state dict says it, and a layer of another group, kernel or fibre does not load them."""

import zlib

import numpy as np
from torch import nn


class OfAKind(nn.Module):
    """A layer that writes its kind beside the version that torch saves, and compares it; one that was saved without is taken."""

    def _kind_of(self) -> tuple[str, str, list[np.ndarray]]:
        """Return words that must agree, words that need not (the name of a fibre), and arrays that say what group and fibres do."""
        raise NotImplementedError

    def _kind(self) -> tuple[str, str, str]:
        """Return the words, and a checksum of the arrays."""
        must, may, arrays = self._kind_of()
        of = 0
        for array in arrays:  # to six digits, which all machines compute alike
            array = np.round(array, 6) + 0.0 if array.dtype.kind == "f" else array
            of = zlib.crc32(array.tobytes(), of)
        return must, may, f" ({of:08x})"

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if hasattr(destination, "_metadata"):
            destination._metadata.setdefault(prefix[:-1], {})["kind"] = "".join(self._kind())

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing, unexpected, errors):
        must, may, checksum = self._kind()
        saved = local_metadata.get("kind")
        if saved and not (saved.startswith(must) and saved.endswith(checksum)):
            name = next(iter(self._parameters), "fibre")
            errors.append(f"{prefix}{name}: saved from {saved}; this layer is of {must}{may}{checksum}")
            return
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing, unexpected, errors)
