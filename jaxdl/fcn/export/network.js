// An FCN's forward pass in a worker: what jaxdl/fcn/models computes, in 64-bit floating point.
// A network is {stride, align, mean, blocks, scores}: blocks of layers, scores by pooling level,
// a layer {inputs, outputs, kernel, bias} with the kernel in JAX's order (row, column, in, out).
"use strict";

const TILE = 4; // rows and columns of an output tile; it reads 6 by 6

/** A map with a border of zeros, and rows and columns that TILE divides. */
function zeros(height, width, channels) {
  const pitch = (Math.ceil(width / TILE) * TILE + 2) * channels;
  const rows = Math.ceil(height / TILE) * TILE + 2;
  return {height, width, channels, pitch, data: new Float64Array(rows * pitch)};
}

/** Bytes RGBA to RGB minus the mean; alpha is not read. */
function preprocess(pixels, height, width, mean) {
  const x = zeros(height, width, 3);
  for (let row = 0, from = 0; row < height; row++) {
    for (let column = 0, to = (row + 1) * x.pitch + 3; column < width; column++, from += 4, to += 3) {
      for (let c = 0; c < 3; c++) x.data[to + c] = pixels[from + c] - mean[c];
    }
  }
  return x;
}

// Convolutions by Winograd's minimal filtering F(4x4, 3x3): a fourth of the multiplications (Lavin,
// Gray 2015, arXiv:1509.09308). In 64 bits its rounding is far below that of 32 bits.

/** Six numbers of an input, by B': from `at` on by `step`, into `to` on by `by`. */
function inputSix(from, at, step, into, to, by) {
  const d0 = from[at], d1 = from[at + step], d2 = from[at + 2 * step];
  const d3 = from[at + 3 * step], d4 = from[at + 4 * step], d5 = from[at + 5 * step];
  into[to] = 4 * d0 - 5 * d2 + d4;
  into[to + by] = d3 + d4 - 4 * (d1 + d2);
  into[to + 2 * by] = d4 - d3 + 4 * (d1 - d2);
  into[to + 3 * by] = d4 - d2 + 2 * (d3 - d1);
  into[to + 4 * by] = d4 - d2 - 2 * (d3 - d1);
  into[to + 5 * by] = 4 * d1 - 5 * d3 + d5;
}

/** Three numbers of a kernel to six, by G. */
function kernelSix(from, at, step, into, to, by) {
  const g0 = from[at], g1 = from[at + step], g2 = from[at + 2 * step];
  into[to] = g0 / 4;
  into[to + by] = -(g0 + g1 + g2) / 6;
  into[to + 2 * by] = -(g0 - g1 + g2) / 6;
  into[to + 3 * by] = g0 / 24 + g1 / 12 + g2 / 6;
  into[to + 4 * by] = g0 / 24 - g1 / 12 + g2 / 6;
  into[to + 5 * by] = g2;
}

/** Six sums to four outputs, by A'. */
function outputFour(from, at, step, into, to, by) {
  const m0 = from[at], m1 = from[at + step], m2 = from[at + 2 * step];
  const m3 = from[at + 3 * step], m4 = from[at + 4 * step], m5 = from[at + 5 * step];
  into[to] = m0 + m1 + m2 + m3 + m4;
  into[to + by] = m1 - m2 + 2 * (m3 - m4);
  into[to + 2 * by] = m1 + m2 + 4 * (m3 + m4);
  into[to + 3 * by] = m1 - m2 + 8 * (m3 - m4) + m5;
}

/** A layer's transformed kernel: (36, pairs of outputs, in, 2), read one by one. */
function transformKernel({inputs, outputs, kernel}) {
  const width = 2 * Math.ceil(outputs / 2), found = new Float64Array(36 * width * inputs);
  const half = new Float64Array(18), six = new Float64Array(36);
  for (let input = 0; input < inputs; input++) {
    for (let out = 0; out < outputs; out++) {
      const at = input * outputs + out, tap = inputs * outputs;
      for (let n = 0; n < 3; n++) kernelSix(kernel, at + n * tap, 3 * tap, half, n, 3);
      for (let n = 0; n < 6; n++) kernelSix(half, 3 * n, 1, six, 6 * n, 1);
      const to = ((out >> 1) * inputs + input) * 2 + (out & 1);
      for (let n = 0; n < 36; n++) found[n * width * inputs + to] = six[n];
    }
  }
  return found;
}

