// What is drawn on canvases: a network's outputs and its units over the plane of two columns, and the rows.

const GRID = 52;
const UNIT_GRID = GRID / 2;
const SHADES = 256;
const MOST_DRAWN = 1200;
const NOTHING = 1e-12;

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const mix = (from, to, share) => from.map((channel, i) => channel + (to[i] - channel) * share);
const word = ([red, green, blue]) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
const cssColor = (color) => `rgb(${color.map(Math.round).join(" ")})`;

// The colours of the page's theme: shades from the first class to the second one for numbers, and one per class.
// On canvases they are 32-bit words as image data holds them, elsewhere [r, g, b].
class Colors {
  constructor(holder) {
    const style = getComputedStyle(holder), read = (name) => channels(style.getPropertyValue(name).trim());
    this.classes = Array.from({ length: 10 }, (_, k) => read(`--class-${k}`));
    this.middle = read("--middle");
    for (const name of ["ink", "paper", "soft"]) this[name] = style.getPropertyValue(`--${name}`);
    this.splits = Object.fromEntries(["train", "dev", "test"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    const [low, high] = this.classes;
    const tones = (strength) => Array.from({ length: SHADES }, (_, i) => {
      const v = (2 * i) / (SHADES - 1) - 1;
      return mix(this.middle, v < 0 ? low : high, strength * Math.abs(v));
    });
    this.tones = tones(0.85);
    this.words = Uint32Array.from(this.tones, word);
    this.paleWords = Uint32Array.from(tones(0.5), word);
    this.pale = this.classes.map((color) => mix(this.middle, color, 0.5));
  }

  // The shade of a number from -1 to 1, as a word or as [r, g, b]; the middle one for what is no number.
  shade(value, shades = this.words) {
    const index = Math.round(((value + 1) / 2) * (SHADES - 1));
    return shades[Math.min(Math.max(index, 0), SHADES - 1)] ?? shades[SHADES / 2];
  }

  // The classes' colours, mixed by their probabilities.
  blend(p, start, K) {
    const mixed = [0, 0, 0];
    for (let k = 0; k < K; k++) {
      const color = this.pale[k % 10], weight = p[start + k];
      for (let c = 0; c < 3; c++) mixed[c] += weight * color[c];
    }
    return word(mixed);
  }

  ofClass(k) {
    return cssColor(this.classes[k % 10]);
  }
}

// The plane of two columns of a table. A table of one column has its first target on the other axis.
class Axes {
  constructor(table, columns) {
    this.table = table;
    this.axes = columns;
    this.ranges = axisRanges(table, columns);
    this.isCurve = columns.length === 1;
  }

  // Where a row lies, from 0 to 1 on both axes, from the upper left corner.
  place(row) {
    const { table: { values, columns, truth, targetNames }, axes } = this;
    const up = this.isCurve ? truth[row * targetNames.length] : values[row * columns + axes[1]];
    return [this.share(0, values[row * columns + axes[0]]), 1 - this.share(1, up)];
  }

  // A number on an axis as a share of its range, and back.
  share(axis, number) {
    const [low, high] = this.ranges[axis];
    return (number - low) / (high - low);
  }

  number(axis, share) {
    const [low, high] = this.ranges[axis];
    return low + share * (high - low);
  }

  // The columns' numbers at a place.
  position([x, y]) {
    return [this.number(0, x), this.number(1, 1 - y)].slice(0, this.axes.length);
  }
}

// The network's values at GRID x GRID places of a plane; other columns are at their mean.
class Plane extends Axes {
  constructor(table, columns, chosen) {
    super(table, columns);
    this.means = table.means();
    const values = new Float64Array(GRID * GRID * table.columns);
    for (let place = 0; place < GRID * GRID; place++) {
      const center = [(place % GRID) + 0.5, Math.floor(place / GRID) + 0.5].map((cell) => cell / GRID);
      values.set(this.means, place * table.columns);
      this.position(center).forEach((number, i) => (values[place * table.columns + columns[i]] = number));
    }
    this.inputs = table.inputs(chosen, values);
    this.features = table.inputs(table.features.map(({ name }) => name), values);
  }

  // Compute all units and the outputs at every place.
  compute(network) {
    if (this.space?.network !== network) {
      this.space = Object.assign(new Workspace(network.layers, GRID * GRID), { network });
    }
    this.outputs = network.predict(this.inputs, this.space);
  }

  // The first output over the only column, as the path of a curve.
  curve(outputs) {
    const at = (x) => 1 - this.share(1, this.outputs[x * outputs]);
    return Array.from({ length: GRID }, (_, x) => `${x ? "L" : "M"}${(x + 0.5) / GRID} ${at(x)}`).join("");
  }
}

// The ranges of both axes; of equal length where the columns are a plane's coordinates.
function axisRanges(table, axes) {
  const ranges = axes.map((column) => table.range(column));
  if (axes.length === 1) return [...ranges, table.classes ? [-0.1, 1.1] : table.range(0, table.truth, table.targetNames.length)];
  if (table.columns !== 2 || table.units.scales.some((scale) => scale !== 1)) return ranges;
  const length = Math.max(...ranges.map(([low, high]) => high - low)) / 2;
  return ranges.map(([low, high]) => [(low + high) / 2 - length, (low + high) / 2 + length]);
}

// Paint the places of a grid; `colorOf` gives the word of a place.
function paint(canvas, size, colorOf) {
  if (canvas.width !== size) canvas.width = canvas.height = size;
  canvas.image ??= new ImageData(size, size);
  const pixels = new Uint32Array(canvas.image.data.buffer);
  for (let place = 0; place < size * size; place++) pixels[place] = colorOf(place);
  canvas.getContext("2d").putImageData(canvas.image, 0, 0);
}

// A unit's values over the plane: `values` [places, units], scaled to its largest, which is returned, or from 0 to 1.
// An input that is the same everywhere has no colour.
function paintUnit(canvas, colors, { values, unit, units, isProbability, isInput }, size = UNIT_GRID) {
  const jump = GRID / size, shown = new Float64Array(size * size);
  let most = NOTHING, least = Infinity;
  for (let place = 0; place < size * size; place++) {
    const row = Math.floor(place / size) * GRID + (place % size), value = values[row * jump * units + unit];
    shown[place] = isProbability ? 2 * value - 1 : value;
    most = Math.max(most, Math.abs(value));
    least = Math.min(least, Math.abs(value));
  }
  const scale = isProbability ? 1 : isInput && most - least < 1e-9 ? Infinity : most;
  paint(canvas, size, (place) => colors.shade(shown[place] / scale));
  return most;
}

// The network's outputs over the plane as colours: the word of a place.
function outputColor(plane, network, colors, isDiscrete) {
  const { outputs, table } = plane, K = network.outputs;
  if (table.classes !== null && K > 1) {
    return (place) => isDiscrete
      ? word(colors.pale[largest(outputs, place * K, K) % 10])
      : colors.blend(outputs, place * K, K);
  }
  if (plane.isCurve && table.classes === null) return () => word(colors.middle);
  const scale = outputScale(table, network.loss);
  return (place) => {
    const value = scale(outputs[place * K]);
    return colors.shade(isDiscrete ? 0.8 * Math.sign(value) : value, colors.paleWords);
  };
}

// A function from outputs to -1 to 1: from a probability, a margin, or a number in the range of the targets.
function outputScale({ classes, truth }, loss) {
  if (classes !== null) return loss === "hinge" ? (y) => y : (p) => 2 * p - 1;
  let low = Infinity, high = -Infinity;
  for (const number of truth) [low, high] = [Math.min(low, number), Math.max(high, number)];
  return (y) => (2 * (y - low)) / (high - low || 1) - 1;
}

// The line where values cross a level, by marching squares: segments of four coordinates from 0 to 1.
function contour(values, level) {
  const segments = [], value = (x, y) => values[y * GRID + x] - level;
  for (let y = 0; y < GRID - 1; y++) {
    for (let x = 0; x < GRID - 1; x++) {
      const corners = [[x, y], [x + 1, y], [x + 1, y + 1], [x, y + 1]], points = [];
      corners.forEach(([ax, ay], i) => {
        const [bx, by] = corners[(i + 1) % 4], a = value(ax, ay), b = value(bx, by);
        if (a > 0 === b > 0) return;
        const share = a / (a - b);
        points.push((ax + share * (bx - ax) + 0.5) / GRID, (ay + share * (by - ay) + 0.5) / GRID);
      });
      for (let i = 0; i + 3 < points.length; i += 4) segments.push(points.slice(i, i + 4));
    }
  }
  return segments;
}

// Make a canvas as sharp as the screen; drawing is then in CSS pixels.
function sharpContext(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return { context, width, height };
}

// The rows as points: train filled, other splits as rings; classes have colours and shapes.
function drawRows(canvas, plane, colors, splits) {
  const { context, width, height } = sharpContext(canvas), { table } = plane;
  const scale = outputScale(table, ""), shown = visibleRows(table, splits);
  for (const row of shown) {
    const [x, y] = plane.place(row), id = table.truth[row * table.targetNames.length];
    const color = table.classes ? colors.ofClass(id) : plane.isCurve ? colors.ofClass(0) : cssColor(colors.shade(scale(id), colors.tones));
    const isTrain = table.split[row] === 0;
    context.beginPath();
    trace(context, table.classes ? id : 0, x * width, y * height, isTrain ? 3.2 : 2.8);
    context.fillStyle = color;
    context.strokeStyle = !isTrain ? colors.ink : table.classes ? colors.paper : colors.soft;
    context.lineWidth = isTrain ? 1 : 1.1;
    context.fill();
    context.stroke();
  }
}

// Evenly spread rows of these splits, the train rows last and so on top.
function visibleRows(table, splits) {
  const rows = [...splits].reverse().flatMap((split) => table.rowsOf(split));
  const jump = Math.max(1, rows.length / MOST_DRAWN);
  return Array.from({ length: Math.min(rows.length, MOST_DRAWN) }, (_, i) => rows[Math.floor(i * jump)]);
}

// A circle, square, triangle or diamond.
function trace(context, id, x, y, radius) {
  const corners = [0, 4, 3, 4][id % 4], turn = id % 4 === 1 ? 0.125 : -0.25;
  if (corners === 0) return context.arc(x, y, radius, 0, 2 * Math.PI);
  for (let i = 0; i < corners; i++) {
    const [dx, dy] = around(1.2 * radius, turn + i / corners);
    if (i) context.lineTo(x + dx, y + dy);
    else context.moveTo(x + dx, y + dy);
  }
  return context.closePath();
}
