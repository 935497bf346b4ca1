// The playground: what the controls do, what is drawn when, and the scrubber through the snapshots of a run.

const DEFAULTS = {
  dataset: "moons", rows: 400, noise: 0.2, share: 0.7, seed: 0, inputs: ["x₁", "x₂"],
  hidden: [{ units: 6, activation: { name: "tanh" } }, { units: 4, activation: { name: "tanh" } }],
  loss: "bce", optimizer: "adam", lr: 0.01, batch: 32, l1: 0, l2: 0, dropout: 0, speed: "full",
  isDiscrete: false, showsTest: true, optimizerOptions: {},
};
const IN_ADDRESS = Object.keys(DEFAULTS).filter((name) => name !== "optimizerOptions");
const MOST_LAYERS = 6;
const isReduced = matchMedia("(prefers-reduced-motion: reduce)");

class Playground {
  constructor(holder, json) {
    this.holder = holder;
    this.json = json;
    this.settings = structuredClone({ ...DEFAULTS, ...json.settings, ...(json.table ? {} : readAddress()) });
    this.source = json.table ? { kind: "run", config: json.config } : { kind: "generator" };
    this.fit();
    layOut(this);
    this.start(json.network ? readNetwork(json.network) : null);
    if (json.snapshots) this.scrub(json.snapshots.epochs.length - 1);
    onTheme(() => this.repaint());
    new ResizeObserver(() => {
      this.diagram.place();
      this.repaint();
    }).observe(this.diagram.holder);
  }

  // --- data and network

  makeTable() {
    const { settings, source } = this, { rows, noise, share, seed } = settings;
    if (source.kind === "run") return readTable(this.json.table);
    if (source.kind === "file") return tableOf(source.records, { target: source.target, share, seed });
    Object.assign(source, { name: settings.dataset, noise, share });
    return generate(settings.dataset, { rows, noise, share, seed });
  }

  // The table of the settings, and of these what fits it: inputs that it has, a loss for its targets.
  fit() {
    const { settings } = this;
    this.table = this.makeTable();
    const known = this.table.features.map(({ name }) => name), inputs = settings.inputs.filter((name) => known.includes(name));
    settings.inputs = inputs.length ? inputs : this.table.names.slice();
    const losses = lossesOf(this.table);
    if (!losses.includes(settings.loss) && this.source.kind !== "run") [settings.loss] = losses;
  }

  // New data. The network stays, if asked for, where its inputs and outputs are still the same.
  renew({ keepsNetwork = false } = {}) {
    const { settings, training } = this, shape = () => `${settings.inputs} ${settings.loss} ${outputsOf(this.table, settings.loss)}`;
    const former = shape();
    this.fit();
    if (keepsNetwork && shape() === former) {
      training.useTable(this.table);
      training.record();
      this.rebuild();
    } else this.start();
    if (this.table.note) this.say(this.table.note);
  }

  start(network = null) {
    this.pause();
    this.endReplay();
    this.training = new Training(this.settings, this.table, network);
    this.holdsRun = network !== null;
    this.continued = null;
    this.rebuild();
  }

  // Draw everything anew: other units, other axes, other rows.
  rebuild() {
    const { table, settings } = this, { columns } = table;
    if (!this.axes || this.axes.some((axis) => axis >= columns) || this.axes.length !== Math.min(columns, 2)) {
      const relevances = table.relevances(), order = table.names.map((_, i) => i).sort((a, b) => relevances[b] - relevances[a]);
      this.axes = (columns > 2 ? order : [0, 1]).slice(0, Math.min(columns, 2)).sort((a, b) => a - b);
    }
    this.plane = new Plane(table, this.axes, settings.inputs);
    this.plane.compute(this.training.network);
    this.inspected = this.hovered = null;
    this.inspector.replaceChildren();
    this.diagram.build(this.training);
    showLayers(this);
    showChoices(this);
    this.repaint();
    writeAddress(this.settings, this.source);
  }

  repaint() {
    this.colors = new Colors(this.holder);
    this.chart.resize();
    this.refresh();
    this.drawPoints();
  }

  drawPoints() {
    const splits = this.settings.showsTest ? this.training.splits : ["train"];
    drawRows(this.points, this.plane, this.colors, splits);
  }

  // Draw what a step changes.
  refresh() {
    const { training, plane, colors } = this;
    plane.compute(training.network);
    this.diagram.refresh(plane, colors);
    this.paintMap();
    this.chart.draw(this.series(), this.continued);
    this.showResults();
    this.inspected?.update();
  }

