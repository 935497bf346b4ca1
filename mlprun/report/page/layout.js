// The elements of the playground: built once by `layOut`; `showLayers` and `showChoices` follow the network and data.

const DATA = ["noise", "rows", "share"];
const TRAINING = ["lr", "optimizer", "batch", "activation", "loss", "l1", "l2", "dropout", "seed"];
const THUMBNAIL = 44;

function layOut(play) {
  play.controls = Object.fromEntries(Object.entries(CONTROLS).map(([name, spec]) => (
    [name, makeControl(name, spec, () => play.settings[name] ?? "", (value) => play.change(name, value))])));
  const only = (names) => names.map((name) => play.controls[name].element);
  const group = (name, title, ...children) => make("div", { className: `group ${name}` }, make("h3", {}, title), ...children);
  play.message = make("p", { className: "message", role: "status" });
  play.holder.replaceChildren(
    layOutBar(play, only(["speed"])),
    ...(play.json.snapshots ? [layOutTimeline(play)] : []),
    make("div", { className: "settings" }, ...only(TRAINING)),
    play.message,
    make("div", { className: "columns" },
      group("data", "Data", ...layOutData(play, only(DATA))),
      group("network", "Network", ...layOutNetwork(play)),
      group("output", "Output", ...layOutOutput(play, only(["showsTest", "isDiscrete"])))),
    layOutDownloads(play),
  );
}

function layOutBar(play, controls) {
  play.playButton = button("Train", "Start or pause the training", () => (play.isPlaying ? play.pause() : play.play()));
  play.playButton.className = "primary";
  play.epochText = make("b", {});
  play.results = make("span", { className: "results" });
  return make("div", { className: "bar" }, play.playButton,
    button("Step", "Train one batch", () => play.stepOnce()),
    button("Reset", "Start again from the first weights", () => play.reset()),
    ...controls, make("span", { className: "epoch" }, "epoch ", play.epochText), play.results);
}

function layOutTimeline(play) {
  const { epochs } = play.json.snapshots;
  play.slider = make("input", { type: "range", min: 0, max: epochs.length - 1, step: 1, id: "snapshot",
    oninput: () => play.scrub(Number(play.slider.value)) });
  play.epochLabel = make("output", { className: "value" });
  play.logged = make("span", { className: "logged" });
  play.replayButton = button("Replay", "Show the snapshots of the run one after the other", () => play.replay());
  return make("div", { className: "timeline" }, play.replayButton,
    make("label", { htmlFor: "snapshot" }, "Snapshot of the run"), play.slider, play.epochLabel, play.logged);
}

// Datasets to choose from as pictures, own files, and the settings of generators.
function layOutData(play, controls) {
  play.choices = make("div", { className: "choices", role: "radiogroup", "aria-label": "Dataset" });
  const file = make("input", { type: "file", accept: ".csv,.tsv,.txt", id: "file",
    onchange: () => file.files[0] && play.open(file.files[0]) });
  play.target = make("select", { id: "target", onchange: () => play.useFile({ ...play.source, target: play.target.value }) });
  play.targetLabel = make("label", { className: "control", htmlFor: "target", hidden: true }, make("span", {}, "Target"), play.target);
  play.holder.ondragover = (event) => event.preventDefault();
  play.holder.ondrop = (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) play.open(event.dataTransfer.files[0]);
  };
  play.again = button("New rows", "Draw or divide the rows with another seed", () => play.change("seed", play.settings.seed + 1));
  return [play.choices, make("label", { className: "file", htmlFor: "file" }, "Your CSV file, or drop one here", file),
    play.targetLabel, ...controls, play.again];
}

function layOutNetwork(play) {
  play.layers = make("div", { className: "layers" });
  const holder = make("div", { className: "diagram" });
  play.inspector = make("div", { className: "inspector" });
  play.diagram = new Diagram(holder, {
    hover: (node) => {
      play.hovered = node && (node.layer < 0 || node.layer < play.settings.hidden.length) ? node : null;
      play.paintMap();
    },
    select: (node, from) => play.inspect(node, from),
    toggle: (name) => play.toggleInput(name),
    say: (text) => play.say(text),
  });
  return [play.layers, holder, play.inspector];
}

