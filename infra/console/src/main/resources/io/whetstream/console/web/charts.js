// The two charts. Colours come from the style sheet, so they follow the theme.

const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Vertical marks: what happened at a step. */
const marksPlugin = {
  id: "marks",
  afterDatasetsDraw(chart, _args, options) {
    const { ctx, chartArea: area, scales: { x } } = chart;
    if (!area) return;
    ctx.save();
    ctx.font = "11px system-ui, sans-serif";
    ctx.textBaseline = "top";
    const line = (at, ink, dash, from) => {
      ctx.beginPath();
      ctx.setLineDash(dash);
      ctx.strokeStyle = ink;
      ctx.lineWidth = 1.4;
      ctx.moveTo(at, from);
      ctx.lineTo(at, area.bottom);
      ctx.stroke();
      ctx.setLineDash([]);
    };
    const free = { publish: -Infinity, text: [-Infinity, -Infinity, -Infinity] };
    const label = (text, at, ink) => {
      const width = ctx.measureText(text).width;
      const right = at + 6 + width > area.right;
      const begin = right ? at - 6 - width : at + 6;
      const row = free.text.findIndex((end) => begin > end + 6);
      if (row < 0) return;
      free.text[row] = begin + width;
      ctx.fillStyle = colour("--card");
      ctx.globalAlpha = 0.85;
      ctx.fillRect(begin - 3, area.top + row * 16, width + 6, 15);
      ctx.globalAlpha = 1;
      ctx.fillStyle = ink;
      ctx.fillText(text, begin, area.top + 1 + row * 16);
    };
    for (const mark of options.list || []) {
      const at = x.getPixelForValue(mark.step);
      if (at < area.left - 1 || at > area.right + 1) continue;
      if (mark.kind === "publish") {
        const ink = colour("--published");
        ctx.globalAlpha = 0.35;
        line(at, ink, [2, 4], area.top);
        ctx.globalAlpha = 1;
        ctx.beginPath();
        ctx.moveTo(at, area.bottom - 9);
        ctx.lineTo(at - 5, area.bottom);
        ctx.lineTo(at + 5, area.bottom);
        ctx.fillStyle = ink;
        ctx.fill();
        const width = ctx.measureText(mark.text).width;
        if (at - width / 2 > free.publish + 8 && at + width / 2 < area.right) {
          ctx.fillText(mark.text, at - width / 2, area.bottom - 22);
          free.publish = at + width / 2;
        }
      } else if (mark.kind === "refused") {
        ctx.fillStyle = colour("--drift");
        ctx.font = "bold 13px system-ui, sans-serif";
        ctx.fillText("×", at - 4, area.bottom - 14);
        ctx.font = "11px system-ui, sans-serif";
      } else {
        const ink = colour(mark.kind === "drift" ? "--drift" : "--note");
        line(at, ink, mark.kind === "drift" ? [] : [6, 3], area.top);
        label(mark.kind === "drift" ? "drift noticed" : mark.text, at, ink);
      }
    }
    ctx.restore();
  },
};

function series(name, ink, extra = {}) {
  return {
    label: name, data: [], ink, borderWidth: 2, pointRadius: 0, pointHitRadius: 8,
    spanGaps: true, tension: 0.25, ...extra,
  };
}

function chart(canvas, datasets, scales, percent) {
  const made = new Chart(canvas, {
    type: "line",
    data: { datasets },
    plugins: [marksPlugin],
    options: {
      animation: false, responsive: true, maintainAspectRatio: false, parsing: false,
      normalized: true, interaction: { mode: "nearest", axis: "x", intersect: false },
      plugins: {
        legend: { display: false },
        marks: { list: [] },
        tooltip: {
          callbacks: {
            title: (items) => (items.length ? "step " + items[0].parsed.x : ""),
            label: (item) =>
              item.dataset.label + " " +
              (percent ? (100 * item.parsed.y).toFixed(1) + " %" : item.parsed.y.toFixed(3)),
          },
        },
      },
      scales,
    },
  });
  return made;
}

const stepAxis = () => ({
  type: "linear", title: { display: true, text: "step" }, ticks: { precision: 0, maxTicksLimit: 10 },
  grid: { display: false },
});

export function recallChart(canvas) {
  return chart(
    canvas,
    [
      series("training", "--training"),
      series("published", "--published", { borderWidth: 2.5 }),
      series("preDrift", "--predrift", { borderDash: [6, 4] }),
      series("base", "--base", { borderDash: [2, 3], borderWidth: 1.5 }),
    ],
    {
      x: stepAxis(),
      y: { min: 0, max: 1, ticks: { callback: (v) => Math.round(100 * v) + " %", maxTicksLimit: 6 } },
    },
    true,
  );
}

export function lossChart(canvas) {
  return chart(
    canvas,
    [
      series("contrastive", "--training", { yAxisID: "y" }),
      series("next-token", "--predrift", { yAxisID: "right" }),
    ],
    {
      x: stepAxis(),
      y: { beginAtZero: true, ticks: { maxTicksLimit: 6 } },
      right: { position: "right", beginAtZero: true, grid: { display: false }, ticks: { maxTicksLimit: 6 } },
    },
    false,
  );
}

/** Gives the data [[{x, y}], …] in the order of the series, and the marks. */
export function show(made, data, marks) {
  made.data.datasets.forEach((set, i) => {
    set.data = data[i];
    set.borderColor = set.backgroundColor = colour(set.ink);
  });
  for (const axis of Object.values(made.options.scales)) {
    axis.ticks.color = colour("--soft");
    if (axis.title) axis.title.color = colour("--soft");
    axis.grid.color = colour("--grid");
    axis.border = { color: colour("--line") };
  }
  made.options.plugins.marks.list = marks;
  made.update("none");
}