/** Products of tiles (4 n, inputs) and kernels: 4 tiles by 2 outputs in registers. */
function multiply(v, vAt, tiles, inputs, u, uAt, m, mAt, width) {
  const two = 2 * inputs, three = 3 * inputs;
  for (let out = 0; out < width; out += 2) {
    for (let tile = 0; tile < tiles; tile += 4) {
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      let at = vAt + tile * inputs, k = uAt + out * inputs;
      for (const end = at + inputs; at < end; at++, k += 2) {
        const w0 = u[k], w1 = u[k + 1];
        const x0 = v[at], x1 = v[at + inputs], x2 = v[at + two], x3 = v[at + three];
        a0 += x0 * w0; a1 += x1 * w0; a2 += x2 * w0; a3 += x3 * w0;
        b0 += x0 * w1; b1 += x1 * w1; b2 += x2 * w1; b3 += x3 * w1;
      }
      let to = mAt + tile * width + out;
      m[to] = a0; m[to + 1] = b0; to += width;
      m[to] = a1; m[to + 1] = b1; to += width;
      m[to] = a2; m[to + 1] = b2; to += width;
      m[to] = a3; m[to + 1] = b3;
    }
  }
}

/** 3x3 convolution with zero padding, bias and ReLU. `tick(n)` hears of n multiplications. */
function convolve(x, layer, tick) {
  const {inputs, outputs, bias} = layer, y = zeros(x.height, x.width, outputs);
  const u = transformKernel(layer), width = 2 * Math.ceil(outputs / 2);
  const across = Math.ceil(x.width / TILE), tiles = 4 * Math.ceil(across / 4);
  const v = new Float64Array(36 * tiles * inputs), m = new Float64Array(36 * tiles * width);
  const six = new Float64Array(36), half = new Float64Array(24), four = new Float64Array(16);
  for (let top = 0; top < x.height; top += TILE) {
    for (let tile = 0, to = 0; tile < across; tile++) {
      let at = top * x.pitch + tile * TILE * inputs;
      for (let c = 0; c < inputs; c++, at++, to++) {
        for (let n = 0; n < 6; n++) inputSix(x.data, at + n * inputs, x.pitch, six, n, 6);
        for (let n = 0; n < 6; n++) inputSix(six, 6 * n, 1, v, 6 * n * tiles * inputs + to, tiles * inputs);
      }
    }
    for (let n = 0; n < 36; n++) {
      multiply(v, n * tiles * inputs, tiles, inputs, u, n * width * inputs, m, n * tiles * width, width);
    }
    const rows = Math.min(TILE, x.height - top);
    for (let tile = 0; tile < across; tile++) {
      const columns = Math.min(TILE, x.width - tile * TILE);
      for (let out = 0; out < outputs; out++) {
        const at = tile * width + out, step = tiles * width;
        for (let n = 0; n < 6; n++) outputFour(m, at + n * step, 6 * step, half, n, 6);
        for (let n = 0; n < 4; n++) outputFour(half, 6 * n, 1, four, 4 * n, 1);
        for (let row = 0; row < rows; row++) {
          let to = (top + row + 1) * y.pitch + (tile * TILE + 1) * outputs + out;
          for (let column = 0; column < columns; column++, to += outputs) {
            const sum = four[4 * row + column] + bias[out];
            y.data[to] = sum > 0 ? sum : 0;
          }
        }
      }
    }
    tick(rows * x.width * outputs * 9 * inputs);
  }
  return y;
}

/** 2x2 max pooling, stride 2, ceil mode. The border is 0, never above what a ReLU gives. */
function pool(x) {
  const {channels, pitch, data} = x;
  const y = zeros(Math.ceil(x.height / 2), Math.ceil(x.width / 2), channels);
  for (let row = 0; row < y.height; row++) {
    let from = (2 * row + 1) * pitch + channels, to = (row + 1) * y.pitch + channels;
    for (let column = 0; column < y.width; column++, from += channels) {
      for (let c = 0; c < channels; c++, from++, to++) {
        const upper = Math.max(data[from], data[from + channels]);
        y.data[to] = Math.max(upper, data[from + pitch], data[from + pitch + channels]);
      }
    }
  }
  return y;
}

/** 1x1 scores, without a border. */
function score(x, layer) {
  const {inputs, outputs, kernel, bias} = layer, {height, width} = x;
  const data = new Float64Array(height * width * outputs);
  for (let row = 0, to = 0; row < height; row++) {
    let from = (row + 1) * x.pitch + inputs;
    for (let column = 0; column < width; column++, from += inputs) {
      for (let out = 0; out < outputs; out++, to++) {
        let sum = bias[out];
        for (let c = 0; c < inputs; c++) sum += x.data[from + c] * kernel[c * outputs + out];
        data[to] = sum;
      }
    }
  }
  return {height, width, channels: outputs, data};
}

/** First row of the full transposed convolution that belongs to the output. */
function cropStart(size, stride, align) {
  if (align === "exact") return stride / 2;
  return Math.floor((stride * (Math.ceil(size / stride) + 1) - size + 1) / 2);
}

