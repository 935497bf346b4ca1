// The drawing of the network, with a map in each unit and weights as lines, and the chart of losses.

const MOST_UNITS = 16;
const NEAR = 7;

function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function numberText(value, digits = 3) {
  if (!Number.isFinite(value)) return "not a number";
  const text = Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(digits - 1).replace(/\.?0*e\+?/, "e") : String(Number(value.toPrecision(digits)));
  return text.replace("-", "\u2212");
}

// A node of the drawing: an input (`layer` -1) or a unit. `index` counts within its layer, chosen inputs alone.
class Diagram {
  // `listen`: functions `hover(node or null)`, `select(node, input)`, `toggle(feature name)`, `say(text)`.
  constructor(holder, listen) {
    this.listen = listen;
    this.lines = svg("svg", { class: "lines", "aria-hidden": "true" });
    this.holder = holder;
    holder.onpointermove = (event) => this.follow(event);
    holder.onpointerleave = () => this.mark(null);
    holder.onclick = () => this.marked && listen.select(this.marked.to, this.marked.from);
  }

  // Make the nodes and lines of a network; `chosen` names its inputs.
  build({ network, table, settings: { inputs: chosen } }) {
    this.network = network;
    const features = table.features, { layers } = network;
    let index = 0;
    const inputs = features.map(({ name }, feature) => {
      const isChosen = chosen.includes(name);
      return { layer: -1, feature, name, isChosen, index: isChosen ? index++ : -1 };
    });
    const units = layers.map((layer, number) => Array.from({ length: Math.min(layer.units, MOST_UNITS) }, (_, i) => (
      { layer: number, index: i, name: this.nameOf(number, i, table) })));
    this.columns = [mostRelevant(inputs, table), ...units];
    this.counts = [inputs.length, ...layers.map((layer) => layer.units)];
    this.nodes = this.columns.flat();
    this.notes = this.columns.map((column, i) => {
      const rest = this.counts[i] - column.length;
      return make("span", { className: "rest" }, rest ? `and ${rest} more` : "");
    });
    this.holder.replaceChildren(this.lines, ...this.nodes.map((node) => this.button(node)), ...this.notes);
    this.edges = [];
    layers.forEach((layer, number) => {
      const before = this.columns[number].filter((node) => node.layer >= 0 || node.isChosen);
      for (const from of before) for (const to of this.columns[number + 1]) this.edges.push({ from, to, layer });
    });
    this.lines.replaceChildren(...this.edges.map((edge) => (edge.path = svg("path", {}))));
    this.place();
  }

  nameOf(layer, index, { classes, targetNames }) {
    const { layers } = this.network, isLast = layer === layers.length - 1;
    if (!isLast) return `layer ${layer + 1}, unit ${index + 1}`;
    const names = classes === null ? targetNames : layers[layer].units > 1 ? classes : classes.slice(1);
    return `output ${names[index]}`;
  }

  button(node) {
    const canvas = make("canvas", {}), isInput = node.layer < 0;
    node.button = make("button", { type: "button", className: isInput ? "unit input" : "unit" }, canvas);
    node.canvas = canvas;
    if (isInput) {
      node.button.setAttribute("aria-pressed", String(node.isChosen));
      node.button.setAttribute("aria-label", `Input ${node.name}`);
      node.button.append(make("span", {}, node.name));
    } else {
      node.button.setAttribute("aria-label", `${node.name[0].toUpperCase()}${node.name.slice(1)}: show its weights`);
    }
    node.button.onclick = (event) => {
      event.stopPropagation();
      if (isInput) this.listen.toggle(node.name);
      else this.listen.select(node, null);
    };
    node.button.onpointerenter = node.button.onfocus = () => this.listen.hover(node);
    node.button.onpointerleave = node.button.onblur = () => this.listen.hover(null);
    return node.button;
  }

