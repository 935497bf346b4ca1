// Networks that learn: layers, losses, penalties and optimizers, with the formulas of mlprun/engines/scratch.
//
// Everything is float64 in typed arrays, row-major as in PyTorch: inputs [N, D], weights [outputs, inputs].
// What a pass over N rows writes lies in a `Workspace` for N rows, which steps use again.

const logistic = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));
const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
const clip = (z, low, high) => Math.min(Math.max(z, low), high);

// The standard normal distribution function: exp(-z²/2) times a series of terms of one sign (Abramowitz and Stegun, 26.2.11).
function normalShare(z) {
  if (Math.abs(z) > 9) return Number(z > 0);
  let term = z, sum = z;
  for (let n = 3; Math.abs(term) > 1e-17 * Math.abs(sum); n += 2) sum += term *= (z * z) / n;
  return 0.5 + (sum * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI);
}

function elu(alpha, scale) {
  return [(z) => scale * (z > 0 ? z : alpha * Math.expm1(z)), (z, y) => (z > 0 ? scale : y + scale * alpha)];
}

function gelu(approximate) {
  if (approximate === "none") {
    return [(z) => z * normalShare(z), (z) => normalShare(z) + (z * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI)];
  }
  const a = Math.sqrt(8 / Math.PI), b = 0.044715, share = (z) => logistic(a * (z + b * z ** 3));
  return [(z) => z * share(z), (z) => share(z) * (1 + z * (1 - share(z)) * a * (1 + 3 * b * z * z))];
}

// All elementwise ones by mlprun's name: from the options, y = f(z), and f'(z) as a function of z and y.
const ACTIVATIONS = {
  identity: () => [(z) => z, () => 1],
  relu: () => [(z) => (z > 0 ? z : 0 * z), (z) => (z > 0 ? 1 : 0)],
  tanh: () => [Math.tanh, (z, y) => 1 - y * y],
  logistic: () => [logistic, (z, y) => y * (1 - y)],
  leaky_relu: ({ slope = 0.01 }) => [(z) => (z > 0 ? z : slope * z), (z) => (z > 0 ? 1 : slope)],
  elu: ({ alpha = 1 }) => elu(alpha, 1),
  selu: () => elu(1.6732632423543772, 1.0507009873554805),
  gelu: ({ approximate = "none" }) => gelu(approximate),
  mish: () => [
    (z) => z * Math.tanh(softplus(z)), (z) => Math.tanh(softplus(z)) + (z * logistic(z)) / Math.cosh(softplus(z)) ** 2],
  exp: () => [Math.exp, (z, y) => y],
  hard_tanh: () => [(z) => clip(z, -1, 1), (z) => (Math.abs(z) < 1 ? 1 : 0)],
  hard_logistic: ({ slope = 1 / 6, offset = 0.5 }) => [
    (z) => clip(slope * z + offset, 0, 1), (z, y) => (y > 0 && y < 1 ? slope : 0)],
  softplus: ({ beta = 1, threshold = 20 }) => [
    (z) => (beta * z > threshold ? z : softplus(beta * z) / beta), (z) => (beta * z > threshold ? 1 : logistic(beta * z))],
  swish: ({ beta = 1 }) => [
    (z) => z * logistic(beta * z), (z, y) => beta * y + logistic(beta * z) * (1 - beta * y)],
};

// Losses of outputs y and targets t, summed over rows: `value`, and its derivative `slope`, of one number, and
// `link`, the function from logits to outputs where the loss contains it. Only the softmax needs whole rows.
const LOSSES = {
  bce: { link: "logistic", value: (z, t) => softplus(z) - t * z, slope: (z, t) => logistic(z) - t },
  cross_entropy: { link: "softmax" },
  mse: { value: (y, t) => (y - t) ** 2, slope: (y, t) => 2 * (y - t) },
  mae: { value: (y, t) => Math.abs(y - t), slope: (y, t) => Math.sign(y - t) },
  hinge: { value: (y, t) => Math.max(1 - t * y, 0), slope: (y, t) => (t * y < 1 ? -t : 0) },
};

// A linear layer and its activation: y = f(W x + b).
class Layer {
  constructor(inputs, units, activation = { name: "identity" }) {
    const [weight, bias] = [units * inputs, units].map((size) => new Float64Array(size));
    Object.assign(this, { inputs, units, weight, bias, hasBias: true, dropout: 0, activation });
  }

