// An FCN's forward pass in a worker: what jaxdl/fcn/models computes, in 64-bit floating point.
// A network is {stride, align, mean, blocks, scores}: blocks of layers, scores by pooling level,
// a layer {inputs, outputs, kernel, bias} with the kernel in JAX's order (row, column, in, out).
"use strict";

const TILE = 4; // pixels of a row that are computed together

/** A map with a border of zeros, and columns that TILE divides. */
function zeros(height, width, channels) {
  const pitch = (Math.ceil(width / TILE) * TILE + 2) * channels;
  return {height, width, channels, pitch, data: new Float64Array((height + 2) * pitch)};
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

/** A layer's kernel by pairs of outputs, each (row, column, in, 2): they are read one by one. */
function pairs(layer) {
  const {inputs, outputs, kernel} = layer, taps = 9 * inputs;
  const packed = new Float64Array(Math.ceil(outputs / 2) * taps * 2);
  for (let out = 0; out < outputs; out++) {
    const start = (out >> 1) * taps * 2 + (out & 1);
    for (let k = 0; k < taps; k++) packed[start + 2 * k] = kernel[k * outputs + out];
  }
  return packed;
}

/** A row of two outputs of a 3x3 convolution with ReLU: TILE pixels by 2 sums in registers. */
function convolveRow(x, top, pitch, inputs, weights, first, bias0, bias1, y, to, outputs, tiles, both) {
  const run = 3 * inputs, two = 2 * inputs;
  for (let tile = 0; tile < tiles; tile++) {
    let a0 = bias0, a1 = bias0, a2 = bias0, a3 = bias0;
    let b0 = bias1, b1 = bias1, b2 = bias1, b3 = bias1;
    for (let tap = 0, k = first; tap < 3; tap++) {
      let at = top + tap * pitch + tile * 4 * inputs;
      for (const end = at + run; at < end; at++, k += 2) {
        const w0 = weights[k], w1 = weights[k + 1];
        const x0 = x[at], x1 = x[at + inputs], x2 = x[at + two], x3 = x[at + run];
        a0 += x0 * w0; a1 += x1 * w0; a2 += x2 * w0; a3 += x3 * w0;
        b0 += x0 * w1; b1 += x1 * w1; b2 += x2 * w1; b3 += x3 * w1;
      }
    }
    let put = to + tile * 4 * outputs;
    y[put] = a0 > 0 ? a0 : 0; y[put + outputs] = a1 > 0 ? a1 : 0;
    y[put + 2 * outputs] = a2 > 0 ? a2 : 0; y[put + 3 * outputs] = a3 > 0 ? a3 : 0;
    if (both) {
      put++;
      y[put] = b0 > 0 ? b0 : 0; y[put + outputs] = b1 > 0 ? b1 : 0;
      y[put + 2 * outputs] = b2 > 0 ? b2 : 0; y[put + 3 * outputs] = b3 > 0 ? b3 : 0;
    }
  }
}

/** 3x3 convolution with zero padding, bias and ReLU. `tick(n)` hears of n multiplications. */
function convolve(x, layer, tick) {
  const {inputs, outputs, bias} = layer, y = zeros(x.height, x.width, outputs);
  const weights = pairs(layer), tiles = Math.ceil(x.width / TILE);
  for (let row = 0; row < x.height; row++) {
    const to = (row + 1) * y.pitch + outputs;
    for (let out = 0; out < outputs; out += 2) {
      const both = out + 1 < outputs;
      convolveRow(
        x.data, row * x.pitch, x.pitch, inputs, weights, out * 9 * inputs,
        bias[out], both ? bias[out + 1] : 0, y.data, to + out, outputs, tiles, both,
      );
    }
    y.data.fill(0, to + x.width * outputs, (row + 2) * y.pitch); // the next layer's padding
    tick(x.width * outputs * 9 * inputs);
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
