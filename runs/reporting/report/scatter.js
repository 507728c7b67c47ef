// Videos as points: pointing at one shows it, a click or Enter its frames; levels, methods, labels and epochs are switched.
(() => {
  "use strict";
  const DATA = JSON.parse(document.getElementById("data").textContent).scatter;
  const section = document.getElementById("scatter");
  if (!DATA || !section) return;

  const NAMED = 24; // classes with a look of their own; the others are grey
  const ROOM = 0.05; // around the points, as a share of the drawing
  const REACH = 18; // pixels from the pointer to the point that it means
  const UNKNOWN = -1;

  // ---------------------------------------------------------------------------------------------- elements

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  const canvas = element("canvas"), why = element("div", { class: "why", hidden: "" });
  const tip = element("div", { class: "tip", hidden: "" }), said = element("p", { class: "unseen", "aria-live": "polite" });
  const plot = element("div", { class: "plot", tabindex: "0", role: "application" }, canvas, why, tip);
  const legend = element("div", { class: "legend", role: "group", "aria-label": "Classes" });
  const strip = element("div", { class: "strip", hidden: "", "aria-live": "polite" });
  const switches = element("div", { class: "switches" });
  section.querySelector(".scatter").append(switches, plot, legend, strip, said);

  // ------------------------------------------------------------------------------------------------- state

  const state = { set: 0, level: "", method: "", labels: "", epoch: 0, pressed: null, at: null, zoom: 1, x: 0.5, y: 0.5 };
  let points = []; // of what is shown: {x, y, video, part, rank}
  let moving = 0;

  const theSet = () => DATA.sets[state.set];
  const labelSet = () => theSet().labels[state.labels] || null;
  const partsOf = (set, name) => (set.labels[name] ? set.labels[name].parts : 1);
  const methodsOf = (set) => Object.keys(DATA.methods).filter((name) => Object.keys(set.points).some((key) => key.startsWith(`${name}/`)));

  const readPoints = () => {
    const set = theSet(), labels = labelSet(), parts = partsOf(set, state.labels);
    const places = (set.points[`${state.method}/${state.level}/${parts}`] || [])[state.epoch];
    why.hidden = Array.isArray(places);
    why.textContent = why.hidden ? "" : places || "not drawn";
    if (!why.hidden) return [];
    return set.shown[parts].flatMap((video, row) =>
      Array.from({ length: parts }, (_, part) => {
        const index = 2 * (row * parts + part);
        return { x: places[index] / 1000, y: places[index + 1] / 1000, video, part, rank: labels ? labels.values[video][part] : 0 };
      }));
  };

  // ------------------------------------------------------------------------------------------------- looks

  const is_dark = matchMedia("(prefers-color-scheme: dark)");

  // A colour that is seen on the paper of the page: what is dark is made lighter on a dark one.
  const seen = (colour) => {
    const parts = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
    const light = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    const [toward, share] = is_dark.matches ? [255, light < 140 ? 0.5 : 0.1] : [0, light > 170 ? 0.35 : 0];
    return `rgb(${parts.map((part) => Math.round(part + (toward - part) * share)).join(",")})`;
  };

  const look = (rank) => {
    if (rank < 0 || rank >= NAMED) return { colour: is_dark.matches ? "#7d8792" : "#8a939d", marker: rank < 0 ? "." : "x" };
    const count = DATA.colours.length;
    return { colour: seen(DATA.colours[rank % count]), marker: DATA.markers[(rank + Math.floor(rank / count)) % DATA.markers.length] };
  };

  const drawMark = (context, marker, x, y, size) => {
    context.beginPath();
    if (marker === "s") context.rect(x - size * 0.85, y - size * 0.85, size * 1.7, size * 1.7);
    else if (marker === "^" || marker === "D") {
      const corners = marker === "^" ? [[0, -1.2], [1.15, 0.85], [-1.15, 0.85]] : [[0, -1.3], [1.2, 0], [0, 1.3], [-1.2, 0]];
      corners.forEach(([right, down], index) => context[index ? "lineTo" : "moveTo"](x + right * size, y + down * size));
      context.closePath();
    } else context.arc(x, y, marker === "." ? size * 0.55 : marker === "x" ? size * 0.75 : size, 0, 2 * Math.PI);
    context.fill();
  };

  // ----------------------------------------------------------------------------------------------- drawing

  // From places in 0..1 to pixels of the drawing; both axes have one scale.
  const frame = () => {
    const width = plot.clientWidth, height = plot.clientHeight;
    const side = Math.min(width, height) * (1 - 2 * ROOM) * state.zoom;
    return {
      side,
      across: (x) => width / 2 + (x - state.x) * side,
      down: (y) => height / 2 - (y - state.y) * side,
    };
  };

  const draw = () => {
    const ratio = devicePixelRatio || 1, to = frame();
    canvas.width = plot.clientWidth * ratio;
    canvas.height = plot.clientHeight * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const is_faint = (point) => state.pressed !== null && group(point.rank) !== state.pressed;
    for (const faint of [true, false]) {
      for (const point of points.filter((each) => is_faint(each) === faint)) {
        const { colour, marker } = look(point.rank);
        context.globalAlpha = faint ? 0.13 : 0.85;
        context.fillStyle = colour;
        drawMark(context, marker, to.across(point.x), to.down(point.y), 4.2);
      }
    }
    if (state.at !== null && points[state.at]) {
      context.globalAlpha = 1;
      context.lineWidth = 2;
      context.strokeStyle = is_dark.matches ? "#fff" : "#000";
      context.beginPath();
      context.arc(to.across(points[state.at].x), to.down(points[state.at].y), 8, 0, 2 * Math.PI);
      context.stroke();
    }
  };

  // The points of the same videos move from where they were, so that the eye can follow them.
  const moveTo = (next) => {
    cancelAnimationFrame(moving);
    const before = points;
    const can_move = before.length === next.length && before.length && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (!can_move) {
      points = next;
      draw();
      return;
    }
    const start = performance.now();
    const advance = (now) => {
      const share = Math.min(1, (now - start) / 250), eased = share * share * (3 - 2 * share);
      points = next.map((point, index) => ({
        ...point,
        x: before[index].x + (point.x - before[index].x) * eased,
        y: before[index].y + (point.y - before[index].y) * eased,
      }));
      draw();
      if (share < 1) moving = requestAnimationFrame(advance);
    };
    advance(start);
  };

  // ---------------------------------------------------------------------------------------------- pictures

  const sheets = DATA.sets.map(() => null);

  // The picture of all videos of a set, decoded once.
  const sheet = (number) => {
    if (!sheets[number]) {
      const image = new Image();
      image.src = DATA.sets[number].sprite.source;
      sheets[number] = image.decode().then(() => createImageBitmap(image));
    }
    return sheets[number];
  };

  // A canvas that shows one frame of a video.
  const film = (set, video, time) => {
    const { columns, frames, width, height } = DATA.sets[set].sprite;
    const shown = element("canvas", { width, height, role: "img", "aria-label": `Frame ${time + 1} of ${frames}` });
    const left = ((video % columns) * frames + time) * width, top = Math.floor(video / columns) * height;
    sheet(set).then((picture) => shown.getContext("2d").drawImage(picture, left, top, width, height, 0, 0, width, height));
    return shown;
  };

  // ------------------------------------------------------------------------------------------------- words

  const className = (labels, rank) => (rank === UNKNOWN ? "no label" : labels.classes[rank]);

  const labelText = (point) => {
    const labels = labelSet();
    if (!labels) return "";
    const part = labels.parts > 1 ? ` (part ${point.part + 1} of ${labels.parts})` : "";
    return `${state.labels}${part}: ${className(labels, point.rank)}`;
  };

  const describe = (point) => [theSet().videos[point.video], labelText(point)].filter(Boolean).join(", ");

  // ------------------------------------------------------------------------------------------------ choice

  const showTip = (index) => {
    if (index === state.at && !tip.hidden) return;
    state.at = index;
    draw();
    tip.hidden = index === null;
    if (index === null) return;
    const point = points[index], to = frame(), { frames } = theSet().sprite;
    tip.replaceChildren(
      film(state.set, point.video, Math.floor((frames - 1) / 2)),
      element("div", {}, element("b", {}, labelText(point))),
      element("div", {}, theSet().videos[point.video]));
    const left = to.across(point.x), top = to.down(point.y);
    const is_right = left > plot.clientWidth / 2, is_low = top > plot.clientHeight / 2;
    tip.style.left = is_right ? "" : `${Math.max(0, left + 12)}px`;
    tip.style.right = is_right ? `${Math.max(0, plot.clientWidth - left + 12)}px` : "";
    tip.style.top = is_low ? "" : `${Math.max(0, top + 12)}px`;
    tip.style.bottom = is_low ? `${Math.max(0, plot.clientHeight - top + 12)}px` : "";
  };

  const showStrip = (index) => {
    const point = points[index], set = theSet();
    const facts = element("dl");
    for (const [name, labels] of Object.entries(set.labels)) {
      const text = labels.values[point.video].map((rank) => className(labels, rank)).join(" | ");
      facts.append(element("dt", {}, name), element("dd", {}, text));
    }
    for (const [name, texts] of Object.entries(set.texts)) facts.append(element("dt", {}, name), element("dd", {}, texts[point.video]));
    const close = element("button", { type: "button" }, "Close");
    close.addEventListener("click", () => {
      strip.hidden = true;
      plot.focus();
    });
    const films = Array.from({ length: set.sprite.frames }, (_, time) => film(state.set, point.video, time));
    strip.replaceChildren(
      element("h3", {}, set.videos[point.video]), element("div", { class: "frames" }, ...films), facts, close);
    strip.hidden = false;
  };

  const nearestTo = (x, y, reach) => {
    const to = frame();
    let found = null, least = reach;
    points.forEach((point, index) => {
      const away = Math.hypot(to.across(point.x) - x, to.down(point.y) - y);
      if (away < least) [found, least] = [index, away];
    });
    return found;
  };

  // The next point in a direction: the nearest one of those that lie more that way than aside.
  const nextPoint = (right, up) => {
    if (!points.length) return null;
    if (state.at === null) return nearestTo(plot.clientWidth / 2, plot.clientHeight / 2, Infinity);
    const from = points[state.at];
    let found = state.at, least = Infinity;
    points.forEach((point, index) => {
      const x = point.x - from.x, y = point.y - from.y, along = x * right + y * up, aside = Math.abs(x * up) + Math.abs(y * right);
      if (along > 0 && along >= aside && along + 2 * aside < least) [found, least] = [index, along + 2 * aside];
    });
    return found;
  };

  const keepInView = (point) => {
    const to = frame(), x = to.across(point.x), y = to.down(point.y);
    if (x < 0 || y < 0 || x > plot.clientWidth || y > plot.clientHeight) [state.x, state.y] = [point.x, point.y];
  };

  const zoomBy = (factor, x = plot.clientWidth / 2, y = plot.clientHeight / 2) => {
    const before = frame();
    const fixed = [state.x + (x - plot.clientWidth / 2) / before.side, state.y - (y - plot.clientHeight / 2) / before.side];
    state.zoom = Math.min(60, Math.max(0.8, state.zoom * factor));
    const { side } = frame();
    state.x = fixed[0] - (x - plot.clientWidth / 2) / side;
    state.y = fixed[1] + (y - plot.clientHeight / 2) / side;
    tip.hidden = true;
    draw();
  };

  const showAll = () => {
    Object.assign(state, { zoom: 1, x: 0.5, y: 0.5 });
    tip.hidden = true;
    draw();
  };

  // ------------------------------------------------------------------------------------- pointer, keyboard

  let held = null; // where the pointer went down
  const place = (event) => {
    const box = plot.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  plot.addEventListener("pointerdown", (event) => { held = { from: place(event), dragged: false }; });
  plot.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (held && event.buttons && (held.dragged || Math.hypot(x - held.from[0], y - held.from[1]) > 4)) {
      const { side } = frame();
      state.x -= (x - held.from[0]) / side;
      state.y += (y - held.from[1]) / side;
      held = { from: [x, y], dragged: true };
      tip.hidden = true;
      draw();
    } else if (!held || !held.dragged) showTip(nearestTo(x, y, REACH));
  });
  plot.addEventListener("pointerup", (event) => {
    const was_dragged = held && held.dragged;
    held = null;
    if (was_dragged) return;
    const found = nearestTo(...place(event), REACH);
    showTip(found);
    if (found !== null) showStrip(found);
  });
  plot.addEventListener("pointerleave", () => {
    held = null;
    tip.hidden = true;
  });
  plot.addEventListener("wheel", (event) => {
    if (document.activeElement !== plot && !event.ctrlKey) return; // else the page could not be scrolled past it
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 400), ...place(event));
  }, { passive: false });
  plot.addEventListener("keydown", (event) => {
    const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const done = {
      "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), 0: showAll,
      Enter: () => state.at !== null && showStrip(state.at), " ": () => state.at !== null && showStrip(state.at),
      Escape: () => { tip.hidden = true; strip.hidden = true; },
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in ways || event.key in done)) return;
    event.preventDefault();
    if (event.key in done) {
      done[event.key]();
      return;
    }
    const found = nextPoint(...ways[event.key]);
    if (found === null) return;
    keepInView(points[found]);
    tip.hidden = true;
    showTip(found);
    said.textContent = describe(points[found]);
  });

  // ---------------------------------------------------------------------------------- switches, the legend

  // Classes are pressed by their number; all those that are not named together.
  const group = (rank) => (rank >= NAMED ? NAMED : rank);

  const drawLegend = () => {
    const labels = labelSet(), groups = [...new Set(points.map((point) => group(point.rank)))].sort((a, b) => a - b);
    legend.replaceChildren();
    legend.hidden = !labels;
    if (!labels) return;
    const others = labels.classes.length - NAMED;
    for (const each of [...groups.filter((rank) => rank !== UNKNOWN), ...groups.filter((rank) => rank === UNKNOWN)]) {
      const sample = element("canvas", { width: 28, height: 28, "aria-hidden": "true" }), context = sample.getContext("2d");
      const { colour, marker } = look(each);
      context.fillStyle = colour;
      drawMark(context, marker, 14, 14, 9);
      const name = each === NAMED ? `${others} other ${others === 1 ? "class" : "classes"}` : className(labels, each);
      const button = element("button", { type: "button", "aria-pressed": String(state.pressed === each) }, sample, element("bdi", {}, name));
      button.addEventListener("click", () => {
        state.pressed = state.pressed === each ? null : each;
        for (const other of legend.children) other.setAttribute("aria-pressed", String(other === button && state.pressed !== null));
        draw();
      });
      legend.append(button);
    }
  };

  const renew = (change) => {
    Object.assign(state, change, { at: null });
    if ("labels" in change || "set" in change) state.pressed = null;
    const set = theSet();
    const known = { level: set.levels, method: methodsOf(set), labels: Object.keys(set.labels) };
    for (const [name, choices] of Object.entries(known)) if (!choices.includes(state[name])) state[name] = choices[0] || "";
    state.epoch = Math.min(state.epoch, set.epochs.length - 1);
    tip.hidden = true;
    strip.hidden = true;
    const next = readPoints();
    moveTo(next);
    if (Object.keys(change).join() !== "epoch") drawSwitches(known); // a slider that is held must stay
    tellEpoch();
    drawLegend();
    const where = [DATA.methods[state.method], state.level, set.title, set.epochs[state.epoch]].filter(Boolean).join(", ");
    plot.setAttribute("aria-label", `${next.length} points: ${where}. Arrow keys go from point to point, Enter shows the frames.`);
  };

  const choice = (title, name, options) => {
    const select = element("select", { name });
    for (const [value, text] of options) select.append(element("option", { value }, text));
    select.value = String(state[name]);
    select.addEventListener("change", () => renew({ [name]: name === "set" ? Number(select.value) : select.value }));
    return element("label", {}, title, select);
  };

  const button = (text, words, act) => {
    const made = element("button", { type: "button", "aria-label": words }, text);
    made.addEventListener("click", act);
    return made;
  };

  function drawSwitches(known) {
    const focused = document.activeElement && switches.contains(document.activeElement) ? document.activeElement.name : null;
    const set = theSet(), same = (names) => names.map((name) => [name, name]);
    switches.replaceChildren();
    if (DATA.sets.length > 1) switches.append(choice("Videos", "set", DATA.sets.map((each, index) => [index, each.title])));
    switches.append(
      choice("Level", "level", same(known.level)),
      choice("Method", "method", known.method.map((name) => [name, DATA.methods[name]])));
    if (known.labels.length) switches.append(choice("Colours", "labels", same(known.labels)));
    if (set.epochs.length > 1) {
      const slider = element("input", { type: "range", name: "epoch", min: 0, max: set.epochs.length - 1, step: 1 });
      slider.value = state.epoch;
      slider.addEventListener("input", () => renew({ epoch: Number(slider.value) }));
      switches.append(element("label", {}, element("span"), slider));
    }
    switches.append(element("div", {}, button("+", "Zoom in", () => zoomBy(1.5)), " ", button("−", "Zoom out", () => zoomBy(1 / 1.5)), " ", button("All", "Show all points", showAll)));
    if (focused) switches.querySelector(`[name="${focused}"]`)?.focus();
  }

  const tellEpoch = () => {
    const slider = switches.querySelector("[name=epoch]"), title = theSet().epochs[state.epoch];
    if (!slider) return;
    slider.setAttribute("aria-valuetext", title);
    slider.previousSibling.textContent = title;
  };

  section.hidden = false;
  const first = theSet();
  const top = first.levels[first.levels.length - 1];
  renew({ level: top, labels: first.own[top] || "", method: methodsOf(first).pop() });
  new ResizeObserver(draw).observe(plot);
  is_dark.addEventListener("change", () => { draw(); drawLegend(); });
})();