  // As torch.nn.Linear starts: uniform within 1 / sqrt(inputs).
  initialize(random) {
    const bound = 1 / Math.sqrt(this.inputs);
    for (const array of [this.weight, this.bias]) {
      for (let i = 0; i < array.length; i++) array[i] = bound * (2 * random.uniform() - 1);
    }
    if (!this.hasBias) this.bias.fill(0);
  }

  get parameters() {
    return this.hasBias ? [this.weight, this.bias] : [this.weight];
  }
}

// What a forward and a backward pass of `rows` rows write: z, y and dL/dz for each layer, dL/dw for all.
class Workspace {
  constructor(layers, rows) {
    const arrays = (size) => layers.map((layer) => new Float64Array(size(layer)));
    this.rows = rows;
    [this.z, this.y, this.delta] = [0, 1, 2].map(() => arrays((layer) => rows * layer.units));
    this.kept = layers.map(() => null);
    this.gradients = layers.map((layer) => layer.parameters.map((array) => new Float64Array(array.length)));
  }
}

// Numbers from base64 of little-endian float32 or float64.
function decodeNumbers(text, type) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const numbers = type === "float32" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
  return Float64Array.from(numbers);
}

class Network {
  constructor(layers, loss) {
    Object.assign(this, { layers, loss, inputs: layers[0].inputs, outputs: layers.at(-1).units });
  }

  // Parameters in the order of the layers, each weight before its bias: numbers, or base64 of float32 or float64.
  load({ type, values }) {
    const numbers = typeof values === "string" ? decodeNumbers(values, type) : values;
    let at = 0;
    for (const array of this.layers.flatMap((layer) => layer.parameters)) {
      array.set(numbers.subarray(at, (at += array.length)));
    }
  }

  // Every layer's values of `space.rows` rows of inputs, with dropout where `random` is given; returns the last.
  forward(inputs, space, random = null) {
    let x = inputs;
    this.layers.forEach((layer, number) => {
      const z = space.z[number], y = space.y[number];
      linear(x, layer, z, space.rows);
      activate(layer, z, y);
      const dropped = random && layer.dropout > 0;
      space.kept[number] = dropped ? drop(y, layer.dropout, random) : null;
      x = dropped ? space.kept[number].values : y;
    });
    return x;
  }

  // Outputs after the loss's link: probabilities of classes, or numbers.
  predict(inputs, space) {
    const y = this.forward(inputs, space), { link } = LOSSES[this.loss];
    if (link === "logistic") return y.map(logistic);
    if (link === "softmax") {
      const p = y.slice();
      for (let start = 0; start < p.length; start += this.outputs) softmax(p, start, this.outputs);
      return p;
    }
    return y;
  }

  // The mean loss, without penalties, of rows with targets [N, K].
  meanLoss(inputs, targets, space) {
    return this.lossAndSlopes(this.forward(inputs, space), targets, null) / this.weightOf(space.rows);
  }

  // Rows times outputs; rows alone where a row has one loss.
  weightOf(rows) {
    return this.loss === "cross_entropy" ? rows : rows * this.outputs;
  }

  // The loss summed over rows and outputs; its derivatives go to `slopes`.
  lossAndSlopes(y, targets, slopes) {
    const { value, slope } = LOSSES[this.loss], classes = this.outputs;
    let sum = 0;
    if (this.loss !== "cross_entropy") {
      for (let i = 0; i < y.length; i++) {
        sum += value(y[i], targets[i]);
        if (slopes) slopes[i] = slope(y[i], targets[i]);
      }
      return sum;
    }
    const p = slopes ?? new Float64Array(y.length);
    p.set(y);
    for (let start = 0; start < y.length; start += classes) {
      const logSum = softmax(p, start, classes);
      for (let k = start; k < start + classes; k++) {
        if (targets[k]) sum += targets[k] * (logSum - y[k]);
        p[k] -= targets[k];
      }
    }
    return sum;
  }

  // Forward and backward: gradients of the mean loss and the penalties go to `space.gradients`.
  differentiate(inputs, targets, space, { l1 = 0, l2 = 0, random = null } = {}) {
    const { layers } = this, last = layers.length - 1, factor = 1 / this.weightOf(space.rows);
    const loss = this.lossAndSlopes(this.forward(inputs, space, random), targets, space.delta[last]) * factor;
    for (let i = 0; i < space.delta[last].length; i++) space.delta[last][i] *= factor;
    for (let number = last; number >= 0; number--) {
      const layer = layers[number], delta = space.delta[number], kept = space.kept[number];
      if (kept) for (let i = 0; i < delta.length; i++) delta[i] *= kept.factors[i];
      activateBackward(layer, space.z[number], space.y[number], delta);
      const below = number ? (space.kept[number - 1]?.values ?? space.y[number - 1]) : inputs;
      linearBackward(below, layer, delta, space.gradients[number], number ? space.delta[number - 1] : null);
      if (l1 || l2) penalize(layer.weight, space.gradients[number][0], l1, l2);
    }
    return loss;
  }
}