  // Lay the nodes out in the width that there is.
  place() {
    const width = this.holder.clientWidth, most = Math.max(...this.columns.map((column) => column.length));
    const row = width < 480 ? 36 : Math.min(Math.max(440 / most, 36), 58), gap = row / 5, size = row - gap;
    const height = most * (size + gap) + 24;
    this.holder.style.height = `${height}px`;
    this.lines.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.columns.forEach((column, number) => {
      const x = ((number + 0.5) / this.columns.length) * width;
      const top = (height - 24 - column.length * (size + gap)) / 2;
      column.forEach((node, i) => {
        [node.x, node.y] = [x, top + (i + 0.5) * (size + gap)];
        node.size = size;
        Object.assign(node.button.style, {
          left: `${x - size / 2}px`, top: `${node.y - size / 2}px`, width: `${size}px`, height: `${size}px` });
      });
      Object.assign(this.notes[number].style, { left: `${x}px`, top: `${top + column.length * (size + gap)}px` });
    });
    for (const { from, to, path } of this.edges) {
      const x0 = from.x + size / 2, x1 = to.x - size / 2, middle = (x0 + x1) / 2;
      path.setAttribute("d", `M${x0} ${from.y}C${middle} ${from.y} ${middle} ${to.y} ${x1} ${to.y}`);
    }
  }

  weightIndex({ from, to, layer }) {
    return to.index * layer.inputs + from.index;
  }

  // Paint the units' maps, and the lines by their weights.
  refresh(plane, colors) {
    for (const node of this.nodes) {
      const isDead = paintUnit(node.canvas, colors, this.valuesOf(node, plane)) <= NOTHING;
      node.button.classList.toggle("dead", isDead);
      node.button.title = isDead ? "0 all over the map" : "";
    }
    const most = Math.max(NOTHING, ...this.edges.map((edge) => Math.abs(edge.layer.weight[this.weightIndex(edge)])));
    for (const edge of this.edges) {
      const weight = edge.layer.weight[this.weightIndex(edge)], share = Math.abs(weight) / most;
      // most lines look the same as in the last frame, and elements are slow to change
      const look = Math.round(50 * share) * Math.sign(weight);
      if (look === edge.look) continue;
      edge.look = look;
      edge.path.setAttribute("stroke-width", (0.4 + 4.6 * share).toFixed(2));
      edge.path.setAttribute("stroke-opacity", (0.15 + 0.75 * share).toFixed(2));
      edge.path.setAttribute("class", weight < 0 ? "negative" : "positive");
    }
  }

  // What a node computes over the plane.
  valuesOf(node, plane) {
    if (node.layer < 0) return { values: plane.features, unit: node.feature, units: this.counts[0], isInput: true };
    const layer = this.network.layers[node.layer], isLast = layer === this.network.layers.at(-1);
    const link = isLast ? LOSSES[this.network.loss].link : null;
    const isProbability = Boolean(link) || layer.activation.name === "logistic";
    const values = link ? plane.outputs : plane.space.y[node.layer];
    return { values, unit: node.index, units: layer.units, isProbability };
  }

  // Mark the line nearest to the pointer.
  follow(event) {
    const box = this.holder.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    let best = null, nearest = event.target === this.holder || this.lines.contains(event.target) ? NEAR : 0;
    for (const edge of this.edges) {
      const share = (x - edge.from.x - edge.from.size / 2) / (edge.to.x - edge.from.x - edge.from.size);
      if (share < 0 || share > 1) continue;
      const height = edge.from.y + (edge.to.y - edge.from.y) * share * share * (3 - 2 * share);
      if (Math.abs(height - y) < nearest) [best, nearest] = [edge, Math.abs(height - y)];
    }
    this.mark(best);
  }

  mark(edge) {
    if (edge === this.marked) return;
    this.marked?.path.removeAttribute("data-marked");
    edge?.path.setAttribute("data-marked", "");
    this.marked = edge;
    this.holder.style.cursor = edge ? "pointer" : "";
    const value = edge && edge.layer.weight[this.weightIndex(edge)];
    this.listen.say(edge ? `Weight from ${edge.from.name} to ${edge.to.name}: ${numberText(value)}. Click to edit.` : "");
  }
}

// At most as many inputs as there is room for, in their order.
function mostRelevant(inputs, table) {
  if (inputs.length <= MOST_UNITS) return inputs;
  const relevances = table.relevances(), least = relevances.toSorted((a, b) => b - a)[MOST_UNITS - 1];
  return inputs.filter(({ feature }) => relevances[feature] >= least).slice(0, MOST_UNITS);
}

// Loss curves on a linear axis, or a logarithmic one where they span more than a decade.
class Chart {
  constructor(holder) {
    this.picture = svg("svg", { class: "chart", role: "img" });
    holder.append(this.picture);
  }