// The map with the rows over it, what a click adds, and the loss curves.
function layOutOutput(play, controls) {
  play.map = make("canvas", { className: "map" });
  play.points = make("canvas", { className: "points" });
  play.boundary = svg("path", { "vector-effect": "non-scaling-stroke" });
  play.cross = svg("path", { "vector-effect": "non-scaling-stroke", class: "cross" });
  const stack = make("div", { className: "stack", tabIndex: 0, role: "application",
    "aria-label": "Map of the outputs. Arrow keys move a cross, Enter adds a point of the chosen class." },
  play.map, svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" }, play.boundary, play.cross), play.points);
  listenToMap(play, stack);
  play.mapTitle = make("span", {});
  play.axisLabels = make("div", { className: "axes" });
  play.adds = make("select", { id: "adds",
    onchange: () => (play.height.hidden = play.adds.value === "" || play.table.classes !== null || play.plane.isCurve) });
  play.height = make("input", { type: "number", step: "any", value: 0, hidden: true, "aria-label": "Number of an added point" });
  play.legend = make("p", { className: "legend" });
  const chart = make("div", { className: "losses" });
  play.chart = new Chart(chart);
  play.chart.picture.setAttribute("aria-label", "Loss curves");
  play.lossTitle = make("h3", {});
  return [make("p", { className: "map-title" }, play.mapTitle), stack, play.axisLabels, play.legend,
    make("div", { className: "checks" }, ...controls),
    make("label", { className: "control", htmlFor: "adds" }, make("span", {}, "A click adds"), play.adds, play.height),
    play.lossTitle, chart];
}

function listenToMap(play, stack) {
  let cross = [0.5, 0.5];
  const moveTo = ([x, y]) => {
    cross = [x, y].map((share) => Math.min(Math.max(share, 0), 1));
    play.cross.setAttribute("d", `M${cross[0]} 0V1M0 ${cross[1]}H1`);
    play.probe(cross);
  };
  const placeOf = ({ clientX, clientY }) => {
    const box = stack.getBoundingClientRect();
    return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
  };
  stack.onpointermove = (event) => play.probe(placeOf(event));
  stack.onpointerleave = () => play.say("");
  stack.onclick = (event) => play.addPoint(placeOf(event));
  stack.onblur = () => play.cross.removeAttribute("d");
  stack.onkeydown = (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }, move = moves[event.key];
    const step = event.shiftKey ? 0.1 : 0.02;
    if (move) moveTo([cross[0] + step * move[0], cross[1] + step * move[1]]);
    else if (event.key === "Enter") play.addPoint(cross);
    else return;
    event.preventDefault();
  };
}

function layOutDownloads(play) {
  const title = play.json.name ?? "playground";
  return make("div", { className: "downloads" },
    button("Config (YAML)", "A config for mlprun train", () => save(`${title}.yaml`, yamlOf(play.training, play.source), "text/yaml")),
    button("Weights (safetensors)", "The weights by the names of mlprun's checkpoints", () => save("weights.safetensors", safetensorsOf(play.training.network), "")),
    button("Picture (SVG)", "Network, map and loss curves", () => save(`${title}.svg`, pictureOf(play), "image/svg+xml")));
}

// What stands above each column of the network: units and activation of a layer, and buttons to add and remove layers.
function showLayers(play) {
  const { hidden } = play.settings, { layers } = play.training.network;
  const card = (...children) => make("div", { className: "layer" }, ...children);
  const cards = hidden.map(({ units, activation }, number) => {
    const name = `layer ${number + 1}`, choose = make("select", { "aria-label": `Activation of ${name}` },
      ...optionsOf(Object.entries(sameNames(Object.keys(ACTIVATIONS)))));
    choose.value = activation.name;
    choose.onchange = () => {
      hidden[number].activation = { name: choose.value };
      play.training.applySettings();
      play.rebuild();
    };
    const fewer = button("\u2212", `Remove a unit of ${name}`, () => play.setUnits(number, units - 1));
    const more = button("+", `Add a unit to ${name}`, () => play.setUnits(number, units + 1));
    fewer.disabled = units <= 1;
    more.disabled = units >= 64;
    const remove = button("\u00d7", `Remove ${name}`, () => play.setHidden(hidden.filter((_, i) => i !== number)));
    for (const one of [fewer, more, remove]) one.setAttribute("aria-label", one.title);
    return card(make("span", { className: "count" }, fewer, make("b", {}, String(units)), more, remove), choose);
  });
  const add = button("Add layer", "Add a hidden layer before the output", () =>
    play.setHidden([...hidden, { units: 4, activation: { name: hidden.at(-1)?.activation.name ?? "tanh" } }]));
  add.disabled = hidden.length >= MOST_LAYERS;
  play.layers.replaceChildren(card(make("span", {}, "Inputs")), ...cards,
    card(make("span", {}, layers.at(-1).units > 1 ? "Outputs" : "Output"), add));
}