// Add the gradient of l2 times the sum of squares, not halved, and of l1 times that of magnitudes.
function penalize(weight, gradient, l1, l2) {
  for (let i = 0; i < weight.length; i++) gradient[i] += 2 * l2 * weight[i] + l1 * Math.sign(weight[i]);
}

// z = x W^T + b, four rows at a time: their sums are independent, which keeps the processor busy.
// Where fewer than four are left, the last one is computed again.
function linear(x, { inputs, units, weight, bias }, z, rows) {
  const last = rows - 1;
  for (let row = 0; row < rows; row += 4) {
    const r1 = Math.min(row + 1, last), r2 = Math.min(row + 2, last), r3 = Math.min(row + 3, last);
    const x0 = row * inputs, x1 = r1 * inputs, x2 = r2 * inputs, x3 = r3 * inputs;
    for (let unit = 0, w = 0; unit < units; unit++) {
      let s0 = bias[unit], s1 = s0, s2 = s0, s3 = s0;
      for (let i = 0; i < inputs; i++, w++) {
        const factor = weight[w];
        s0 += factor * x[x0 + i];
        s1 += factor * x[x1 + i];
        s2 += factor * x[x2 + i];
        s3 += factor * x[x3 + i];
      }
      z[row * units + unit] = s0;
      z[r1 * units + unit] = s1;
      z[r2 * units + unit] = s2;
      z[r3 * units + unit] = s3;
    }
  }
}

// dL/dW = delta^T x and dL/db, the sum of delta's rows, into `gradients`; dL/dx = delta W into `dx`.
function linearBackward(x, { inputs, units, weight }, delta, [dW, db], dx) {
  const rows = delta.length / units, last = rows - 1;
  dW.fill(0);
  db?.fill(0);
  dx?.fill(0);
  for (let row = 0; row < rows; row += 4) {
    const r1 = Math.min(row + 1, last), r2 = Math.min(row + 2, last), r3 = Math.min(row + 3, last);
    const x0 = row * inputs, x1 = r1 * inputs, x2 = r2 * inputs, x3 = r3 * inputs;
    for (let unit = 0, w = 0; unit < units; unit++, w += inputs) {
      const d0 = delta[row * units + unit];
      const d1 = row + 1 < rows ? delta[r1 * units + unit] : 0;
      const d2 = row + 2 < rows ? delta[r2 * units + unit] : 0;
      const d3 = row + 3 < rows ? delta[r3 * units + unit] : 0;
      if (d0 === 0 && d1 === 0 && d2 === 0 && d3 === 0) continue;
      if (db) db[unit] += d0 + d1 + d2 + d3;
      for (let i = 0; i < inputs; i++) {
        dW[w + i] += d0 * x[x0 + i] + d1 * x[x1 + i] + d2 * x[x2 + i] + d3 * x[x3 + i];
      }
      if (!dx) continue;
      for (let i = 0; i < inputs; i++) {
        const factor = weight[w + i];
        dx[x0 + i] += d0 * factor;
        dx[x1 + i] += d1 * factor;
        dx[x2 + i] += d2 * factor;
        dx[x3 + i] += d3 * factor;
      }
    }
  }
}

// y = f(z). The common functions are written out: a call per number takes longer than the rest of a layer, and
// Math.tanh twice as long as Math.exp.
function activate({ activation }, z, y) {
  const { name } = activation, [value] = ACTIVATIONS[name](activation);
  if (name === "identity") y.set(z);
  else if (name === "relu") for (let i = 0; i < z.length; i++) y[i] = z[i] > 0 ? z[i] : 0 * z[i];
  else if (name === "tanh") for (let i = 0; i < z.length; i++) y[i] = 1 - 2 / (Math.exp(2 * z[i]) + 1);
  else if (name === "logistic") for (let i = 0; i < z.length; i++) y[i] = logistic(z[i]);
  else for (let i = 0; i < z.length; i++) y[i] = value(z[i]);
}

