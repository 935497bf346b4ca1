// Training in the browser: batches of a table, a network of the settings, its optimizer and its loss curves.

const SPEEDS = { slow: "2 steps per second", frame: "1 step per frame", full: "full speed" };
const BUDGET = 12;
const MOST_POINTS = 600;

// The losses for a table's targets; the first is the default.
function lossesOf({ classes }) {
  if (classes === null) return ["mse", "mae"];
  return classes.length > 2 ? ["cross_entropy"] : ["bce", "cross_entropy", "mse", "hinge"];
}

// How many outputs a table's targets and a loss call for.
function outputsOf({ classes, targetNames }, loss) {
  if (classes === null) return targetNames.length;
  return loss === "cross_entropy" ? classes.length : 1;
}

const LOSS_NAMES = {
  bce: "log loss", cross_entropy: "cross-entropy", mse: "squared error", mae: "absolute error", hinge: "hinge loss",
};

class Training {
  // `settings`: inputs, hidden, loss, optimizer, lr, batch, l1, l2, dropout, seed. A network that was trained
  // before is continued with `network`.
  constructor(settings, table, network = null) {
    this.settings = settings;
    this.useTable(table);
    this.use(network ?? this.draw());
  }

  // Units were added or removed: the weights of those that stay are kept, and training goes on.
  resize() {
    const { network, steps, curves, firstEpoch } = this, made = this.draw();
    made.layers.forEach((layer, number) => overlap(network.layers[number], layer));
    this.use(made);
    Object.assign(this, { steps, curves, firstEpoch });
    this.record();
  }

  // A network of the settings with random weights.
  draw() {
    const { settings, table } = this, random = new Random(settings.seed);
    const widths = [this.inputs.train.length / this.rows.train.length, ...settings.hidden.map(({ units }) => units)];
    const { loss } = settings, isProbability = table.classes !== null && loss === "mse";
    const layers = settings.hidden.map(({ activation }, i) => new Layer(widths[i], widths[i + 1], activation));
    layers.push(new Layer(widths.at(-1), outputsOf(table, loss), { name: isProbability ? "logistic" : "identity" }));
    layers.forEach((layer) => layer.initialize(random));
    return new Network(layers, loss);
  }

  // Train this network from now on, from step 0.
  use(network) {
    Object.assign(this, { network, optimizer: null, steps: 0, firstEpoch: 0, curves: [] });
    this.random = new Random(this.settings.seed + 1);
    this.applySettings();
    this.encode();
    this.record();
  }

  // Settings that need no new network.
  applySettings() {
    const { optimizer, lr, dropout, hidden } = this.settings;
    const options = { ...this.settings.optimizerOptions, name: optimizer, lr };
    if (this.optimizer?.options.name !== optimizer) this.optimizer = new Optimizer(options);
    this.optimizer.options = options;
    hidden.forEach(({ activation }, i) => Object.assign(this.network.layers[i], { activation, dropout }));
  }

  useTable(table) {
    this.table = table;
    const { rows } = table;
    this.splits = table.splits.filter((split) => table.rowsOf(split).length);
    this.rows = Object.fromEntries(this.splits.map((split) => [split, table.rowsOf(split)]));
    const all = table.inputs(this.settings.inputs);
    this.inputs = this.perSplit((some) => take(all, some, all.length / rows));
    this.order = null;
    if (this.network) this.encode();
  }

  // Targets as the network's loss reads them.
  encode() {
    const { loss, outputs } = this.network, all = this.table.targets(loss, outputs);
    this.targets = this.perSplit((rows) => take(all, rows, outputs));
    this.spaces = new Map();
  }

  perSplit(make) {
    return Object.fromEntries(this.splits.map((split) => [split, make(this.rows[split])]));
  }

  get batchSize() {
    const rows = this.rows.train.length, { batch } = this.settings;
    return batch === "full" ? rows : Math.min(batch, rows);
  }

  get stepsPerEpoch() {
    return Math.ceil(this.rows.train.length / this.batchSize);
  }

  get epoch() {
    return this.firstEpoch + this.steps / this.stepsPerEpoch;
  }

  // A workspace for so many rows, which is used again.
  space(rows) {
    if (!this.spaces.has(rows)) this.spaces.set(rows, new Workspace(this.network.layers, rows));
    return this.spaces.get(rows);
  }