/** The two inputs of each output on one axis, and their weights; an input outside weighs 0. */
function mix(size, stride, align, inputs) {
  const start = cropStart(size, stride, align);
  return Array.from({length: size}, (_, at) => {
    const after = Math.floor((at + start) / stride), tap = at + start - after * stride;
    const weight = (tap + 0.5) / stride;
    return [
      Math.max(after - 1, 0), after > 0 ? 1 - weight : 0,
      Math.min(after, inputs - 1), after < inputs ? weight : 0,
    ];
  });
}

/** Fixed bilinear upsampling; `take(row, values)` gets each row, which is then used again. */
function upsample(x, stride, height, width, align, take) {
  const {channels, data} = x, length = x.width * channels;
  const rows = mix(height, stride, align, x.height), columns = mix(width, stride, align, x.width);
  const between = new Float64Array(length), values = new Float64Array(width * channels);
  for (let row = 0; row < height; row++) {
    const [above, weightAbove, below, weightBelow] = rows[row];
    for (let n = 0; n < length; n++) {
      between[n] = weightAbove * data[above * length + n] + weightBelow * data[below * length + n];
    }
    for (let column = 0, to = 0; column < width; column++) {
      const [left, weightLeft, right, weightRight] = columns[column];
      for (let c = 0; c < channels; c++, to++) {
        values[to] = weightLeft * between[left * channels + c] + weightRight * between[right * channels + c];
      }
    }
    take(row, values);
  }
}

/** How many multiplications the convolutions of an image take. */
function cost(network, height, width) {
  let total = 0;
  for (const block of network.blocks) {
    for (const layer of block) total += height * width * 9 * layer.inputs * layer.outputs;
    height = Math.ceil(height / 2);
    width = Math.ceil(width / 2);
  }
  return total;
}

/** Scores at 1/stride of the image: pool5's, with the skips' added. */
function scores(network, pixels, height, width, tick) {
  const levels = [];
  let x = preprocess(pixels, height, width, network.mean);
  network.blocks.forEach((block, number) => {
    for (const layer of block) x = convolve(x, layer, tick);
    x = pool(x);
    const layer = network.scores[number + 1];
    if (layer) levels.push(score(x, layer));
  });
  let fused = levels.pop();
  while (levels.length) {
    const skip = levels.pop();
    upsample(fused, 2, skip.height, skip.width, network.align, (row, values) => {
      for (let n = 0, to = row * values.length; n < values.length; n++, to++) skip.data[to] += values[n];
    });
    fused = skip;
  }
  return fused;
}

/**
 * The class of each pixel (Uint8Array) and its probability (Float32Array).
 * `progress(share)` hears how much is done, `look(row, logits)` sees each row's logits.
 */
function segment(network, pixels, height, width, progress = () => {}, look = () => {}) {
  const all = cost(network, height, width);
  let done = 0, told = 0;
  const fused = scores(network, pixels, height, width, (n) => {
    done += n;
    if (done - told > all / 50) progress((told = done) / all);
  });
  const classes = new Uint8Array(height * width), probabilities = new Float32Array(height * width);
  upsample(fused, network.stride, height, width, network.align, (row, values) => {
    look(row, values);
    for (let column = 0, from = 0, to = row * width; column < width; column++, from += fused.channels, to++) {
      let best = 0;
      for (let c = 1; c < fused.channels; c++) if (values[from + c] > values[from + best]) best = c;
      let sum = 0;
      for (let c = 0; c < fused.channels; c++) sum += Math.exp(values[from + c] - values[from + best]);
      classes[to] = best;
      probabilities[to] = 1 / sum;
    }
  });
  return {classes, probabilities};
}

/** A network of the page's description and its float32 numbers, all layers one after another. */
function build(described, numbers) {
  let at = 0;
  const take = (count) => Float64Array.from(numbers.subarray(at, (at += count)));
  const layer = ({side, inputs, outputs}) => ({
    inputs, outputs, kernel: take(side * side * inputs * outputs), bias: take(outputs),
  });
  const blocks = described.blocks.map((block) => block.map(layer)), scores = {};
  for (const [level, each] of described.scores) scores[level] = layer(each);
  return {...described, blocks, scores};
}

if (typeof WorkerGlobalScope !== "undefined") {
  let network;
  self.onmessage = ({data}) => {
    if (data.described) {
      network = build(data.described, data.numbers);
      return;
    }
    const {pixels, height, width} = data, begin = performance.now();
    const found = segment(network, pixels, height, width, (share) => self.postMessage({share}));
    self.postMessage({...found, seconds: (performance.now() - begin) / 1000});
  };
}