// dL/dz = dL/dy f'(z), in place of dL/dy.
function activateBackward({ activation }, z, y, delta) {
  const { name } = activation, [, slope] = ACTIVATIONS[name](activation);
  if (name === "identity") return;
  if (name === "relu") for (let i = 0; i < z.length; i++) delta[i] *= z[i] > 0 ? 1 : 0;
  else if (name === "tanh") for (let i = 0; i < z.length; i++) delta[i] *= 1 - y[i] * y[i];
  else if (name === "logistic") for (let i = 0; i < z.length; i++) delta[i] *= y[i] * (1 - y[i]);
  else for (let i = 0; i < z.length; i++) delta[i] *= slope(z[i], y[i]);
}

// Replace K logits by their softmax; returns the logarithm of the sum of their exponentials.
function softmax(values, start, classes) {
  let largest = -Infinity, sum = 0;
  for (let k = start; k < start + classes; k++) largest = Math.max(largest, values[k]);
  for (let k = start; k < start + classes; k++) sum += values[k] = Math.exp(values[k] - largest);
  for (let k = start; k < start + classes; k++) values[k] /= sum;
  return largest + Math.log(sum);
}

// Inverted dropout: what is kept is divided by the probability to keep it.
function drop(y, probability, random) {
  const factors = new Float64Array(y.length);
  for (let i = 0; i < y.length; i++) factors[i] = random.uniform() < probability ? 0 : 1 / (1 - probability);
  return { factors, values: y.map((number, i) => number * factors[i]) };
}

// w <- w - lr v, v being the gradient or, with momentum, its running sum, as in torch.optim.SGD.
function sgd(w, g, slots, lr, { momentum = 0, dampening = 0, weight_decay: decay = 0, nesterov = false }) {
  const isFirst = momentum > 0 && !slots.v;
  if (isFirst) slots.v = new Float64Array(w.length);
  const { v } = slots;
  for (let i = 0; i < w.length; i++) {
    const slope = g[i] + decay * w[i];
    if (momentum) v[i] = isFirst ? slope : momentum * v[i] + (1 - dampening) * slope;
    w[i] -= lr * (!momentum ? slope : nesterov ? slope + momentum * v[i] : v[i]);
  }
}

// w <- w - lr m / (sqrt(v) + eps), m and v running means of the gradient and its square, as in torch.optim.Adam.
function adam(w, g, slots, lr, { betas = [0.9, 0.999], eps = 1e-8, weight_decay: decay = 0, decoupled_weight_decay: decoupled = false }) {
  slots.m ??= new Float64Array(w.length);
  slots.v ??= new Float64Array(w.length);
  slots.step = (slots.step ?? 0) + 1;
  const { m, v, step } = slots, [b1, b2] = betas;
  const c1 = 1 - b1 ** step, c2 = 1 - b2 ** step;
  for (let i = 0; i < w.length; i++) {
    if (decoupled) w[i] *= 1 - lr * decay;
    const slope = decoupled ? g[i] : g[i] + decay * w[i];
    m[i] = b1 * m[i] + (1 - b1) * slope;
    v[i] = b2 * v[i] + (1 - b2) * slope * slope;
    w[i] -= (lr * m[i]) / c1 / (Math.sqrt(v[i] / c2) + eps);
  }
}

const OPTIMIZERS = {
  sgd,
  adam,
  adamw: (w, g, slots, lr, options) => adam(w, g, slots, lr, { weight_decay: 0.01, ...options, decoupled_weight_decay: true }),
};

// Applies gradients to a network, keeping what the rule remembers of each parameter.
class Optimizer {
  constructor(options) {
    this.options = options;
    this.slots = new Map();
  }

  step(network, gradients) {
    const rule = OPTIMIZERS[this.options.name];
    network.layers.forEach((layer, number) => {
      layer.parameters.forEach((array, index) => {
        if (!this.slots.has(array)) this.slots.set(array, {});
        rule(array, gradients[number][index], this.slots.get(array), this.options.lr, this.options);
      });
    });
  }
}

// A network that Python wrote (`network_json`), with the weights of its checkpoint.
function readNetwork(json) {
  const layers = json.layers.map(({ inputs, units, activation, hasBias }) =>
    Object.assign(new Layer(inputs, units, activation), { hasBias }));
  const network = new Network(layers, json.loss);
  network.load(json.parameters);
  return network;
}

// Outputs after the output activation, [N, K], for inputs [N, D].
function forwardPass(json, inputs) {
  const network = readNetwork(json);
  return network.predict(inputs, new Workspace(network.layers, inputs.length / network.inputs));
}
