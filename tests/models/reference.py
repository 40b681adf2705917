"""The papers' equations written out plainly in numpy, one loop at a time: the oracle for the networks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float64]


def weights_of(module: nn.Module) -> dict[str, Array]:
    """What a module has learned, by name."""
    return {name: value.detach().double().numpy() for name, value in module.state_dict().items()}


def pointwise(x: Array, weight: Array, bias: Array) -> Array:
    """1x1 convolution of `[C, H, W]` by `[O, C]` and `[O]`."""
    out: Array = np.einsum("oc,chw->ohw", weight, x) + bias[:, None, None]
    return out


def depthwise(x: Array, kernel: Array, dilation: int) -> Array:
    """Depth-wise convolution of `[C, H, W]` by `[C, k, k]`, zero-padded to the same size."""
    channels, height, width = x.shape
    side = kernel.shape[1]
    reach = dilation * (side // 2)
    out = np.zeros_like(x)
    for c in range(channels):
        for row in range(height):
            for column in range(width):
                total = 0.0
                for i in range(side):
                    for j in range(side):
                        r, s = row + i * dilation - reach, column + j * dilation - reach
                        if 0 <= r < height and 0 <= s < width:
                            total += kernel[c, i, j] * x[c, r, s]
                out[c, row, column] = total
    return out


def gelu(x: Array) -> Array:
    out: Array = 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    return out


def lka(x: Array, weights: dict[str, Array]) -> Array:
    """Large kernel attention, eq. 1-3, of one map `[C, H, W]`."""
    expanded = pointwise(gelu(x), weights["expand.weight"][:, :, 0, 0], weights["expand.bias"])
    near = depthwise(expanded, weights["local.weight"][:, 0], 1)
    far = depthwise(near, weights["distant.weight"][:, 0], 3)
    attention = pointwise(far, weights["attend.weight"][:, :, 0, 0], weights["attend.bias"])
    return (
        pointwise(attention * expanded, weights["contract.weight"][:, :, 0, 0], weights["contract.bias"]) + x
    )


def lkca(x: Array, kernel: Array) -> Array:
    """LKCA, algorithm 1, of a map `[C, H, W]` with a kernel `[2H-1, 2W-1]`."""
    channels, height, width = x.shape
    scores = np.zeros((height * width, height * width))
    for i in range(height):
        for j in range(width):
            row, column = height - 1 - i, width - 1 - j
            window = kernel[row : row + height, column : column + width]
            scores[i * width + j] = window.flatten()
    out: Array = (scores @ x.reshape(channels, -1).T).T.reshape(x.shape)
    return out


def adaptive_average(x: Array, rows: int, columns: int) -> Array:
    """Adaptive average pooling of `[C, H, W]` to `[C, rows, columns]`."""
    channels, height, width = x.shape
    out = np.zeros((channels, rows, columns))
    for i in range(rows):
        for j in range(columns):
            top, bottom = math.floor(i * height / rows), math.ceil((i + 1) * height / rows)
            left, right = math.floor(j * width / columns), math.ceil((j + 1) * width / columns)
            out[:, i, j] = x[:, top:bottom, left:right].mean(axis=(1, 2))
    return out


def convolve_row(row: Array, kernel: Array) -> Array:
    """1-d convolution (as the field writes it: correlation), zero-padded to the same length."""
    reach = len(kernel) // 2
    padded = np.concatenate((np.zeros(reach), row, np.zeros(reach)))
    return np.array([padded[i : i + len(kernel)] @ kernel for i in range(len(row))])


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def hca(x: Array, across: Array, local: Array, size: int = 5) -> Array:
    """Hybrid channel attention, section II.C, of one map `[C, H, W]`."""
    channels, height, width = x.shape
    pooled = adaptive_average(x, size, size)
    overall = sigmoid(convolve_row(pooled.mean(axis=(1, 2)), across))
    row = np.array([pooled[c, i, j] for i in range(size) for j in range(size) for c in range(channels)])
    attended = sigmoid(convolve_row(row, local))
    weights = np.zeros_like(pooled)
    for c in range(channels):
        for i in range(size):
            for j in range(size):
                weights[c, i, j] = 0.5 * overall[c] + 0.5 * attended[(i * size + j) * channels + c]
    return x * adaptive_average(weights, height, width)


def softmax(x: Array) -> Array:
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    total: Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return total


def cross_attention(queries: Array, context: Array, weights: dict[str, Array], heads: int) -> Array:
    """Multi-head attention of `[s, d]` over `[s, d]`, plus the queries."""
    project = {
        name: (lambda x, n=name: x @ weights[f"{n}.weight"].T + weights[f"{n}.bias"])
        for name in ("query", "key", "value", "output")
    }
    q, k, v = project["query"](queries), project["key"](context), project["value"](context)
    width = q.shape[1] // heads
    parts = []
    for h in range(heads):
        part = slice(h * width, (h + 1) * width)
        parts.append(softmax(q[:, part] @ k[:, part].T / math.sqrt(width)) @ v[:, part])
    mixed: Array = project["output"](np.concatenate(parts, axis=1)) + queries
    return mixed


def strip_distance(probe: Array, candidate: Array, weights: dict[str, Array], heads: int) -> float:
    """CarGait's distance of one pair: mean over the strips of |E_p - E_c|."""
    e_p = cross_attention(probe, candidate, weights, heads)
    e_c = cross_attention(candidate, probe, weights, heads)
    return float(np.mean([np.linalg.norm(p - c) for p, c in zip(e_p, e_c, strict=True)]))


def attention(queries: Array, context: Array, weights: dict[str, Array], heads: int) -> Array:
    """Mean over the heads of the attention of `[s, d]` over `[s, d]`: `[s, s]`."""
    q = queries @ weights["query.weight"].T + weights["query.bias"]
    k = context @ weights["key.weight"].T + weights["key.bias"]
    width = q.shape[1] // heads
    parts = [slice(h * width, (h + 1) * width) for h in range(heads)]
    mean: Array = np.mean([softmax(q[:, p] @ k[:, p].T / math.sqrt(width)) for p in parts], axis=0)
    return mean


def distance_along_attention(probe: Array, candidate: Array, weights: dict[str, Array], heads: int) -> float:
    """Mean over both images' strips of the distance to what each looks at, one pair of strips at a time."""
    looks = attention(probe, candidate, weights, heads)
    looks_back = attention(candidate, probe, weights, heads)
    strips = len(probe)
    total = 0.0
    for i in range(strips):
        for j in range(strips):
            total += (looks[i, j] + looks_back[j, i]) * float(np.linalg.norm(probe[i] - candidate[j]))
    return total / (2 * strips)