  // Read the size once: reading it in every frame would lay out the page each time.
  resize() {
    this.width = this.picture.clientWidth || 300;
    this.height = this.picture.clientHeight || 150;
  }

  // `series`: name, color, isFaint, and points [epoch, loss]; `cursor`: an epoch to mark.
  draw(series, cursor = null) {
    const { width, height } = this;
    const [left, right, top, bottom] = [44, width - 62, 8, height - 22];
    const points = series.flatMap((one) => one.points).filter(([, loss]) => Number.isFinite(loss));
    const losses = points.map(([, loss]) => loss), epochs = points.map(([epoch]) => epoch);
    const most = Math.max(...losses, 1e-9), least = Math.max(Math.min(...losses, most), 1e-12);
    const isLog = most / least > 10, first = Math.min(...epochs, 0), last = Math.max(...epochs, first + 1);
    const ticks = isLog ? logTicks(least, most) : evenTicks(most);
    const [low, high] = isLog ? [Math.log10(least), Math.log10(most)] : [0, most * 1.05];
    const x = (epoch) => left + ((epoch - first) / (last - first)) * (right - left);
    const y = (loss) => bottom - (((isLog ? Math.log10(Math.max(loss, 1e-12)) : loss) - low) / (high - low)) * (bottom - top);
    const parts = [];
    for (const tick of ticks) {
      parts.push(svg("line", { x1: left, x2: right, y1: y(tick), y2: y(tick), class: "grid" }),
        svg("text", { x: left - 5, y: y(tick) + 4, "text-anchor": "end" }, numberText(tick, 2)));
    }
    const isWhole = last - first >= 4;
    for (const [epoch, anchor] of [[first, "start"], [last, "end"]]) {
      const text = isWhole ? Math.round(epoch).toLocaleString("en") : numberText(epoch, 2);
      parts.push(svg("text", { x: x(epoch), y: height - 6, "text-anchor": anchor }, text));
    }
    parts.push(svg("text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, "epoch"));
    if (cursor !== null) parts.push(svg("line", { x1: x(cursor), x2: x(cursor), y1: top, y2: bottom, class: "cursor" }));
    for (const { color, points: some, isFaint } of series) {
      const d = some.filter(([, loss]) => Number.isFinite(loss))
        .map(([epoch, loss], i) => `${i ? "L" : "M"}${x(epoch).toFixed(1)} ${y(loss).toFixed(1)}`).join("");
      parts.push(svg("path", { d, fill: "none", stroke: color, "stroke-width": 1.8, "stroke-opacity": isFaint ? 0.4 : 1 }));
    }
    parts.push(...this.labels(series, y, right, bottom));
    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.picture.replaceChildren(...parts);
  }

  // Names at the ends of the curves, moved apart where they would overlap.
  labels(series, y, right, bottom) {
    const named = series.filter(({ isFaint, points }) => !isFaint && points.length)
      .map(({ name, points }) => ({ name, at: y(points.at(-1)[1]) }))
      .filter(({ at }) => Number.isFinite(at)).sort((a, b) => a.at - b.at);
    named.forEach((one, i) => (one.at = i ? Math.max(one.at, named[i - 1].at + 13) : one.at));
    const excess = named.length ? Math.max(0, named.at(-1).at - bottom) : 0;
    return named.map(({ name, at }) =>
      svg("text", { x: right + 5, y: at + 4 - excess, class: `label ${name}` }, name));
  }
}

// 0 and round numbers up to the largest.
function evenTicks(most) {
  const power = 10 ** Math.floor(Math.log10(most)), step = power * ([0.2, 0.5, 1, 2].find((one) => one * power * 4 >= most) ?? 5);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}

// Powers of ten, with 2 and 5 times these where there are few, and not all of them where there are many.
function logTicks(least, most) {
  const first = Math.floor(Math.log10(least)), count = Math.ceil(Math.log10(most)) - first + 1, jump = Math.ceil(count / 6);
  const powers = Array.from({ length: count }, (_, i) => 10 ** (first + i)).filter((_, i) => i % jump === 0);
  return powers.flatMap((power) => (count < 4 ? [power, 2 * power, 5 * power] : [power]))
    .filter((tick) => tick >= least && tick <= most);
}