  // The map: the outputs, or the unit that is pointed at.
  paintMap() {
    const { plane, colors, hovered, training: { network }, settings } = this;
    if (hovered) paintUnit(this.map, colors, this.diagram.valuesOf(hovered, plane), GRID);
    else paint(this.map, GRID, outputColor(plane, network, colors, settings.isDiscrete));
    this.mapTitle.textContent = hovered ? hovered.name : "";
    const hasBoundary = this.table.classes !== null && network.outputs === 1 && !hovered;
    const lines = hasBoundary ? contour(plane.space.z.at(-1), threshold(network)) : [];
    const path = lines.map(([a, b, c, d]) => `M${a} ${b}L${c} ${d}`).join("");
    this.boundary.setAttribute("d", plane.isCurve && !hovered ? plane.curve(network.outputs) : path);
  }

  series() {
    const { training, json, colors: { splits } } = this, { curves } = training;
    const former = json.history && this.source.kind === "run" && this.continued !== null ? json.history.losses : {};
    const ended = curves.length < 2 && Object.keys(former).length > 0;
    return [
      ...Object.entries(former).map(([name, losses]) => ({ name, color: splits[name], isFaint: !ended,
        points: losses.map((loss, i) => [json.history.epochs[i], loss]).filter(([, loss]) => loss !== null) })),
      ...(ended ? [] : training.splits.map((name) => ({ name, color: splits[name], points: curves.map((one) => [one.epoch, one[name]]) }))),
    ];
  }

  // --- training

  play() {
    this.endReplay();
    Object.assign(this, { isPlaying: true, lastFrame: null, budget: BUDGET });
    this.playButton.textContent = "Pause";
    requestAnimationFrame((now) => this.frame(now));
  }

  pause() {
    this.isPlaying = false;
    if (this.playButton) this.playButton.textContent = "Train";
  }

  frame(now) {
    if (!this.isPlaying) return;
    const { speed } = this.settings, pauseBetween = speed === "slow" ? 500 : 0;
    // fewer steps after a frame that came late, a little more after one in time: 60 frames per second where one step fits
    this.budget = now - (this.lastFrame ?? now) > 20 ? Math.max(2, 0.8 * this.budget) : Math.min(BUDGET, this.budget + 0.05);
    this.lastFrame = now;
    if (now - (this.lastStep ?? 0) >= pauseBetween) {
      // a drawing of 4 ms fits into every frame, a longer one into every second or third; steps get the rest
      const { cost = 0 } = this, draws = now - (this.lastDrawn ?? 0) >= (isReduced.matches ? 500 : 4 * cost);
      this.training.advance(speed, draws ? Math.max(2, this.budget - cost) : this.budget);
      this.lastStep = now;
      if (draws) {
        const start = performance.now();
        this.refresh();
        this.cost = performance.now() - start;
        this.lastDrawn = now;
      }
    }
    if (!Number.isFinite(this.training.results.train.loss)) {
      this.pause();
      this.refresh();
      this.say("The loss is no longer a number. Reset, and try a smaller learning rate.");
      return;
    }
    requestAnimationFrame((next) => this.frame(next));
  }

  stepOnce() {
    this.pause();
    this.training.advance("frame", 0);
    this.refresh();
  }

  reset() {
    this.say("");
    if (this.json.snapshots && this.source.kind === "run") this.scrub(0);
    else this.start();
  }

  showResults() {
    const { training } = this, score = this.table.classes === null ? "R²" : "accuracy";
    const { epoch } = training, digits = epoch < 100 && !Number.isInteger(epoch) ? 1 : 0;
    this.epochText.textContent = epoch.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    const cells = training.splits.map((split) => {
      const { loss, score: value } = training.results[split];
      const text = score === "R²" ? numberText(value) : `${(100 * value).toFixed(1)}%`;
      return make("span", {}, make("b", { className: split }, split), ` loss ${numberText(loss)}, ${score} ${text}`);
    });
    this.results.replaceChildren(...cells);
  }

  // --- the snapshots of a run

