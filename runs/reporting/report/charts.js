// Curves say their values: under the pointer, and by the arrow keys to a screen reader. The drawings are there without it.
(() => {
  "use strict";
  const DATA = JSON.parse(document.getElementById("data").textContent);

  const number = (value) => {
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size >= 1e6 || size < 1e-3) return value.toPrecision(3);
    return value.toLocaleString("en", { maximumSignificantDigits: size >= 1000 ? Math.ceil(Math.log10(size + 1)) : 4 });
  };

  // The point of a line that is nearest to a place across; null where the line does not reach it.
  const nearest = (points, x) => {
    let found = points[0];
    for (const point of points) if (Math.abs(point[2] - x) < Math.abs(found[2] - x)) found = point;
    return found;
  };

  const prepare = (box, chart) => {
    const svg = box.querySelector("svg"), cursor = box.querySelector(".cursor");
    const tip = box.querySelector(".tip"), said = box.querySelector(".unseen");
    const places = [...new Set(chart.lines.flatMap((line) => line.points.map((point) => point[2])))].sort((a, b) => a - b);
    let at = -1;

    const hide = () => {
      tip.hidden = true;
      cursor.style.visibility = "hidden";
    };

    const show = (x, aloud) => {
      const found = chart.lines.map((line) => [line, nearest(line.points, x)]);
      const step = found.reduce((best, [, point]) => (Math.abs(point[2] - x) < Math.abs(best[2] - x) ? point : best), found[0][1]);
      cursor.setAttribute("x1", step[2]);
      cursor.setAttribute("x2", step[2]);
      cursor.style.visibility = "visible";
      tip.replaceChildren();
      const words = [`step ${number(step[0])}`];
      tip.append(words[0]);
      for (const [line, point] of found) {
        const [row, dot, value] = ["div", "i", "b"].map((tag) => document.createElement(tag));
        dot.className = `l${line.look}`;
        dot.textContent = "● ";
        value.textContent = number(point[1]) + (chart.unit ? ` ${chart.unit}` : "");
        row.append(dot, line.name, " ", value);
        tip.append(row);
        words.push(`${line.name} ${value.textContent}`);
      }
      tip.hidden = false;
      const scale = svg.clientWidth / 360, left = step[2] * scale;
      const is_right = left > box.clientWidth / 2;
      tip.style.left = is_right ? "" : `${left + 10}px`;
      tip.style.right = is_right ? `${box.clientWidth - left + 10}px` : "";
      tip.style.top = `${svg.getBoundingClientRect().top - box.getBoundingClientRect().top + 14}px`;
      if (aloud) said.textContent = words.join(", ");
    };

    const follow = (event) => {
      const frame = svg.getBoundingClientRect();
      show(((event.clientX - frame.left) / frame.width) * 360, false);
    };
    svg.addEventListener("pointermove", follow);
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("pointerleave", hide);
    box.addEventListener("blur", hide);
    box.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
      if (event.key === "Escape") hide();
      if (!(event.key in steps)) return;
      event.preventDefault();
      at = Math.max(0, Math.min(places.length - 1, at + steps[event.key]));
      show(places[at], true);
    });
  };

  for (const box of document.querySelectorAll(".chart")) prepare(box, DATA.charts[Number(box.dataset.chart)]);
})();
