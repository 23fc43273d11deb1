/* A convolutional network that runs in the page: no library, no kernel, no request.
   A network is a list of layers, each with filters on a group of quarter-turns (order 4) or on none (order 1).
   "var", as a page may have this twice, and a second "const" of the same name would be an error. */
var gdlNetwork = (() => {
  /** Numbers of 16 bits, as bytes in base64, to ordinary ones. */
  function decode(text) {
    const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    const halves = new Uint16Array(bytes.buffer);
    return Float32Array.from(halves, h => {
      const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
      return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
    });
  }

  /** Where a pixel of a k × k filter was before h quarter-turns, counter-clockwise as it is drawn. */
  function source(h, row, column, k) {
    for (; h > 0; h--) [row, column] = [column, k - 1 - row];
    return row * k + column;
  }

  /** A filter for each turn h of the output: of weights [out][in][g][k × k], turned, with the directions of the input moved on. */
  function expanded(weights, out, channels, from, order, k) {
    const area = k * k, filters = new Float32Array(out * order * channels * from * area);
    let at = 0;
    for (let o = 0; o < out; o++) for (let h = 0; h < order; h++)
      for (let i = 0; i < channels; i++) for (let g = 0; g < from; g++) {
        const base = ((o * channels + i) * from + (from > 1 ? (g - h + order) % order : 0)) * area;
        for (let r = 0; r < k; r++) for (let c = 0; c < k; c++) filters[at++] = weights[base + source(h, r, c, k)];
      }
    return filters;
  }

  /** Correlate [channels][n × n] with filters [out][channels][k × k], between zeros. */
  function convolved(x, channels, n, filters, out, k, padding) {
    const m = n + 2 * padding - k + 1, y = new Float32Array(out * m * m);
    for (let o = 0; o < out; o++) for (let i = 0; i < channels; i++)
      for (let r = 0; r < k; r++) for (let c = 0; c < k; c++) {
        const w = filters[((o * channels + i) * k + r) * k + c];
        const top = Math.max(0, padding - r), bottom = Math.min(m, n + padding - r);
        const left = Math.max(0, padding - c), right = Math.min(m, n + padding - c);
        for (let u = top; u < bottom; u++) {
          let to = (o * m + u) * m + left, at = (i * n + u + r - padding) * n + left + c - padding;
          for (let v = left; v < right; v++) y[to++] += w * x[at++];
        }
      }
    return [y, m];
  }

  /** The mean over windows of 4 × 4, two apart, that reach one pixel beyond the border; what lies there counts as 0. */
  function halved(x, channels, n) {
    const m = n / 2, y = new Float32Array(channels * m * m);
    for (let i = 0; i < channels; i++) for (let u = 0; u < m; u++) for (let v = 0; v < m; v++) {
      let sum = 0;
      for (let r = Math.max(0, 2 * u - 1); r < Math.min(n, 2 * u + 3); r++)
        for (let c = Math.max(0, 2 * v - 1); c < Math.min(n, 2 * v + 3); c++) sum += x[(i * n + r) * n + c];
      y[(i * m + u) * m + v] = sum / 16;
    }
    return [y, m];
  }

  /** Read a network; what comes back takes pixels, a Float32Array of n × n, and gives its scores. */
  return function read({order, size, classes, layers, weights}) {
    const numbers = decode(weights);
    let taken = 0;
    const take = count => numbers.subarray(taken, taken += count);
    let from = 1;
    const steps = layers.map(({channels, out, kernel, padding, pool}) => {
      const filters = expanded(take(out * channels * from * kernel ** 2), out, channels, from, order, kernel);
      const step = {filters, inside: channels * from, out, kernel, padding, pool, scale: take(out), shift: take(out)};
      from = order;
      return step;
    });
    const last = layers[layers.length - 1].out, matrix = take(classes * last), bias = take(classes);
    return pixels => {
      let x = pixels, n = size;
      for (const {filters, inside, out, kernel, padding, pool, scale, shift} of steps) {
        [x, n] = convolved(x, inside, n, filters, out * order, kernel, padding);
        for (let j = 0; j < x.length; j++) {
          const o = Math.floor(j / (n * n * order));
          x[j] = Math.max(0, x[j] * scale[o] + shift[o]);
        }
        if (pool) [x, n] = halved(x, out * order, n);
      }
      const features = new Float32Array(last), area = n * n;
      for (let o = 0; o < last; o++) for (let u = 0; u < area; u++) {
        let most = -Infinity;
        for (let h = 0; h < order; h++) most = Math.max(most, x[(o * order + h) * area + u]);
        features[o] += most / area;
      }
      return Float32Array.from(bias, (b, j) => features.reduce((sum, f, o) => sum + f * matrix[j * last + o], b));
    };
  };
})();
