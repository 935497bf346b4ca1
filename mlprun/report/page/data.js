// Rows to learn from: generators of points in the plane, tables that are read from CSV, and rows of a run.
//
// A `Table` holds what a network reads: numbers, standardised where they come from a file. Its `units` lead
// back to the user's numbers.

// Uniform and normal numbers from a seed: mulberry32 by Tommy Ettinger, and Box and Muller's transform.
class Random {
  constructor(seed) {
    this.state = Math.imul(seed + 1, 0x9e3779b9);
  }

  uniform() {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let word = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  }

  normal() {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  // The numbers from 0 to count - 1 in random order.
  order(count) {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(this.uniform() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
}

const around = (radius, turn) => [radius * Math.cos(2 * Math.PI * turn), radius * Math.sin(2 * Math.PI * turn)];
const inSquare = (random) => [2 * random.uniform() - 1, 2 * random.uniform() - 1];
const BLOBS = [[-1, -0.8], [0.9, -1], [1, 0.9], [-0.9, 1]];
const BUMPS = [[-0.7, 0.45, 1], [0, 0.45, -1], [0.7, 0.45, 1], [-0.7, -0.45, -1], [0, -0.45, 1], [0.7, -0.45, -1]];

function moon(i, rows) {
  const outer = Math.floor(rows / 2), isInner = i >= outer;
  const angle = (Math.PI * (isInner ? i - outer : i)) / Math.max((isInner ? rows - outer : outer) - 1, 1);
  return isInner ? [1 - Math.cos(angle), 0.5 - Math.sin(angle), 1] : [Math.cos(angle), Math.sin(angle), 0];
}

function spiral(i, rows, arms) {
  const radius = (Math.floor(i / arms) + 0.5) / Math.ceil(rows / arms), arm = i % arms;
  return [...around(radius, radius + arm / arms), arm];
}

function cell(random, cells) {
  const [x, y] = inSquare(random), number = (v) => Math.floor((cells * (v + 1)) / 2);
  return [x, y, (number(x) + number(y)) % 2];
}

function surface(random, height) {
  const [x, y] = inSquare(random);
  return [x, y, height(x, y)];
}

// The nearest of six cones, up or down.
function bumps(x, y) {
  const heights = BUMPS.map(([a, b, sign]) => sign * Math.max(1 - Math.hypot(x - a, y - b) / 0.4, 0));
  return heights.reduce((one, other) => (Math.abs(other) > Math.abs(one) ? other : one));
}

// Each draws row i of so many: x1, x2 and its class, or the number to predict, before `noise` is added to x1 and
// x2 or to that number. `config` is mlprun's dataset with the same distribution.
const DATASETS = {
  moons: { title: "Moons", noise: 0.2, classes: ["outer", "inner"], draw: moon, config: { name: "moons" } },
  circles: {
    title: "Circles", noise: 0.1, classes: ["outer", "inner"], config: { name: "circles" },
    draw: (i, rows) => (i < rows / 2 ? [...around(1, (2 * i) / rows), 0] : [...around(0.5, (2 * i) / rows), 1]),
  },
  xor: {
    title: "XOR", noise: 0, classes: ["0", "1"], config: { name: "checkerboard", cells: 2 },
    draw: (i, rows, random) => cell(random, 2),
  },
  gaussians: {
    title: "Gaussians", noise: 0.6, classes: ["0", "1"], noiseName: "std",
    config: { name: "gaussians", means: [[-1, -1], [1, 1]] },
    draw: (i) => (i % 2 ? [1, 1, 1] : [-1, -1, 0]),
  },
  spirals: {
    title: "Spirals", noise: 0.03, classes: ["0", "1"], config: { name: "spirals" },
    draw: (i, rows) => spiral(i, rows, 2),
  },
  checkers: {
    title: "Checkers", noise: 0, classes: ["0", "1"], config: { name: "checkerboard", cells: 4 },
    draw: (i, rows, random) => cell(random, 4),
  },
  blobs: {
    title: "Four blobs", noise: 0.3, classes: ["0", "1", "2", "3"], noiseName: "std",
    config: { name: "gaussians", means: BLOBS }, draw: (i) => [...BLOBS[i % 4], i % 4],
  },
  arms: {
    title: "Three arms", noise: 0.03, classes: ["0", "1", "2"], config: { name: "spirals", arms: 3 },
    draw: (i, rows) => spiral(i, rows, 3),
  },
  plane: { title: "Plane", noise: 0.1, draw: (i, rows, random) => surface(random, (x, y) => (x + y) / 2) },
  bumps: { title: "Six bumps", noise: 0, draw: (i, rows, random) => surface(random, bumps) },
};

// What a network can read of a table with two columns beside these, as in the TensorFlow Playground.
const derived = (one, two) => [
  { name: `${one}²`, of: (values, at) => values[at] ** 2 },
  { name: `${two}²`, of: (values, at) => values[at + 1] ** 2 },
  { name: `${one}·${two}`, of: (values, at) => values[at] * values[at + 1] },
  { name: `sin π${one}`, of: (values, at) => Math.sin(Math.PI * values[at]) },
  { name: `sin π${two}`, of: (values, at) => Math.sin(Math.PI * values[at + 1]) },
];

// Rows: `values` [N, C], `truth` [N, T] with class ids (T = 1) or numbers, and `split` [N], indices into `splits`.
class Table {
  constructor(fields) {
    Object.assign(this, { classes: null, targetNames: ["y"], splits: ["train", "test"] }, fields);
    const { names } = this;
    this.columns = names.length;
    this.units ??= { means: names.map(() => 0), scales: names.map(() => 1) };
    this.targetUnits ??= { means: this.targetNames.map(() => 0), scales: this.targetNames.map(() => 1) };
  }

  get rows() {
    return this.split.length;
  }

  // The indices of the rows of a split.
  rowsOf(split) {
    const index = this.splits.indexOf(split);
    return Array.from(this.split.keys()).filter((row) => this.split[row] === index);
  }

  // The inputs to choose from: each a name and a function of a row's values.
  get features() {
    const plain = this.names.map((name, column) => ({ name, of: (values, at) => values[at + column] }));
    return this.columns === 2 ? [...plain, ...derived(...this.names)] : plain;
  }

  // The features by name of rows with these values, [N, D].
  inputs(chosen, values = this.values) {
    const features = this.features.filter(({ name }) => chosen.includes(name)), { columns } = this;
    const inputs = new Float64Array((values.length / columns) * features.length);
    for (let at = 0, next = 0; at < values.length; at += columns) {
      for (const { of } of features) inputs[next++] = of(values, at);
    }
    return inputs;
  }

  // Targets [N, K] as a loss reads them.
  targets(loss, outputs) {
    if (this.classes === null) return this.truth;
    const targets = outputs > 1 ? new Float64Array(this.rows * outputs) : this.truth.slice();
    if (outputs > 1) this.truth.forEach((id, row) => (targets[row * outputs + id] = 1));
    return loss === "hinge" ? targets.map((one) => 2 * one - 1) : targets;
  }

  // Add a row to the train rows; its other columns are at their mean.
  add(columns, position, truth) {
    const values = this.means();
    columns.forEach((column, i) => (values[column] = position[i]));
    this.values = Float64Array.from([...this.values, ...values]);
    this.truth = Float64Array.from([...this.truth, truth, ...this.targetNames.slice(1).map(() => 0)]);
    this.split = Uint8Array.from([...this.split, 0]);
    this.isEdited = true;
  }

  // The mean of each column.
  means() {
    const means = new Float64Array(this.columns);
    this.values.forEach((value, i) => (means[i % this.columns] += value / this.rows));
    return means;
  }

  // The squared correlation of each column with its first target, or with the number of the class.
  relevances() {
    const { columns, rows, truth, targetNames: { length: targets } } = this;
    const target = Float64Array.from({ length: rows }, (_, row) => truth[row * targets]);
    return this.names.map((_, column) => {
      const values = target.map((_, row) => this.values[row * columns + column]);
      const [x, y] = [values, target].map((some) => some.map((one) => one - some.reduce((a, b) => a + b) / rows));
      const product = (a, b) => a.reduce((sum, one, row) => sum + one * b[row], 0);
      return product(x, y) ** 2 / (product(x, x) * product(y, y) || 1);
    });
  }

  // The range of a column, with a margin.
  range(column, values = this.values, columns = this.columns) {
    let low = Infinity, high = -Infinity;
    for (let at = column; at < values.length; at += columns) {
      low = Math.min(low, values[at]);
      high = Math.max(high, values[at]);
    }
    const margin = 0.1 * (high - low) || 1;
    return [low - margin, high + margin];
  }

  // A number of a column in the user's units.
  inUnits(column, value) {
    return value * this.units.scales[column] + this.units.means[column];
  }
}

// So many rows of a generator, the first `share` of them for training.
function generate(name, { rows, noise, share, seed }) {
  const { draw, classes = null } = DATASETS[name], random = new Random(seed);
  const values = new Float64Array(2 * rows), truth = new Float64Array(rows);
  random.order(rows).forEach((i, row) => {
    const [x, y, target] = draw(i, rows, random), sigma = (on) => (on ? noise * random.normal() : 0);
    values[2 * row] = x + sigma(classes);
    values[2 * row + 1] = y + sigma(classes);
    truth[row] = target + sigma(!classes);
  });
  const train = Math.round(share * rows);
  const split = Uint8Array.from({ length: rows }, (_, row) => (row < train ? 0 : 1));
  return new Table({ names: ["x₁", "x₂"], values, truth, split, classes });
}

// The records of a CSV text; quoted cells may hold separators, line breaks and doubled quotes.
function parseCsv(text) {
  if (/[\0\ufffd]/.test(text)) throw new Error("The file is no text in UTF-8.");
  const clean = text.replace(/\r\n?/g, "\n").replace(/^\s*\n|\n\s*$/g, ""), head = clean.split("\n", 1)[0].replace(/\x22[^\x22]*\x22/g, "");
  const separator = [",", "\t", ";"].sort((a, b) => head.split(b).length - head.split(a).length)[0];
  const cell = new RegExp(`("(?:[^"]|"")*"|[^${separator}\\n]*)(${separator}|\\n|$)`, "g");
  const records = [[]];
  for (const [, content, end] of clean.matchAll(cell)) {
    const isQuoted = content.startsWith('"');
    if (isQuoted && (content.length < 2 || !content.endsWith('"'))) throw new Error(`Row ${records.length} has a quote that is not closed.`);
    records.at(-1).push(isQuoted ? content.slice(1, -1).replaceAll('""', '"') : content.trim());
    if (end === "\n") records.push([]);
    if (end === "") break;
  }
  return records;
}

const MOST_ROWS = 4000;
const isMissing = (text) => ["", "NA", "N/A", "NaN", "nan", "null", "?"].includes(text);
const isNumber = (text) => text !== "" && Number.isFinite(Number(text));

// A table of CSV records with a target column: numbers are standardised, texts become one column per category.
// Rows with a missing cell and columns with too many texts are left out, which `note` says. Throws an Error with
// one line for what cannot be read.
function tableOf(records, { target, share, seed }) {
  const [header, ...all] = records, goal = header.indexOf(target);
  if (header.length < 2) throw new Error("Expected two or more columns, separated by commas, semicolons or tabs.");
  if (header.every(isNumber) || header.some((name, i) => name === "" || header.indexOf(name) !== i)) {
    throw new Error("The first line must name every column once.");
  }
  const whole = all.filter((record) => record.length === header.length && !record.some(isMissing));
  const random = new Random(seed);
  const rows = Array.from(random.order(whole.length).slice(0, MOST_ROWS), (i) => whole[i]);
  if (rows.length < 2) throw new Error(`Complete rows: ${rows.length} of ${all.length}; expected two or more.`);
  const cells = rows.map((record) => record[goal]);
  const classes = classesOf(cells);
  const train = Math.max(1, Math.round(share * rows.length));
  const encoded = header.map((name, i) => (i === goal ? [] : encode(name, rows.map((row) => row[i]), train)));
  const columns = encoded.flat(), dropped = header.filter((name, i) => i !== goal && encoded[i].length === 0);
  if (!columns.length) throw new Error("No column beside the target has numbers, or up to 20 different texts.");
  const output = classes === null ? standardized(target, cells.map(Number), train) : null;
  return new Table({
    names: columns.map(({ name }) => name),
    values: Float64Array.from({ length: rows.length * columns.length }, (_, at) =>
      columns[at % columns.length].values[Math.floor(at / columns.length)]),
    units: { means: columns.map(({ mean }) => mean), scales: columns.map(({ scale }) => scale) },
    truth: Float64Array.from(output?.values ?? cells.map((cell) => classes.indexOf(cell))),
    targetNames: [target],
    targetUnits: output ? { means: [output.mean], scales: [output.scale] } : undefined,
    classes,
    split: Uint8Array.from(rows, (_, row) => (row < train ? 0 : 1)),
    note: [
      whole.length < all.length && `${all.length - whole.length} incomplete rows were left out.`,
      rows.length < whole.length && `${rows.length} of ${whole.length} rows are used, drawn at random.`,
      dropped.length && `Left out for more than 20 different texts: ${dropped.join(", ")}.`].filter(Boolean).join(" "),
  });
}

// Class names as mlprun chooses them: texts, or up to 20 whole numbers that repeat; null for numbers.
function classesOf(cells) {
  const names = [...new Set(cells)], areNumbers = names.every(isNumber);
  const areIds = names.every((name) => Number.isInteger(Number(name)));
  if (areNumbers && !(areIds && names.length <= 20 && 2 * names.length <= cells.length)) return null;
  if (names.length < 2 || names.length > 20) {
    throw new Error(`Different values of the target: ${names.length}; expected numbers, or 2 to 20 classes.`);
  }
  return names.sort((a, b) => (areNumbers ? a - b : a < b ? -1 : 1));
}

function encode(name, cells, train) {
  if (cells.every(isNumber)) return [standardized(name, cells.map(Number), train)];
  const categories = [...new Set(cells)].sort();
  if (categories.length > 20) return [];
  return categories.map((category) => (
    { name: `${name}=${category}`, values: cells.map((cell) => Number(cell === category)), mean: 0, scale: 1 }));
}

// Mean 0 and variance 1 on the train rows, the first ones.
function standardized(name, numbers, train) {
  const some = numbers.slice(0, train), mean = some.reduce((a, b) => a + b, 0) / train;
  const scale = Math.sqrt(some.reduce((sum, one) => sum + (one - mean) ** 2, 0) / train) || 1;
  return { name, values: numbers.map((one) => (one - mean) / scale), mean, scale };
}

// The rows of a run, as Python wrote them: `counts` rows of each split, one split after the other.
function readTable({ type, values, truth, counts, ...fields }) {
  return new Table({
    ...fields,
    values: decodeNumbers(values, type),
    truth: decodeNumbers(truth, type),
    split: Uint8Array.from(counts.flatMap((count, split) => Array(count).fill(split))),
  });
}
