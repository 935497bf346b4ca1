// What can be taken along: the config as YAML, the weights as safetensors, the picture as SVG.

// Save bytes or text under a name, as if it were downloaded.
function save(name, content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// A value in YAML's flow style; texts are quoted as in JSON, which YAML 1.2 includes.
function flow(value) {
  if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    return `{${Object.entries(value).map(([key, one]) => key + ": " + flow(one)).join(", ")}}`;
  }
  if (typeof value === "number" && /e/.test(String(value)) && !/\./.test(String(value))) {
    return String(value).replace("e", ".0e");
  }
  return typeof value === "string" && !/^[a-z][a-z0-9_]*$/i.test(value) ? JSON.stringify(value) : String(value);
}

// An activation or the like: its name alone where it has no options.
const named = ({ name, ...options }) => (Object.keys(options).length ? { name, ...options } : name);

// A config that `mlprun train` accepts, of the same data, network and training.
function yamlOf(training, source) {
  const { settings, table, network } = training, hidden = settings.hidden;
  const architecture = { name: "mlp", layers: hidden.map((layer) => (
    { units: layer.units, activation: named(layer.activation), ...(settings.dropout && { dropout: settings.dropout }) })) };
  const output = network.layers.at(-1).activation.name;
  if (output !== "identity") architecture.output_activation = output;
  const penalty = Object.fromEntries(["l1", "l2"].filter((name) => settings[name]).map((name) => [name, settings[name]]));
  const epochs = Math.max(1, Math.round(training.epoch) || 100);
  const sections = {
    dataset: datasetOf(training, source),
    architecture,
    loss: network.loss,
    ...(Object.keys(penalty).length && { penalty }),
    optimizer: { ...settings.optimizerOptions, name: settings.optimizer, lr: settings.lr },
    training: { epochs, batch_size: settings.batch, seed: settings.seed },
    metrics: [table.classes === null ? "r2" : "accuracy"],
  };
  const lines = Object.entries(sections).map(([key, value]) => `${key}: ${flow(value)}`);
  return ["# From mlprun's playground: `mlprun train` trains it.",
    "# To start from weights that were saved beside it, add to the architecture",
    "# `init: {name: file, path: weights.safetensors}`.", ...lines, ""].join("\n");
}

// The dataset of a config: a generator, the file that was read, a run's own, or else the rows themselves.
function datasetOf({ table, settings, rows, inputs, network }, source) {
  const isPlain = !table.isEdited && String(table.names) === String(settings.inputs);
  const { config, noiseName = "noise" } = DATASETS[source.name] ?? {};
  const counts = { train: 0, dev: 0, test: 0 };
  for (const split of Object.keys(rows)) counts[split] = rows[split].length;
  if (source.config && isPlain) return source.config;
  if (config && isPlain) {
    const noise = noiseName === "std" ? Math.max(source.noise, 0.01) : source.noise;
    return { ...config, [noiseName]: noise, split: counts };
  }
  if (source.kind === "file" && !table.isEdited && settings.inputs.every((name) => table.names.includes(name))) {
    const features = source.columns.filter((name) => settings.inputs.some((one) => one === name || one.startsWith(`${name}=`)));
    const test = Number((1 - source.share).toFixed(2)), task = table.classes === null ? "numbers" : "classes";
    return { name: "table", path: source.name, target: source.target, features, task, missing: "impute",
      split: { train: source.share, dev: 0, test } };
  }
  const short = (number) => Number(number.toPrecision(7)), width = network.inputs, K = table.targetNames.length;
  const all = Object.keys(rows).flatMap((split) => rows[split].map((row, i) => ({
    input: Array.from(inputs[split].subarray(i * width, (i + 1) * width), short),
    target: table.classes ? table.truth[row] : Array.from(table.truth.subarray(row * K, (row + 1) * K), short) })));
  return { name: "inline", inputs: all.map(({ input }) => input), targets: all.map(({ target }) => target),
    ...(table.classes && { classes: table.classes.length }), split: counts };
}

// Weights by the names of mlprun's checkpoints, as float64.
function safetensorsOf({ layers }) {
  const header = {}, arrays = [];
  let end = 0;
  layers.forEach((layer, number) => {
    const tensors = { weight: [layer.weight, [layer.units, layer.inputs]], bias: [layer.bias, [layer.units]] };
    if (!layer.hasBias) delete tensors.bias;
    for (const [name, [array, shape]] of Object.entries(tensors)) {
      const start = end;
      arrays.push(array);
      end += 8 * array.length;
      header[`model.layers.${number}.${name}`] = { dtype: "F64", shape, data_offsets: [start, end] };
    }
  });
  const text = JSON.stringify(header), padded = text.padEnd(Math.ceil(text.length / 8) * 8);
  const bytes = new Uint8Array(8 + padded.length + end), view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(padded.length), true);
  bytes.set(new TextEncoder().encode(padded), 8);
  let at = 8 + padded.length;
  for (const array of arrays) {
    for (const number of array) {
      view.setFloat64(at, number, true);
      at += 8;
    }
  }
  return bytes;
}

// The map with its rows, the network and the loss curves side by side, as one SVG.
function pictureOf({ diagram, chart, map, points, boundary, holder }) {
  const style = getComputedStyle(holder), value = (name) => style.getPropertyValue(name).trim();
  const drawn = diagram.holder.getBoundingClientRect(), side = 300, top = 24;
  const image = (canvas, x, y, size) => svg("image", { href: canvas.toDataURL(), x, y, width: size, height: size });
  const network = svg("g", { transform: `translate(0 ${top})` }, ...Array.from(diagram.lines.children, (one) => one.cloneNode()));
  for (const { canvas, x, y, size, isChosen, name } of diagram.nodes) {
    if (isChosen !== false) network.append(image(canvas, x - size / 2, y - size / 2, size));
    if (isChosen) network.append(svg("text", { x: x - size / 2 - 5, y: y + 4, "text-anchor": "end" }, name));
  }
  const line = svg("path", { d: boundary.getAttribute("d"), stroke: value("--ink"), "stroke-width": 1.6,
    "vector-effect": "non-scaling-stroke", transform: `translate(${drawn.width + 30} ${top}) scale(${side})` });
  const curves = svg("g", { transform: `translate(${drawn.width + 20} ${top + side + 20})` },
    ...Array.from(chart.picture.children, (one) => one.cloneNode(true)));
  const width = drawn.width + side + 60, height = Math.max(drawn.height + 2 * top, side + 240);
  const sheet = `.positive{stroke:${value("--class-1")}}.negative{stroke:${value("--class-0")}}
    path{fill:none}text{font:11px sans-serif;fill:${value("--soft")}}.grid{stroke:${value("--grid")}}`;
  const whole = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height }, svg("style", {}, sheet),
    svg("rect", { width, height, fill: value("--paper") }), network,
    image(map, drawn.width + 30, top, side), line, image(points, drawn.width + 30, top, side), curves);
  return new XMLSerializer().serializeToString(whole);
}