// Controls that follow the data: datasets, target, losses, axes, classes to add, the legend.
function showChoices(play) {
  const { settings, source, table, controls, training } = play;
  for (const [name, control] of Object.entries(controls)) if (name in settings) control.write(settings[name]);
  controls.loss.offer(Object.fromEntries(lossesOf(table).map((loss) => [loss, LOSS_NAMES[loss]])));
  controls.loss.write(training.network.loss);
  const common = new Set(settings.hidden.map(({ activation }) => activation.name));
  controls.activation.write(common.size === 1 ? [...common][0] : "");
  for (const name of DATA) controls[name].element.hidden = source.kind === "run" || (source.kind === "file" && name !== "share");
  showDatasets(play);
  play.again.hidden = source.kind === "run";
  play.targetLabel.hidden = source.kind !== "file";
  if (source.kind === "file") {
    play.target.replaceChildren(...optionsOf(source.columns.map((name) => [name, name])));
    play.target.value = source.target;
  }
  const rows = table.classes?.map((name) => `a row of ${name}`) ?? ["a row"];
  play.adds.replaceChildren(...optionsOf([["", "nothing"], ...Object.entries(rows)]));
  play.height.hidden = true;
  play.legend.replaceChildren(...(table.classes ?? []).flatMap((name, id) => {
    const mark = make("span", { className: "mark" });
    mark.style.background = `var(--class-${id % 10})`;
    return [make("span", {}, mark, name), " "];
  }), training.splits.length > 1 ? `Rings: ${training.splits.slice(1).join(" and ")} rows.` : "");
  play.lossTitle.textContent = LOSS_NAMES[training.network.loss].replace(/^./, (letter) => letter.toUpperCase());
  showAxes(play);
}

function showDatasets(play) {
  const { source, settings } = play, kinds = [];
  if (play.json.table) kinds.push(["run", `Rows of ${play.json.name}`]);
  for (const [name, { title }] of Object.entries(DATASETS)) kinds.push([name, title]);
  if (source.kind === "file") kinds.push(["file", source.name]);
  const current = source.kind === "generator" ? settings.dataset : source.kind;
  if (play.choices.children.length === kinds.length && play.kinds?.at(-1)[1] === kinds.at(-1)[1]) {
    play.choices.querySelectorAll("input").forEach((input) => (input.checked = input.value === current));
    return;
  }
  play.kinds = kinds;
  play.choices.replaceChildren(...kinds.map(([name, title]) => {
    const input = make("input", { type: "radio", name: "dataset", value: name, checked: name === current,
      onchange: () => choose(play, name) });
    return make("label", { className: name in DATASETS ? "choice" : "choice text", title }, input,
      name in DATASETS ? thumbnail(play, name) : "", make("span", {}, title));
  }));
}

function choose(play, name) {
  if (name === "run") play.source = { kind: "run", config: play.json.config };
  else if (name in DATASETS) {
    play.source = { kind: "generator" };
    play.settings.dataset = name;
    play.settings.noise = DATASETS[name].noise;
  }
  play.axes = null;
  play.renew();
}

// A dataset in small.
function thumbnail(play, name) {
  const canvas = make("canvas", { width: 2 * THUMBNAIL, height: 2 * THUMBNAIL, "aria-hidden": "true" });
  const table = generate(name, { rows: 150, noise: 0.4 * DATASETS[name].noise, share: 1, seed: 3 });
  const axes = new Axes(table, [0, 1]), context = canvas.getContext("2d");
  const colors = new Colors(play.holder), scale = outputScale(table, "");
  for (let row = 0; row < table.rows; row++) {
    const [x, y] = axes.place(row), id = table.truth[row];
    context.fillStyle = table.classes ? colors.ofClass(id) : cssColor(colors.shade(scale(id), colors.tones));
    context.fillRect(2 * THUMBNAIL * x - 2, 2 * THUMBNAIL * y - 2, 4, 4);
  }
  return canvas;
}

// The columns on the axes; a choice of two where there are more.
function showAxes(play) {
  const { table, axes, axisLabels, plane } = play;
  const ends = (i) => plane.ranges[i].map((end) => numberText(table.inUnits(axes[i], end), 2 + 2 * (plane.ranges[i][0] > 0))).join(" to ");
  const parts = axes.map((axis, i) => {
    const title = i ? "up" : "across", text = ` ${ends(i)}`;
    if (table.columns < 3) return make("span", {}, `${table.names[axis]} ${title}${text}`);
    const select = make("select", { "aria-label": `Column ${title}` }, ...optionsOf(Object.entries(table.names)));
    select.value = axis;
    select.onchange = () => {
      axes[i] = Number(select.value);
      if (axes[0] === axes[1]) axes[1 - i] = (axes[i] + 1) % table.columns;
      play.rebuild();
    };
    return make("label", {}, `${title} `, select, text);
  });
  const rest = table.columns - axes.length;
  axisLabels.replaceChildren(...parts, rest > 0 ? make("span", {}, "Other columns are at their mean.") : "");
}
