// A field for each column of the user's data, and what the network of the run makes of them.
{
  const { columns, network, classes, targets, means, scales, threshold } = pageData("predict");
  const holder = document.querySelector(".predict"), answer = make("div", { role: "status" });
  const values = columns.map((column) => column.start);
  const fields = columns.map((column, k) => {
    const change = (event) => { values[k] = Number(event.target.value); show(); };
    if (column.categories) {
      const options = column.categories.map((name, value) => make("option", { value }, name));
      const select = make("select", { oninput: change }, ...options);
      select.value = column.start;
      return make("label", {}, column.name, select);
    }
    const look = { min: column.low, max: column.high, step: "any", value: column.start };
    const number = make("input", { type: "number", step: "any", value: column.start });
    const slider = make("input", { type: "range", ...look, "aria-label": column.name + ", slider" });
    number.oninput = (event) => { slider.value = number.value; change(event); };
    slider.oninput = (event) => { number.value = Number(slider.value).toPrecision(4); change(event); };
    return make("label", {}, column.name, number, slider);
  });
  holder.replaceChildren(make("div", { className: "filters" }, ...fields), answer);
  show();

  function show() {
    const inputs = columns.flatMap((column, k) => column.categories
      ? column.categories.map((_, index) => Number(index === values[k]))
      : [(values[k] - column.mean) / column.scale]);
    let outputs = [...forwardPass(network, Float64Array.from(inputs))];
    if (!classes) outputs = outputs.map((output, k) => output * scales[k] + means[k]);
    const isClass = classes || network.loss === "bce", isPair = classes && outputs.length === 1 && outputs[0] >= 0 && outputs[0] <= 1;
    const shares = isPair ? [1 - outputs[0], outputs[0]] : outputs;
    const best = outputs.length === 1 ? Number(outputs[0] > threshold) : outputs.indexOf(Math.max(...outputs));
    const rows = shares.map((share, k) => make("p", {}, `${(shares.length > 1 && classes ? classes : targets)[k]}: `,
      make("b", {}, isClass ? share.toFixed(3) : String(Number(share.toPrecision(5)))),
      ...(isPair || (isClass && share >= 0 && share <= 1) ? [" ", make("progress", { value: share, max: 1, "aria-label": "probability" })] : [])));
    answer.replaceChildren(...(classes ? [make("p", { className: "verdict" }, "Predicted class: ", classes[best])] : []), ...rows);
  }
}
