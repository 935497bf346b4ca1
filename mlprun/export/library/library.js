const logistic = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));

const clip = (z, low, high) => Math.min(Math.max(z, low), high);

const relu = (z) => (z > 0 ? z : 0);

const leakyRelu = (z, slope) => (z > 0 ? z : slope * z);

const elu = (z, alpha) => (z > 0 ? z : alpha * Math.expm1(z));

const selu = (z) => 1.0507009873554805 * elu(z, 1.6732632423543772);

// The standard normal distribution function: exp(-z²/2) times a series (Abramowitz and Stegun, 26.2.11).
function normalShare(z) {
  if (Math.abs(z) > 9) return Number(z > 0);
  let term = z, sum = z;
  for (let n = 3; Math.abs(term) > 1e-17 * Math.abs(sum); n += 2) sum += term *= (z * z) / n;
  return 0.5 + (sum * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI);
}

const gelu = (z) => z * normalShare(z);

const geluTanh = (z) => z * logistic(Math.sqrt(8 / Math.PI) * (z + 0.044715 * z ** 3));

// log(1 + exp(beta z)) / beta, which is z above the threshold.
const softplus = (z, beta, threshold) =>
  beta * z > threshold ? z : (Math.max(beta * z, 0) + Math.log1p(Math.exp(-Math.abs(beta * z)))) / beta;

const swish = (z, beta) => z * logistic(beta * z);

const mish = (z) => z * Math.tanh(softplus(z, 1, 20));

const hardLogistic = (z, slope, offset) => clip(slope * z + offset, 0, 1);

const hardTanh = (z) => clip(z, -1, 1);

// The square; 0 for numbers below 0, which no square root is.
const square = (z) => Math.max(z, 0) ** 2;

// A cell of a row by the number of its column; null where it is missing.
function cell(row, column, mayBeMissing) {
  const name = COLUMNS[column];
  if (!Object.hasOwn(row, name)) throw new Error(`the row has no column ${JSON.stringify(name)}`);
  const value = row[name];
  if (value !== null && value !== undefined && value !== "" && !Number.isNaN(value)) return value;
  if (!mayBeMissing) throw new Error(`column ${JSON.stringify(name)} is missing`);
  return null;
}

// A cell as a number; NaN where it is missing.
function number(row, column, mayBeMissing = false) {
  const value = cell(row, column, mayBeMissing);
  if (value === null) return NaN;
  const x = typeof value === "string" && value.trim() === "" ? NaN : Number(value);
  if (Number.isNaN(x)) throw new Error(`column ${JSON.stringify(COLUMNS[column])} is not a number`);
  return x;
}

// A cell as text; null where it is missing.
function text(row, column, mayBeMissing = false) {
  const value = cell(row, column, mayBeMissing);
  return value === null ? null : String(value);
}

// A date in days since 1970-01-01, from a number of them, a Date, or text such as 2024-03-31 12:30 (in UTC).
function days(row, column, mayBeMissing = false) {
  const value = cell(row, column, mayBeMissing);
  if (value === null || typeof value === "number") return value ?? NaN;
  const iso = value instanceof Date ? value.toISOString() : value;
  const [, date, hours = "00:00", zone = "Z"] = /^(\d{4}-\d\d-\d\d)(?:[ T]([\d:.]+))?([Z+-].*)?$/.exec(iso) ?? [];
  const time = Date.parse(`${date}T${hours}${zone}`);
  if (Number.isNaN(time)) throw new Error(`column ${JSON.stringify(COLUMNS[column])} is not a date`);
  return time / 86400000;
}

// A symbol: a whole number from 0 to count - 1.
function symbol(row, column, count) {
  const value = Number(cell(row, column, false));
  if (Number.isInteger(value) && value >= 0 && value < count) return value;
  throw new Error(`column ${JSON.stringify(COLUMNS[column])} is not a whole number from 0 to ${count - 1}`);
}

const fill = (x, value) => (Number.isNaN(x) ? value : x);

const isMissing = (x) => Number(x === null || Number.isNaN(x));

// The share of known numbers below x: known ones, in rising order, are at evenly spaced levels.
function quantile(x, known) {
  const steps = known.length - 1;
  if (x <= known[0]) return 0;
  if (x >= known[steps]) return 1;
  const first = known.findIndex((one) => one >= x), last = known.findLastIndex((one) => one <= x);
  if (first <= last) return (first + last) / 2 / steps;
  return (last + (x - known[last]) / (known[first] - known[last])) / steps;
}

// The number at a level from 0 to 1 of known ones: the inverse of quantile.
function atLevel(level, known) {
  const position = clip(level, 0, 1) * (known.length - 1), below = Math.floor(position);
  return below === known.length - 1 ? known[below] : known[below] + (position - below) * (known[below + 1] - known[below]);
}

const year = (days) => new Date(Math.floor(days) * 86400000).getUTCFullYear();

const month = (days) => new Date(Math.floor(days) * 86400000).getUTCMonth();

const weekday = (days) => (new Date(Math.floor(days) * 86400000).getUTCDay() + 6) % 7;

const dayOfYear = (days) => Math.floor(days) - Math.floor(new Date(0).setUTCFullYear(year(days), 0, 1) / 86400000);

// The code of a text, other if it is not known, or missing if there is none.
const code = (text, known, other, missing) => (text === null ? missing : known.get(text) ?? other);

// 1 at the position of a code, 0 elsewhere.
const oneHot = (code, width) => Array.from({ length: width }, (_, k) => Number(k === code));

// W x + b for W [outputs, inputs].
const linear = (x, weight, bias) => weight.map((row, k) => row.reduce((sum, w, i) => sum + w * x[i], bias ? bias[k] : 0));

// Batch norm with the means and variances of the training.
const batchNorm = (x, mean, variance, gain, shift) =>
  x.map((z, k) => ((z - mean[k]) / Math.sqrt(variance[k] + 1e-5)) * gain[k] + shift[k]);

// Layer norm: mean 0 and variance 1 over the units of a row.
function layerNorm(x, gain, shift) {
  const mean = x.reduce((sum, z) => sum + z, 0) / x.length;
  const variance = x.reduce((sum, z) => sum + (z - mean) ** 2, 0) / x.length;
  return x.map((z, k) => ((z - mean) / Math.sqrt(variance + 1e-5)) * gain[k] + shift[k]);
}

// Probabilities that sum to 1.
function softmax(z) {
  const largest = Math.max(...z), powers = z.map((one) => Math.exp(one - largest));
  const sum = powers.reduce((total, one) => total + one, 0);
  return powers.map((one) => one / sum);
}