  scrub(index) {
    const { json: { snapshots, history } } = this;
    if (!this.holdsRun) this.restore();
    const { training } = this;
    this.pause();
    this.slider.value = index;
    training.network.load({ type: snapshots.type, values: snapshots.values[index] });
    training.use(training.network);
    training.firstEpoch = this.continued = snapshots.epochs[index];
    training.curves = [];
    training.record();
    this.epochLabel.textContent = `epoch ${snapshots.epochs[index].toLocaleString("en")}`;
    this.slider.setAttribute("aria-valuetext", `epoch ${snapshots.epochs[index]}`);
    const at = history ? history.epochs.indexOf(snapshots.epochs[index]) : -1;
    const logged = at < 0 ? [] : Object.entries(history.metrics).filter(([, values]) => values[at] !== null);
    const text = (value) => (value === 1 ? "1.000" : numberText(value));
    this.logged.textContent = logged.map(([name, values]) => `${name.replace("_", " ")} ${text(values[at])}`).join(" · ");
    this.refresh();
  }

  // The run's rows and network again, after other ones.
  restore() {
    const { inputs, hidden, loss } = structuredClone(this.json.settings);
    Object.assign(this.settings, { inputs, hidden, loss });
    this.source = { kind: "run", config: this.json.config };
    this.fit();
    this.start(readNetwork(this.json.network));
  }

  // Show one snapshot after the other, or stop that.
  replay() {
    if (this.timer) return this.endReplay();
    const last = this.json.snapshots.epochs.length - 1, shown = Number(this.slider.value);
    this.scrub(shown < last ? shown : 0);
    this.replayButton.textContent = "Stop";
    this.timer = setInterval(() => {
      this.scrub(Number(this.slider.value) + 1);
      if (Number(this.slider.value) >= last) this.endReplay();
    }, 250);
  }

  endReplay() {
    clearInterval(this.timer);
    this.timer = null;
    if (this.replayButton) this.replayButton.textContent = "Replay";
  }

  // --- own data

  async open(file) {
    try {
      if (file.size > 20e6) throw new Error("The file is larger than 20 MB.");
      if (!(await file.text()).trim()) throw new Error("The file is empty.");
      const records = parseCsv(await file.text()), columns = records[0];
      // the last column with several numbers or few texts
      const [, ...rows] = records, isTarget = (cells) => new Set(cells).size > 1 && (cells.every(isNumber) || new Set(cells).size <= 20);
      const target = columns.findLast((_, i) => isTarget(rows.map((row) => row[i] ?? "").filter((cell) => !isMissing(cell))));
      this.useFile({ kind: "file", name: file.name, records, columns, target: target ?? columns.at(-1) });
    } catch (error) {
      this.say(`${file.name}: ${error.message}`);
    }
  }

  useFile(source) {
    const former = this.source;
    try {
      this.source = { ...source, share: this.settings.share };
      this.settings.inputs = [];
      this.renew();
    } catch (error) {
      this.source = former;
      this.settings.inputs = this.table.names.slice();
      this.say(`${source.name}: ${error.message}`);
      showChoices(this);
    }
  }

  addPoint(place) {
    const added = this.adds.value;
    if (added === "") return;
    const { plane, table: { classes, targetUnits: { means, scales } } } = this;
    const target = plane.isCurve ? plane.number(1, 1 - place[1]) : (Number(this.height.value) - means[0]) / scales[0];
    this.table.add(this.axes, plane.position(place), classes ? Number(added) : target);
    this.training.useTable(this.table);
    this.training.record();
    this.drawPoints();
    this.refresh();
  }

  // What the network says at a place of the map.
  probe(place) {
    const { table, training: { network, settings }, plane, axes } = this, values = plane.means.slice();
    plane.position(place).forEach((value, i) => (values[axes[i]] = value));
    const output = network.predict(table.inputs(settings.inputs, values), new Workspace(network.layers, 1));
    const where = axes.map((axis) => `${table.names[axis]} ${numberText(table.inUnits(axis, values[axis]))}`).join(", ");
    this.say(`${where}: ${this.verdict(output)}`);
  }

  verdict(output) {
    const { classes, targetNames, targetUnits: { means, scales } } = this.table;
    if (classes === null) return targetNames.map((name, k) => `${name} ${numberText(output[k] * scales[k] + means[k])}`).join(", ");
    if (this.training.network.loss === "hinge") return `${classes[Number(output[0] > 0)]} (${numberText(output[0])})`;
    const p = output.length > 1 ? output : [1 - output[0], output[0]], best = largest(p, 0, p.length);
    return `${classes[best]} ${(100 * p[best]).toFixed(1)}%`;
  }

