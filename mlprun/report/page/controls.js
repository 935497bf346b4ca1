// The controls of settings: what each is called, what it may be, and what a change of it asks for.

const percent = (share) => `${Math.round(100 * share)}%`;
const sameNames = (names) => Object.fromEntries(names.map((name) => [name, name]));

// Controls by setting. `kind`: number (with suggestions), range, select or check; `redo`: what a change asks for,
// `data` and `network` being new ones, `training` the next step, and `view` a new picture.
const CONTROLS = {
  noise: { label: "Noise", kind: "range", min: 0, max: 1, step: 0.01, redo: "data" },
  rows: { label: "Rows", kind: "range", min: 20, max: 2000, step: 20, redo: "data" },
  share: { label: "For training", kind: "range", min: 0.1, max: 0.9, step: 0.05, text: percent, redo: "data" },
  seed: { label: "Seed", kind: "number", min: 0, max: 4294967295, step: 1, redo: "data" },
  batch: { label: "Batch size", kind: "select", options: sameNames([1, 4, 8, 16, 32, 64, 128, 256, "full"]), redo: "training" },
  lr: { label: "Learning rate", kind: "number", suggested: [0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3], redo: "training" },
  optimizer: { label: "Optimizer", kind: "select", options: { sgd: "SGD", adam: "Adam", adamw: "AdamW" }, redo: "training" },
  loss: { label: "Loss", kind: "select", options: LOSS_NAMES, redo: "network" },
  activation: { label: "Activation", kind: "select", options: { "": "per layer", ...sameNames(Object.keys(ACTIVATIONS)) }, redo: "training" },
  l1: { label: "L1 penalty", kind: "number", suggested: [0, 0.0001, 0.001, 0.01, 0.1], redo: "training" },
  l2: { label: "L2 penalty", kind: "number", suggested: [0, 0.0001, 0.001, 0.01, 0.1], redo: "training" },
  dropout: { label: "Dropout", kind: "range", min: 0, max: 0.8, step: 0.05, redo: "training" },
  speed: { label: "Speed", kind: "select", options: SPEEDS, redo: "view" },
  isDiscrete: { label: "Hard colours", kind: "check", redo: "view" },
  showsTest: { label: "Test rows", kind: "check", redo: "view" },
};

const button = (text, title, onclick) => make("button", { type: "button", title, onclick }, text);
const optionsOf = (entries) => entries.map(([value, title]) => make("option", { value }, title));

// A control in a label. `write` shows a value, `offer` other choices; `current` gives the setting's value and
// `change` takes a new one.
function makeControl(name, spec, current, change) {
  const { label, kind, min = 0, max, step = "any", options, suggested, text = numberText } = spec, id = `control-${name}`;
  const shown = make("output", { className: "value", hidden: kind !== "range" });
  const input = make(kind === "select" ? "select" : "input", { id, name });
  if (kind !== "select") Object.assign(input, { type: kind === "check" ? "checkbox" : kind, min, max: max ?? "", step });
  const parts = [make("span", {}, label), input, shown];
  const control = { spec, input, element: make("label", { className: `control ${kind}`, htmlFor: id }, ...parts) };
  control.offer = (choices) => input.replaceChildren(...optionsOf(Object.entries(choices)));
  control.write = (value) => {
    if (kind === "check") input.checked = value;
    else input.value = value;
    if (kind === "select" && input.value !== String(value)) {
      input.append(...optionsOf([[value, String(value)]]));
      input.value = value;
    }
    shown.textContent = kind === "range" ? text(value) : "";
  };
  if (options) control.offer(options);
  if (suggested) {
    control.element.append(make("datalist", { id: `${id}-list` }, ...optionsOf(suggested.map((value) => [value, ""]))));
    input.setAttribute("list", `${id}-list`);
  }
  input[kind === "range" ? "oninput" : "onchange"] = () => {
    const number = Number(input.value), isNumber = input.value !== "" && Number.isFinite(number) && input.validity.valid;
    if (kind === "check") change(input.checked);
    else if (isNumber && name !== "activation") change(number);
    else if (kind === "select") change(input.value);
    control.write(current());
  };
  return control;
}