  // One step: a batch forward and backward, then the optimizer.
  step() {
    const { inputs, targets } = this.nextBatch(), { l1, l2, dropout } = this.settings;
    const space = this.space(inputs.length / this.network.inputs);
    this.network.differentiate(inputs, targets, space, { l1, l2, random: dropout ? this.random : null });
    this.optimizer.step(this.network, space.gradients);
    this.steps++;
  }

  nextBatch() {
    const rows = this.rows.train.length, size = this.batchSize;
    if (size === rows) return { inputs: this.inputs.train, targets: this.targets.train };
    const number = this.steps % this.stepsPerEpoch;
    if (number === 0 || this.order === null) this.order = this.random.order(rows);
    const some = this.order.subarray(number * size, Math.min((number + 1) * size, rows));
    return { inputs: take(this.inputs.train, some, this.network.inputs),
      targets: take(this.targets.train, some, this.network.outputs) };
  }

  // One step, at full speed as many as so many milliseconds have time for.
  advance(speed, budget) {
    const end = performance.now() + budget;
    do this.step();
    while (speed === "full" && performance.now() < end);
    this.record();
  }

  // Loss and accuracy, or R², of a split.
  evaluate(split) {
    const inputs = this.inputs[split], targets = this.targets[split];
    const { network, table } = this, space = this.space(this.rows[split].length);
    const loss = network.meanLoss(inputs, targets, space);
    const y = space.y.at(-1), K = network.outputs;
    if (table.classes === null) return { loss, score: determination(y, targets, K) };
    const z = space.z.at(-1);
    const right = this.rows[split].filter((row, i) => {
      const label = K === 1 ? Number(z[i] > threshold(network)) : largest(y, i * K, K);
      return label === table.truth[row];
    });
    return { loss, score: right.length / this.rows[split].length };
  }

  // Evaluate all splits and add a point to the curves, which are thinned when they grow long.
  record() {
    this.results = Object.fromEntries(this.splits.map((split) => [split, this.evaluate(split)]));
    const losses = Object.fromEntries(this.splits.map((split) => [split, this.results[split].loss]));
    const point = { epoch: this.epoch, ...losses };
    if (this.curves.at(-1)?.epoch === point.epoch) this.curves.pop();
    this.curves.push(point);
    if (this.curves.length > MOST_POINTS) this.curves = this.curves.filter((_, i) => i % 2 === 0 || i > MOST_POINTS - 2);
  }
}

// Above which value before its output activation a single output means class 1.
function threshold({ loss, layers }) {
  return loss === "mse" && layers.at(-1).activation.name === "identity" ? 0.5 : 0;
}

// Copy the weights that two layers of different sizes have in common.
function overlap(from, to) {
  for (let unit = 0; unit < Math.min(from.units, to.units); unit++) {
    to.bias[unit] = from.bias[unit];
    for (let i = 0; i < Math.min(from.inputs, to.inputs); i++) {
      to.weight[unit * to.inputs + i] = from.weight[unit * from.inputs + i];
    }
  }
}

// Rows of a matrix, at these indices.
function take(matrix, rows, width) {
  const taken = new Float64Array(rows.length * width);
  rows.forEach((row, i) => {
    for (let k = 0; k < width; k++) taken[i * width + k] = matrix[row * width + k];
  });
  return taken;
}

// The index of the largest of K numbers.
function largest(values, start, K) {
  let best = 0;
  for (let k = 1; k < K; k++) if (values[start + k] > values[start + best]) best = k;
  return best;
}

// R², the mean over K targets: 1 for perfect predictions, 0 for those of the mean.
function determination(y, targets, K) {
  const of = (values, k) => values.filter((_, i) => i % K === k);
  if (K > 1) return Array.from({ length: K }, (_, k) => determination(of(y, k), of(targets, k), 1)).reduce((a, b) => a + b) / K;
  const mean = targets.reduce((a, b) => a + b, 0) / targets.length;
  const sum = (of) => targets.reduce((total, t, i) => total + of(t, i) ** 2, 0);
  return 1 - sum((t, i) => t - y[i]) / (sum((t) => t - mean) || 1);
}
