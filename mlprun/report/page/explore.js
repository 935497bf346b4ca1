// Parallel coordinates of a sweep: drag along an axis, or move its sliders, to see only some settings.
{
  const { axes, settings } = pageData("explore");
  const holder = document.querySelector(".explorer");
  axes.forEach((axis, k) => {
    const texts = new Map(settings.filter((one) => one.at[k] !== null).map((one) => [one.at[k], one.texts[k]]));
    axis.stops = [...texts].sort((a, b) => a[0] - b[0]);
  });
  const width = 940, height = 330, low = height - 14, high = 34, left = 60, right = 90;
  const x = (k) => left + (k * (width - left - right)) / Math.max(1, axes.length - 1);
  const y = (share) => low - share * (low - high);
  const all = () => axes.map((axis) => [0, axis.stops.length - 1]);
  let chosen = all();

  function draw(tag, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text) made.textContent = text;
    return image ? image.appendChild(made) : made;
  }

  let image = null;
  image = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  const lines = settings.map((setting) => {
    const corners = setting.at.map((share, k) => `${x(k)} ${y(share === null ? -1 : share)}`);
    const line = draw("path", { d: "M" + corners.join("L"), stroke: setting.color, class: "line" });
    line.append(draw("title", {}, `setting ${setting.id}: ${axes.map((axis, k) => axis.name + " " + setting.texts[k]).join(", ")}`));
    return line;
  });
  const bands = axes.map((axis, k) => {
    draw("path", { d: `M${x(k)} ${low}V${high}`, class: "axis" });
    for (const [share, text] of axis.ticks) draw("text", { x: x(k) + 5, y: y(share) + 4, class: "label" }, text);
    const [anchor, place] = k === 0 ? ["start", 0] : k === axes.length - 1 ? ["end", width] : ["middle", x(k)];
    draw("text", { x: place, y: 16, "text-anchor": anchor, class: "bold" }, axis.name);
    const band = draw("rect", { x: x(k) - 8, width: 16, class: "brush" });
    const grip = draw("rect", { x: x(k) - 14, y: high - 6, width: 28, height: low - high + 12, class: "grip" });
    let start = null;
    const drag = (event) => {
      const box = image.getBoundingClientRect();
      const share = (low - ((event.clientY - box.top) * height) / box.height) / (low - high);
      if (event.type === "pointerdown") [start] = [share, grip.setPointerCapture(event.pointerId)];
      if (start !== null) choose(k, Math.min(start, share), Math.max(start, share));
    };
    grip.onpointerdown = grip.onpointermove = drag;
    grip.onpointerup = () => { start = null; };
    return band;
  });

  const sliders = axes.map((axis, k) => ["from", "to"].map((word, end) => {
    const oninput = () => {
      chosen[k][end] = Number(slider.value);
      chosen[k][1 - end] = Math[end ? "min" : "max"](...chosen[k]);
      show();
    };
    const slider = make("input", { type: "range", max: axis.stops.length - 1, oninput, "aria-label": `${axis.name}, ${word}` });
    return slider;
  }));
  const says = axes.map(() => make("span")), count = make("p", { role: "status", className: "soft" });
  const reset = make("button", { type: "button", onclick: () => { chosen = all(); show(); } }, "Show all settings");
  const fields = axes.map((axis, k) => make("fieldset", {}, make("legend", {}, axis.name), ...sliders[k], says[k]));
  holder.append(make("p", {}, "Drag along an axis or move the sliders to filter settings here and in the table."),
    make("div", { className: "scroll" }, image), make("div", { className: "filters" }, ...fields), count, reset);
  holder.querySelector("figure .panels").hidden = true;
  show();

  // Stops between two places on an axis; a click, which is no drag, shows all values again.
  function choose(k, from, to) {
    const stops = axes[k].stops.map((stop) => stop[0]);
    const inside = [...stops.keys()].filter((stop) => stops[stop] >= from - 1e-9 && stops[stop] <= to + 1e-9);
    chosen[k] = inside.length && to - from > 0.02 ? [inside[0], inside.at(-1)] : all()[k];
    show();
  }

  function show() {
    const whole = axes.map((axis, k) => chosen[k][0] === 0 && chosen[k][1] === axis.stops.length - 1);
    const limits = axes.map((axis, k) => chosen[k].map((stop) => axis.stops[stop]));
    const isInside = (share, k) => share !== null && share >= limits[k][0][0] - 1e-6 && share <= limits[k][1][0] + 1e-6;
    const shown = settings.filter((setting, number) => {
      const fits = setting.at.every((share, k) => whole[k] || isInside(share, k));
      lines[number].classList.toggle("faint", !fits);
      document.getElementById("setting-" + setting.id).hidden = !fits;
      return fits;
    });
    axes.forEach((axis, k) => {
      const [[first, from], [last, to]] = limits[k];
      bands[k].setAttribute("y", y(last) - 3);
      bands[k].setAttribute("height", whole[k] ? 0 : y(first) - y(last) + 6);
      says[k].textContent = whole[k] ? "all" : `${from} to ${to}`;
      sliders[k].forEach((slider, end) => {
        slider.value = chosen[k][end];
        slider.setAttribute("aria-valuetext", end ? to : from);
      });
    });
    count.textContent = `${shown.length} of ${settings.length} settings`;
  }
}