  say(text) {
    this.message.textContent = text;
  }

  // --- changes by controls

  change(name, value) {
    const { settings, training } = this, { redo } = CONTROLS[name];
    settings[name] = value;
    if (name === "activation") settings.hidden.forEach((layer) => value && (layer.activation = { name: value }));
    if (name === "optimizer") settings.optimizerOptions = {};
    if (redo === "data" && this.source.kind !== "run") this.renew({ keepsNetwork: name !== "seed" });
    else if (redo === "network" || redo === "data") this.start();
    else if (redo === "training") {
      training.applySettings();
      if (name === "activation" && value) this.rebuild();
    } else this.repaint();
    writeAddress(settings, this.source);
  }

  setHidden(hidden) {
    this.settings.hidden = hidden;
    this.start();
  }

  setUnits(number, units) {
    this.settings.hidden[number].units = units;
    this.training.resize();
    this.holdsRun = false;
    this.rebuild();
  }

  toggleInput(name) {
    const { settings } = this, isChosen = settings.inputs.includes(name);
    if (isChosen && settings.inputs.length === 1) return this.say("A network needs at least one input.");
    settings.inputs = isChosen ? settings.inputs.filter((one) => one !== name) : [...settings.inputs, name];
    return this.start();
  }

  // The bias and the weights of a unit as numbers to edit.
  inspect(node, from) {
    const layer = this.training.network.layers[node.layer], fields = [];
    const field = (label, array, index) => {
      const input = make("input", { type: "number", step: "any", value: array[index].toPrecision(5), oninput: () => {
        if (input.value === "" || !Number.isFinite(Number(input.value))) return;
        array[index] = Number(input.value);
        this.training.record();
        this.refresh();
      } });
      fields.push({ input, array, index });
      return make("label", {}, make("span", {}, label), input);
    };
    const sources = this.diagram.columns[node.layer].filter((one) => one.index >= 0);
    const labels = sources.map((one) => field(one.name, layer.weight, node.index * layer.inputs + one.index));
    if (layer.hasBias) labels.push(field("bias", layer.bias, node.index));
    const close = button("Close", "Close the weights", () => {
      this.inspected = null;
      this.inspector.replaceChildren();
      node.button.focus();
    });
    this.inspector.replaceChildren(make("h4", {}, `Weights of ${node.name}`), make("div", { className: "weights" }, ...labels), close);
    this.inspected = { update: () => fields.forEach(({ input, array, index }) => {
      if (document.activeElement !== input) input.value = array[index].toPrecision(5);
    }) };
    if (from) labels[sources.indexOf(from)].querySelector("input").select();
  }
}

// The settings in the page's address, so that it can be shared; only what differs from the defaults.
function writeAddress(settings, source) {
  if (source.kind !== "generator" || pageData("playground")?.table) return;
  const changed = IN_ADDRESS.filter((name) => JSON.stringify(settings[name]) !== JSON.stringify(DEFAULTS[name]));
  const text = changed.map((name) => `${name}=${encodeURIComponent(JSON.stringify(settings[name]))}`).join("&");
  if (location.hash.slice(1) !== text) location.replace(`#${text || "play"}`);
}

// The settings of an address; what no control could have set is left out.
function readAddress() {
  const found = {}, isKnown = {
    dataset: (name) => name in DATASETS, inputs: Array.isArray,
    hidden: (layers) => layers.length <= MOST_LAYERS &&
      layers.every(({ units, activation: { name } }) => Number.isInteger(units) && units > 0 && units <= 64 && name in ACTIVATIONS),
  };
  for (const part of location.hash.slice(1).split("&")) {
    const [name, text] = part.split("=");
    try {
      const value = JSON.parse(decodeURIComponent(text)), { kind, options, min = 0, max = Infinity, step = 0 } = CONTROLS[name] ?? {};
      const isAllowed = isKnown[name] ?? { select: (one) => one in options, check: (one) => typeof one === "boolean" }[kind] ??
        ((one) => typeof one === "number" && one >= min && one <= max && (step < 1 || Number.isInteger(one)));
      if (IN_ADDRESS.includes(name) && isAllowed(value)) found[name] = value;
    } catch {
      // an address that was changed by hand
    }
  }
  return found;
}

for (const holder of document.querySelectorAll(".playground")) {
  globalThis.playground = new Playground(holder, pageData("playground") ?? {});
}
